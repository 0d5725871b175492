//! How calls came to their lanes, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::call::Lane;
use crate::router::Router;
use crate::router::policy::{Decision, Reason};

/// How many draws went to each lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draws {
    /// To the legacy pool.
    pub v2: u64,
    /// To the new pool.
    pub v3: u64,
}

/// How many calls got their lane from somebody, and not by chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directed {
    /// From their caller.
    pub forced: u64,
    /// From a rule.
    pub ruled: u64,
}

impl<Legacy, Next> Router<Legacy, Next> {
    /// Draws so far: first calls of sessions, and anonymous calls.
    #[must_use]
    pub fn draws(&self) -> Draws {
        let of = |lane: Lane| self.draws[lane as usize].load(Ordering::Relaxed);
        Draws { v2: of(Lane::V2), v3: of(Lane::V3) }
    }

    /// Calls so far whose lane was not drawn, but for the kill switch.
    #[must_use]
    pub fn directed(&self) -> Directed {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Directed { forced: of(&self.forced), ruled: of(&self.ruled) }
    }

    pub(in crate::router) fn count(&self, decision: Decision) {
        let counter = match decision.reason {
            Reason::Forced => &self.forced,
            Reason::Rule => &self.ruled,
            _ if decision.drawn => &self.draws[decision.lane as usize],
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
