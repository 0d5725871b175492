//! What a call costs, beside how many workers there are, how many calls wait, how many sessions
//! are pinned, and how many calls there have been: as many calls come as go, so that nothing
//! else changes.

mod machine;
mod router;

use std::fmt;
use std::time::Duration;

use poolshift::Lane;
use rustix::time::{ClockId, clock_gettime};

pub use crate::steady::machine::Load;

/// A part of the product that is kept where it is. It lasts as long as it is driven.
pub struct Steady {
    driver: Box<dyn Drive>,
}

impl Steady {
    /// The machine of a pool of `workers`, at least two, for which `waiting` calls wait.
    #[must_use]
    pub fn machine(lane: Lane, load: Load, workers: usize, waiting: usize) -> Self {
        Self { driver: machine::driver(lane, load, workers, waiting) }
    }

    /// A shard of the router's pins that is full with `pins`. The calls are those of pinned
    /// sessions, or all of new ones, each of which pushes out the longest idle.
    #[must_use]
    pub fn router(pins: usize, all_new: bool) -> Self {
        Self { driver: Box::new(router::Driver::new(pins, all_new)) }
    }

    /// Lets so many calls come and go.
    pub fn calls(&mut self, calls: usize) {
        self.driver.calls(calls);
    }

    /// The CPU time of each of so many calls, on average, in nanoseconds.
    pub fn ns_per_call(&mut self, calls: usize) -> f64 {
        let cpu = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
        let began = cpu();
        self.calls(calls);
        cpu().saturating_sub(began).as_nanos() as f64 / calls as f64
    }
}

impl fmt::Debug for Steady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steady").finish_non_exhaustive()
    }
}

/// Makes calls. Its own work for one does not depend on how large the rest is.
trait Drive {
    fn calls(&mut self, calls: usize);
}
