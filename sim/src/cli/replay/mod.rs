//! `poolshift-sim replay`: a plan once more, line by line.

mod both_worlds;

use std::path::PathBuf;

use clap::Args;
use poolshift_sim::plan::Plan;
use poolshift_sim::report::{Summary, text};
use poolshift_sim::timeline::{Opening, timeline};
use serde::Serialize;

use crate::cli::failure::{Failure, print};
use crate::cli::input::read;
use crate::cli::plans::subject;

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// A plan, as run and swarm write it when a law is broken
    plan: PathBuf,
    /// Replay it on a planted bug, and not on the product
    #[arg(long, value_name = "BUG", hide = true)]
    planted: Option<String>,
    /// Replay it on real Python workers too, and compare how each call ends
    #[arg(long, conflicts_with = "planted")]
    real: bool,
    /// How many times slower the real workers' time goes: 1 to 100
    #[arg(long, requires = "real", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    slower: u32,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// The law that the plan broke when it was written.
    recorded_law: Option<&'a str>,
    timeline: Vec<&'a str>,
}

pub(crate) fn replay(args: &ReplayArgs, json: bool) -> Result<(), Failure> {
    if args.real {
        return both_worlds::replay(&args.plan, args.slower, json);
    }
    let subject = subject(args.planted.as_deref())?;
    let plan = read(&args.plan, Plan::parse)?;
    let mut trace = Opening::default();
    let run = subject.replay(&plan, &mut trace);
    let summary = Summary::of(plan.seed, "replay", &run);
    let told = timeline(&trace, &run.verdict.broken);
    let printed = match json {
        true => {
            let timeline = told.lines().collect();
            let report = Report { summary: &summary, recorded_law: plan.law.as_deref(), timeline };
            serde_json::to_string(&report).expect("a report is plain data") + "\n"
        }
        false => {
            let planted = args.planted.as_ref().map(|bug| format!(" --planted {bug}"));
            let planted = planted.unwrap_or_default();
            let again = format!("poolshift-sim replay {}{planted}", args.plan.display());
            let law = plan.law.as_ref().map(|law| law.escape_debug());
            let law = law.map(|law| format!("the plan broke {law} when it was written\n"));
            format!("{told}\n{}{}", law.unwrap_or_default(), text(&summary, &run, &again))
        }
    };
    print(&printed, if run.is_good() { Ok(()) } else { Err(Failure::Broken) })
}
