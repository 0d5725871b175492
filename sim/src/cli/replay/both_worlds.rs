//! `poolshift-sim replay --real`: one plan, two worlds.

use std::fmt::Write as _;
use std::path::Path;

use poolshift_sim::plan::Plan;
use poolshift_sim::real::ending::Ending;
use poolshift_sim::real::error::RealError;
use poolshift_sim::real::replay::{Compared, Replayed, replay as replay_plan};
use poolshift_sim::real::stop::Stop;
use poolshift_sim::timeline::timeline;
use poolshift_sim::verdict::Broken;
use serde::Serialize;

use crate::cli::failure::{Failure, print};
use crate::cli::input::read;

#[derive(Debug, Serialize)]
struct Report<'a> {
    slower: u32,
    calls: Vec<Call>,
    /// Calls that ended otherwise than in the simulated world.
    differing: usize,
    /// Events that have no real means; calls from then on are not compared.
    missing: &'a [String],
    violations: &'a [Broken],
    timeline: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct Call {
    call: u64,
    simulated: Option<Ending>,
    real: Option<Ending>,
    compared: bool,
}

pub(super) fn replay(path: &Path, slower: u32, json: bool) -> Result<(), Failure> {
    let plan = read(path, Plan::parse)?;
    let stop = Stop::listen(false).map_err(RealError::from);
    let replayed = stop.and_then(|stop| replay_plan(&plan, slower, &stop));
    let replayed = replayed.map_err(|error| failure(&error))?;
    let told = timeline(&replayed.trace, &replayed.broken);
    let printed = match json {
        true => {
            let report = report(&replayed, slower, &told);
            serde_json::to_string(&report).expect("a report is plain data") + "\n"
        }
        false => format!("{told}\n{}", text(&replayed)),
    };
    print(&printed, if replayed.is_good() { Ok(()) } else { Err(Failure::Gate) })
}

fn failure(error: &RealError) -> Failure {
    match error {
        RealError::Impossible(_) | RealError::Config(_) => Failure::Input(error.to_string()),
        RealError::Shim(_) | RealError::Io(_) => Failure::Failed(error.to_string()),
        RealError::Interrupted => Failure::Interrupted,
    }
}

fn report<'a>(replayed: &'a Replayed, slower: u32, told: &'a str) -> Report<'a> {
    let Replayed { calls, missing, broken, .. } = replayed;
    let call = |&Compared { call, simulated, real, is_comparable: compared }: &Compared| Call {
        call: call.0,
        simulated,
        real,
        compared,
    };
    Report {
        slower,
        calls: calls.iter().map(call).collect(),
        differing: calls.iter().filter(|call| call.differs()).count(),
        missing,
        violations: broken,
        timeline: told.lines().collect(),
    }
}

fn text(replayed: &Replayed) -> String {
    let mut text = format!("{:>8}  {:<26}{:<26}\n", "call", "simulated", "real");
    for compared in &replayed.calls {
        let mark = match (compared.differs(), compared.is_comparable) {
            (true, _) => "DIFFERS",
            (false, true) => "",
            (false, false) => "not compared",
        };
        let [simulated, real] = [compared.simulated, compared.real].map(ending);
        let line = format!("{:>8}  {simulated:<26}{real:<26}{mark}", compared.call.0);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for missing in &replayed.missing {
        let _ = writeln!(text, "no real means: {missing}");
    }
    let differing = replayed.calls.iter().filter(|call| call.differs()).count();
    let calls = replayed.calls.len();
    let broken = replayed.broken.len();
    let _ = writeln!(text, "{differing} of {calls} calls end otherwise; {broken} laws broken");
    text
}

fn ending(ending: Option<Ending>) -> String {
    let Some(Ending { outcome, ran }) = ending else { return "no end".to_owned() };
    let ran = ran.map_or(String::new(), |ran| format!(", ran: {}", ran.as_str()));
    format!("{}{ran}", outcome.as_str())
}
