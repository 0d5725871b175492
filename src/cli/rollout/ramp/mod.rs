//! `poolshift rollout ramp`: what can be known of a ramp before it is begun.

mod export;
mod forecast;
mod record;
mod simulate;

use clap::Subcommand;
use poolshift::config::Config;
use poolshift::router::paths::RolloutPaths;

use crate::cli::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum RampCommand {
    /// Replay recorded calls through the plan and its guards: where it would have rolled back
    Simulate(simulate::SimulateArgs),
    /// How long until a regression of 2, 5 and 10 times is seen, for each command
    Forecast(forecast::ForecastArgs),
    /// Print the rollout for services that are not ours
    Export(export::ExportArgs),
}

pub(super) fn ramp(
    config: &Config,
    paths: &RolloutPaths,
    command: RampCommand,
    json: bool,
) -> Result<(), Failure> {
    match command {
        RampCommand::Simulate(args) => simulate::simulate(config, args, json),
        RampCommand::Forecast(args) => forecast::forecast(config, paths, args, json),
        RampCommand::Export(args) => export::export(config, paths, &args),
    }
}
