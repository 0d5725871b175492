//! What is to be thought of two runs side by side, and whether the second passes a gate.

use serde::Serialize;

use crate::call::Lane;
use crate::report::compare::{self, Comparison, Difference};
use crate::report::kind::Span;
use crate::report::record::Load;
use crate::report::run::Run;
use crate::report::verdict::{Finding, Grade, Verdict};

/// Two runs, lane by lane.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contrast {
    /// The lanes that had calls in both.
    pub comparisons: Vec<Comparison>,
    /// Why the figures say little about each other.
    pub cautions: Vec<String>,
    /// Why the second run does not pass the gate, the cautions last; nothing without a gate.
    pub regressions: Vec<String>,
    /// The gate: the share by which a quantile may be longer.
    #[serde(skip)]
    most: Option<f64>,
}

/// Rates that differ by less than this share are the same load.
const SAME_RATE: f64 = 0.01;

/// What a lane gets of equal loads is drawn: its rates may differ by this share, and by five
/// standard deviations of as many random arrivals.
const SAME_LANE_RATE: f64 = 0.1;

/// How many more calls may go without a good answer before that is a regression, whatever the
/// times are: one in a hundred.
const MOST_MORE_FAILED: f64 = 0.01;

impl Contrast {
    /// Compares the second run with the first. `most` is the gate, if there is one: a quantile
    /// does not pass if it is longer by more than that, and longer by more than chance.
    #[must_use]
    pub fn of(
        (left, left_verdict): (&Run, &Verdict),
        (right, right_verdict): (&Run, &Verdict),
        most: Option<f64>,
    ) -> Self {
        let comparisons = compare::runs(left, right);
        let mut cautions = Vec::new();
        for (run, verdict) in [(left, left_verdict), (right, right_verdict)] {
            if let Some(worst) = verdict.findings.first().filter(|_| !verdict.is_valid()) {
                cautions.push(format!("{} is {}: {}", run.name, verdict.word(), worst.text));
            }
        }
        cautions.extend(unlike(left, right));
        cautions.extend(comparisons.iter().filter_map(|both| unlike_lane(left, right, both.lane?)));
        cautions.extend(alone(left, right));
        cautions.extend(comparisons.iter().filter(|both| both.quantiles.is_empty()).map(few));
        if comparisons.is_empty() {
            cautions.push("no lane had calls in both".to_owned());
        }
        let mut regressions = most.map_or_else(Vec::new, |most| worse(&comparisons, most));
        if most.is_some() {
            regressions.extend(cautions.iter().cloned());
        }
        Self { comparisons, cautions, regressions, most }
    }

    /// In a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.most {
            Some(_) if self.regressions.is_empty() => "passed",
            Some(_) if self.regressions.len() > self.cautions.len() => "WORSE",
            _ if !self.cautions.is_empty() => "NOT COMPARABLE",
            _ => "compared",
        }
    }

    /// Whether the word is bad news.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        !self.regressions.is_empty() || !self.cautions.is_empty()
    }

    /// The gate's findings, the worst first; then what is more than chance.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let worse = self.regressions.len().saturating_sub(self.cautions.len());
        let worse = self.regressions[..worse].iter().map(|text| (Grade::Failed, text.clone()));
        let cautions = self.cautions.iter().map(|text| (Grade::Invalid, text.clone()));
        let gate = self.most.filter(|_| self.regressions.is_empty()).map(|most| {
            let allowed = most * 100.0;
            (Grade::Good, format!("no quantile is longer by more than {allowed:.1} % and chance"))
        });
        let told = self.comparisons.iter().map(|both| (Grade::Note, clear(both)));
        let all = worse.chain(cautions).chain(gate).chain(told);
        all.map(|(grade, text)| Finding { grade, text }).collect()
    }
}

fn lane_of(both: &Comparison) -> &'static str {
    both.lane.map_or("all", Lane::as_str)
}

