//! What every pool is to its callers: somewhere to run a call, and a status.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::call::{Answer, Call, SessionId};
use crate::error::{Outcome, Ran};
use crate::tape::ShadowCall;

/// A pool of workers. Both lanes of the router are one; a team's own legacy pool can be too.
pub trait Pool: Send + Sync + 'static {
    /// Runs one call to its one outcome. Failures are values in the [`Answer`].
    ///
    /// Dropping the future cancels the call: it is taken from the queue, or its worker is
    /// drained of the late reply or killed before it serves anyone else (R3).
    fn call(&self, call: Call) -> impl Future<Output = Answer> + Send;

    /// Runs a copy of a call that the other lane has answered, on a worker that nobody needs; or
    /// gives nothing if there is none (R16). It belongs to no session, is counted apart, and
    /// nothing of it is saved. A pool that does not offer this takes no shadows.
    ///
    /// Dropping the future cancels it.
    fn shadow(&self, _copy: ShadowCall) -> impl Future<Output = Option<Answer>> + Send {
        async { None }
    }

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

impl FromStr for WorkerId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('.').and_then(|(slot, generation)| {
            Some(Self { slot: slot.parse().ok()?, generation: generation.parse().ok()? })
        });
        numbers.ok_or_else(|| format!("{text:?} is no worker: expected SLOT.GENERATION"))
    }
}

impl<'de> Deserialize<'de> for WorkerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A pool's gauges and counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Calls that have neither been finished nor cancelled; shadows are not counted.
    pub in_flight: usize,
    /// Processes started after their slot's first.
    pub restarts: u64,
    /// Starts that did not become ready.
    pub start_failures: u64,
    /// Workers that had been ready and ended by themselves, or broke the protocol.
    #[serde(default)]
    pub deaths: u64,
    /// Whether starting workers is no use for now.
    #[serde(default)]
    pub breaker: BreakerStatus,
    /// Workers that did no wrong and were replaced, by the reason.
    #[serde(default)]
    pub recycled: BTreeMap<RecycleReason, u64>,
    /// From the first start until the pool had as many ready workers as it is meant to have.
    #[serde(rename = "startup_duration_s", with = "seconds")]
    pub startup_duration: Option<Duration>,
    /// Calls finished so far, by outcome. With `[retry]` each try counts; `retries.made` of them
    /// were not a call's first.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// What came of calls, by command, where the pool keeps it.
    #[serde(default)]
    pub ledger: Vec<LedgerRow>,
    /// Calls that were tried again, and those for which there was no budget.
    #[serde(default)]
    pub retries: RetryCounts,
    /// Times of the calls finished so far, where the pool keeps them.
    pub request: Option<RequestTimes>,
    /// Shadows that were submitted and have ended, by outcome; in no other count of calls.
    #[serde(default)]
    pub shadows: BTreeMap<Outcome, u64>,
    /// Whether the pool has stopped taking calls.
    pub draining: bool,
    /// Each slot that has had a worker.
    pub workers: Vec<WorkerStatus>,
}

/// Why a worker that did no wrong is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecycleReason {
    /// It has answered `max_requests` calls.
    Requests,
    /// It is as old as `max_age`.
    Age,
    /// Its memory has grown by `max_memory_growth`.
    Memory,
    /// It asked for it.
    Asked,
}

impl RecycleReason {
    /// The name used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Age => "age",
            Self::Memory => "memory",
            Self::Asked => "asked",
        }
    }
}

/// A pool's breaker (R6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerStatus {
    /// Whether so many starts in a row failed that they are tried one at a time, and calls are
    /// refused while there is no worker.
    pub open: bool,
    /// Failed starts since a worker last became ready.
    pub failures: u32,
    /// Why the last one failed.
    pub cause: Option<String>,
}

/// How often one thing came of one command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The command; `…` stands for all those beyond the first hundred.
    pub command: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Whether it can have run.
    pub ran: Ran,
    /// Of calls tried for the first time.
    pub calls: u64,
    /// Of calls tried again.
    pub retries: u64,
}

/// Retries so far (R15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryCounts {
    /// Calls that were tried again, each time counted.
    pub made: u64,
    /// Calls that would have been, but the budget was spent.
    pub over_budget: u64,
}

/// Times of finished calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestTimes {
    /// From planned arrival until a worker was assigned, or until the end.
    pub queued_time_ms: Spread,
    /// From planned arrival to outcome.
    pub total_time_ms: Spread,
}

/// How a time was spread, in the unit that the field's name says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half took at most this long.
    pub p50: f64,
    /// 90 % took at most this long.
    pub p90: f64,
    /// 99 % took at most this long.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// One slot's worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// The slot's present process, or its last.
    pub id: WorkerId,
    /// Its process id, while it lives.
    pub pid: Option<u32>,
    /// What it is doing: the name of its slot's state.
    pub health_status: Cow<'static, str>,
    /// Calls the slot's workers have answered.
    pub requests: u64,
    /// How many of these answers were Python errors.
    pub errors: u64,
    /// Mean time from assignment to answer.
    #[serde(rename = "response_time_s", with = "seconds")]
    pub response_time: Option<Duration>,
    /// How much more resident memory its process has than after its first calls, where that is
    /// looked at.
    #[serde(default)]
    pub memory_growth_bytes: Option<u64>,
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        span.map(|span| span.as_secs_f64()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds: Option<f64> = Option::deserialize(deserializer)?;
        seconds.map(Duration::try_from_secs_f64).transpose().map_err(de::Error::custom)
    }
}
