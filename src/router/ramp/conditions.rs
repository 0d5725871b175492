//! What must hold beside the evidence: V2 could take everything back, and the kill switch works.

use serde::{Deserialize, Serialize};

use crate::clock::Wall;

/// How much V2 could take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// V2's workers that are ready, or busy.
    pub v2_workers: u64,
    /// Workers that were busy at a time in both lanes together, at the worst of the last minutes.
    /// A call is taken to keep a worker as long in V2 as it did in V3.
    pub busy_workers: f64,
}

impl Capacity {
    /// The load (busy workers for each one there is) that V2 would have if it took everything
    /// back now; without workers it has no bound, which is told as more than any limit.
    #[must_use]
    pub fn v2_load(self) -> f64 {
        if self.v2_workers == 0 {
            return f64::MAX;
        }
        self.busy_workers / self.v2_workers as f64
    }
}

/// The last time that the kill switch was tried on running processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// When.
    pub at: Wall,
    /// Until the slowest process decided otherwise.
    pub took_ms: u64,
}
