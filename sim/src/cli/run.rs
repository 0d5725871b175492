//! `poolshift-sim run`: one run of one seed.

use std::path::PathBuf;

use clap::Args;
use poolshift::Lane;
use poolshift_sim::bounds;
use poolshift_sim::options::{Arrivals, Options};
use poolshift_sim::report::{Summary, text};
use poolshift_sim::run::Run;
use poolshift_sim::scenario::Scenario;
use poolshift_sim::trial::trial;

use crate::cli::failure::{Failure, print};
use crate::cli::input::read;
use crate::cli::plans::PlanArgs;

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
    /// Workers of each lane, if not as the scenario has it
    #[arg(long)]
    workers: Option<usize>,
    /// V3's first share, such as 12.5, if not as the scenario has it
    #[arg(long)]
    percent: Option<String>,
    #[command(flatten)]
    plans: PlanArgs,
}

impl RunArgs {
    /// The command line that repeats the run.
    fn again(&self) -> String {
        let Self { seed, calls, scenario, arrivals, .. } = self;
        let arrivals = arrivals.as_ref().map(|path| format!("--arrivals {}", path.display()));
        let plan = arrivals.unwrap_or_else(|| format!("--calls {calls}"));
        let workers = self.workers.map(|workers| format!(" --workers {workers}"));
        let percent = self.percent.as_ref().map(|percent| format!(" --percent {percent}"));
        let more = workers.unwrap_or_default() + &percent.unwrap_or_default();
        let planted = self.plans.suffix();
        format!("poolshift-sim run --seed {seed} {plan} --scenario {scenario}{more}{planted}")
    }

    fn options(&self, scenario: Scenario) -> Result<Options, Failure> {
        let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
        let mut options = scenario.options(self.seed, self.calls);
        if let Some(path) = &self.arrivals {
            options.set_arrivals(read(path, Arrivals::parse)?);
        }
        if let Some(workers) = self.workers {
            for lane in [Lane::V2, Lane::V3] {
                options.lane_mut(lane).terms.size = workers;
            }
        }
        if let Some(percent) = &self.percent {
            let percent = percent.parse().map_err(bounds::Impossible::from);
            options.operators.percent = percent.map_err(|error| usage(&error))?;
        }
        bounds::check(&options).map_err(|error| usage(&error))?;
        Ok(options)
    }
}

pub(crate) fn run(args: &RunArgs, json: bool) -> Result<(), Failure> {
    let scenario =
        Scenario::named(&args.scenario).map_err(|error| Failure::Usage(error.to_string()))?;
    let options = args.options(scenario)?;
    let subject = args.plans.subject()?;
    let run = match scenario {
        Scenario::Full => trial(subject, args.seed, options.clone()),
        _ => subject.run(args.seed, options.clone()),
    };
    let mut summary = Summary::of(args.seed, scenario.as_str(), &run);
    let law = run.verdict.broken.first().map(|broken| broken.law);
    let plan = law.and_then(|law| args.plans.write(args.seed, &options, law));
    let again = args.again();
    let again = plan.as_ref().map_or(again.clone(), |plan| format!("{again}\n{}", plan.told));
    summary.plan = plan.map(|plan| plan.path);
    let printed = match json {
        true => serde_json::to_string(&summary).expect("a summary is plain data") + "\n",
        false => text(&summary, &run, &again),
    };
    print(&printed, verdict(&run, scenario))
}

fn verdict(run: &Run, scenario: Scenario) -> Result<(), Failure> {
    let untested = run.verdict.untested();
    let names: Vec<&str> = untested.iter().map(|law| law.as_str()).collect();
    match scenario {
        _ if !run.is_good() => Err(Failure::Broken),
        Scenario::Full if !names.is_empty() => Err(Failure::Untested(names.join(", "))),
        _ => Ok(()),
    }
}
