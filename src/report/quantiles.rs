//! Response times by lane and outcome: what can be said of them with the calls that there are.

use serde::{Serialize, Serializer};

use crate::call::Lane;
use crate::clock::millis;
use crate::meter::{Merge, SparseSeries};
use crate::report::kind::{Ending, Kind, Span};
use crate::report::run::{Run, pick};

/// A quantile is shown only if at least this many calls lie beyond it: fewer are anecdotes.
const BEYOND: f64 = 10.0;

/// The quantiles of a table, with their names.
pub const QUANTILES: [(f64, &str); 5] =
    [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")];

/// The quantile of a series in milliseconds, if enough calls lie beyond it.
#[must_use]
pub fn shown(series: &SparseSeries, quantile: f64) -> Option<f64> {
    is_shown(series.count(), quantile).then(|| millis(series.quantile(quantile)))
}

/// Whether enough of so many calls lie beyond a quantile.
#[must_use]
pub fn is_shown(count: u64, quantile: f64) -> bool {
    // 1 - 0.999 is a little more than 0.001; a call more or less is not the point.
    count as f64 * (1.0 - quantile) >= BEYOND * (1.0 - 1e-9)
}

/// A line of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Which calls.
    pub name: String,
    /// Their lane, if they have one in common.
    #[serde(skip)]
    pub lane: Option<Lane>,
    /// Whether it is a part of the line above.
    #[serde(skip)]
    pub is_part: bool,
    /// How many.
    pub calls: u64,
    /// In the order of [`QUANTILES`]; nothing where too few calls lie beyond. In JSON each has its
    /// name.
    #[serde(rename = "quantiles", serialize_with = "by_name")]
    pub quantiles_ms: [Option<f64>; QUANTILES.len()],
    /// The longest, exactly.
    pub max_ms: f64,
    /// The arithmetic mean.
    pub mean_ms: f64,
}

impl Row {
    /// The line of one series.
    #[must_use]
    pub fn of(name: String, lane: Option<Lane>, is_part: bool, series: &SparseSeries) -> Self {
        let quantiles_ms = QUANTILES.map(|(quantile, _)| shown(series, quantile));
        let (calls, max_ms) = (series.count(), millis(series.max()));
        Self { name, lane, is_part, calls, quantiles_ms, max_ms, mean_ms: millis(series.mean()) }
    }
}

/// A quantile of a row, as JSON.
#[derive(Serialize)]
struct Named {
    quantile: &'static str,
    ms: Option<f64>,
}

fn by_name<S: Serializer>(
    quantiles_ms: &[Option<f64>; QUANTILES.len()],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let named = QUANTILES.iter().zip(quantiles_ms);
    serializer.collect_seq(named.map(|((_, quantile), ms)| Named { quantile, ms: *ms }))
}

/// Response times: each lane, then what became of its calls; then everything, if that is more.
#[must_use]
pub fn outcomes(run: &Run) -> Vec<Row> {
    let whole = run.whole();
    let mut rows = Vec::new();
    let mut everything = SparseSeries::default();
    for lane in [Some(Lane::V2), Some(Lane::V3), None] {
        let in_lane = |kind: &Kind| kind.lane == lane;
        let name = lane.map_or("unknown", Lane::as_str);
        let all = pick(whole, Span::Response, in_lane);
        if all.is_empty() {
            continue;
        }
        let mut endings: Vec<Ending> =
            whole.keys().filter(|kind| in_lane(kind)).map(|kind| kind.ending).collect();
        endings.sort_unstable();
        endings.dedup();
        rows.push(Row::of(name.to_owned(), lane, false, &all));
        for ending in endings {
            let wanted = |kind: &Kind| in_lane(kind) && kind.ending == ending;
            let part = pick(whole, Span::Response, wanted);
            rows.push(Row::of(format!("{name} {}", ending.as_str()), lane, true, &part));
        }
        everything.merge(all);
    }
    let has_several = rows.iter().filter(|row| !row.is_part).count() > 1;
    if has_several {
        rows.push(Row::of("all".to_owned(), None, false, &everything));
    }
    rows
}

/// What each lane's response times are made of.
#[must_use]
pub fn split(run: &Run) -> Vec<Row> {
    let whole = run.whole();
    let mut rows = Vec::new();
    for lane in run.lanes() {
        for span in [Span::Wait, Span::Service, Span::Lag] {
            let series = pick(whole, span, |kind| kind.lane == Some(lane));
            rows.push(Row::of(format!("{lane} {}", span.as_str()), Some(lane), true, &series));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_quantile_needs_ten_calls_beyond_it() {
        for (quantile, least) in [(0.5, 20), (0.9, 100), (0.99, 1000), (0.999, 10_000)] {
            let mut series = SparseSeries::default();
            for n in 1..least {
                series.record(Duration::from_micros(n));
            }
            assert_eq!(shown(&series, quantile), None, "{quantile}");
            series.record(Duration::from_micros(least));
            assert!(shown(&series, quantile).is_some(), "{quantile}");
        }
    }
}
