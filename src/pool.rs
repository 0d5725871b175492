//! What every pool is to its callers: somewhere to run a call, and a status.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::call::{Answer, Call, SessionId};
use crate::error::Outcome;

/// A pool of workers. Both lanes of the router are one; a team's own legacy pool can be too.
pub trait Pool: Send + Sync + 'static {
    /// Runs one call to its one outcome. Failures are values in the [`Answer`].
    ///
    /// Dropping the future cancels the call: it is taken from the queue, or its worker is
    /// drained of the late reply or killed before it serves anyone else (R3).
    fn call(&self, call: Call) -> impl Future<Output = Answer> + Send;

    /// Forgets what the pool holds for a session. Its calls in flight are not disturbed.
    fn end_session(&self, session: &SessionId);

    /// Refuses new calls, serves the waiting ones for at most `limit`, then stops every worker.
    /// Completes when no worker is left. Dropping it does not stop the drain.
    fn drain(&self, limit: Duration) -> impl Future<Output = ()> + Send;

    /// What the pool is doing now.
    fn status(&self) -> PoolStatus;
}

/// One process in one slot: a late event of a dead process has an old generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId {
    /// The slot's index in its pool.
    pub slot: u32,
    /// Counts the processes that the slot has had, from 1.
    pub generation: u32,
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{self}")
    }
}

impl Serialize for WorkerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A pool's gauges and counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PoolStatus {
    /// How many workers the pool is meant to have.
    pub size: usize,
    /// Workers that have answered their start ping and are not being stopped.
    pub ready: usize,
    /// Ready workers without work.
    pub available: usize,
    /// Workers with a call, a late reply to drain or a probe.
    pub busy: usize,
    /// Processes that have not answered their start ping yet.
    pub starting: usize,
    /// Slots whose first worker has neither become ready nor failed yet.
    pub untried: usize,
    /// Processes that exist, whatever they do.
    pub live: usize,
    /// Calls that wait for a worker.
    pub queue_size: usize,
    /// Calls that have neither been finished nor cancelled.
    pub in_flight: usize,
    /// Processes started after their slot's first.
    pub restarts: u64,
    /// Starts that did not become ready.
    pub start_failures: u64,
    /// From the first start until the pool had as many ready workers as it is meant to have.
    #[serde(rename = "startup_s", serialize_with = "as_seconds")]
    pub startup_duration: Option<Duration>,
    /// Calls finished so far, by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Whether the pool has stopped taking calls.
    pub draining: bool,
    /// Each slot that has had a worker.
    pub workers: Vec<WorkerStatus>,
}

/// One slot's worker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkerStatus {
    /// The slot's present process, or its last.
    pub id: WorkerId,
    /// Its process id, while it lives.
    pub pid: Option<u32>,
    /// What it is doing: the name of its slot's state.
    pub health: &'static str,
    /// Calls the slot's workers have answered.
    pub requests: u64,
    /// How many of these answers were Python errors.
    pub errors: u64,
    /// Mean time from assignment to answer.
    #[serde(rename = "response_time_s", serialize_with = "as_seconds")]
    pub response_time: Option<Duration>,
}

fn as_seconds<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    span.map(|span| span.as_secs_f64()).serialize(serializer)
}
