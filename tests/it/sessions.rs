//! R11: what a call loads and saves, when, and what happens when the store fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::error::Refusal;
use poolshift::machine::OnCancel;
use poolshift::session::Sessions;
use poolshift::session::commands::Commands;
use poolshift::session::memory::MemoryStore;
use poolshift::session::store::{SessionStore, Stored};
use poolshift::{Args, Call, Lane, Outcome, Pool, Ran, SessionId};
use poolshift_sim::shell_rig::script::Act;
use poolshift_sim::shell_rig::spawner::FakeSpawner;
use serde_json::value::RawValue;

use crate::sim_pool::{SimPool, scripted};

/// The in-memory store, with a journal, and two switches that make it fail.
struct Journal {
    store: MemoryStore,
    lines: Mutex<Vec<String>>,
    loads_fail: AtomicBool,
    saves_fail: AtomicBool,
}

impl Journal {
    fn new(max_sessions: usize) -> Arc<Self> {
        Arc::new(Self {
            store: MemoryStore::new(Duration::from_secs(3600), max_sessions),
            lines: Mutex::default(),
            loads_fail: AtomicBool::new(false),
            saves_fail: AtomicBool::new(false),
        })
    }

    fn sessions(self: &Arc<Self>) -> Arc<Sessions> {
        Arc::new(Sessions::new(Arc::clone(self) as _, Arc::new(Commands::default())))
    }

    fn note(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}

impl SessionStore for Journal {
    fn open<'a>(&'a self, session: &'a SessionId, now: Moment) -> Stored<'a, Result<(), Refusal>> {
        self.store.open(session, now)
    }

    fn close(&self, session: &SessionId) {
        self.store.close(session);
    }

    fn load<'a>(
        &'a self,
        session: Option<&'a SessionId>,
        table: &'a str,
        key: &'a str,
    ) -> Stored<'a, Result<Option<Box<RawValue>>, Refusal>> {
        self.note(format!("load {key}"));
        if self.loads_fail.load(Ordering::SeqCst) {
            return Box::pin(async { Err(Refusal::Store("it is down".to_owned())) });
        }
        self.store.load(session, table, key)
    }

    fn save<'a>(
        &'a self,
        session: Option<&'a SessionId>,
        table: &'a str,
        key: &'a str,
        row: Option<Box<RawValue>>,
    ) -> Stored<'a, Result<(), Refusal>> {
        self.note(format!("{} {key}", if row.is_some() { "save" } else { "remove" }));
        if self.saves_fail.load(Ordering::SeqCst) {
            return Box::pin(async { Err(Refusal::Store("it is down".to_owned())) });
        }
        // Not at once: a save that has not been applied must hold the reply back.
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await; // paused clock
            self.store.save(session, table, key, row).await
        })
    }

    fn end<'a>(&'a self, session: &'a SessionId) -> Stored<'a, ()> {
        self.store.end(session)
    }
}

/// A program command that its fake worker answers well.
fn program(command: &str, key: &str, id: &str, session: &str) -> Call {
    let args = format!("{{\"{key}\":\"{id}\"}}");
    let call = Call::new(command, Args::parse(&args).unwrap());
    call.with_id(&format!("{command} {id}")).unwrap().with_session(session).unwrap()
}

#[tokio::test(start_paused = true)]
async fn r11_a_call_loads_after_the_saves_of_the_calls_before_it() {
    for lane in [Lane::V2, Lane::V3] {
        let (journal, spawner) = (Journal::new(10), FakeSpawner::default());
        let sessions = journal.sessions();
        let pool = SimPool::with_sessions(lane, 1, OnCancel::Drain, &spawner, sessions).await;
        let (created, executed, deleted) = tokio::join!(
            pool.call(program("create_program", "id", "p", "a")),
            pool.call(program("execute_program", "program_id", "p", "a")),
            pool.call(program("delete_program", "program_id", "p", "a")),
        );
        for answer in [created, executed, deleted] {
            assert_eq!(answer.outcome(), Outcome::Ok, "{lane}");
        }
        // Submitted together, yet the load waited for its lease, and that for the save.
        assert_eq!(journal.take(), ["save p", "load p", "remove p"], "{lane}");
    }
}

