//! `poolshift-sim replay`: a plan once more, line by line.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use poolshift_sim::plan::Plan;
use poolshift_sim::report::{Summary, text};
use poolshift_sim::timeline::timeline;
use poolshift_sim::trace::{Event, Stamp};
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::plans::subject;

/// A plan of a million calls is as large; one that was shrunk has some kilobytes.
const MOST_BYTES: u64 = 256 << 20;

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// A plan, as run and swarm write it when a law is broken
    plan: PathBuf,
    /// Replay it on a planted bug, and not on the product
    #[arg(long, value_name = "BUG", hide = true)]
    planted: Option<String>,
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
    let subject = subject(args.planted.as_deref())?;
    let plan = read(&args.plan)?;
    let mut trace: Vec<(Stamp, Event)> = Vec::new();
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
            let law = plan.law.map(|law| format!("the plan broke {law} when it was written\n"));
            format!("{told}\n{}{}", law.unwrap_or_default(), text(&summary, &run, &again))
        }
    };
    io::stdout().write_all(printed.as_bytes()).map_err(Failure::Output)?;
    if run.is_good() { Ok(()) } else { Err(Failure::Broken) }
}

fn read(path: &Path) -> Result<Plan, Failure> {
    let bad = |why: &dyn std::fmt::Display| Failure::Input(format!("{}: {why}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(|error| bad(&error))?;
    let read = file.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| bad(&error))?;
    if read as u64 == MOST_BYTES {
        return Err(bad(&format!("it is larger than {MOST_BYTES} bytes: this is no shrunk plan")));
    }
    Plan::parse(&text).map_err(|error| bad(&error))
}
