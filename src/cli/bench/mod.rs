//! `poolshift bench`: what the router costs.

mod dispatch;
mod raw;

use clap::Subcommand;
use poolshift::config::Config;

use crate::cli::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Calls per second of raw pipes, V2, V3, and the router with V3, in alternating rounds
    Dispatch(dispatch::DispatchArgs),
}

pub(crate) async fn bench(
    config: Config,
    command: BenchCommand,
    json: bool,
) -> Result<(), Failure> {
    match command {
        BenchCommand::Dispatch(args) => dispatch::dispatch(config, args, json).await,
    }
}
