//! `poolshift demo`: a rollout from V2 to V3 and back, on real Python workers.

mod plan;
mod story;

use std::io;
use std::sync::Arc;

use clap::Args;
use indicatif::ProgressBar;
use poolshift::clock::Moment;
use poolshift::config::Config;
use poolshift::pool::PoolStatus;
use poolshift::router::Routed;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::{Call, Lane, Pool, Shim, ShimOptions};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::cli::demo::plan::Arrival;
use crate::cli::demo::story::{Asked, Story};
use crate::cli::failure::Failure;
use crate::cli::leaving::LeavingArgs;
use crate::cli::ledgers::LedgerFolder;
use crate::cli::open_loop::{Hurry, OpenLoop};
use crate::cli::pace::rate;
use crate::cli::stop::Stop;
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
    #[command(flatten)]
    leaving: LeavingArgs,
}

pub(crate) async fn demo(
    mut config: Config,
    args: DemoArgs,
    json: bool,
    stop: Stop,
) -> Result<(), Failure> {
    let workers = usize::from(args.workers);
    config.v2.size = workers; // legacy
    (config.v3.size, config.v3.min_ready) = (workers, workers);
    let outputs = args.leaving.open()?;
    let ledger = LedgerFolder::open(None)?;
    let percents = Some(Percents::all(Percent::ZERO));
    let options = ShimOptions { percents, ledger: Some(ledger.path().to_owned()) };
    let shim = Arc::new(stop.before_calls(start(&config, options, workers)).await??);
    let calls = args.calls.div_ceil(STEPS.len() as u32).max(MIN_STEP);
    if calls * STEPS.len() as u32 > args.calls {
        stdout::aside(&format!(
            "{} calls are too few to see the shares; making {}",
            args.calls,
            calls * STEPS.len() as u32
        ));
    }
    let mut story = Story::new(shim.clock().now());
    let bar = progress::bar(u64::from(calls) * STEPS.len() as u64);
    let hurry = Hurry::default();
    // As `run` drains: each call of the step has its outcome, and no further step begins.
    let drain = async |limit| {
        tokio::join!(biased; shim.drain_within(limit), async { hurry.tell() });
    };
    let stage = Stage { shim: &shim, bar: &bar, hurry: &hurry, stop: &stop };
    let steps = stage.play_all(&mut story, &args, calls);
    stop.draining(steps, config.worker.drain_timeout, drain).await?;
    bar.finish_and_clear();
    let told = story.tell(&shim, &ledger, &config, &args, outputs)?;
    shim.drain().await;
    if json {
        stdout::json(&told.figures)?
    } else {
        stdout::line(&told.text)?
    }
    told.verdict(stop.is_told())
}

/// V2 starts its workers one after the other; the story begins when all are there.
async fn start(config: &Config, options: ShimOptions, workers: usize) -> Result<Shim, Failure> {
    let shim = Shim::start(config, options).await?;
    shim.router().legacy().ready(workers).await.map_err(Failure::failed)?; // legacy
    tracing::debug!(workers, "every lane has its workers");
    Ok(shim)
}

/// What all steps have in common.
#[derive(Clone, Copy)]
struct Stage<'a> {
    shim: &'a Arc<Shim>,
    bar: &'a ProgressBar,
    hurry: &'a Hurry,
    stop: &'a Stop,
}

/// What the plan says.
enum Act {
    Call(Box<Call>),
    Kill(Lane),
}

/// What came of it.
enum Event {
    Done(Asked, Box<Routed>),
    Kill(Lane),
}

