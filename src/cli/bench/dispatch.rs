//! `bench dispatch`: raw pipes, V2, V3 and router + V3 in rounds that alternate, so that a
//! machine whose speed drifts favours none.

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
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::cli::bench::quantile;
use crate::cli::bench::raw::{self, RawWorker};
use crate::cli::failure::Failure;
use crate::cli::{progress, stdout};

const ROUND: Duration = Duration::from_secs(2);

/// As many rules as a rollout of a large service has.
const RULES: usize = 20;

#[derive(Debug, ClapArgs)]
pub(crate) struct DispatchArgs {
    /// Workers of each lane, and of the raw baseline
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Callers of the pools, each in a closed loop
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    callers: u16,
    /// Rounds of each kind
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
}

/// Who is measured.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Raw,
    /// One caller that takes the raw workers in turn, as R9 has V3 take its own.
    RawInTurn,
    V2,
    V3,
    Router,
}

/// What one round showed.
#[derive(Default)]
struct Round {
    times: Vec<Duration>,
    wall: Duration,
    cpu: Duration,
}

impl Round {
    fn calls_per_s(&self) -> f64 {
        self.times.len() as f64 / self.wall.as_secs_f64()
    }

    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.times.len().max(1) as f64
    }
}

struct Bench {
    shim: Arc<Shim>,
    raw: Vec<RawWorker>,
    clock: Clock,
    args: Args,
    callers: usize,
}

