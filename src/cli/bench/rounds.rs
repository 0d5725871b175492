//! Callers in closed loops for a while: on raw pipes, on a pool, through the router.

use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use poolshift::clock::{Clock, Moment};
use poolshift::config::Config;
use poolshift::router::file::RolloutFile;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::{Args, Call, Lane, Pool, SessionId, Shim, ShimOptions, shim};
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

use crate::cli::bench::quantile;
use crate::cli::bench::raw::{self, RawWorker};
use crate::cli::failure::Failure;

/// How long callers begin calls; what they began is waited for.
const ROUND: Duration = Duration::from_secs(2);

/// As many rules as a rollout of a large service has.
const RULES: usize = 20;

/// How many of each there are.
#[derive(Debug, ClapArgs)]
pub(super) struct Load {
    /// Workers of each pool, and of the raw baseline
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) workers: u16,
    /// Callers of the pools, each in a closed loop
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) callers: u16,
    /// Rounds of each kind
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) rounds: u16,
}

/// Who is measured.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Raw,
    /// One caller that takes the raw workers in turn, as R9 has V3 take its own.
    RawInTurn,
    V2,
    V3,
    Router,
}

/// What one round showed.
#[derive(Default)]
pub(super) struct Round {
    times: Vec<Duration>,
    wall: Duration,
    cpu: Duration,
}

impl Round {
    pub(super) fn calls_per_s(&self) -> f64 {
        self.times.len() as f64 / self.wall.as_secs_f64()
    }

    /// The host's own processor time.
    pub(super) fn cpu_us_per_call(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.times.len().max(1) as f64
    }

    /// The time within which this share of the calls ended.
    pub(super) fn quantile(&mut self, share: f64) -> Duration {
        quantile(&mut self.times, share)
    }
}

/// Both pools behind the router, and as many raw workers as V3 has, all of them up.
pub(super) struct Field {
    shim: Arc<Shim>,
    raw: Vec<RawWorker>,
    clock: Clock,
}

impl Field {
    pub(super) async fn start(config: &Config) -> Result<Self, Failure> {
        let percents = Some(Percents::all(Percent::HUNDRED));
        let shim = Shim::start(config, ShimOptions { percents, ledger: None }).await?;
        let policy = RolloutFile::parse(&policy()).map_err(Failure::failed)?;
        shim.router().apply(&policy, None).map_err(Failure::failed)?;
        let spawner = shim::spawner(config, Lane::V3, None).map_err(Failure::failed)?;
        let mut raw = Vec::new();
        for slot in 0..config.v3.size {
            let slot = u32::try_from(slot).expect("there are 256 at most");
            let worker = RawWorker::start(&spawner, slot, config.worker.max_frame_bytes);
            raw.push(worker.await?);
        }
        if let Some(worker) = raw.first_mut() {
            worker.call("echo", &Args::default()).await.map_err(no_echo)?;
        }
        // legacy begin
        // V2 starts its workers one after the other; measuring begins when all are there.
        shim.router().legacy().ready(config.v2.size).await.map_err(Failure::failed)?;
        // legacy end
        let clock = shim.clock();
        Ok(Self { shim: Arc::new(shim), raw, clock })
    }

    pub(super) async fn round(
        &mut self,
        kind: Kind,
        callers: usize,
        args: &Args,
    ) -> Result<Round, Failure> {
        let (began, cpu) = (self.clock.now(), cpu_time());
        let end = began + ROUND;
        let times = match kind {
            Kind::Raw => self.raw_loops(end, callers.min(self.raw.len()), 1, args).await?,
            Kind::RawInTurn => self.raw_loops(end, 1, self.raw.len(), args).await?,
            _ => self.pool_loops(kind, end, callers, args).await?,
        };
        let wall = self.clock.now().since(began);
        Ok(Round { times, wall, cpu: cpu_time().saturating_sub(cpu) })
    }

    /// So many closed loops, each of which takes so many workers in turn.
    async fn raw_loops(
        &mut self,
        end: Moment,
        count: usize,
        of_each: usize,
        args: &Args,
    ) -> Result<Vec<Duration>, Failure> {
        let mut loops = JoinSet::new();
        for _ in 0..count {
            let mut workers: Vec<RawWorker> = self.raw.drain(..of_each).collect();
            let (clock, args) = (self.clock, args.clone());
            loops.spawn(async move {
                let times = raw::calls_in_turn(&mut workers, clock, end, &args).await?;
                Ok::<_, Failure>((workers, times))
            });
        }
        let mut all = Vec::new();
        while let Some(done) = loops.join_next().await {
            let (workers, times) = done.map_err(Failure::failed)??;
            self.raw.extend(workers);
            all.extend(times);
        }
        Ok(all)
    }

    async fn pool_loops(
        &self,
        kind: Kind,
        end: Moment,
        callers: usize,
        args: &Args,
    ) -> Result<Vec<Duration>, Failure> {
        let mut loops = JoinSet::new();
        for caller in 0..callers {
            let (shim, clock, args) = (Arc::clone(&self.shim), self.clock, args.clone());
            // What a caller keeps from call to call: its words and its session.
            let command: Arc<str> = "echo".into();
            let session = SessionId::new(&format!("caller-{caller}"))?;
            loops.spawn(async move {
                let mut times = Vec::new();
                let mut began = clock.now();
                while began < end {
                    let mut call = Call::new(Arc::clone(&command), args.clone());
                    call.session = Some(session.clone());
                    let result = match kind {
                        Kind::V2 => shim.router().legacy().call(call).await.result,
                        Kind::V3 => shim.router().next().call(call).await.result,
                        _ => shim.call(call).await.answer.result,
                    };
                    result.map_err(Failure::failed)?;
                    let done = clock.now();
                    times.push(done.since(began));
                    began = done;
                }
                Ok::<_, Failure>(times)
            });
        }
        let mut all = Vec::new();
        while let Some(times) = loops.join_next().await {
            all.extend(times.map_err(Failure::failed)??);
        }
        Ok(all)
    }

    pub(super) async fn end(self) {
        self.shim.drain().await;
        for worker in self.raw {
            worker.end().await;
        }
    }
}

/// What is measured is the way to a command and back, so the command has to be there.
fn no_echo(failure: Failure) -> Failure {
    let Failure::Failed(cause) = failure else { return failure };
    Failure::Failed(format!(
        "this bench calls the command echo, and the configured app does not answer it ({cause}); \
         add one that returns its args, or leave [worker] out of the config to use the demo app"
    ))
}

/// Everything to V3, after a look at rules none of which is about these calls.
fn policy() -> String {
    let rule = |n| format!("[[rules]]\nsessions = [\"vip-{n}\"]\nlane = \"v2\"\n");
    format!("percent = 100\n{}", (0..RULES).map(rule).collect::<String>())
}

/// The processor time that this process has used; its workers' is their own.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("processor time is not negative")
}
