//! `poolshift-sim planted`: the rig against every planted bug.

use std::fmt::Write as _;

use clap::Args;
use poolshift_sim::bounds;
use poolshift_sim::planted::{self, Bug, Kill};
use poolshift_sim::scenario::Scenario;
use poolshift_sim::shell_rig::planted::{self as shell, ShadowBug};
use serde::Serialize;

use crate::cli::failure::{Failure, print};

#[derive(Debug, Args)]
pub(crate) struct PlantedArgs {
    /// How many seeds a bug may outlive before it counts as alive
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Calls of each run
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..))]
    calls: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    bugs: Vec<Row>,
    killed: usize,
    total: usize,
    /// Over the bugs that were killed.
    median_seeds_to_kill: u64,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    story: &'static str,
    needs_two: bool,
    killed: bool,
    law: Option<&'static str>,
    seeds_to_kill: Option<u64>,
    /// The scenario of the last of them.
    scenario: Option<&'static str>,
}

pub(crate) fn planted(args: &PlantedArgs, json: bool) -> Result<(), Failure> {
    let PlantedArgs { seeds, calls } = *args;
    bounds::check(&Scenario::Full.options(1, calls))
        .map_err(|error| Failure::Usage(error.to_string()))?;
    // An assertion that a bug fails is a find, which the table tells.
    std::panic::set_hook(Box::new(|_| {}));
    let machines = Bug::ALL.into_iter().map(|bug| {
        let kill = planted::hunt(bug, seeds, calls);
        Row::of(bug.as_str(), bug.story(), bug.needs_two(), kill)
    });
    let shadows = ShadowBug::ALL
        .into_iter()
        .map(|bug| Row::of(bug.as_str(), bug.story(), false, shell::hunt(bug, seeds)));
    let bugs: Vec<Row> = machines.chain(shadows).collect();
    drop(std::panic::take_hook());
    let mut needed: Vec<u64> = bugs.iter().filter_map(|row| row.seeds_to_kill).collect();
    needed.sort_unstable();
    let (killed, total) = (needed.len(), bugs.len());
    let median_seeds_to_kill = needed.get(killed / 2).copied().unwrap_or(0);
    let report = Report { bugs, killed, total, median_seeds_to_kill };
    let printed = match json {
        true => serde_json::to_string(&report).expect("a report is plain data") + "\n",
        false => text(&report),
    };
    print(&printed, if killed == total { Ok(()) } else { Err(Failure::Broken) })
}

impl Row {
    fn of(name: &'static str, story: &'static str, needs_two: bool, kill: Option<Kill>) -> Self {
        let law = kill.as_ref().map(|kill| kill.law);
        let scenario = kill.as_ref().map(|kill| kill.scenario);
        let seeds_to_kill = kill.map(|kill| kill.seeds);
        Self { name, story, needs_two, killed: law.is_some(), law, seeds_to_kill, scenario }
    }
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "{:<22} {:<6} {:>5} {:<8}  what somebody did wrong\n",
        "bug", "law", "seeds", "scenario"
    );
    for Row { name, story, law, seeds_to_kill, scenario, .. } in &report.bugs {
        let seeds = seeds_to_kill.map_or("-".to_owned(), |seeds| seeds.to_string());
        let (law, scenario) = (law.unwrap_or("ALIVE"), scenario.unwrap_or("-"));
        let _ = writeln!(text, "{name:<22} {law:<6} {seeds:>5} {scenario:<8}  {story}");
    }
    let Report { killed, total, median_seeds_to_kill, .. } = report;
    let _ = writeln!(text, "{killed} of {total} killed, median after {median_seeds_to_kill} seeds");
    text
}
