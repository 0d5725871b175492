//! One place for a worker process, and what is in it.
//!
//! ```text
//!            Start            ready              Assign
//!  Vacant ----------> Starting -----> Idle <----------------> Busy
//!    ^                   |           |    ^   reply, or unsent  |
//!    |                   |     Probe |    | good                | caller gone,
//!    |                   |           v    | answer              | request sent
//!    |                   |          Probing                     v
//!    |                   |             |                    Abandoned --> Idle
//!    |      failed       | stop        | bad, stop              | late reply read
//!    +-------------------+------> Stopping <--------------------+ overdue, broken
//!                exited (from any state with a process)
//! ```

use std::time::Duration;

use crate::clock::Moment;
use crate::machine::recycling::Life;
use crate::machine::{Digest, Ticket};

/// What a slot's worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// No process. One may be started from `retry_at` on. Exits: Starting.
    Vacant {
        /// When the slot's backoff ends.
        retry_at: Moment,
    },
    /// A process that has not answered its start ping. Exits: Idle, Busy, Stopping, Vacant.
    Starting,
    /// Nothing to do. Exits: Busy, Probing, Stopping, Vacant.
    Idle {
        /// Since when; the longest idle worker is chosen first.
        since: Moment,
    },
    /// Leased to a call. Exits: Idle, Busy (the next call), Abandoned, Stopping, Vacant.
    Busy {
        /// The call.
        call: Ticket,
    },
    /// Its caller went away; the late reply is awaited. Exits: Idle, Busy, Stopping, Vacant.
    Abandoned {
        /// The call that nobody waits for.
        call: Ticket,
    },
    /// Leased to a health check. Exits: Idle, Busy, Stopping, Vacant.
    Probing,
    /// Being ended; never serves again. Exits: Vacant.
    Stopping,
}

impl SlotState {
    /// The state's name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vacant { .. } => "vacant",
            Self::Starting => "starting",
            Self::Idle { .. } => "idle",
            Self::Busy { .. } => "busy",
            Self::Abandoned { .. } => "abandoned",
            Self::Probing => "probing",
            Self::Stopping => "stopping",
        }
    }

    /// Whether the worker has become ready and is not being ended.
    #[must_use]
    pub const fn is_serving(self) -> bool {
        !matches!(self, Self::Vacant { .. } | Self::Starting | Self::Stopping)
    }
}

/// Whether a slot is meant to have a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is. As many slots are as the pool has workers.
    Wanted,
    /// Its worker serves on until the one in another slot, which takes its place, is ready.
    Relieved {
        /// The other slot.
        by: u32,
    },
    /// It is not: a worker that is still there leaves when it has done what it is doing.
    Surplus,
}

/// One slot: its present process and the tally of all that it has had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Counts the processes; 0 before the first.
    pub generation: u32,
    /// What the present process is doing.
    pub state: SlotState,
    /// Whether it is meant to have a worker.
    pub standing: Standing,
    /// Starts in a row that did not become ready.
    pub failures: u32,
    /// The present process's life.
    pub life: Life,
    /// The call that an abandoned worker has at hand, if calls are told apart.
    pub abandoned: Option<Digest>,
    /// When the present process was last used, probes included.
    pub last_used: Moment,
    /// Calls answered by all processes of this slot.
    pub requests: u64,
    /// How many of the answers were Python errors.
    pub errors: u64,
    /// Time from assignment to answer, summed over `requests`.
    pub busy: Duration,
}

impl Slot {
    /// A slot that has never had a process.
    #[must_use]
    pub fn new() -> Self {
        Self {
            generation: 0,
            state: SlotState::Vacant { retry_at: Moment::ZERO },
            standing: Standing::Wanted,
            failures: 0,
            life: Life::default(),
            abandoned: None,
            last_used: Moment::ZERO,
            requests: 0,
            errors: 0,
            busy: Duration::ZERO,
        }
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}