pub(crate) async fn dispatch(
    mut config: Config,
    args: DispatchArgs,
    json: bool,
) -> Result<(), Failure> {
    let workers = usize::from(args.workers);
    config.v2.size = workers; // legacy
    (config.v3.size, config.v3.min_ready) = (workers, workers);
    let mut bench = Bench::start(&config, &args).await?;
    let kinds = [Kind::Raw, Kind::V2, Kind::V3, Kind::Router];
    let lone = [Kind::Raw, Kind::RawInTurn, Kind::Router];
    let total = u64::from(args.rounds) * (kinds.len() + lone.len()) as u64;
    let bar = progress::bar(total);
    let mut rounds: [Vec<Round>; 4] = Default::default();
    let mut alone: [Vec<Round>; 3] = Default::default();
    for _ in 0..args.rounds {
        for (kind, rounds) in kinds.into_iter().zip(&mut rounds) {
            rounds.push(bench.round(kind, bench.callers).await?);
            bar.inc(1);
        }
    }
    for _ in 0..args.rounds {
        for (kind, rounds) in lone.into_iter().zip(&mut alone) {
            rounds.push(bench.round(kind, 1).await?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    bench.end().await;
    let figures = figures(rounds, alone);
    if json { stdout::json(&figures) } else { tell(&figures) }
}

impl Bench {
    async fn start(config: &Config, args: &DispatchArgs) -> Result<Self, Failure> {
        let percents = Some(Percents::all(Percent::HUNDRED));
        let shim = Shim::start(config, ShimOptions { percents, ledger: None }).await?;
        let policy = RolloutFile::parse(&policy()).map_err(Failure::failed)?;
        shim.router().apply(&policy, None).map_err(Failure::failed)?;
        let spawner = shim::spawner(config, Lane::V3, None).map_err(Failure::failed)?;
        let mut raw = Vec::new();
        for slot in 0..u32::from(args.workers) {
            let worker = RawWorker::start(&spawner, slot, config.worker.max_frame_bytes);
            raw.push(worker.await?);
        }
        let (clock, callers) = (shim.clock(), usize::from(args.callers));
        // legacy begin
        // V2 starts its workers one after the other; measuring begins when all are there.
        shim.router().legacy().ready(config.v2.size).await.map_err(Failure::failed)?;
        // legacy end
        let args = Args::parse("{\"x\":1}")?;
        Ok(Self { shim: Arc::new(shim), raw, clock, args, callers })
    }

    async fn round(&mut self, kind: Kind, callers: usize) -> Result<Round, Failure> {
        let (began, cpu) = (self.clock.now(), cpu_time());
        let end = began + ROUND;
        let times = match kind {
            Kind::Raw => self.raw_loops(end, callers.min(self.raw.len()), 1).await?,
            Kind::RawInTurn => self.raw_loops(end, 1, self.raw.len()).await?,
            _ => self.pool_loops(kind, end, callers).await?,
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
    ) -> Result<Vec<Duration>, Failure> {
        let mut loops = JoinSet::new();
        for _ in 0..count {
            let mut workers: Vec<RawWorker> = self.raw.drain(..of_each).collect();
            let (clock, args) = (self.clock, self.args.clone());
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
    ) -> Result<Vec<Duration>, Failure> {
        let mut loops = JoinSet::new();
        for caller in 0..callers {
            let (shim, clock, args) = (Arc::clone(&self.shim), self.clock, self.args.clone());
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

    async fn end(self) {
        self.shim.drain().await;
        for worker in self.raw {
            worker.end().await;
        }
    }
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

fn figures(rounds: [Vec<Round>; 4], alone: [Vec<Round>; 3]) -> Value {
    let rates: Vec<Vec<f64>> =
        rounds.iter().map(|rounds| rounds.iter().map(Round::calls_per_s).collect()).collect();
    let ratios: Vec<f64> =
        rates[0].iter().zip(&rates[3]).map(|(raw, router)| router / raw).collect();
    let cpu = |rounds: &[Round]| median(&rounds.iter().map(Round::cpu_us).collect::<Vec<_>>());
    let (raw_cpu, router_cpu) = (cpu(&rounds[0]), cpu(&rounds[3]));
    let [_, _, _, router] = rounds;
    let p99: Vec<f64> = quantiles(router, 0.99).iter().map(|us| us / 1e3).collect();
    let [raw_p50, in_turn_p50, router_p50] = alone.map(|rounds| median(&quantiles(rounds, 0.5)));
    json!({
        "raw_calls_per_s": median(&rates[0]),
        "v2_calls_per_s": median(&rates[1]),
        "v3_calls_per_s": median(&rates[2]),
        "router_calls_per_s": median(&rates[3]),
        "ratio_router_to_raw": {
            "median": median(&ratios),
            "min": ratios.iter().copied().fold(f64::INFINITY, f64::min),
            "max": ratios.iter().copied().fold(0.0, f64::max),
        },
        "p99_ms": median(&p99),
        "sequential": {
            "raw_p50_us": raw_p50, "router_p50_us": router_p50, "ratio": router_p50 / raw_p50,
            "raw_in_turn_p50_us": in_turn_p50, "ratio_to_in_turn": router_p50 / in_turn_p50,
        },
        "host_cpu_us_per_call": { "raw": raw_cpu, "router": router_cpu },
    })
}

fn quantiles(rounds: Vec<Round>, share: f64) -> Vec<f64> {
    let of = |mut round: Round| quantile(&mut round.times, share).as_secs_f64() * 1e6;
    rounds.into_iter().map(of).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (below, above) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    f64::midpoint(sorted[below], sorted[above])
}

fn tell(figures: &Value) -> Result<(), Failure> {
    let of = |path: &str| figures.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    for (name, key) in [("raw pipes", "raw"), ("V2", "v2"), ("V3", "v3"), ("router + V3", "router")]
    {
        stdout::line(&format!("{name:<14}{:>10.0} calls/s", of(&format!("/{key}_calls_per_s"))))?;
    }
    stdout::line(&format!(
        "router to raw {:.3} (min {:.3}, max {:.3}); p99 {:.3} ms",
        of("/ratio_router_to_raw/median"),
        of("/ratio_router_to_raw/min"),
        of("/ratio_router_to_raw/max"),
        of("/p99_ms"),
    ))?;
    stdout::line(&format!(
        "one caller alone: raw p50 {:.1} us, router p50 {:.1} us, ratio {:.3}; \
         raw workers in turn, as V3 takes its own: {:.1} us, ratio {:.3}",
        of("/sequential/raw_p50_us"),
        of("/sequential/router_p50_us"),
        of("/sequential/ratio"),
        of("/sequential/raw_in_turn_p50_us"),
        of("/sequential/ratio_to_in_turn"),
    ))?;
    stdout::line(&format!(
        "host processor time a call: raw {:.1} us, router {:.1} us",
        of("/host_cpu_us_per_call/raw"),
        of("/host_cpu_us_per_call/router"),
    ))
}
