//! S24: callers notice nothing of shadows. Judged from one run, by what was shadowed; and from a
//! run beside the same run without shadows, by what callers were told and what was saved.

use std::collections::{BTreeMap, BTreeSet};

use poolshift::clock::Moment;
use poolshift::{Class, Lane, Outcome};

use crate::checkers::Law;
use crate::options::PerMillion;
use crate::shell_rig::journal::Shadow;
use crate::shell_rig::plan::RigOptions;
use crate::shell_rig::planted::ShadowBug;
use crate::shell_rig::run::{Report, run};
use crate::trace::{CallNo, Event, Stamp};
use crate::verdict::Broken;

/// A shadow is of a read that a worker had and its caller was told of, comes once, and runs in the
/// other lane unless a share of them is `noise`.
pub(super) fn strays(
    trace: &[(Stamp, Event)],
    shadows: &[Shadow],
    noise: PerMillion,
) -> Vec<Broken> {
    use Outcome::{ExecTimeout, Ok, Raised};
    let mut classes: BTreeMap<CallNo, Class> = BTreeMap::new();
    let mut lanes: BTreeMap<CallNo, Lane> = BTreeMap::new();
    let mut answered: BTreeMap<CallNo, u64> = BTreeMap::new();
    for (stamp, event) in trace {
        match *event {
            Event::Submit { call, class, .. } => drop(classes.insert(call, class)),
            Event::Route { call, lane, .. } => drop(lanes.insert(call, lane)),
            Event::Done { call, outcome: Ok | Raised | ExecTimeout, .. } => {
                answered.insert(call, stamp.seq);
            }
            _ => {}
        }
    }
    let mut seen = BTreeSet::new();
    let mut is_stray = |shadow: &Shadow| {
        let is_read = classes.get(&shadow.call) == Some(&Class::Read);
        let is_over = answered.get(&shadow.call).is_some_and(|seq| *seq < shadow.seq);
        let is_at_home = lanes.get(&shadow.call) == Some(&shadow.lane);
        !is_read || !is_over || is_at_home && noise == 0 || !seen.insert(shadow.call)
    };
    let told = |shadow: &Shadow| {
        let Shadow { lane, call, seq } = *shadow;
        let what = format!("{lane} executed a shadow of call {}, which had none to have", call.0);
        Broken { law: Law::S24.as_str(), at_ns: 0, seq, what }
    };
    shadows.iter().filter(|shadow| is_stray(shadow)).map(told).collect()
}

/// A run with shadows beside the same run without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Callers that were told something.
    pub told: usize,
    /// Shadows that were executed.
    pub shadows: u64,
    /// What was broken.
    pub violations: Vec<Broken>,
}

/// V2 answers everybody, and V3 has nothing to do but shadows that hang, crash, dawdle and lie.
/// Each caller is told the same, by the same worker, in the same nanosecond, and as much is saved.
#[must_use]
pub fn beside(seed: u64, bug: Option<ShadowBug>) -> Beside {
    let swarm = RigOptions::swarm(seed);
    let sizes = [swarm.sizes[0], 4];
    let swarm = RigOptions { moves: 0, sizes, shadow_faults: 900_000, bug, ..swarm };
    let (without, quiet) = told(seed, &RigOptions { shadows: [0, 0], ..swarm.clone() });
    let (with, report) = told(seed, &RigOptions { shadows: [1_000_000, 0], ..swarm });
    let mut violations = report.violations;
    let calls = without.keys().chain(with.keys()).collect::<BTreeSet<_>>();
    let differs = calls.into_iter().filter(|call| without.get(call) != with.get(call));
    violations.extend(differs.map(|call| {
        let (without, with) = (without.get(call), with.get(call));
        let what = format!("call {call}: {without:?} without shadows, {with:?} with them");
        Broken { law: Law::S24.as_str(), at_ns: 0, seq: 0, what }
    }));
    if quiet.saved != report.saved {
        let (quiet, saved) = (quiet.saved, report.saved);
        let what = format!("saved {quiet:?} without shadows, {saved:?} with them");
        violations.push(Broken { law: Law::S24.as_str(), at_ns: 0, seq: 0, what });
    }
    Beside { told: with.len(), shadows: report.shadows, violations }
}

/// What each caller could see of a run, with its moments. Who comes first within a moment is
/// nobody's promise.
fn told(seed: u64, options: &RigOptions) -> (BTreeMap<u64, Vec<(Moment, Event)>>, Report) {
    let mut trace: Vec<(Stamp, Event)> = Vec::new();
    let report = run(seed, options, &mut trace);
    let mut told: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for (stamp, event) in trace {
        match event {
            Event::Submit { call, .. } | Event::Route { call, .. } | Event::Done { call, .. } => {
                told.entry(call.0).or_default().push((stamp.at, event));
            }
            _ => {}
        }
    }
    (told, report)
}
