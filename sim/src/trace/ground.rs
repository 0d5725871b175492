//! What a watcher is told before and after a run.

use std::time::Duration;

use poolshift::Lane;
use poolshift::clock::Moment;
use poolshift::machine::engine::Terms;
use poolshift::meter::MeterSnapshot;
use poolshift::pool::PoolStatus;

/// What the pools promise, and what the world may do to them.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The run's seed.
    pub seed: u64,
    /// V2's terms, then V3's.
    pub lanes: [LaneGround; 2],
    /// How long a pin lives without calls.
    pub pin_ttl: Duration,
    /// Whether the lowest percentage governs a whole session.
    pub whole_sessions: bool,
    /// The longest time that the host takes to notice what is in a pipe, a mailbox or a pidfd:
    /// zero if it notices at once. An order may thus be carried out this much later.
    pub host_lag: Duration,
    /// How many calls the plan has.
    pub calls: u64,
    /// Mean time between two calls of the plan.
    pub mean_gap: Duration,
    /// Mean service time without faults.
    pub mean_service: Duration,
}

impl Ground {
    /// One lane's terms.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> &LaneGround {
        &self.lanes[lane as usize]
    }
}

/// What one pool promises.
#[derive(Clone, Debug)]
pub struct LaneGround {
    /// The terms that its machine was given; its size may change, see `Resize`.
    pub terms: Terms,
    /// How many calls may wait.
    pub max_waiting: usize,
    /// How long a session without calls stays bound to its worker; V2 only.
    pub session_idle: Duration,
    /// From spawn to a good answer to the start ping.
    pub startup_timeout: Duration,
    /// From a probe's ping to its answer.
    pub health_timeout: Duration,
    /// From the polite request to SIGTERM.
    pub stop_grace: Duration,
    /// From SIGTERM to SIGKILL.
    pub kill_grace: Duration,
}

/// What both pools say of themselves when all is over, to be compared with the trace (S19).
#[derive(Clone, Debug)]
pub struct Closing {
    /// When.
    pub at: Moment,
    /// V2's books, then V3's.
    pub lanes: [LaneClosing; 2],
}

/// One pool's books.
#[derive(Clone, Debug)]
pub struct LaneClosing {
    /// Its gauges and counters.
    pub status: PoolStatus,
    /// Its counts and latencies, by class and outcome, from the planned arrival.
    pub meter: MeterSnapshot,
    /// Processes that live, as the operating system counts them.
    pub processes: usize,
}
