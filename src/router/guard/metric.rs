//! What makes a unit bad, and by which guard.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Outcome;
use crate::router::guard::slow::Thresholds;

/// What a guard watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Calls that failed in any way but by taking too long.
    Errors,
    /// Calls that timed out, waiting or running.
    Timeouts,
    /// Calls slower than half of V2's.
    SlowP50,
    /// Calls slower than nine in ten of V2's.
    SlowP90,
    /// Calls slower than 99 in 100 of V2's.
    SlowP99,
    /// Shadow comparisons that differ.
    Mismatches,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 6] = [
        Self::Errors,
        Self::Timeouts,
        Self::SlowP50,
        Self::SlowP90,
        Self::SlowP99,
        Self::Mismatches,
    ];

    /// The name used in plans and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Timeouts => "timeouts",
            Self::SlowP50 => "slow_p50",
            Self::SlowP90 => "slow_p90",
            Self::SlowP99 => "slow_p99",
            Self::Mismatches => "mismatches",
        }
    }

    /// The metric of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.as_str() == name)
    }
}

/// A set of metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metrics(u8);

impl Metrics {
    /// None.
    pub const NONE: Self = Self(0);

    /// This one.
    #[must_use]
    pub const fn only(metric: Metric) -> Self {
        Self(1 << metric as u8)
    }

    /// Those by which a call's first attempt was bad; none at all if it was good. `None` if it
    /// tells nothing about its lane: its caller went away, or the host was shutting down.
    ///
    /// What failed or timed out counts as slow: it would have taken longer still.
    #[must_use]
    pub fn of(outcome: Outcome, command: &str, total: Duration, slow: &Thresholds) -> Option<Self> {
        let every_slow = [Metric::SlowP50, Metric::SlowP90, Metric::SlowP99];
        let every_slow = every_slow.into_iter().map(Self::only).fold(Self::NONE, Self::with);
        match outcome {
            Outcome::Ok => Some(slow.beyond(command, total)),
            Outcome::QueueTimeout | Outcome::ExecTimeout => {
                Some(every_slow.with(Self::only(Metric::Timeouts)))
            }
            Outcome::Raised
            | Outcome::Rejected
            | Outcome::WorkerLost
            | Outcome::SessionLost
            | Outcome::Protocol => Some(every_slow.with(Self::only(Metric::Errors))),
            Outcome::Cancelled | Outcome::Draining => None,
        }
    }

    /// Those in either.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that the other does not have.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it has this one.
    #[must_use]
    pub const fn has(self, metric: Metric) -> bool {
        self.0 & Self::only(metric).0 != 0
    }

    /// Each one in it.
    pub fn iter(self) -> impl Iterator<Item = Metric> {
        Metric::ALL.into_iter().filter(move |metric| self.has(*metric))
    }
}
