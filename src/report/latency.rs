//! V2 beside V3, from the pools' own books: percentiles as JSON and as a table.

use std::fmt::Write as _;

use serde::Serialize;

use crate::call::Lane;
use crate::clock::millis;
use crate::meter::{MeterSnapshot, Series};
use crate::report::quantiles::is_shown;

const QUANTILES: [(f64, &str); 4] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];

/// One lane's line of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LaneLatency {
    /// Finished calls.
    pub calls: u64,
    /// Median, from planned arrival to outcome.
    pub p50_ms: f64,
    /// 90 % of the calls took at most this long.
    pub p90_ms: f64,
    /// 99 % of the calls took at most this long.
    pub p99_ms: f64,
    /// 99.9 % of the calls took at most this long.
    pub p999_ms: f64,
    /// The longest took exactly this long.
    pub max_ms: f64,
    /// Calls with any outcome but ok.
    pub errors: u64,
}

impl LaneLatency {
    /// The line of one lane.
    #[must_use]
    pub fn of(books: &MeterSnapshot) -> Self {
        let total = books.total();
        let [p50_ms, p90_ms, p99_ms, p999_ms] =
            QUANTILES.map(|(quantile, _)| millis(total.quantile(quantile)));
        let (calls, max_ms) = (total.count(), millis(total.max()));
        Self { calls, p50_ms, p90_ms, p99_ms, p999_ms, max_ms, errors: books.errors() }
    }
}

/// The table of both lanes: total time, then what it is made of.
#[must_use]
pub fn table(lanes: &[(Lane, &MeterSnapshot)]) -> String {
    let mut text = format!("{:<14}{:>9}{:>8}", "times in ms", "calls", "errors");
    for (_, name) in QUANTILES {
        let _ = write!(text, "{name:>10}");
    }
    let _ = writeln!(text, "{:>10}", "max");
    for (lane, books) in lanes {
        row(&mut text, &lane.to_string(), &books.total(), Some(books.errors()));
    }
    for (lane, books) in lanes {
        let (mut queued, mut service) = (Series::default(), Series::default());
        for latencies in books.latencies.values() {
            queued.merge(&latencies.queued);
            service.merge(&latencies.service);
        }
        row(&mut text, &format!("{lane} waiting"), &queued, None);
        row(&mut text, &format!("{lane} running"), &service, None);
    }
    text
}

fn row(text: &mut String, name: &str, series: &Series, errors: Option<u64>) {
    let errors = errors.map_or_else(String::new, |errors| errors.to_string());
    let _ = write!(text, "{name:<14}{:>9}{errors:>8}", series.count());
    for (quantile, _) in QUANTILES {
        let shown = is_shown(series.count(), quantile)
            .then(|| format!("{:.3}", millis(series.quantile(quantile))));
        let _ = write!(text, "{:>10}", shown.unwrap_or_else(|| "-".to_owned()));
    }
    let _ = writeln!(text, "{:>10.3}", millis(series.max()));
}
