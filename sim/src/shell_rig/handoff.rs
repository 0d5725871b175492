//! Stepping aside where work changes hands, so that different seeds see different interleavings.
//!
//! A run queue that is first in, first out shows one order of events for ever. Here a task may
//! let others go first a few times, as often as a stream says that is keyed by the run's seed,
//! by who steps aside, and by how often it has been there: a step more in one place shifts
//! nothing in another.

use crate::rng::{Domain, Seed};

/// Where work changes hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Handoff {
    /// A process has been spawned, and its spawner is about to be told.
    Spawn,
    /// A caller has a lease, and loads its session's data.
    Lease,
    /// The host writes to a worker's stdin.
    Write,
    /// The host sees what a worker has written.
    Read,
    /// A caller has read a reply, and saves its session's data before it reports.
    Report,
    /// A worker has read a request, or is about to answer.
    Reply,
    /// A process has ended, and the host is about to be told.
    Exit,
    /// A caller begins, or has its answer.
    Caller,
}

/// How tasks step aside in one run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Yields {
    seed: Option<Seed>,
    most: u64,
}

impl Yields {
    /// At each hand-off not at all, half of the time, and else up to `most` times.
    #[must_use]
    pub const fn of(seed: Seed, most: u64) -> Self {
        Self { seed: Some(seed), most }
    }

    /// How often `entity` steps aside here, the `n`-th time.
    #[must_use]
    pub fn count(self, at: Handoff, entity: u64, n: u64) -> u64 {
        let Some(seed) = self.seed.filter(|_| self.most > 0) else { return 0 };
        let mut stream = seed.stream(Domain::Handoff, entity, n << 3 | at as u64);
        stream.below(2 * self.most + 1).saturating_sub(self.most)
    }

    /// Steps aside. Dropping it only steps aside less.
    pub async fn step_aside(self, at: Handoff, entity: u64, n: u64) {
        for _ in 0..self.count(at, entity, n) {
            tokio::task::yield_now().await;
        }
    }
}
