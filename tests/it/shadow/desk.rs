//! A lane of a test's own, which treats shadows as it is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poolshift::call::Timing;
use poolshift::clock::{Clock, Moment};
use poolshift::session::Sessions;
use poolshift::{Answer, Call, CallError, Pool, PoolStatus, Ran, SessionId, ShadowCall};
use serde_json::value::RawValue;
use tokio::sync::Notify;

/// How a lane treats shadows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Manner {
    Answers,
    Lies,
    Raises,
    Crashes,
    /// After this long, in milliseconds.
    Dawdles(u64),
    Hangs,
    /// There is no spare worker.
    Declines,
    /// When the desk is told to go on.
    Waits,
}

/// A lane: its answer to a call is what it was given.
pub(super) struct Desk {
    pub(super) clock: Clock,
    pub(super) sessions: Arc<Sessions>,
    pub(super) manner: Mutex<Manner>,
    pub(super) shadows: Mutex<Vec<ShadowCall>>,
    pub(super) running: AtomicUsize,
    pub(super) most_running: AtomicUsize,
    pub(super) go_on: Notify,
    /// Added to each answer.
    pub(super) filler: Mutex<String>,
    /// How long a call takes.
    pub(super) takes: Mutex<Duration>,
}

impl Desk {
    pub(super) fn new(clock: Clock, sessions: Arc<Sessions>, manner: Manner) -> Self {
        Self {
            clock,
            sessions,
            manner: Mutex::new(manner),
            shadows: Mutex::default(),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            go_on: Notify::new(),
            filler: Mutex::default(),
            takes: Mutex::default(),
        }
    }

    fn answer(&self, began: Moment, result: Result<String, CallError>) -> Answer {
        let (planned, submitted, finished) = (began, began, self.clock.now());
        let timing = Timing { planned, submitted, dispatched: Some(began), finished };
        let result = result.map(|json| RawValue::from_string(json).unwrap());
        Answer { result, worker: None, timing, first_try: None }
    }

    fn told(&self, call: &Call, loaded: Option<&str>) -> String {
        let filler = self.filler.lock().unwrap();
        let (args, row) = (call.args.as_json(), loaded.unwrap_or("null"));
        format!("{{\"args\":{args},\"row\":{row},\"filler\":\"{filler}\"}}")
    }

    pub(super) fn asked(&self) -> usize {
        self.shadows.lock().unwrap().len()
    }
}

/// Counts a shadow for as long as it runs, also if it is dropped.
struct Running<'a>(&'a Desk);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Pool for Desk {
    async fn call(&self, call: Call) -> Answer {
        let began = self.clock.now();
        let takes = *self.takes.lock().unwrap();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await; // paused clock
        }
        let session = call.session.as_ref();
        let _visit = self.sessions.begin(self.clock.now(), session).await.unwrap();
        let loaded = self.sessions.enrich(&call).await.unwrap();
        let told = self.told(&call, loaded.as_ref().map(|(_, row)| row.get()));
        let result = RawValue::from_string(told.clone()).unwrap();
        self.sessions.record(&call, &result, Duration::ZERO).await;
        if &*call.command == "give_up" {
            let (waited, cause) = (Duration::ZERO, None);
            return self.answer(began, Err(CallError::QueueTimeout { waited, cause }));
        }
        if &*call.command == "fail" {
            return self.answer(began, Err(raised("ValueError")));
        }
        self.answer(began, Ok(told))
    }

    async fn shadow(&self, copy: ShadowCall) -> Option<Answer> {
        let began = self.clock.now();
        let manner = *self.manner.lock().unwrap();
        if manner == Manner::Declines {
            return None;
        }
        let told = self.told(&copy.call, copy.loaded.as_ref().map(|(_, row)| row.get()));
        self.shadows.lock().unwrap().push(copy);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        let _running = Running(self);
        match manner {
            Manner::Answers | Manner::Declines => {}
            Manner::Lies => return Some(self.answer(began, Ok("{\"args\":7}".to_owned()))),
            Manner::Raises => return Some(self.answer(began, Err(raised("KeyError")))),
            Manner::Crashes => {
                let post_mortem = Box::default();
                let lost = CallError::WorkerLost { ran: Ran::Maybe, post_mortem };
                return Some(self.answer(began, Err(lost)));
            }
            Manner::Dawdles(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await; // paused clock
            }
            Manner::Hangs => std::future::pending().await,
            Manner::Waits => self.go_on.notified().await,
        }
        Some(self.answer(began, Ok(told)))
    }

    fn end_session(&self, _: &SessionId) {}

    async fn drain(&self, _: Duration) {}

    fn status(&self) -> PoolStatus {
        PoolStatus::default()
    }
}

fn raised(class: &str) -> CallError {
    let error_type = Some(class.to_owned());
    CallError::Raised { message: "no".to_owned(), error_type, traceback: Vec::new() }
}
