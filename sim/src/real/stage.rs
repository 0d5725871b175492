//! The real world of one plan: the shim, its callers, operators, and what strikes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use poolshift::clock::{Clock, Moment};
use poolshift::config::Config;
use poolshift::router::policy::Percents;
use poolshift::{Lane, Pool, PoolStatus, Shim, ShimOptions};
use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::checkers::Law;
use crate::fault::Fault;
use crate::hazard::{Hazard, Strike};
use crate::plan::Plan;
use crate::real::caller::Caller;
use crate::real::ending::Endings;
use crate::real::error::RealError;
use crate::real::ground::ground;
use crate::real::kernel::{leftovers, signal};
use crate::real::ledgers::Ledgers;
use crate::real::means;
use crate::real::operators::Operators;
use crate::real::recorder::Recorder;
use crate::real::site::Site;
use crate::source::Milestone;
use crate::timeline::Opening;
use crate::trace::{Closing, Event, LaneClosing};
use crate::verdict::Broken;
use crate::workload::Act;

const LANES: [Lane; 2] = [Lane::V2, Lane::V3];

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What came of it: ends of calls, what happened, and what was broken.
pub(super) type Played = (Endings, Opening, Vec<Broken>);

/// All that the tasks of a run share.
struct Stage {
    site: Arc<Site>,
    shim: Shim,
    recorder: Recorder<(Endings, Opening)>,
    longest: Duration,
    drain_timeout: Duration,
    slower: u32,
    /// When the plan's time began.
    origin: Moment,
    operators: Operators,
}

/// Plays the plan, from the first worker to the end of both drains.
pub(super) async fn play(
    plan: &Plan,
    slower: u32,
    site: &Arc<Site>,
    config: &Config,
) -> Result<Played, RealError> {
    let percents = Percents::all(plan.options.operators.percent);
    let options = ShimOptions { percents: Some(percents), ledger: Some(site.ledger()) };
    let shim = Shim::start(config, options).await?;
    let clock = shim.clock();
    // As in the plan's first moments, each slot has had its first worker.
    while LANES.iter().any(|lane| status(&shim, *lane).untried > 0) {
        clock.sleep_until(clock.now() + LOOK_EVERY).await;
    }
    let ground = ground(config, plan.seed);
    let both = (Endings::default(), Opening::default());
    let recorder = Recorder::begin(clock, &ground, Ledgers::of(&site.ledger()), both);
    let operators = Operators::begin(percents, &shim, &recorder);
    let stage = Arc::new(Stage {
        site: Arc::clone(site),
        shim,
        recorder,
        longest: ground.lanes.iter().map(|lane| lane.terms.budget).max().unwrap_or_default(),
        drain_timeout: config.worker.drain_timeout,
        slower,
        origin: clock.now(),
        operators,
    });
    stage.everything(plan).await;
    let stage = Arc::into_inner(stage).expect("every task of the run is over");
    Ok(stage.settle().await?)
}

fn status(shim: &Shim, lane: Lane) -> PoolStatus {
    match lane {
        Lane::V2 => shim.router().legacy().status(),
        Lane::V3 => shim.router().next().status(),
    }
}

impl Stage {
    fn clock(&self) -> Clock {
        self.shim.clock()
    }

    /// Until a moment of the plan.
    async fn until(&self, at: Moment) {
        self.clock().sleep_until(self.origin + at.since(Moment::ZERO) * self.slower).await;
    }

    async fn everything(self: &Arc<Self>, plan: &Plan) {
        let hazard = Hazard::listed(&plan.strikes);
        let mut tasks = JoinSet::new();
        for (at, act) in plan.acts.iter().copied() {
            tasks.spawn(Arc::clone(self).act(at, act));
        }
        for strike in plan.strikes.iter().copied() {
            if let Strike::Moment { at_ns, lane, lot, fault } = strike
                && means::at_moment(fault).is_ok()
            {
                let at = Moment::from_nanos(at_ns);
                tasks.spawn(Arc::clone(self).strike(at, lane, lot, fault));
            }
        }
        let mut milestones = plan.milestones.iter().peekable();
        let mut undrained = LANES.to_vec();
        for call in &plan.calls {
            self.until(call.at).await;
            while let Some((_, milestone)) = milestones.next_if(|(no, _)| *no <= call.call.0) {
                if let Milestone::Drain(lane) = milestone {
                    undrained.retain(|other| other != lane);
                    tasks.spawn(Arc::clone(self).drain(*lane));
                }
            }
            let request = means::request(plan, &hazard, call, self.slower);
            let stage = Arc::clone(self);
            tasks.spawn(async move {
                let Self { shim, recorder, longest, .. } = &*stage;
                Caller { shim, recorder, longest: *longest }.make(&request).await;
            });
            // It is submitted before anything that comes after it in the plan.
            tokio::task::yield_now().await;
        }
        // The plan is done, and as in the simulated world what is left is served until the limit.
        undrained.into_iter().for_each(|lane| drop(tasks.spawn(Arc::clone(self).drain(lane))));
        while let Some(ended) = tasks.join_next().await {
            let panic = ended.err().map(|error| error.to_string());
            self.recorder.judge(Law::L6, panic.is_none(), || panic.unwrap_or_default());
        }
    }

    async fn act(self: Arc<Self>, at: Moment, act: Act) {
        self.until(at).await;
        self.operators.act(act, &self.shim, &self.recorder);
    }

    /// Kills one idle worker, or all of the lane, as the simulated world does.
    async fn strike(self: Arc<Self>, at: Moment, lane: Lane, lot: u64, fault: Fault) {
        self.until(at).await;
        let workers = status(&self.shim, lane).workers;
        let all = fault == Fault::AllDie;
        let idle = workers.iter().filter(|worker| all || worker.health_status == "idle");
        let victims: Vec<_> = idle.filter_map(|worker| Some((worker.id, worker.pid?))).collect();
        let one = lot as usize % victims.len().max(1);
        for (index, (worker, pid)) in victims.into_iter().enumerate() {
            if all || index == one {
                self.recorder.tell(Some(lane), Event::Fault { fault, worker: Some(worker) });
                signal(pid, &self.site.mark(), Signal::KILL);
            }
        }
    }

    async fn drain(self: Arc<Self>, lane: Lane) {
        let (limit, router) = (self.drain_timeout, self.shim.router());
        let until = self.clock().now() + limit;
        self.recorder.tell(Some(lane), Event::Drain { until });
        match lane {
            Lane::V2 => router.legacy().drain(limit).await,
            Lane::V3 => router.next().drain(limit).await,
        }
        self.recorder.tell(Some(lane), Event::Drained);
    }

    /// What is left when both pools are drained, and what they say of themselves.
    async fn settle(self) -> io::Result<Played> {
        let left = leftovers(&self.site.mark(), |_| false).await?;
        self.recorder.judge(Law::S17, left.is_empty(), || format!("left behind: {left:?}"));
        let router = self.shim.router();
        let closing = |status, meter| LaneClosing { status, meter, processes: 0 };
        let [v2, v3] = LANES.map(|lane| status(&self.shim, lane));
        let lanes = [closing(v2, router.legacy().meter()), closing(v3, router.next().meter())];
        let closing = Closing { at: self.clock().now(), lanes };
        let (onlooker, (endings, trace)) = self.recorder.end(&closing);
        Ok((endings, trace, onlooker.violations().to_vec()))
    }
}
