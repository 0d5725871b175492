//! `poolshift bench`: what the router costs, and what starting workers does.

mod dispatch;
mod heavy;
mod memory;
mod payload;
mod raw;
mod recovery;
mod resident;
mod rounds;
mod startup;

use std::time::Duration;

use clap::Subcommand;
use poolshift::config::Config;
use serde_json::{Value, json};

use crate::cli::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Calls per second of raw pipes, V2, V3, and the router with V3, in alternating rounds
    Dispatch(dispatch::DispatchArgs),
    /// Large payloads there and back: raw pipes and the router with V3, and the host's memory
    Payload(payload::PayloadArgs),
    /// Time until every worker has answered: one alone, V2, V3 spawned, V3 forked
    Startup(startup::StartupArgs),
    /// Time from a worker's SIGKILL to its successor's first answer
    Recovery(recovery::RecoveryArgs),
    /// Memory of spawned and of forked workers
    Memory(memory::MemoryArgs),
}

pub(crate) async fn bench(
    config: Config,
    command: BenchCommand,
    json: bool,
) -> Result<(), Failure> {
    match command {
        BenchCommand::Dispatch(args) => dispatch::dispatch(config, args, json).await,
        BenchCommand::Payload(args) => payload::payload(config, args, json).await,
        BenchCommand::Startup(args) => startup::startup(config, args, json).await,
        BenchCommand::Recovery(args) => recovery::recovery(config, args, json).await,
        BenchCommand::Memory(args) => memory::memory(config, args, json).await,
    }
}

/// The time within which this share of them lies; zero of none.
fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    let index = (last as f64 * share).round() as usize;
    times.get(index).copied().unwrap_or_default()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (below, above) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    f64::midpoint(sorted[below], sorted[above])
}

/// What rounds come to beside those that ran next to them.
fn ratios(rates: &[f64], baseline: &[f64]) -> Value {
    let ratios: Vec<f64> = rates.iter().zip(baseline).map(|(rate, base)| rate / base).collect();
    json!({
        "median": median(&ratios),
        "min": ratios.iter().copied().fold(f64::INFINITY, f64::min),
        "max": ratios.iter().copied().fold(0.0, f64::max),
    })
}
