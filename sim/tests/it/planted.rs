//! Every planted bug is killed by a law.

use poolshift_sim::planted::{Bug, hunt};

/// A bug that lives longer is one that the rig does not see.
const SEEDS: u64 = 200;

/// Calls of a run; rare meetings need longer ones, which `poolshift-sim planted` makes.
const CALLS: u64 = 3000;

/// Those that need longer runs than a quick test has time for: a health check that fails within
/// half a minute's load, and a wait that reaches its limit.
const RARE: [Bug; 2] = [Bug::BadProbeIgnored, Bug::QueueTimeoutLate];

#[test]
fn every_planted_bug_is_killed_by_a_law() {
    let hunted: Vec<_> = Bug::ALL
        .into_iter()
        .map(|bug| {
            let calls = if RARE.contains(&bug) { 10 * CALLS } else { CALLS };
            (bug.as_str(), hunt(bug, SEEDS, calls))
        })
        .collect();
    let alive: Vec<&str> =
        hunted.iter().filter(|(_, kill)| kill.is_none()).map(|(name, _)| *name).collect();
    assert!(alive.is_empty(), "alive: {alive:?}");
    // A machine's own assertion is no law of the rig.
    assert!(hunted.iter().all(|(_, kill)| kill.as_ref().unwrap().law != "panic"), "{hunted:?}");
    let mut needed: Vec<u64> =
        hunted.iter().map(|(_, kill)| kill.as_ref().unwrap().seeds).collect();
    needed.sort_unstable();
    assert!(needed[needed.len() / 2] <= 20, "{hunted:?}");
}

#[test]
fn the_museum_is_large_enough() {
    assert!(Bug::ALL.len() >= 25);
    assert!(Bug::ALL.iter().filter(|bug| bug.needs_two()).count() >= 10);
}
