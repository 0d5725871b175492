//! `poolshift demo`: a rollout from V2 to V3 and back, on real Python workers.

mod plan;
mod story;

use std::sync::Arc;

use clap::Args;
use indicatif::ProgressBar;
use poolshift::clock::Moment;
use poolshift::config::Config;
use poolshift::pool::PoolStatus;
use poolshift::router::Routed;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::{Lane, Pool, Shim, ShimOptions};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;

use crate::cli::demo::plan::Arrival;
use crate::cli::demo::story::Story;
use crate::cli::failure::Failure;
use crate::cli::ledgers::LedgerFolder;
use crate::cli::pace::rate;
use crate::cli::{progress, stdout};

/// Up, and back again.
const STEPS: [&str; 5] = ["0", "10", "50", "100", "0"];

/// The step in which a worker of each lane is killed: both lanes are busy.
const KILL_STEP: usize = 2;

/// Fewer calls than this in a step would give fewer than 400 draws, too few to see its share.
const MIN_STEP: u32 = 800;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Workers of each lane
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Calls in all; at least 800 for each of the five steps are made
    #[arg(
        long,
        default_value_t = 6000,
        value_parser = clap::value_parser!(u32).range(1..=10_000_000),
    )]
    calls: u32,
    /// Calls per second, open loop
    #[arg(long, default_value_t = 800.0, value_parser = rate)]
    rate: f64,
    /// Draws the calls
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) async fn demo(mut config: Config, args: DemoArgs, json: bool) -> Result<(), Failure> {
    let workers = usize::from(args.workers);
    config.v2.size = workers; // legacy
    (config.v3.size, config.v3.min_ready) = (workers, workers);
    let ledger = LedgerFolder::open(None)?;
    let percents = Some(Percents::all(Percent::ZERO));
    let options = ShimOptions { percents, ledger: Some(ledger.path().to_owned()) };
    let shim = Arc::new(Shim::start(&config, options).await?);
    // V2 starts its workers one after the other; the story begins when all are there. // legacy
    shim.router().legacy().ready(workers).await.map_err(Failure::failed)?; // legacy
    let calls = args.calls.div_ceil(STEPS.len() as u32).max(MIN_STEP);
    if calls * STEPS.len() as u32 > args.calls {
        stdout::aside(&format!(
            "{} calls are too few to see the shares; making {}",
            args.calls,
            calls * STEPS.len() as u32
        ));
    }
    let mut story = Story::default();
    let bar = progress::bar(u64::from(calls) * STEPS.len() as u64);
    let (mut rng, mut open) = (plan::rng(args.seed), plan::Sessions::default());
    for (index, percent) in STEPS.into_iter().enumerate() {
        let arrivals = plan::step(&mut rng, &mut open, calls, args.rate)?;
        let mut step = Step { shim: &shim, bar: &bar, story: &mut story };
        step.play(percent, arrivals, index == KILL_STEP).await?;
    }
    bar.finish_and_clear();
    let told = story.tell(&shim, &ledger, &config.commands)?;
    shim.drain().await;
    if json {
        stdout::json(&told.figures)?
    } else {
        stdout::line(&told.text)?
    }
    told.verdict()
}

/// One percentage, while it is in force.
struct Step<'a> {
    shim: &'a Arc<Shim>,
    bar: &'a ProgressBar,
    story: &'a mut Story,
}

impl Step<'_> {
    async fn play(
        &mut self,
        percent: &'static str,
        arrivals: Vec<Arrival>,
        kill: bool,
    ) -> Result<(), Failure> {
        let percents = Percents::all(percent.parse().expect("the steps are percentages"));
        self.shim.router().set_percents(percents);
        self.story.begin_step(percents, self.shim.router().policy().epoch);
        self.bar.set_message(format!("V3 at {percent} %"));
        let began = self.shim.clock().now();
        let (first, second) = (arrivals.len() / 3, arrivals.len() * 2 / 3);
        let mut calls = JoinSet::new();
        for (index, arrival) in arrivals.into_iter().enumerate() {
            if kill && index == first {
                self.kill(Lane::V2)?;
            } else if kill && index == second {
                self.kill(Lane::V3)?;
            }
            self.submit(&mut calls, began, arrival).await;
        }
        while let Some(done) = calls.join_next().await {
            let (id, routed) = done.map_err(Failure::failed)?;
            self.story.finish(&id, &routed);
            self.bar.inc(1);
        }
        Ok(())
    }

    /// Open loop: each call starts when the plan says, whatever became of the earlier ones.
    async fn submit(
        &mut self,
        calls: &mut JoinSet<(String, Routed)>,
        began: Moment,
        arrival: Arrival,
    ) {
        let planned = began + arrival.at;
        self.shim.clock().sleep_until(planned).await;
        let (mut call, shim) = (arrival.call, Arc::clone(self.shim));
        call.planned = Some(planned);
        let id = call.id.to_string();
        self.story.submit(&id);
        calls.spawn(async move {
            let routed = shim.call(call).await;
            (id, routed)
        });
    }

    /// SIGKILL to one worker of the lane, a busy one if there is one.
    fn kill(&mut self, lane: Lane) -> Result<(), Failure> {
        let status = status(self.shim, lane);
        let alive = status.workers.iter().filter(|worker| worker.pid.is_some());
        let victim = alive.max_by_key(|worker| worker.health_status == "busy");
        let pid = victim.and_then(|worker| worker.pid).and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Failure::Failed(format!("{lane} has no worker to kill")))?;
        kill_process(pid, Signal::KILL).map_err(Failure::failed)?;
        self.story.killed(lane);
        Ok(())
    }
}

fn status(shim: &Shim, lane: Lane) -> PoolStatus {
    match lane {
        Lane::V2 => shim.router().legacy().status(),
        Lane::V3 => shim.router().next().status(),
    }
}