#[tokio::test(start_paused = true)]
async fn r11_overlapping_calls_of_a_session_lose_no_save() {
    let (journal, spawner) = (Journal::new(10), FakeSpawner::default());
    let sessions = journal.sessions();
    let pool = SimPool::with_sessions(Lane::V3, 4, OnCancel::Drain, &spawner, sessions).await;
    tokio::join!(
        pool.call(program("create_program", "id", "p", "a")),
        pool.call(program("create_program", "id", "q", "a")),
        pool.call(program("create_program", "id", "r", "a")),
    );
    let a = SessionId::new("a").unwrap();
    for key in ["p", "q", "r"] {
        let row = journal.store.load(Some(&a), "programs", key).await.unwrap();
        assert!(row.is_some_and(|row| row.get().contains("created_at")), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn r11_a_failing_store_fails_no_call_that_has_run_and_runs_none_without_its_state() {
    let (journal, spawner) = (Journal::new(10), FakeSpawner::default());
    let sessions = journal.sessions();
    let pool = SimPool::with_sessions(Lane::V3, 1, OnCancel::Drain, &spawner, sessions).await;
    journal.saves_fail.store(true, Ordering::SeqCst);
    let saved = pool.call(program("create_program", "id", "p", "a")).await;
    assert_eq!(saved.outcome(), Outcome::Ok, "it has run");
    journal.loads_fail.store(true, Ordering::SeqCst);
    let loaded = pool.call(program("execute_program", "program_id", "p", "a")).await;
    let error = loaded.result.unwrap_err();
    assert_eq!((error.outcome(), error.ran()), (Outcome::Rejected, Ran::No));
    assert!(error.to_string().contains("it is down"), "{error}");
    assert_eq!(spawner.ledger().lock().unwrap().len(), 1, "it was not sent");
    assert_eq!(pool.status().restarts, 0, "and the worker is well");
    pool.assert_conserved(2);
}

#[tokio::test(start_paused = true)]
async fn r3_a_caller_who_goes_while_its_reply_is_saved_leaves_a_call_that_ran_and_a_free_worker() {
    for lane in [Lane::V2, Lane::V3] {
        let (journal, spawner) = (Journal::new(10), FakeSpawner::default());
        let sessions = journal.sessions();
        let pool = SimPool::with_sessions(lane, 1, OnCancel::Drain, &spawner, sessions).await;
        let saving = async {
            while journal.take() != ["save p"] {
                tokio::time::sleep(Duration::from_millis(1)).await; // paused clock
            }
        };
        tokio::select! {
            _ = pool.call(program("create_program", "id", "p", "a")) => panic!("it saves"),
            () = saving => {}
        }
        let next = pool.call(program("execute_program", "program_id", "p", "a")).await;
        assert_eq!(next.outcome(), Outcome::Ok, "{lane}");
        assert_eq!(pool.meter().outcomes(), [(Outcome::Ok, 2)].into(), "{lane}");
        assert_eq!(pool.status().restarts, 0, "{lane}");
    }
}

#[tokio::test(start_paused = true)]
async fn r11_a_full_store_refuses_before_running() {
    let (journal, spawner) = (Journal::new(1), FakeSpawner::default());
    let sessions = journal.sessions();
    let pool = SimPool::with_sessions(Lane::V3, 2, OnCancel::Drain, &spawner, sessions).await;
    let call =
        |id: &str, session: &str| scripted(id, 10, Act::Reply).with_session(session).unwrap();
    let (first, second) = tokio::join!(pool.call(call("1", "a")), pool.call(call("2", "b")));
    assert_eq!(first.outcome(), Outcome::Ok);
    let error = second.result.unwrap_err();
    assert_eq!((error.outcome(), error.ran()), (Outcome::Rejected, Ran::No));
    assert!(error.to_string().contains("max_sessions"), "{error}");
    let third = pool.call(call("3", "b")).await;
    assert_eq!(third.outcome(), Outcome::Ok, "an idle session makes room");
    let executed = spawner.ledger().lock().unwrap().clone();
    assert!(executed.iter().all(|execution| execution.call_id != "2"));
    pool.assert_conserved(3);
}
