//! The shell under swarms of seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use poolshift::Outcome;
use poolshift_sim::shell_rig::plan::RigOptions;
use poolshift_sim::shell_rig::planted::{ShadowBug, hunt};
use poolshift_sim::shell_rig::run::{Report, run};
use poolshift_sim::shell_rig::unnoticed::beside;
use poolshift_sim::trace::{Event, Stamp, TraceHash};

/// Enough that every fault strikes and every outcome occurs, in a few seconds.
const SEEDS: u64 = 60;

fn swarm(seed: u64) -> Report {
    run(seed, &RigOptions::swarm(seed), &mut ())
}

/// The laws hold, and the runs were in the states that put them to the test.
#[test]
fn a_swarm_of_seeds_breaks_no_law() {
    let (mut outcomes, mut struck) = (BTreeMap::new(), BTreeMap::new());
    let (mut left, mut shadows) = (0, 0);
    for seed in 0..SEEDS {
        let report = swarm(seed);
        assert_eq!(report.violations, [], "seed {seed}: {report:#?}");
        for (outcome, count) in report.outcomes {
            *outcomes.entry(outcome).or_insert(0) += count;
        }
        for (number, count) in report.struck {
            *struck.entry(number).or_insert(0) += count;
        }
        left += report.left;
        shadows += report.shadows;
    }
    // A caller that has left is told nothing, so nobody is told that it was cancelled.
    let told: Vec<Outcome> = outcomes.keys().copied().collect();
    let all = Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Cancelled);
    assert_eq!(told, all.collect::<Vec<_>>(), "{outcomes:?}");
    let numbers: Vec<u8> = struck.keys().copied().collect();
    let all = [2, 3, 4, 12, 16, 17, 18, 19, 20, 21, 22, 24, 25, 26, 27, 28, 29, 30];
    assert_eq!(numbers, all, "{struck:?}");
    assert!(left > 100 && shadows > 40, "{left} callers left, {shadows} shadows");
}

#[test]
fn s26_one_seed_has_one_trace_in_one_process() {
    for seed in 0..20 {
        assert_eq!(swarm(seed), swarm(seed), "seed {seed}");
    }
    let hashes: BTreeSet<TraceHash> = (0..20).map(|seed| swarm(seed).hash).collect();
    assert_eq!(hashes.len(), 20, "another seed is another run");
}

/// Another process has other addresses and other random states of its maps.
#[test]
fn s26_one_seed_has_one_trace_in_two_processes() {
    const ASKED: &str = "POOLSHIFT_SIM_TELLS_SHELL_HASHES";
    let hashes: String = (0..20).map(|seed| format!("hash {}\n", swarm(seed).hash)).collect();
    if std::env::var_os(ASKED).is_some() {
        assert!(std::fs::write(std::env::var_os(ASKED).unwrap(), hashes).is_ok());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hashes");
    let this = "shell_rig::s26_one_seed_has_one_trace_in_two_processes";
    let mut other = Command::new(std::env::current_exe().unwrap());
    let other = other.args(["--exact", this]).env(ASKED, &file).output().unwrap();
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stdout));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), hashes);
}

/// The order in which tasks of one moment run is the seed's, not the run queue's.
#[test]
fn hand_offs_explore_other_interleavings() {
    let mut orders = BTreeSet::new();
    for seed in 0..10 {
        let options = RigOptions { faults: 0, most_yields: 0, ..RigOptions::swarm(seed) };
        let plain = kinds(seed, &options);
        let aside = kinds(seed, &RigOptions { most_yields: 8, ..options });
        orders.insert(plain != aside);
    }
    assert!(orders.contains(&true), "stepping aside changes nothing");
}

fn kinds(seed: u64, options: &RigOptions) -> Vec<Event> {
    let mut trace: Vec<(Stamp, Event)> = Vec::new();
    run(seed, options, &mut trace);
    trace.into_iter().map(|(_, event)| event).collect()
}

/// Hung, crashing, slow and lying candidates change nothing for callers.
#[test]
fn s24_callers_are_told_the_same_in_the_same_moment_with_and_without_shadows() {
    let (mut shadows, mut told) = (0, 0);
    for seed in 0..40 {
        let beside = beside(seed, None);
        assert_eq!(beside.violations, [], "seed {seed}");
        shadows += beside.shadows;
        told += beside.told;
    }
    assert!(shadows > 200, "{shadows} shadows of {told} calls");
}

/// A bug that lives longer is one that the rig does not see.
const HUNTED: u64 = 20;

#[test]
fn s24_every_planted_bug_of_shadows_is_killed_by_a_law() {
    let kills = ShadowBug::ALL.map(|bug| (bug.as_str(), hunt(bug, HUNTED)));
    let alive = kills.iter().filter(|(_, kill)| kill.as_ref().is_none_or(|it| it.law == "panic"));
    assert_eq!(alive.count(), 0, "{kills:#?}");
}
