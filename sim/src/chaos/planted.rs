//! Bugs in the legacy lane's place: the proof that a chaos run sees something.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use poolshift::meter::MeterSnapshot;
use poolshift::v2_session_pool::V2SessionPool;
use poolshift::{Answer, Call, Pool, PoolStatus, SessionId};
use serde_json::value::RawValue;

/// What is wrong with the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// Two callers are given each other's answers.
    AnswersSwapped,
    /// A caller is never told.
    CallLost,
    /// A call is run again though it was answered.
    CallRepeated,
    /// A process of the run's is left behind.
    ProcessLeft,
    /// A descriptor is never closed.
    DescriptorLeft,
    /// A thread never ends.
    ThreadLeft,
    /// More workers live than the pool may have.
    WorkersTooMany,
    /// Its books have a call that nobody made.
    BooksWrong,
    /// Callers are told long after their deadlines.
    ToldLate,
    /// A drain never ends.
    DrainStuck,
}

/// Later than the longest deadline of a run with all that is allowed for, and sooner than callers
/// give up.
const LATE: Duration = Duration::from_millis(4_700);

impl Planted {
    /// Every bug.
    pub const ALL: [Self; 10] = [
        Self::AnswersSwapped,
        Self::CallLost,
        Self::CallRepeated,
        Self::ProcessLeft,
        Self::DescriptorLeft,
        Self::ThreadLeft,
        Self::WorkersTooMany,
        Self::BooksWrong,
        Self::ToldLate,
        Self::DrainStuck,
    ];

    /// The name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AnswersSwapped => "answers_swapped",
            Self::CallLost => "call_lost",
            Self::CallRepeated => "call_repeated",
            Self::ProcessLeft => "process_left",
            Self::DescriptorLeft => "descriptor_left",
            Self::ThreadLeft => "thread_left",
            Self::WorkersTooMany => "workers_too_many",
            Self::BooksWrong => "books_wrong",
            Self::ToldLate => "told_late",
            Self::DrainStuck => "drain_stuck",
        }
    }
}

/// The pool behind lane V2 in a chaos run.
pub(super) trait Legacy: Pool {
    fn gauges(&self) -> PoolStatus;
    fn meter(&self) -> MeterSnapshot;
}

impl Legacy for V2SessionPool {
    fn gauges(&self) -> PoolStatus {
        self.gauges()
    }

    fn meter(&self) -> MeterSnapshot {
        self.meter()
    }
}

/// The legacy pool with a bug, which shows at each answer; one process and one thread are enough.
#[derive(Debug)]
pub(super) struct Infected {
    pool: V2SessionPool,
    bug: Planted,
    /// The mark of the run's processes.
    mark: (String, String),
    has_answered: AtomicBool,
    kept: Mutex<Option<Box<RawValue>>>,
}

impl Infected {
    pub(super) fn new(pool: V2SessionPool, bug: Planted, mark: &str) -> Self {
        let (name, value) = mark.split_once('=').expect("a mark is a variable");
        let mark = (name.to_owned(), value.to_owned());
        Self { pool, bug, mark, has_answered: AtomicBool::new(false), kept: Mutex::default() }
    }

    fn swap(&self, answer: &mut Answer) {
        let Ok(result) = &mut answer.result else { return };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.as_mut() {
            Some(kept) => std::mem::swap(kept, result),
            None => *kept = Some(result.clone()),
        }
    }

    /// It ends by itself, so that a run with a bug does not trouble the machine for long.
    fn leave_process(&self) {
        let mut child = Command::new("sleep");
        let (name, value) = &self.mark;
        child.arg("20").env(name, value).process_group(0);
        child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        drop(child.spawn());
    }
}

impl Legacy for Infected {
    fn gauges(&self) -> PoolStatus {
        self.pool.gauges()
    }

    fn meter(&self) -> MeterSnapshot {
        let meter = self.pool.meter();
        let unmade = u64::from(self.bug == Planted::BooksWrong);
        MeterSnapshot { submitted: meter.submitted + unmade, ..meter }
    }
}

impl Pool for Infected {
    async fn call(&self, call: Call) -> Answer {
        let again = (self.bug == Planted::CallRepeated).then(|| call.clone());
        let mut answer = self.pool.call(call).await;
        let is_first = !self.has_answered.swap(true, Ordering::Relaxed);
        match self.bug {
            Planted::AnswersSwapped => self.swap(&mut answer),
            Planted::CallLost => std::future::pending().await,
            Planted::CallRepeated => {
                let again = again.expect("it was kept for this");
                drop(self.pool.call(again).await);
            }
            Planted::ProcessLeft if is_first => self.leave_process(),
            Planted::WorkersTooMany if is_first => {
                // Those that both lanes may have, and one more.
                (0..=2 * (self.status().size + 1)).for_each(|_| self.leave_process());
            }
            Planted::ToldLate => tokio::time::sleep(LATE).await,
            Planted::DescriptorLeft => std::mem::forget(std::fs::File::open("/dev/null")),
            Planted::ThreadLeft if is_first => {
                std::thread::spawn(std::thread::park);
            }
            Planted::ProcessLeft
            | Planted::ThreadLeft
            | Planted::WorkersTooMany
            | Planted::BooksWrong
            | Planted::DrainStuck => {}
        }
        answer
    }

    fn end_session(&self, session: &SessionId) {
        self.pool.end_session(session);
    }

    async fn drain(&self, limit: Duration) {
        self.pool.drain(limit).await;
        if self.bug == Planted::DrainStuck {
            std::future::pending().await
        }
    }

    fn status(&self) -> PoolStatus {
        self.pool.status()
    }
}
