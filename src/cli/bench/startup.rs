//! `bench startup`: how long it takes until every worker has answered.

use std::time::Duration;

use clap::Args as ClapArgs;
use poolshift::Pool;
use poolshift::clock::Clock;
use poolshift::config::{Config, StartMethod};
use poolshift::v2_session_pool::V2SessionPool; // legacy
use serde_json::json;

use crate::cli::bench::{heavy, quantile};
use crate::cli::failure::Failure;
use crate::cli::{progress, stdout};

/// How often one worker alone is started: all others are measured by it.
const ALONE: usize = 3;

#[derive(Debug, ClapArgs)]
pub(crate) struct StartupArgs {
    /// Workers of each pool
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    #[command(flatten)]
    weight: Weight,
}

/// What an import takes.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
struct Weight {
    /// Seconds that each import sleeps
    #[arg(long, value_name = "S", value_parser = seconds)]
    sleep: Option<f64>,
    /// A module that each worker imports
    #[arg(long, value_name = "MODULE")]
    import: Option<String>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| (0.0..=60.0).contains(seconds));
    seconds.ok_or_else(|| "it is a number of seconds from 0 to 60".to_owned())
}

pub(crate) async fn startup(config: Config, args: StartupArgs, json: bool) -> Result<(), Failure> {
    let Weight { sleep, import } = &args.weight;
    let with = |workers| heavy::config(config.clone(), workers, *sleep, import.as_deref());
    let alone = heavy::started_by(&with(1), StartMethod::Spawn);
    let all = with(usize::from(args.workers));
    let spawned = heavy::started_by(&all, StartMethod::Spawn);
    let bar = progress::bar(ALONE as u64 + 3);
    let mut times = Vec::new();
    for _ in 0..ALONE {
        times.push(v3(&alone).await?);
        bar.inc(1);
    }
    let one_worker = quantile(&mut times, 0.5);
    let v3_spawn = v3(&spawned).await?;
    bar.inc(1);
    let v3_fork = v3(&heavy::started_by(&all, StartMethod::Fork)).await?;
    bar.inc(1);
    let v2 = v2(&spawned).await?; // legacy
    bar.finish_and_clear();
    let figures = json!({
        "one_worker_s": one_worker.as_secs_f64(),
        "v2_s": v2.as_secs_f64(), // legacy
        "v3_spawn_s": v3_spawn.as_secs_f64(),
        "v3_fork_s": v3_fork.as_secs_f64(),
    });
    if json {
        return stdout::json(&figures);
    }
    let names = [
        ("one worker alone", "one_worker_s"),
        ("V2, one by one", "v2_s"), // legacy
        ("V3, spawned", "v3_spawn_s"),
        ("V3, forked", "v3_fork_s"),
    ];
    names.into_iter().try_for_each(|(name, key)| {
        stdout::line(&format!("{name:<18}{:>8.3} s", figures[key].as_f64().unwrap_or(f64::NAN)))
    })
}

async fn v3(config: &Config) -> Result<Duration, Failure> {
    let clock = Clock::start();
    let began = clock.now();
    let pool = heavy::v3(config, clock).await?;
    let took = clock.now().since(began);
    pool.drain(Duration::ZERO).await;
    Ok(took)
}

// legacy begin
async fn v2(config: &Config) -> Result<Duration, Failure> {
    use poolshift::{Lane, shim};

    let spawner = shim::spawner(config, Lane::V2, None).map_err(Failure::failed)?;
    let (settings, sessions, clock) = (&config.v2, shim::sessions(config), Clock::start());
    let began = clock.now();
    let pool = V2SessionPool::start(settings, &config.worker, spawner, sessions, clock).await;
    let pool = pool.map_err(Failure::failed)?;
    pool.ready(config.v2.size).await.map_err(Failure::failed)?;
    let took = clock.now().since(began);
    pool.drain(Duration::ZERO).await;
    Ok(took)
}
// legacy end