impl Stage<'_> {
    async fn play_all(self, story: &mut Story, args: &DemoArgs, calls: u32) -> Result<(), Failure> {
        let (mut rng, mut open) = (plan::rng(args.seed), plan::Sessions::default());
        for (index, percent) in STEPS.into_iter().enumerate() {
            let arrivals = plan::step(&mut rng, &mut open, calls, args.rate)?;
            self.play(story, percent, arrivals, index == KILL_STEP).await?;
            if self.stop.is_told() {
                break;
            }
        }
        Ok(())
    }

    /// One percentage, while it is in force.
    async fn play(
        self,
        story: &mut Story,
        percent: &'static str,
        arrivals: Vec<Arrival>,
        kill: bool,
    ) -> Result<(), Failure> {
        let percents = Percents::all(percent.parse().expect("the steps are percentages"));
        self.shim.router().set_percents(percents);
        self.bar.set_message(format!("V3 at {percent} %"));
        let (first, second) = (arrivals.len() / 3, arrivals.len() * 2 / 3);
        let mut plan = Vec::with_capacity(arrivals.len() + 2);
        for (index, Arrival { at, call }) in arrivals.into_iter().enumerate() {
            if kill && index == first {
                plan.push((at, Act::Kill(Lane::V2)));
            } else if kill && index == second {
                plan.push((at, Act::Kill(Lane::V3)));
            }
            story.submit(&call.id);
            plan.push((at, Act::Call(Box::new(call))));
        }
        let began = self.shim.clock().now();
        story.begin_step(percents, self.shim.router().policy().epoch, began);
        let plan = plan.into_iter().map(move |(at, act)| (began + at, act));
        let (_plan, mut events) = self.begin(plan).map_err(Failure::failed)?;
        while let Some(event) = events.recv().await {
            match event {
                Event::Done(asked, routed) => {
                    story.finish(asked, &routed);
                    self.bar.inc(1);
                }
                // Pools that drain have no need of it, and perhaps nobody to kill.
                Event::Kill(_) if self.stop.is_told() => {}
                Event::Kill(lane) => self.kill(story, lane)?,
            }
        }
        Ok(())
    }

    /// Open loop: each call starts when the plan says, whatever became of the earlier ones.
    fn begin(
        self,
        plan: impl Iterator<Item = (Moment, Act)> + Send + 'static,
    ) -> io::Result<(OpenLoop, mpsc::UnboundedReceiver<Event>)> {
        // Bounded by the plan.
        let (events, received) = mpsc::unbounded_channel();
        let (shim, runtime) = (Arc::clone(self.shim), Handle::current());
        let (clock, hurry) = (self.shim.clock(), self.hurry.clone());
        let plan = OpenLoop::start(clock, hurry, plan, move |at, act| match act {
            // The receiver is held until all events have come, or the demo has failed.
            Act::Kill(lane) => drop(events.send(Event::Kill(lane))),
            Act::Call(mut call) => {
                call.planned = at;
                let asked = Asked::of(&call);
                let (shim, events) = (Arc::clone(&shim), events.clone());
                runtime.spawn(async move {
                    // Dropped here: the pool cancels the call.
                    let routed = shim.call(*call).await;
                    let _ = events.send(Event::Done(asked, Box::new(routed)));
                });
            }
        })?;
        Ok((plan, received))
    }

    /// SIGKILL to one worker of the lane, a busy one if there is one.
    fn kill(self, story: &mut Story, lane: Lane) -> Result<(), Failure> {
        let status = status(self.shim, lane);
        let alive = status.workers.iter().filter(|worker| worker.pid.is_some());
        let victim = alive.max_by_key(|worker| worker.health_status == "busy");
        let found = victim.and_then(|worker| {
            let pid = i32::try_from(worker.pid?).ok()?;
            Some((worker.id, Pid::from_raw(pid)?))
        });
        let (worker, pid) =
            found.ok_or_else(|| Failure::Failed(format!("{lane} has no worker to kill")))?;
        kill_process(pid, Signal::KILL).map_err(Failure::failed)?;
        story.killed(lane, worker, self.shim.clock().now());
        Ok(())
    }
}

fn status(shim: &Shim, lane: Lane) -> PoolStatus {
    match lane {
        Lane::V2 => shim.router().legacy().status(),
        Lane::V3 => shim.router().next().status(),
    }
}
