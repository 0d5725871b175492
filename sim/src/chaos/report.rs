//! What came of a chaos run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use poolshift::Outcome;
use poolshift::meter::Series;
use serde::Serialize;

use crate::chaos::evidence::Evidence;
use crate::chaos::memory::Resident;
use crate::chaos::options::ChaosOptions;
use crate::checkers::{Law, Tally};
use crate::real::kernel::Holdings;
use crate::shell_rig::onlooker::{Figures, Onlooker};
use crate::verdict::Broken;

/// A run in figures.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Decides the calls, the faults and the victims.
    pub seed: u64,
    /// How long calls were made.
    pub for_s: f64,
    /// Whether that was less than planned, since the run was told to stop.
    pub interrupted: bool,
    /// How often a worker was to be killed.
    pub kill_every_ms: f64,
    /// Workers of each lane.
    pub workers: usize,
    /// How they were started.
    pub start_method: String,
    /// Calls that were made.
    pub submitted: u64,
    /// How they ended; `cancelled` are those whose caller left.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Calls without an end.
    pub lost: u64,
    /// Calls with two ends, or executed twice.
    pub duplicated: u64,
    /// Callers who were given what was not theirs.
    pub cross_talk: u64,
    /// Strikes, by kind: from outside, and by calls that a worker was given.
    pub faults: BTreeMap<&'static str, u64>,
    /// Changes of the policy, kills included.
    pub policies: u64,
    /// Processes started after their slot's first.
    pub restarts: u64,
    /// Kills of ready V3 workers whose successor became ready.
    pub recoveries: u64,
    /// Half of them took at most so long.
    pub recovery_p50_ms: f64,
    /// 99 % of them.
    pub recovery_p99_ms: f64,
    /// The longest.
    pub recovery_max_ms: f64,
    /// Processes that were left when both pools were drained.
    pub leaked_processes: u64,
    /// Descriptors then, less those before.
    pub fd_delta: i64,
    /// Threads then, less those before.
    pub thread_delta: i64,
    /// Resident memory after two minutes, or a fifth of a shorter run.
    pub rss_settled_mb: f64,
    /// Resident memory when the last call was made.
    pub rss_end_mb: f64,
    /// The difference.
    pub rss_growth_mb: f64,
    /// How often each law was checked, and how often the run was where it is hard to keep.
    pub laws: BTreeMap<Law, Tally>,
    /// What was broken, in order; the first hundred.
    pub violations: Vec<Broken>,
    /// What runs the same plan again.
    pub again: String,
    /// The last events before the first violation.
    #[serde(skip)]
    pub evidence: Option<String>,
}

/// What was counted beside the trace.
pub(super) struct Measured {
    /// How long calls were made.
    pub(super) lasted: Duration,
    pub(super) is_interrupted: bool,
    pub(super) submitted: u64,
    pub(super) strikes: BTreeMap<&'static str, u64>,
    pub(super) policies: u64,
    pub(super) restarts: u64,
    pub(super) recovery: Series,
    pub(super) leaked: u64,
    /// By the host, before and after.
    pub(super) held: [Holdings; 2],
    pub(super) resident: Resident,
    pub(super) evidence: Evidence,
}

impl Report {
    pub(super) fn of(options: &ChaosOptions, onlooker: &Onlooker, measured: &Measured) -> Self {
        let Figures { lost, duplicated, cross_talk } = onlooker.figures();
        let recovery = |quantile| measured.recovery.quantile(quantile).as_secs_f64() * 1e3;
        let [before, after] = measured.held;
        let delta = |before: usize, after: usize| after as i64 - before as i64;
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let Resident { settled, end } = measured.resident;
        let (settled, end) = (mebibytes(settled), mebibytes(end));
        let violations = onlooker.violations().to_vec();
        let evidence = (!violations.is_empty()).then(|| measured.evidence.text(&violations));
        Self {
            seed: options.seed,
            for_s: measured.lasted.as_secs_f64(),
            interrupted: measured.is_interrupted,
            kill_every_ms: options.kill_every.as_secs_f64() * 1e3,
            workers: options.workers,
            start_method: options.start_method.clone(),
            submitted: measured.submitted,
            outcomes: outcomes(onlooker.outcomes(), onlooker.left()),
            lost,
            duplicated,
            cross_talk,
            faults: measured.strikes.clone(),
            policies: measured.policies,
            restarts: measured.restarts,
            recoveries: measured.recovery.count(),
            recovery_p50_ms: recovery(0.5),
            recovery_p99_ms: recovery(0.99),
            recovery_max_ms: recovery(1.0),
            leaked_processes: measured.leaked,
            fd_delta: delta(before.descriptors, after.descriptors),
            thread_delta: delta(before.threads, after.threads),
            rss_settled_mb: settled,
            rss_end_mb: end,
            rss_growth_mb: end - settled,
            laws: onlooker.laws().clone(),
            violations,
            again: options.again(),
            evidence,
        }
    }

    /// Whether no law was broken.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// The same for people: verdict first.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let verdict = if self.is_good() { "no law broken" } else { "BROKEN" };
        let Self { seed, for_s, workers, start_method, submitted, .. } = self;
        let planned = if self.interrupted { ", interrupted" } else { "" };
        let _ = writeln!(
            text,
            "{verdict}: seed {seed}, {for_s:.0} s{planned}, {workers} workers a lane by \
             {start_method}, {submitted} calls"
        );
        for Broken { law, at_ns, what, .. } in &self.violations {
            let _ = writeln!(text, "  {law} at {:.3} s: {what}", *at_ns as f64 / 1e9);
        }
        if !self.is_good() {
            let _ = writeln!(text, "again: {}", self.again);
        }
        let Self { lost, duplicated, cross_talk, leaked_processes, .. } = self;
        let _ = writeln!(
            text,
            "lost {lost}, duplicated {duplicated}, cross-talk {cross_talk}, leaked processes \
             {leaked_processes}, descriptors {:+}, threads {:+}",
            self.fd_delta, self.thread_delta
        );
        let _ = writeln!(text, "outcomes: {}", counts(&self.outcomes));
        let _ =
            writeln!(text, "faults: {}; {} changes of policy", counts(&self.faults), self.policies);
        let Self { restarts, recoveries, recovery_p50_ms, recovery_p99_ms, .. } = self;
        let _ = writeln!(
            text,
            "{restarts} restarts; {recoveries} recoveries in V3: p50 {recovery_p50_ms:.0} ms, \
             p99 {recovery_p99_ms:.0} ms, max {:.0} ms",
            self.recovery_max_ms
        );
        let Self { rss_settled_mb, rss_end_mb, rss_growth_mb, .. } = self;
        let _ = writeln!(
            text,
            "resident memory: {rss_settled_mb:.1} MiB settled, {rss_end_mb:.1} MiB at the end, \
             {rss_growth_mb:+.1} MiB"
        );
        text
    }
}

fn counts(counts: &BTreeMap<&'static str, u64>) -> String {
    let parts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    parts.join(", ")
}

/// Outcomes by their names, with the callers that left.
fn outcomes(told: &BTreeMap<Outcome, u64>, left: u64) -> BTreeMap<&'static str, u64> {
    let mut outcomes: BTreeMap<&'static str, u64> =
        told.iter().map(|(outcome, count)| (outcome.as_str(), *count)).collect();
    if left > 0 {
        *outcomes.entry(Outcome::Cancelled.as_str()).or_default() += left;
    }
    outcomes
}
