//! `poolshift-sim run`: one run of one seed.

use std::io::{self, Write};

use clap::Args;
use poolshift_sim::report::{Summary, text};
use poolshift_sim::run::run as run_world;
use poolshift_sim::scenario::Scenario;
use poolshift_sim::world::Product;

use crate::cli::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Decides everything that is left to chance
    #[arg(long)]
    seed: u64,
    /// How many calls arrive
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    calls: u64,
    /// plain, full, swarm, or one kind of fault such as hang
    #[arg(long, default_value = "plain")]
    scenario: String,
}

pub(crate) fn run(args: &RunArgs, json: bool) -> Result<(), Failure> {
    let scenario =
        Scenario::named(&args.scenario).map_err(|error| Failure::Usage(error.to_string()))?;
    let options = scenario.options(args.seed, args.calls);
    let run = run_world(&Product, args.seed, options);
    let summary = Summary::of(args.seed, scenario.as_str(), &run);
    let printed = match json {
        true => serde_json::to_string(&summary).expect("a summary is plain data") + "\n",
        false => text(&summary, &run),
    };
    io::stdout().write_all(printed.as_bytes()).map_err(Failure::Output)?;
    if run.is_good() { Ok(()) } else { Err(Failure::Broken) }
}
