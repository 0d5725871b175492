//! What counts as slow: V2's own latency, frozen before the ramp.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::router::guard::metric::{Metric, Metrics};

/// Calls of V2 that must lie beyond a threshold before it is trusted: with fewer, one odd call
/// moves it.
const BEYOND: f64 = 30.0;

/// The thresholds of each command. Frozen, so that both lanes are judged by the same ones while
/// load moves from one to the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Thresholds(BTreeMap<String, Quantiles>);

/// Thresholds of one command; one that V2 had too few calls for judges nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Quantiles {
    p50_us: Option<u64>,
    p90_us: Option<u64>,
    p99_us: Option<u64>,
}

impl Thresholds {
    /// Whether no command has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Freezes a command's thresholds from V2's calls: how many there were, and how long the
    /// given share of them took at most.
    pub fn freeze(&mut self, command: &str, calls: u64, quantile: impl Fn(f64) -> Duration) {
        let at = |share: f64| {
            let enough = calls as f64 * (1.0 - share) >= BEYOND - 1e-9;
            enough.then(|| u64::try_from(quantile(share).as_micros()).unwrap_or(u64::MAX))
        };
        let quantiles = Quantiles { p50_us: at(0.5), p90_us: at(0.9), p99_us: at(0.99) };
        self.0.insert(command.to_owned(), quantiles);
    }

    /// The thresholds that a good call of this length is beyond.
    #[must_use]
    pub fn beyond(&self, command: &str, total: Duration) -> Metrics {
        let Some(quantiles) = self.0.get(command) else { return Metrics::NONE };
        let Quantiles { p50_us, p90_us, p99_us } = *quantiles;
        let limits =
            [(Metric::SlowP50, p50_us), (Metric::SlowP90, p90_us), (Metric::SlowP99, p99_us)];
        let beyond = limits
            .into_iter()
            .filter(|(_, limit)| limit.is_some_and(|limit| total > Duration::from_micros(limit)));
        beyond.map(|(metric, _)| Metrics::only(metric)).fold(Metrics::NONE, Metrics::with)
    }
}
