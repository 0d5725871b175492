//! Whether a run's figures mean anything, and whether every call is accounted for.

use serde::Serialize;

use crate::error::Outcome;
use crate::report::kind::{Ending, Kind, Span};
use crate::report::quantiles::{QUANTILES, shown};
use crate::report::record::{Books, ClockKind, Load, RunRecord};
use crate::report::run::Run;

/// How bad a finding is; the worst decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// The times measure something else than the service.
    Invalid,
    /// A call was lost, or told or run twice.
    Failed,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub grade: Grade,
    /// In words.
    pub text: String,
}

/// What is to be thought of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The worst grade of all findings.
    pub grade: Grade,
    /// The worst first.
    pub findings: Vec<Finding>,
    /// Planned calls a second, if there was a plan.
    pub offered_per_s: Option<f64>,
    /// Calls a second that a worker answered.
    pub achieved_per_s: f64,
    /// Whether the service could not keep up, so that times only measure the run's length.
    pub is_saturated: bool,
}

/// At each quantile that can be shown, at most this share of the response may be the generator's
/// lateness…
const MOST_LAG_SHARE: f64 = 0.1;

/// …unless it is below what a busy machine's scheduler does to anybody.
const SMALL_LAG_MS: f64 = 1.0;

/// The backlog may grow by this share of the arrivals, and by five standard deviations of as many
/// random arrivals, before it counts as growing.
const MOST_BACKLOG: f64 = 0.05;

/// From this share of calls on that found no room or no worker in time, the load is too much.
const MOST_SHED: f64 = 0.01;

impl Verdict {
    /// Looks at a run.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        let total = run.series(Span::Response, |_| true).count();
        let is_answer = |end| matches!(end, Outcome::Ok | Outcome::Raised);
        let answered = |kind: &Kind| matches!(kind.ending, Ending::Told(end) if is_answer(end));
        let answered = run.series(Span::Response, answered).count();
        let offered_per_s = run.record.as_ref().and_then(|record| match record.load {
            Load::Open { offered_per_s } => Some(offered_per_s),
            Load::Closed { .. } => None,
        });
        // The time until the next call would have come belongs to the last one.
        let gap_s = offered_per_s.map_or(0.0, |offered: f64| 1.0 / offered.max(1e-9));
        let achieved_per_s = answered as f64 / (run.lasted().as_secs_f64() + gap_s).max(1e-9);
        let mut findings = Vec::new();
        let mut is_saturated = false;
        match &run.record {
            None => findings.push(note("the log has no record beside it: histograms only")),
            Some(record) => {
                findings.push(conserved(record, total));
                findings.extend(empty(&record.books));
                findings.extend(censored(&record.books));
                findings.extend(cut_short(&record.books));
                let load = match offered_per_s {
                    Some(offered) => Some(pace(record, offered, achieved_per_s)),
                    None => turned_away(record, "call less at once"),
                };
                is_saturated = load.as_ref().is_some_and(|load| load.grade == Grade::Invalid);
                findings.extend(load);
                findings.push(generator(run, record));
            }
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.grade));
        let grade = findings.first().map_or(Grade::Good, |finding| finding.grade);
        Self { grade, findings, offered_per_s, achieved_per_s, is_saturated }
    }

    /// In a word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.grade {
            Grade::Good | Grade::Note => "valid",
            Grade::Invalid => "NOT VALID",
            Grade::Failed => "FAILED",
        }
    }

    /// Whether the times are those of the service, and every call is accounted for.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.grade < Grade::Invalid
    }
}

fn good(text: impl Into<String>) -> Finding {
    Finding { grade: Grade::Good, text: text.into() }
}

fn note(text: impl Into<String>) -> Finding {
    Finding { grade: Grade::Note, text: text.into() }
}

/// Of a run without calls, as when every line was bad, nothing can be said.
fn empty(books: &Books) -> Option<Finding> {
    let text = "no call was made, so nothing was measured".to_owned();
    (books.submitted == 0).then_some(Finding { grade: Grade::Invalid, text })
}

/// The conservation line.
fn conservation(books: &Books, clock: ClockKind) -> String {
    let mut parts: Vec<String> =
        books.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    if books.censored > 0 {
        parts.push(format!("{} alive at the end", books.censored));
    }
    if parts.is_empty() {
        parts.push("0".to_owned());
    }
    let equals = if books.is_conserved() { "=" } else { "IS NOT" };
    let Books { lost, duplicated, unexecuted, .. } = *books;
    let ledgers = match (books.audited, unexecuted) {
        (false, _) if clock == ClockKind::Virtual => {
            "what is lost, the simulator's laws judge".to_owned()
        }
        (false, _) => "no ledgers were compared".to_owned(),
        (true, 0) => format!("lost {lost}, duplicated {duplicated}"),
        (true, _) => format!(
            "lost {lost}, duplicated {duplicated}, but {unexecuted} good answers are in no \
             worker's ledger, so what ran twice cannot be told"
        ),
    };
    format!("{} submitted {equals} {}; {ledgers}", books.submitted, parts.join(" + "))
}

