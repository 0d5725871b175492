//! What happened in the demo: the callers' books, and the report from them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use poolshift::clock::{Clock, Moment};
use poolshift::config::Config;
use poolshift::report::kind::{Ending, Kind};
use poolshift::report::latency::LaneLatency;
use poolshift::report::ledger::CallerLedger;
use poolshift::report::outputs::Outputs;
use poolshift::report::record::Load;
use poolshift::report::recorder::{self, Past, Recorder};
use poolshift::router::Routed;
use poolshift::router::policy::Percents;
use poolshift::{Call, CallId, Class, Lane, Outcome, Shim, WorkerId};
use serde::Serialize;

use crate::cli::demo::{DemoArgs, status};
use crate::cli::failure::Failure;
use crate::cli::leaving::{Left, origin};
use crate::cli::ledgers::LedgerFolder;

/// What the callers know.
pub(super) struct Story {
    callers: CallerLedger,
    recorder: Recorder,
    submitted: u64,
    outcomes: BTreeMap<Outcome, u64>,
    steps: Vec<Step>,
    /// The lanes in which a worker was killed.
    kills: Vec<Lane>,
}

/// Who asked for what: what is left of a call when the pool has taken it.
pub(super) struct Asked {
    id: String,
    command: Arc<str>,
    session: Option<String>,
    /// Nothing if the demo was told to stop before its moment.
    planned: Option<Moment>,
}

impl Asked {
    pub(super) fn of(call: &Call) -> Self {
        Self {
            id: call.id.to_string(),
            command: Arc::clone(&call.command),
            session: call.session.as_ref().map(ToString::to_string),
            planned: call.planned,
        }
    }
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
    #[serde(flatten)]
    left: Left,
}

/// The result in both forms.
pub(super) struct Told {
    pub(super) figures: Figures,
    pub(super) text: String,
}

impl Story {
    pub(super) fn new(began: Moment) -> Self {
        Self {
            callers: CallerLedger::default(),
            recorder: Recorder::new(began, Clock::unix_now()),
            submitted: 0,
            outcomes: BTreeMap::new(),
            steps: Vec::new(),
            kills: Vec::new(),
        }
    }

    pub(super) fn begin_step(&mut self, percents: Percents, epoch: u64, at: Moment) {
        let percent = percents.of(Class::Read).share() * 100.0;
        let (draws, v3_draws, calls, v3_calls) = (0, 0, 0, 0);
        let (v3_share, v3_share_calls) = (0.0, 0.0);
        let step =
            Step { epoch, percent, draws, v3_share, v3_share_calls, v3_draws, calls, v3_calls };
        self.steps.push(step);
        let shares = Class::ALL.map(|class| percents.of(class).buckets());
        self.recorder.policy(at, shares, false);
    }

    pub(super) fn submit(&mut self, id: &CallId) {
        self.submitted += 1;
        self.callers.submit(&id.to_string());
    }

    pub(super) fn finish(&mut self, asked: Asked, routed: &Routed) {
        let (outcome, decision) = (routed.answer.outcome(), routed.decision);
        self.callers.finish(&asked.id, outcome);
        *self.outcomes.entry(outcome).or_default() += 1;
        let v3 = u64::from(decision.lane == Lane::V3);
        if let Some(step) = self.steps.iter_mut().find(|step| step.epoch == decision.epoch) {
            step.calls += 1;
            step.v3_calls += v3;
            step.draws += u64::from(decision.drawn);
            step.v3_draws += v3 * u64::from(decision.drawn);
        }
        let ending = Ending::Told(outcome);
        let timing = routed.answer.timing;
        let Some(planned) = asked.planned else {
            return self.recorder.undue(ending, timing.finished);
        };
        let past = Past {
            kind: Kind { lane: Some(decision.lane), class: routed.class, ending },
            timing,
            lag: timing.submitted.since(planned),
            worker: routed.answer.worker,
        };
        self.recorder.finish(&past, || recorder::Story {
            id: asked.id,
            command: asked.command.to_string(),
            session: asked.session,
            reason: Some(decision.reason.as_str().to_owned()),
            error: routed.answer.result.as_ref().err().map(ToString::to_string),
        });
    }

    pub(super) fn killed(&mut self, lane: Lane, worker: WorkerId, at: Moment) {
        self.kills.push(lane);
        self.recorder.kill(lane, worker, at);
    }

    /// The report, once every call has been finished.
    pub(super) fn tell(
        mut self,
        shim: &Shim,
        ledger: &LedgerFolder,
        config: &Config,
        args: &DemoArgs,
        outputs: Outputs,
    ) -> Result<Told, Failure> {
        for step in &mut self.steps {
            step.v3_share = share(step.v3_draws, step.draws);
            step.v3_share_calls = share(step.v3_calls, step.calls);
        }
        let audit = ledger.audit(&self.callers, config)?;
        let (v2, v3) = (shim.router().legacy().meter(), shim.router().next().meter());
        let lanes = [(Lane::V2, &v2), (Lane::V3, &v3)];
        let restarts = |lane| status(shim, lane).restarts;
        // A killed worker whose lane had nobody to replace it would show here.
        let survived = self.kills.iter().filter(|lane| restarts(**lane) > 0).count();
        let load = Load::Open { offered_per_s: args.rate };
        let origin = origin("demo".to_owned(), Some(args.seed));
        let run = self.recorder.close("demo".to_owned(), origin, load, audit.by_workers());
        let figures = Figures {
            submitted: self.submitted,
            conserved: self.outcomes.values().sum::<u64>() == self.submitted,
            outcomes: self.outcomes,
            lost: audit.found.lost,
            duplicated: audit.found.duplicated,
            lanes: lanes.map(|(lane, books)| (lane, LaneLatency::of(books))).into(),
            steps: self.steps,
            kills: self.kills.len(),
            kills_survived: survived,
            restarts: restarts(Lane::V2) + restarts(Lane::V3),
            left: Left::behind(&run, outputs),
        };
        let text = figures.text();
        Ok(Told { figures, text })
    }
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

impl Figures {
    fn text(&self) -> String {
        let mut text = String::from("V3 at      draws   V3's share of draws   of all calls\n");
        for step in &self.steps {
            let Step { percent, draws, v3_share, v3_share_calls, .. } = step;
            let (share, of_calls) = (v3_share * 100.0, v3_share_calls * 100.0);
            let _ = writeln!(text, "{percent:>5} %{draws:>9}{share:>20.1} %{of_calls:>13.1} %");
        }
        let _ = write!(
            text,
            "\n{} workers killed, {} survived, {} restarts\n\n{}",
            self.kills,
            self.kills_survived,
            self.restarts,
            self.left.text(),
        );
        text
    }
}

impl Told {
    /// Fails if a call was lost or run twice, or a killed worker was not replaced, which nobody
    /// did if the demo was told to stop; or if a file could not be written.
    pub(super) fn verdict(self, is_stopped: bool) -> Result<(), Failure> {
        let Figures { conserved, lost, duplicated, kills, kills_survived, left, .. } = self.figures;
        left.written()?;
        let survived = is_stopped || kills == kills_survived;
        if conserved && lost == 0 && duplicated == 0 && survived {
            return Ok(());
        }
        Err(Failure::Failed("the demo lost or repeated calls, or a killed worker".to_owned()))
    }
}
