//! `poolshift-sim run`: one run of one seed.

use std::io;
use std::path::PathBuf;

use clap::Args;
use poolshift::Lane;
use poolshift::report::files::FileError;
use poolshift::report::outputs::Outputs;
use poolshift::report::record::{ClockKind, Origin};
use poolshift::report::verdict::Verdict;
use poolshift::report::{self, compare, html};
use poolshift_sim::bounds;
use poolshift_sim::latency::Latency;
use poolshift_sim::options::{Arrivals, Options};
use poolshift_sim::prediction::predict;
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
    /// Write the latencies as an HdrHistogram log, and what happened beside it, as OUT.run.json
    #[arg(long, value_name = "OUT")]
    hlog: Option<PathBuf>,
    /// Write the latency report as one page
    #[arg(long, value_name = "OUT")]
    html: Option<PathBuf>,
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

    fn outputs(&self) -> Result<Outputs, Failure> {
        let outputs = Outputs::create(self.hlog.as_deref(), self.html.as_deref());
        let apart = outputs.and_then(|outputs| {
            outputs.apart_from(self.arrivals.as_deref())?;
            Ok(outputs)
        });
        apart.map_err(|error| match error {
            FileError::Twice { .. } => Failure::Usage(error.to_string()),
            _ => Failure::Input(error.to_string()),
        })
    }

    /// Writes the latency report; returned is its text.
    fn leave(
        &self,
        latency: Latency,
        options: &Options,
        outputs: Outputs,
    ) -> Result<String, Failure> {
        let title = format!("simulated {}", self.scenario);
        let origin = Origin {
            title: title.clone(),
            command: self.again(),
            tool: format!("poolshift-sim {}", env!("CARGO_PKG_VERSION")),
            seed: Some(self.seed),
            clock: ClockKind::Virtual,
        };
        let mut run = latency.close(title, origin);
        predict(&mut run, options);
        let (verdict, lanes) = (Verdict::of(&run), compare::lanes(&run));
        let written = outputs.write(&run, || html::page(&run, &verdict, lanes.as_ref()));
        let written = written.map_err(|error| Failure::Output(io::Error::other(error)))?;
        let told = report::text::report(&run, &verdict, lanes.as_ref());
        Ok(format!("\n{told}written: {}\n", written.join(", ")))
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
    // What nobody asks for is not recorded: it would cost a run of millions of calls its speed.
    let mut latency = (args.hlog.is_some() || args.html.is_some()).then(Latency::default);
    let outputs = args.outputs()?;
    let run = match scenario {
        Scenario::Full => trial(subject, args.seed, options.clone(), &mut latency),
        _ => subject.run_watched(args.seed, options.clone(), &mut latency),
    };
    let mut summary = Summary::of(args.seed, scenario.as_str(), &run);
    let law = run.verdict.broken.first().map(|broken| broken.law);
    let plan = law.and_then(|law| args.plans.write(args.seed, &options, law));
    let again = args.again();
    let again = plan.as_ref().map_or(again.clone(), |plan| format!("{again}\n{}", plan.told));
    summary.plan = plan.map(|plan| plan.path);
    let report = latency.map(|latency| args.leave(latency, &options, outputs)).transpose()?;
    let printed = match json {
        true => serde_json::to_string(&summary).expect("a summary is plain data") + "\n",
        false => text(&summary, &run, &again) + &report.unwrap_or_default(),
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