fn conserved(record: &RunRecord, in_histograms: u64) -> Finding {
    let books = &record.books;
    let text = conservation(books, record.origin.clock);
    let is_sound = books.lost + books.duplicated + books.unexecuted == 0;
    if !is_sound || !books.is_conserved() {
        return Finding { grade: Grade::Failed, text };
    }
    if in_histograms != books.measured() {
        let (measured, text) = (books.measured(), format!("{text}; measured"));
        let text = format!("{text} {measured}, in the histograms {in_histograms}: the log was cut");
        return Finding { grade: Grade::Failed, text };
    }
    good(text)
}

fn censored(books: &Books) -> Option<Finding> {
    let alive = books.censored;
    let text = format!(
        "{alive} calls were alive at the end and count as long as they had lasted: quantiles above \
         them are lower bounds"
    );
    (alive > 0).then(|| note(text))
}

fn cut_short(books: &Books) -> Option<Finding> {
    let undue = books.undue;
    let text = format!(
        "told to stop: {undue} calls were refused before they were due, and are in no time here"
    );
    (undue > 0).then(|| note(text))
}

/// Calls that the service turned away, if they are more than a few.
fn turned_away(record: &RunRecord, advice: &str) -> Option<Finding> {
    let of = |outcome: Outcome| record.books.outcomes.get(outcome.as_str()).copied().unwrap_or(0);
    let shed = of(Outcome::Rejected) + of(Outcome::QueueTimeout);
    let share = shed as f64 / record.books.measured().max(1) as f64;
    let text = format!(
        "saturated: {:.1} % of the calls found no room or no worker in time; {advice} or raise the \
         pools' size",
        share * 100.0
    );
    (share >= MOST_SHED).then_some(Finding { grade: Grade::Invalid, text })
}

/// Whether the service fell behind, or turned calls away.
fn pace(record: &RunRecord, offered_per_s: f64, achieved_per_s: f64) -> Finding {
    if let Some(shed) = turned_away(record, "lower the rate") {
        return shed;
    }
    let invalid = |text| Finding { grade: Grade::Invalid, text };
    let rates = format!(
        "open loop, calls a second: {offered_per_s:.1} offered, {achieved_per_s:.1} answered"
    );
    let slices = record.flows.values().map(Vec::len).max().unwrap_or(0);
    let sum = |slice: usize, count: fn(&crate::report::record::Flow) -> u64| -> u64 {
        record.flows.values().filter_map(|flows| flows.get(slice)).map(count).sum()
    };
    // Until the last arrival: after that, any backlog gets smaller.
    let last = (0..slices).rev().find(|slice| sum(*slice, |flow| flow.arrived) > 0);
    let with_arrivals = last.map_or(0, |last| last + 1);
    let mean = |from: usize, until: usize| {
        let backlog = (from..until).map(|slice| sum(slice, |flow| flow.waiting + flow.running));
        backlog.sum::<u64>() as f64 / (until - from).max(1) as f64
    };
    let (quarter, half) = (with_arrivals / 4, with_arrivals / 2);
    if quarter == 0 {
        return note(format!("{rates}, in a run too short to tell whether the service kept up"));
    }
    let growth = mean(with_arrivals - quarter, with_arrivals) - mean(quarter, half);
    let arrivals: u64 = (half..with_arrivals).map(|slice| sum(slice, |flow| flow.arrived)).sum();
    let random = 5.0 * (arrivals as f64).sqrt();
    if growth <= random.max(MOST_BACKLOG * arrivals as f64) {
        return good(rates);
    }
    invalid(format!(
        "saturated: {growth:.0} calls more were waiting at the end than in the middle, so times \
         only measure how long the run was; lower the rate or raise the pools' size"
    ))
}

/// Whether the load generator did what the plan said.
fn generator(run: &Run, record: &RunRecord) -> Finding {
    let lag = run.series(Span::Lag, |kind| kind.ending != Ending::Censored);
    let response = run.series(Span::Response, |kind| kind.ending != Ending::Censored);
    match (record.load, record.origin.clock) {
        (Load::Closed { concurrency }, _) => {
            return note(format!(
                "closed loop of {concurrency} callers: a slow answer delays the next call, so \
                 waits are hidden; --rate measures them"
            ));
        }
        (Load::Open { .. }, ClockKind::Virtual) if lag.max().is_zero() => {
            return good("lag 0, in virtual time");
        }
        _ => {}
    }
    let shown = |(quantile, name): (f64, &'static str)| {
        Some((name, shown(&lag, quantile)?, shown(&response, quantile)?))
    };
    let shown: Vec<_> = QUANTILES.into_iter().rev().filter_map(shown).collect();
    let is_late = |(_, lag_ms, response_ms): &&(&str, f64, f64)| {
        *lag_ms > SMALL_LAG_MS && *lag_ms > MOST_LAG_SHARE * response_ms
    };
    // Where one that is too late stands, else at the highest.
    let late = shown.iter().find(is_late);
    let Some((name, lag_ms, response_ms)) = late.or(shown.first()) else {
        return note("too few calls to say anything of the generator's lag");
    };
    let text = format!("the generator's lag at {name} is {lag_ms:.3} ms of {response_ms:.3} ms");
    if late.is_some() {
        let text = format!("{text}: it was late itself; use a quieter machine or a lower rate");
        return Finding { grade: Grade::Invalid, text };
    }
    good(text)
}
