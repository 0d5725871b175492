//! `poolshift-sim run`: one run of one seed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use poolshift_sim::options::Arrivals;
use poolshift_sim::report::{Summary, text};
use poolshift_sim::run::run as run_world;
use poolshift_sim::scenario::Scenario;
use poolshift_sim::trial::trial;
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
    /// Arrivals from a file: one a line, in whole microseconds from the start
    #[arg(long, value_name = "FILE", conflicts_with = "calls")]
    arrivals: Option<PathBuf>,
}

impl RunArgs {
    /// The command line that repeats the run.
    fn again(&self) -> String {
        let Self { seed, calls, scenario, arrivals } = self;
        let arrivals = arrivals.as_ref().map(|path| format!("--arrivals {}", path.display()));
        let plan = arrivals.unwrap_or_else(|| format!("--calls {calls}"));
        format!("poolshift-sim run --seed {seed} {plan} --scenario {scenario}")
    }
}

pub(crate) fn run(args: &RunArgs, json: bool) -> Result<(), Failure> {
    let scenario =
        Scenario::named(&args.scenario).map_err(|error| Failure::Usage(error.to_string()))?;
    let mut options = scenario.options(args.seed, args.calls);
    if let Some(path) = &args.arrivals {
        options.set_arrivals(read(path)?);
    }
    let run = match scenario {
        Scenario::Full => trial(args.seed, options),
        _ => run_world(&Product, args.seed, options),
    };
    let summary = Summary::of(args.seed, scenario.as_str(), &run);
    let printed = match json {
        true => serde_json::to_string(&summary).expect("a summary is plain data") + "\n",
        false => text(&summary, &run, &args.again()),
    };
    io::stdout().write_all(printed.as_bytes()).map_err(Failure::Output)?;
    if !run.is_good() {
        return Err(Failure::Broken);
    }
    let untested = run.verdict.untested();
    match untested.is_empty() || !matches!(scenario, Scenario::Full) {
        true => Ok(()),
        false => {
            let names: Vec<&str> = untested.iter().map(|law| law.as_str()).collect();
            Err(Failure::Untested(names.join(", ")))
        }
    }
}

fn read(path: &Path) -> Result<Arrivals, Failure> {
    let bad = |why: &dyn std::fmt::Display| Failure::Input(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| bad(&error))?;
    Arrivals::parse(&text).map_err(|error| bad(&error))
}
