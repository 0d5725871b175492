//! What guards are set to; a ramp plan says it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::router::guard::metric::Metric;

/// The guards of a ramp, and the errors that they may make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The chance that any of the guards ever rolls back a V3 that keeps within its bounds.
    pub alpha: f64,
    /// The chance that one guard's proof lets a V3 go on that does not.
    pub beta: f64,
    /// Harm below this difference of shares (0-1) is no reason to roll back, however certain.
    pub floor: f64,
    /// The guards.
    pub bounds: BTreeMap<Metric, Bounds>,
    /// So many failed first attempts one after the other roll back.
    pub in_a_row: u32,
    /// So many deaths of V3's workers
    pub crash_loop: u32,
    /// within so many milliseconds roll back.
    pub crash_loop_within_ms: u64,
}

/// The bounds of one guard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// V3 may have so many times V2's rate.
    pub tolerated: f64,
    /// A step is proven when so many times V2's rate is ruled out.
    pub unacceptable: f64,
    /// The share (0-1) of V3's units that may be bad, whatever V2 does.
    pub limit: f64,
    /// Commands that this guard leaves alone.
    pub ignore: Vec<String>,
}

impl Settings {
    /// How many tests share `alpha`: each guard has one beside V2, and one against its limit.
    #[must_use]
    pub fn tests(&self) -> usize {
        2 * self.bounds.len()
    }

    /// A test rolls back when the logarithm of its evidence reaches `ln(G / alpha)`.
    #[must_use]
    pub fn ln_rollback(&self) -> f64 {
        libm::log(self.tests() as f64 / self.alpha)
    }

    /// A step is proven when the logarithm of its evidence reaches `ln(1 / beta)`.
    #[must_use]
    pub fn ln_proof(&self) -> f64 {
        -libm::log(self.beta)
    }
}
