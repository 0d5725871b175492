//! `poolshift-sim swarm`: many runs, until one breaks a law or time is up.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use poolshift_sim::bounds;
use poolshift_sim::options::Options;
use poolshift_sim::run::now;
use poolshift_sim::scenario::Scenario;
use poolshift_sim::verdict;
use rustix::time::ClockId;
use serde::Serialize;

use crate::cli::failure::{Failure, print};
use crate::cli::plans::PlanArgs;

/// Runs, if nothing else is asked for.
const RUNS: u64 = 1000;

/// Failures that are told; a broken product fails with most seeds.
const MOST_FAILURES: usize = 10;

#[derive(Debug, Args)]
pub(crate) struct SwarmArgs {
    /// How many runs at most; 1000 if no time is given either
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    runs: Option<u64>,
    /// The first seed; each run takes the next
    #[arg(long, default_value_t = 1)]
    from_seed: u64,
    /// Stop after this time, such as 60s
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    limit: Option<Duration>,
    /// Calls of each run
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u64).range(1..))]
    calls: u64,
    #[command(flatten)]
    plans: PlanArgs,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    runs: u64,
    calls: u64,
    failures: Vec<Broken>,
}

/// A run that broke a law.
#[derive(Debug, Serialize)]
struct Broken {
    seed: u64,
    law: &'static str,
    what: String,
    /// The command line that repeats it.
    again: String,
    /// The file of the shrunk plan; null if stderr says why there is none.
    plan: Option<String>,
    #[serde(skip)]
    told: String,
}

impl Broken {
    fn of(seed: u64, options: &Options, broken: verdict::Broken, args: &SwarmArgs) -> Self {
        let (calls, planted) = (args.calls, args.plans.suffix());
        let again =
            format!("poolshift-sim run --seed {seed} --calls {calls} --scenario swarm{planted}");
        clear_progress();
        let written = args.plans.write(seed, options, broken.law);
        let told = written.as_ref().map_or(String::new(), |plan| format!("  {}\n", plan.told));
        let plan = written.map(|plan| plan.path);
        Self { seed, law: broken.law, what: broken.what, again, plan, told }
    }
}

pub(crate) fn swarm(args: &SwarmArgs, json: bool) -> Result<(), Failure> {
    let SwarmArgs { runs, from_seed, limit, calls, .. } = *args;
    let subject = args.plans.subject()?;
    let began = now(ClockId::Monotonic);
    let mut report = Report::default();
    let runs = runs.unwrap_or(if limit.is_some() { u64::MAX } else { RUNS });
    for seed in (from_seed..=u64::MAX).take(usize::try_from(runs).unwrap_or(usize::MAX)) {
        let spent = now(ClockId::Monotonic).saturating_sub(began);
        // One run at least: a swarm of none would find nothing, and say so.
        let is_late = report.runs > 0 && limit.is_some_and(|limit| spent >= limit);
        if is_late || report.failures.len() >= MOST_FAILURES {
            break;
        }
        let options = Scenario::Swarm.options(seed, calls);
        bounds::check(&options).map_err(|error| Failure::Usage(error.to_string()))?;
        let run = subject.run(seed, options.clone());
        report.runs += 1;
        report.calls += run.ended.as_ref().map_or(0, |ended| ended.calls);
        let first = run.verdict.broken.into_iter().next();
        report.failures.extend(first.map(|first| Broken::of(seed, &options, first, args)));
        progress(&report);
    }
    let printed = match json {
        true => serde_json::to_string(&report).expect("a report is plain data") + "\n",
        false => text(&report),
    };
    clear_progress();
    print(&printed, if report.failures.is_empty() { Ok(()) } else { Err(Failure::Broken) })
}

fn text(report: &Report) -> String {
    let Report { runs, calls, failures } = report;
    let verdict = if failures.is_empty() { "no law broken" } else { "BROKEN" };
    let mut text = format!("{verdict}: {runs} runs, {calls} calls\n");
    for Broken { seed, what, again, told, .. } in failures {
        text.push_str(&format!("  seed {seed}: {what}\n  again: {again}\n{told}"));
    }
    text
}

fn progress(report: &Report) {
    if io::stderr().is_terminal() {
        // What cannot be shown is not worth a failure.
        let _ = write!(io::stderr(), "\r{} runs, {} failures", report.runs, report.failures.len());
    }
}

fn clear_progress() {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}
