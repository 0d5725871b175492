//! What a run prints.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use poolshift::Lane;
use poolshift::report::latency::{LaneLatency, table};
use serde::Serialize;

use crate::checkers::{Law, Tally};
use crate::fault::Fault;
use crate::run::Run;
use crate::verdict::Broken;

/// The summary of one run, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The seed.
    pub seed: u64,
    /// The scenario's name.
    pub scenario: &'static str,
    /// The hash of the trace, in hexadecimal.
    pub trace_hash: String,
    /// How many calls were submitted.
    pub calls: u64,
    /// How many events the trace has.
    pub events: u64,
    /// Finished calls by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Broken laws.
    pub violations: Vec<Broken>,
    /// How often each law was checked, and its state reached.
    pub laws: BTreeMap<Law, Tally>,
    /// How often each kind of fault struck.
    pub faults: BTreeMap<&'static str, u64>,
    /// Each lane's latency, in virtual time from the planned arrival.
    pub lanes: BTreeMap<&'static str, LaneLatency>,
    /// How long the run was in virtual time.
    pub virtual_s: f64,
    /// How long it took.
    pub wall_s: f64,
    /// The one over the other.
    pub compression: f64,
    /// Calls over wall time.
    pub calls_per_wall_s: f64,
    /// Calls over processor time.
    pub calls_per_cpu_s: f64,
    /// The file of the shrunk plan, if a law was broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

impl Summary {
    /// The summary of a run.
    #[must_use]
    pub fn of(seed: u64, scenario: &'static str, run: &Run) -> Self {
        let (wall_s, cpu_s) = (run.wall.as_secs_f64(), run.cpu.as_secs_f64());
        let mut summary = Self {
            seed,
            scenario,
            trace_hash: String::new(),
            calls: 0,
            events: 0,
            outcomes: BTreeMap::new(),
            violations: run.verdict.broken.clone(),
            laws: run.verdict.laws.clone(),
            faults: BTreeMap::new(),
            lanes: BTreeMap::new(),
            virtual_s: 0.0,
            wall_s,
            compression: 0.0,
            calls_per_wall_s: 0.0,
            calls_per_cpu_s: 0.0,
            plan: None,
        };
        let Some(ended) = &run.ended else { return summary };
        summary.trace_hash = ended.hash.to_string();
        summary.calls = ended.calls;
        summary.events = ended.events;
        for (lane, closing) in [Lane::V2, Lane::V3].iter().zip(&ended.closing.lanes) {
            summary.lanes.insert(lane.as_str(), LaneLatency::of(&closing.meter));
            for (outcome, count) in closing.meter.outcomes() {
                *summary.outcomes.entry(outcome.as_str()).or_default() += count;
            }
        }
        let struck = Fault::ALL.into_iter().zip(ended.faults).filter(|(_, count)| *count > 0);
        summary.faults = struck.map(|(fault, count)| (fault.as_str(), count)).collect();
        summary.virtual_s = ended.lasted.as_secs_f64();
        summary.compression = summary.virtual_s / wall_s;
        summary.calls_per_wall_s = ended.calls as f64 / wall_s;
        summary.calls_per_cpu_s = ended.calls as f64 / cpu_s;
        summary
    }
}

/// The same for people: verdict first, then what happened, then V2 beside V3. `again` is the
/// command line that repeats the run.
#[must_use]
pub fn text(summary: &Summary, run: &Run, again: &str) -> String {
    let mut text = String::new();
    let verdict = if run.is_good() { "no law broken" } else { "BROKEN" };
    let Summary { seed, scenario, calls, events, .. } = summary;
    let _ = writeln!(
        text,
        "{verdict}: seed {seed}, scenario {scenario}, {calls} calls, {events} events"
    );
    for Broken { law, at_ns, seq, what } in &summary.violations {
        let _ = writeln!(text, "  {law} at {at_ns} ns, event {seq}: {what}");
    }
    if !run.is_good() {
        let _ = writeln!(text, "again: {again}");
    }
    let _ = writeln!(text, "trace {}", summary.trace_hash);
    let counts = |counts: &BTreeMap<&'static str, u64>| {
        let parts = counts.iter().map(|(name, count)| format!("{name} {count}"));
        parts.collect::<Vec<_>>().join(", ")
    };
    let _ = writeln!(text, "outcomes: {}", counts(&summary.outcomes));
    if !summary.faults.is_empty() {
        let _ = writeln!(text, "faults: {}", counts(&summary.faults));
    }
    let _ = writeln!(
        text,
        "{:.1} s in {:.3} s: {:.0} times faster, {:.0} calls a second, {:.0} a CPU second\n",
        summary.virtual_s,
        summary.wall_s,
        summary.compression,
        summary.calls_per_wall_s,
        summary.calls_per_cpu_s,
    );
    if let Some(ended) = &run.ended {
        let [v2, v3] = &ended.closing.lanes;
        text.push_str(&table(&[(Lane::V2, &v2.meter), (Lane::V3, &v3.meter)]));
    }
    text
}
