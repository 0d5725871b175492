//! `bench memory`: what workers take together, spawned and forked, after calls and a collection.

use std::collections::BTreeSet;
use std::fs;

use clap::Args as ClapArgs;
use poolshift::config::{Config, StartMethod};
use poolshift::{Args, Lane, shim};
use serde_json::json;

use crate::cli::bench::heavy;
use crate::cli::bench::raw::RawWorker;
use crate::cli::failure::Failure;
use crate::cli::{progress, stdout};

/// Calls that each worker has answered when it is measured: what it writes to is its own by then.
const CALLS: usize = 100;

#[derive(Debug, ClapArgs)]
pub(crate) struct MemoryArgs {
    /// Workers
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// A module that each worker imports
    #[arg(long, value_name = "MODULE")]
    import: String,
}

pub(crate) async fn memory(config: Config, args: MemoryArgs, json: bool) -> Result<(), Failure> {
    let config = heavy::config(config, usize::from(args.workers), None, Some(&args.import));
    let bar = progress::bar(2);
    let spawned = pss(&heavy::started_by(&config, StartMethod::Spawn)).await?;
    bar.inc(1);
    let forked = pss(&heavy::started_by(&config, StartMethod::Fork)).await?;
    bar.finish_and_clear();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let ratio = forked as f64 / spawned as f64;
    if json {
        return stdout::json(&json!({
            "spawn_pss_mb": mb(spawned), "fork_pss_mb": mb(forked), "ratio": ratio,
        }));
    }
    stdout::line(&format!("spawned {:>9.1} MB", mb(spawned)))?;
    stdout::line(&format!("forked  {:>9.1} MB with their warm parent", mb(forked)))?;
    stdout::line(&format!("ratio   {ratio:>9.3}"))
}

/// The bytes of all workers and their parent: a shared page counts once, in shares.
async fn pss(config: &Config) -> Result<u64, Failure> {
    let spawner = shim::spawner(config, Lane::V3, None).map_err(Failure::failed)?;
    let (mut workers, args) = (Vec::new(), Args::parse(r#"{"x":1}"#)?);
    for slot in 0..config.v3.size {
        let slot = u32::try_from(slot).expect("there are 256 at most");
        let worker = RawWorker::start(&spawner, slot, config.worker.max_frame_bytes).await?;
        workers.push(worker);
    }
    for worker in &mut workers {
        for _ in 0..CALLS {
            worker.call("echo", &args).await?;
        }
        worker.call("collect", &Args::default()).await?;
    }
    let mut family = BTreeSet::new();
    for worker in &workers {
        let pid = worker.pid().ok_or_else(|| unread("a worker"))?;
        family.extend([pid, parent(pid).ok_or_else(|| unread("a worker's parent"))?]);
    }
    family.remove(&std::process::id());
    let all = family.iter().map(|pid| pss_of(*pid)).sum::<Option<u64>>();
    for worker in workers {
        worker.end().await;
    }
    all.ok_or_else(|| unread("/proc/PID/smaps_rollup"))
}

fn unread(what: &str) -> Failure {
    Failure::Failed(format!("cannot read of {what} what the bench needs"))
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()
}

fn pss_of(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    kib.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
