//! What happened in the demo: the callers' books, and the report from them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use poolshift::report::latency::{LaneLatency, table};
use poolshift::report::ledger::{Audit, CallerLedger};
use poolshift::router::Routed;
use poolshift::router::policy::Percents;
use poolshift::session::commands::Commands;
use poolshift::{Class, Lane, Outcome, Shim};
use serde::Serialize;

use crate::cli::demo::status;
use crate::cli::failure::Failure;
use crate::cli::ledgers::LedgerFolder;

/// The callers' books.
#[derive(Default)]
pub(super) struct Story {
    callers: CallerLedger,
    submitted: u64,
    outcomes: BTreeMap<Outcome, u64>,
    steps: Vec<Step>,
    /// The lanes in which a worker was killed.
    kills: Vec<Lane>,
}

/// One percentage: a decision's epoch says to which it belongs.
#[derive(Serialize)]
struct Step {
    #[serde(skip)]
    epoch: u64,
    percent: f64,
    draws: u64,
    v3_share: f64,
    v3_share_calls: f64,
    #[serde(skip)]
    v3_draws: u64,
    #[serde(skip)]
    calls: u64,
    #[serde(skip)]
    v3_calls: u64,
}

/// The demo's result.
#[derive(Serialize)]
pub(super) struct Figures {
    submitted: u64,
    outcomes: BTreeMap<Outcome, u64>,
    conserved: bool,
    lost: u64,
    duplicated: u64,
    lanes: BTreeMap<Lane, LaneLatency>,
    steps: Vec<Step>,
    kills: usize,
    kills_survived: usize,
    restarts: u64,
}

/// The result in both forms.
pub(super) struct Told {
    pub(super) figures: Figures,
    pub(super) text: String,
}

impl Story {
    pub(super) fn begin_step(&mut self, percents: Percents, epoch: u64) {
        let percent = percents.of(Class::Read).share() * 100.0;
        let (draws, v3_draws, calls, v3_calls) = (0, 0, 0, 0);
        let (v3_share, v3_share_calls) = (0.0, 0.0);
        let step =
            Step { epoch, percent, draws, v3_share, v3_share_calls, v3_draws, calls, v3_calls };
        self.steps.push(step);
    }

    pub(super) fn submit(&mut self, id: &str) {
        self.submitted += 1;
        self.callers.submit(id);
    }

    pub(super) fn finish(&mut self, id: &str, routed: &Routed) {
        let (outcome, decision) = (routed.answer.outcome(), routed.decision);
        self.callers.finish(id, outcome);
        *self.outcomes.entry(outcome).or_default() += 1;
        let v3 = u64::from(decision.lane == Lane::V3);
        if let Some(step) = self.steps.iter_mut().find(|step| step.epoch == decision.epoch) {
            step.calls += 1;
            step.v3_calls += v3;
            step.draws += u64::from(decision.drawn);
            step.v3_draws += v3 * u64::from(decision.drawn);
        }
    }

    pub(super) fn killed(&mut self, lane: Lane) {
        self.kills.push(lane);
    }

    /// The report, once every call has been finished.
    pub(super) fn tell(
        mut self,
        shim: &Shim,
        ledger: &LedgerFolder,
        commands: &Commands,
    ) -> Result<Told, Failure> {
        for step in &mut self.steps {
            step.v3_share = share(step.v3_draws, step.draws);
            step.v3_share_calls = share(step.v3_calls, step.calls);
        }
        let workers = ledger.read()?;
        let audit = Audit::of(&self.callers, &workers, |name| commands.get(name).idempotent);
        let (v2, v3) = (shim.router().legacy().meter(), shim.router().next().meter());
        let lanes = [(Lane::V2, &v2), (Lane::V3, &v3)];
        let restarts = |lane| status(shim, lane).restarts;
        // A killed worker whose lane had nobody to replace it would show here.
        let survived = self.kills.iter().filter(|lane| restarts(**lane) > 0).count();
        let figures = Figures {
            submitted: self.submitted,
            conserved: self.outcomes.values().sum::<u64>() == self.submitted,
            outcomes: self.outcomes,
            lost: audit.lost,
            duplicated: audit.duplicated,
            lanes: lanes.map(|(lane, books)| (lane, LaneLatency::of(books))).into(),
            steps: self.steps,
            kills: self.kills.len(),
            kills_survived: survived,
            restarts: restarts(Lane::V2) + restarts(Lane::V3),
        };
        let text = figures.text(&table(&lanes));
        Ok(Told { figures, text })
    }
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

impl Figures {
    fn text(&self, latencies: &str) -> String {
        let mut text = String::from("V3 at      draws   V3's share of draws   of all calls\n");
        for step in &self.steps {
            let Step { percent, draws, v3_share, v3_share_calls, .. } = step;
            let (share, of_calls) = (v3_share * 100.0, v3_share_calls * 100.0);
            let _ = writeln!(text, "{percent:>5} %{draws:>9}{share:>20.1} %{of_calls:>13.1} %");
        }
        let _ = writeln!(text, "\n{latencies}");
        let outcomes: Vec<String> =
            self.outcomes.iter().map(|(outcome, n)| format!("{n} {}", outcome.as_str())).collect();
        let conserved = if self.conserved { "" } else { "NOT " };
        let _ = write!(
            text,
            "{} calls submitted: {}; {conserved}conserved, lost {}, duplicated {}\n\
             {} workers killed, {} survived, {} restarts",
            self.submitted,
            outcomes.join(", "),
            self.lost,
            self.duplicated,
            self.kills,
            self.kills_survived,
            self.restarts,
        );
        text
    }
}

impl Told {
    /// Fails if a call was lost or run twice, or a killed worker was not replaced.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let Figures { conserved, lost, duplicated, kills, kills_survived, .. } = &self.figures;
        if *conserved && *lost == 0 && *duplicated == 0 && kills == kills_survived {
            return Ok(());
        }
        Err(Failure::Failed("the demo lost or repeated calls, or a killed worker".to_owned()))
    }
}