/// What is more than chance in one lane.
fn clear(both: &Comparison) -> String {
    let lane = lane_of(both);
    if both.quantiles.iter().all(|quantile| quantile.change_interval.is_none()) {
        return format!("{lane}: too short to tell a difference from chance");
    }
    let clear = both.quantiles.iter().filter(|quantile| quantile.is_clear());
    let told: Vec<String> = clear
        .map(|Difference { quantile, change, .. }| format!("{quantile} {:+.1} %", change * 100.0))
        .collect();
    match told.is_empty() {
        true => format!("{lane}: no difference beyond chance"),
        false => format!("{lane}, beyond chance: {}", told.join(", ")),
    }
}

/// What in the second run is worse than is allowed.
fn worse(comparisons: &[Comparison], most: f64) -> Vec<String> {
    let mut found = Vec::new();
    for both in comparisons {
        let lane = lane_of(both);
        let beyond = |quantile: &&Difference| quantile.change > most && quantile.is_clear();
        for quantile in both.quantiles.iter().filter(beyond) {
            let Difference { quantile: name, left_ms, right_ms, change, .. } = quantile;
            let (by, allowed) = (change * 100.0, most * 100.0);
            let chance = match quantile.change_interval {
                Some(_) => "",
                None => ", in runs too short to tell that from chance",
            };
            found.push(format!(
                "{lane} {name} went from {left_ms:.3} to {right_ms:.3} ms: {by:+.1} %, \
                 {allowed:.1} % is allowed{chance}"
            ));
        }
        if both.right_failed > both.left_failed + MOST_MORE_FAILED {
            let (left, right) = (both.left_failed * 100.0, both.right_failed * 100.0);
            found.push(format!(
                "{lane} calls without a good answer went from {left:.1} to {right:.1} %"
            ));
        }
    }
    found
}

fn few(both: &Comparison) -> String {
    let (lane, Comparison { left_good, right_good, .. }) = (lane_of(both), both);
    format!("{lane} has too few good answers to compare: {left_good} and {right_good}")
}

/// Why two runs' times say little about each other, if they were not put under the same load.
fn unlike(left: &Run, right: &Run) -> Option<String> {
    let load = |run: &Run| run.record.as_ref().map(|record| record.load);
    let (Some(left), Some(right)) = (load(left), load(right)) else {
        return Some("a log without its record does not say under which load it was".to_owned());
    };
    let is_same = match (left, right) {
        (Load::Open { offered_per_s: one }, Load::Open { offered_per_s: other }) => {
            (one - other).abs() <= SAME_RATE * one.max(other)
        }
        (Load::Closed { concurrency: one }, Load::Closed { concurrency: other }) => one == other,
        _ => false,
    };
    let told = |load| match load {
        Load::Open { offered_per_s } => format!("{offered_per_s:.1} calls a second"),
        Load::Closed { concurrency } => format!("a closed loop of {concurrency} callers"),
    };
    (!is_same).then(|| format!("not the same load: {} and {}", told(left), told(right)))
}

/// The same for a lane, which may have had another share of an equal load.
fn unlike_lane(left: &Run, right: &Run, lane: Lane) -> Option<String> {
    let is_open = |run: &Run| {
        matches!(run.record.as_ref().map(|record| record.load), Some(Load::Open { .. }))
    };
    if !is_open(left) || !is_open(right) {
        return None;
    }
    let [one, other] = [left, right].map(|run| calls(run, lane) as f64);
    let rate = |run: &Run, calls: f64| calls / run.lasted().as_secs_f64().max(1e-9);
    let (left, right) = (rate(left, one), rate(right, other));
    let random = 5.0 * (1.0 / one + 1.0 / other).sqrt();
    let is_same = (left - right).abs() <= (SAME_LANE_RATE + random) * left.max(right);
    let told = || format!("{lane} had not the same load: {left:.1} and {right:.1} calls a second");
    (!is_same).then(told)
}

/// The lanes that had calls in one of the runs only.
fn alone(left: &Run, right: &Run) -> Vec<String> {
    let mut found = Vec::new();
    for lane in [Lane::V2, Lane::V3] {
        let only = match (calls(left, lane), calls(right, lane)) {
            (1.., 0) => left,
            (0, 1..) => right,
            _ => continue,
        };
        found.push(format!("{lane} had calls in {} only", only.name));
    }
    found
}

fn calls(run: &Run, lane: Lane) -> u64 {
    run.series(Span::Response, |kind| kind.lane == Some(lane)).count()
}
