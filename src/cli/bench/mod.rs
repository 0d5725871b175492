//! `poolshift bench`: what the router costs, and what starting workers does.

mod dispatch;
mod heavy;
mod memory;
mod raw;
mod recovery;
mod startup;

use std::time::Duration;

use clap::Subcommand;
use poolshift::config::Config;

use crate::cli::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Calls per second of raw pipes, V2, V3, and the router with V3, in alternating rounds
    Dispatch(dispatch::DispatchArgs),
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
