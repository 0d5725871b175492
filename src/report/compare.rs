//! Quantiles side by side: two lanes of a run, or a lane in two runs.
//!
//! Only good answers are compared. A call that is refused at once is over soon, and a lane that
//! refuses many would look fast; how many were not answered is compared beside.

use serde::Serialize;

use crate::call::Lane;
use crate::clock::millis;
use crate::error::Outcome;
use crate::meter::SparseSeries;
use crate::report::bootstrap::{Blocks, Interval, Pairing, intervals};
use crate::report::kind::{Ending, Kind, Span};
use crate::report::quantiles::{QUANTILES, is_shown};
use crate::report::run::{Run, Slice, pick};

/// A quantile of two series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Its name, such as p99.
    pub quantile: &'static str,
    /// Of the first, in milliseconds.
    pub left_ms: f64,
    /// Of the second.
    pub right_ms: f64,
    /// By how much the second is longer.
    pub difference_ms: f64,
    /// The interval of this; nothing if the run is too short for one.
    pub difference_interval_ms: Option<[f64; 2]>,
    /// The same as a share of the first: 0.1 is 10 % longer.
    pub change: f64,
    /// The interval of this.
    pub change_interval: Option<[f64; 2]>,
}

impl Difference {
    /// Whether the difference is more than chance, as far as there is an interval to say so.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.change_interval.is_none_or(|[low, high]| low > 0.0 || high < 0.0)
    }
}

/// Two series by name, with each quantile that both can show.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The first.
    pub left: String,
    /// The second.
    pub right: String,
    /// The lane, if both are of one.
    pub lane: Option<Lane>,
    /// By quantile.
    pub quantiles: Vec<Difference>,
    /// How many good answers the first has.
    pub left_good: u64,
    /// The same of the second.
    pub right_good: u64,
    /// The share of the first's calls that were not answered well.
    pub left_failed: f64,
    /// The same of the second.
    pub right_failed: f64,
}

/// Which calls of which run.
struct Side<'a> {
    run: &'a Run,
    lane: Lane,
}

impl Side<'_> {
    fn is_ok(&self, kind: &Kind) -> bool {
        kind.lane == Some(self.lane) && kind.ending == Ending::Told(Outcome::Ok)
    }

    fn series(&self) -> SparseSeries {
        self.run.series(Span::Response, |kind| self.is_ok(kind))
    }

    fn blocks(&self) -> Blocks {
        let of = |slice: &Slice| pick(&slice.0, Span::Response, |kind| self.is_ok(kind));
        Blocks::of(&self.run.slices, of)
    }

    fn calls(&self) -> u64 {
        self.run.series(Span::Response, |kind| kind.lane == Some(self.lane)).count()
    }

    fn failed(&self, ok: u64) -> f64 {
        (self.calls() - ok) as f64 / self.calls().max(1) as f64
    }
}

/// V2 and V3 of one run; nothing if it had calls in one lane only.
#[must_use]
pub fn lanes(run: &Run) -> Option<Comparison> {
    let [left, right] = [Lane::V2, Lane::V3].map(|lane| Side { run, lane });
    let (left_name, right_name) = (Lane::V2.to_string(), Lane::V3.to_string());
    compare(left_name, &left, right_name, &right, Pairing::SameTime)
}

/// Each lane that had calls in both runs.
#[must_use]
pub fn runs(left: &Run, right: &Run) -> Vec<Comparison> {
    let lanes = [Lane::V2, Lane::V3].into_iter();
    let of_lane = |lane: Lane| {
        let (one, other) = (Side { run: left, lane }, Side { run: right, lane });
        let (one_name, other_name) = (left.name.clone(), right.name.clone());
        let mut both = compare(one_name, &one, other_name, &other, Pairing::Apart)?;
        both.lane = Some(lane);
        Some(both)
    };
    lanes.filter_map(of_lane).collect()
}

fn compare(
    left_name: String,
    left: &Side<'_>,
    right_name: String,
    right: &Side<'_>,
    pairing: Pairing,
) -> Option<Comparison> {
    if left.calls() == 0 || right.calls() == 0 {
        return None;
    }
    let (one, other) = (left.series(), right.series());
    let both = one.count().min(other.count());
    let shown: Vec<_> = QUANTILES.into_iter().filter(|(q, _)| is_shown(both, *q)).collect();
    let quantiles: Vec<f64> = shown.iter().map(|(quantile, _)| *quantile).collect();
    let intervals = intervals(&left.blocks(), &right.blocks(), pairing, &quantiles);
    let differences = shown.iter().enumerate().map(|(index, (quantile, name))| {
        let (left, right) = (one.quantile(*quantile), other.quantile(*quantile));
        let (left_ms, right_ms) = (millis(left), millis(right));
        let interval = intervals.as_ref().map(|intervals| intervals[index]);
        let pair = |Interval { low, high }: Interval, unit: f64| [low / unit, high / unit];
        Difference {
            quantile: name,
            left_ms,
            right_ms,
            difference_ms: right_ms - left_ms,
            difference_interval_ms: interval.map(|(difference, _)| pair(difference, 1e6)),
            change: right_ms / left_ms.max(1e-6) - 1.0,
            change_interval: interval.map(|(_, change)| pair(change, 1.0)),
        }
    });
    Some(Comparison {
        left: left_name,
        right: right_name,
        lane: None,
        quantiles: differences.collect(),
        left_good: one.count(),
        right_good: other.count(),
        left_failed: left.failed(one.count()),
        right_failed: right.failed(other.count()),
    })
}
