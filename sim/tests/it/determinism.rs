//! S26: a run is a function of its seed, its options and the code.

use std::collections::BTreeSet;

use poolshift_sim::run::run;
use poolshift_sim::scenario::Scenario;
use poolshift_sim::trace::TraceHash;
use poolshift_sim::world::Product;

fn hash(scenario: Scenario, seed: u64) -> TraceHash {
    let run = run(&Product, seed, scenario.options(seed, 3000));
    assert!(run.is_good(), "{scenario:?}, seed {seed}: {:?}", run.verdict.broken);
    run.ended.unwrap().hash
}

#[test]
fn s26_two_runs_in_one_process_have_one_trace() {
    for scenario in [Scenario::Plain, Scenario::Full, Scenario::Swarm] {
        for seed in 0..5 {
            assert_eq!(hash(scenario, seed), hash(scenario, seed), "{scenario:?}, seed {seed}");
        }
    }
}

#[test]
fn another_seed_is_another_run() {
    let hashes: BTreeSet<TraceHash> = (0..20).map(|seed| hash(Scenario::Full, seed)).collect();
    assert_eq!(hashes.len(), 20);
}
