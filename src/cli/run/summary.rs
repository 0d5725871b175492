//! The books of a run: what was submitted, what came of it, and whether the ledgers agree.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use poolshift::clock::{Clock, Moment};
use poolshift::config::Config;
use poolshift::report::latency::LaneLatency;
use poolshift::report::ledger::CallerLedger;
use poolshift::report::outputs::Outputs;
use poolshift::report::record::Load;
use poolshift::report::recorder::Recorder;
use poolshift::router::policy::{Decision, Reason};
use poolshift::{CallId, Class, Lane, Outcome, Shim};
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::leaving::{Left, origin};
use crate::cli::ledgers::LedgerFolder;
use crate::cli::run::player::{Played, PlayedCall};
use crate::cli::stdout;

/// What the run's caller knows.
pub(super) struct Books {
    folder: LedgerFolder,
    shim: Arc<Shim>,
    callers: CallerLedger,
    /// Where each id was used.
    places: HashMap<CallId, String>,
    submitted: u64,
    outcomes: BTreeMap<Outcome, u64>,
    /// When the first call was made, and all that was seen since.
    recorder: Option<(Moment, Recorder)>,
    /// The policy of the last call.
    epoch: Option<u64>,
}

impl Books {
    pub(super) fn new(folder: LedgerFolder, shim: &Arc<Shim>) -> Self {
        Self {
            folder,
            shim: Arc::clone(shim),
            callers: CallerLedger::default(),
            places: HashMap::new(),
            submitted: 0,
            outcomes: BTreeMap::new(),
            recorder: None,
            epoch: None,
        }
    }

    /// A call is about to be made.
    ///
    /// # Errors
    /// If an earlier one has its id: no ledger could tell them apart.
    pub(super) fn submit(&mut self, id: &CallId, place: &str) -> Result<(), String> {
        if let Some(earlier) = self.places.get(id) {
            return Err(format!(
                "the id \"{id}\" was used at {earlier}; change it or leave it out"
            ));
        }
        self.places.insert(id.clone(), place.to_owned());
        self.callers.submit(&id.to_string());
        Ok(())
    }

    /// A file begins at `now`; when the first one did is returned.
    pub(super) fn begin(&mut self, now: Moment) -> Moment {
        self.recorder.get_or_insert_with(|| (now, Recorder::new(now, Clock::unix_now()))).0
    }

    pub(super) fn note(&mut self, played: Played) {
        self.submitted += 1;
        *self.outcomes.entry(played.outcome).or_default() += 1;
        let Some(PlayedCall { past, is_early, decision, story }) = played.call else { return };
        self.callers.finish(&story.id, played.outcome);
        self.mark_policy(decision, past.timing.submitted);
        let Some((_, recorder)) = &mut self.recorder else { return };
        if is_early {
            recorder.undue(past.kind.ending, past.timing.finished);
        } else {
            recorder.finish(&past, || story);
        }
    }

    /// Notes a policy of which a call is the first. A late call of an older one is no news.
    fn mark_policy(&mut self, decision: Decision, at: Moment) {
        let Decision { epoch, reason, .. } = decision;
        if reason == Reason::Forced || self.epoch.is_some_and(|known| epoch <= known) {
            return;
        }
        self.epoch = Some(epoch);
        let Some((_, recorder)) = &mut self.recorder else { return };
        let policy = self.shim.router().policy();
        if policy.epoch == epoch {
            let shares = Class::ALL.map(|class| policy.percents.of(class).buckets());
            recorder.policy(at, shares, policy.killed);
        } else {
            recorder.step(at, format!("policy {epoch}, which was soon replaced"));
        }
    }

    /// All calls are over: compares the ledgers, writes the files.
    pub(super) fn close(
        mut self,
        config: &Config,
        load: Load,
        title: String,
        outputs: Outputs,
    ) -> Result<Summary, Failure> {
        let now = self.shim.clock().now();
        let wall = now.since(self.begin(now)).as_secs_f64();
        let (_, recorder) = self.recorder.expect("it has begun");
        let audit = self.folder.audit(&self.callers, config)?;
        let run = recorder.close(title.clone(), origin(title, None), load, audit.by_workers());
        let router = self.shim.router();
        let (v2, v3) = (router.legacy().meter(), router.next().meter());
        let lanes = [(Lane::V2, &v2), (Lane::V3, &v3)];
        let figures = Figures {
            submitted: self.submitted,
            outcomes: self.outcomes,
            lanes: lanes.map(|(lane, books)| (lane, LaneLatency::of(books))).into(),
            wall_s: wall,
            calls_per_s: self.submitted as f64 / wall.max(1e-9),
            lost: audit.found.lost,
            duplicated: audit.found.duplicated,
            unexecuted: audit.found.unexecuted,
            left: Left::behind(&run, outputs),
        };
        Ok(Summary { summary: figures })
    }
}

/// The last line of a run.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    summary: Figures,
}

#[derive(Debug, Serialize)]
struct Figures {
    submitted: u64,
    outcomes: BTreeMap<Outcome, u64>,
    lanes: BTreeMap<Lane, LaneLatency>,
    wall_s: f64,
    calls_per_s: f64,
    lost: u64,
    duplicated: u64,
    /// Answered well, though no worker noted that it ran: a disk that is full, for one.
    unexecuted: u64,
    #[serde(flatten)]
    left: Left,
}

impl Summary {
    /// Fails if a call was lost or run twice, or a file could not be written.
    pub(super) fn verdict(self) -> Result<(), Failure> {
        let Figures { lost, duplicated, unexecuted, left, .. } = self.summary;
        left.written()?;
        if lost == 0 && duplicated == 0 {
            if unexecuted > 0 {
                return Err(Failure::Failed(format!(
                    "{unexecuted} calls were answered well and are in no worker's ledger, so what \
                     ran twice cannot be told: look at the workers' stderr with -v"
                )));
            }
            return Ok(());
        }
        Err(Failure::Failed(format!("{lost} calls were lost, {duplicated} were run twice")))
    }

    /// As JSON the last line of the results; for a person on stderr, since stdout holds them, or
    /// nobody reads it any more.
    pub(super) fn tell(&self, json: bool) -> Result<(), Failure> {
        if json && stdout::is_read(stdout::json(self))? {
            return Ok(());
        }
        let Figures { submitted, outcomes, wall_s, calls_per_s, lost, duplicated, left, .. } =
            &self.summary;
        let outcomes: Vec<String> =
            outcomes.iter().map(|(outcome, n)| format!("{n} {}", outcome.as_str())).collect();
        let outcomes =
            if outcomes.is_empty() { "no outcomes".to_owned() } else { outcomes.join(", ") };
        stdout::aside(&format!(
            "{submitted} calls in {wall_s:.2} s ({calls_per_s:.0} a second): {outcomes}; \
             lost {lost}, duplicated {duplicated}\n{}",
            left.text()
        ));
        Ok(())
    }
}
