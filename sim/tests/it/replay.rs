//! A run as a plan: recorded, shrunk, replayed.

use std::path::Path;

use poolshift_sim::hazard::Strike;
use poolshift_sim::plan::Plan;
use poolshift_sim::planted::{Bug, Infected};
use poolshift_sim::run::{Run, run};
use poolshift_sim::scenario::Scenario;
use poolshift_sim::shrink::{Budget, Shrunk, shrink};
use poolshift_sim::subject::Subject;
use poolshift_sim::trace::{Event, Stamp};
use poolshift_sim::world::{Product, World};

fn laws(run: &Run) -> Vec<&'static str> {
    run.verdict.broken.iter().map(|broken| broken.law).collect()
}

#[test]
fn s26_a_recorded_plan_gives_the_trace_of_its_run_from_memory_and_from_its_file() {
    for (scenario, seeds) in [(Scenario::Full, 0..4), (Scenario::Swarm, 0..16)] {
        for seed in seeds {
            let options = scenario.options(seed, 2000);
            let plain = run(&Product, seed, options.clone()).ended.unwrap();
            let (plan, recorded) = Plan::record(&Product, seed, &options);
            let place = format!("{scenario:?}, seed {seed}");
            assert_eq!(recorded.ended.unwrap().hash, plain.hash, "{place}");
            let again = plan.replay(&Product, &mut ());
            assert_eq!(again.ended.unwrap().hash, plain.hash, "{place}");
            let text = plan.to_text();
            let read = Plan::parse(&text).unwrap_or_else(|error| panic!("{place}: {error}"));
            assert_eq!(read.to_text(), text, "{place}");
            let again = read.replay(&Product, &mut ());
            assert_eq!(again.ended.unwrap().hash, plain.hash, "{place}");
        }
    }
}

/// What happens to a call up to the moment of its first lease, and how long it is worked on.
fn stories(trace: &[(Stamp, Event)], call: u64) -> Vec<String> {
    let of_call = trace.iter().filter(|(_, event)| match event {
        Event::Submit { call: of, .. } | Event::Executes { call: of, .. } => of.0 == call,
        Event::Reply { call: of, .. } => of.0 == call,
        _ => false,
    });
    of_call.map(|(stamp, event)| format!("{:?} {event:?}", stamp.at)).collect()
}

#[test]
fn what_is_left_of_a_plan_happens_as_it_did() {
    let mut options = Scenario::Plain.options(3, 60);
    options.operators.percent = "100".parse().unwrap();
    let (plan, _) = Plan::record(&Product, 3, &options);
    let trace = |plan: &Plan| {
        let mut trace: Vec<(Stamp, Event)> = Vec::new();
        plan.replay(&Product, &mut trace);
        trace
    };
    let whole = trace(&plan);
    let mut half = plan.clone();
    half.calls.retain(|call| call.call.0 % 2 == 1);
    let left = trace(&half);
    // Calls that found an idle worker in both runs were worked on for as long, but the workers
    // may be others.
    let durations = |trace: &[(Stamp, Event)], call: u64| {
        let at = |wanted: fn(&Event) -> bool| {
            let mut of_call = trace.iter().filter(|(_, event)| match event {
                Event::Executes { call: of, .. } | Event::Reply { call: of, .. } => of.0 == call,
                _ => false,
            });
            of_call.find(|(_, event)| wanted(event)).map(|(stamp, _)| stamp.at)
        };
        let began = at(|event| matches!(event, Event::Executes { .. }));
        let ended = at(|event| matches!(event, Event::Reply { .. }));
        ended.unwrap().since(began.unwrap())
    };
    for call in half.calls.iter().map(|call| call.call.0) {
        assert_eq!(durations(&whole, call), durations(&left, call), "call {call}");
        assert_eq!(stories(&whole, call)[0], stories(&left, call)[0], "call {call}");
    }
}

fn shrunk(bug: Bug, seed: u64) -> (Shrunk, &'static str) {
    let options = Scenario::Swarm.options(seed, 1500);
    let failed = run(&Infected(bug), seed, options.clone());
    let law = laws(&failed)[0];
    let shrunk = shrink(&Infected(bug), seed, &options, law, Budget::USUAL);
    (shrunk.unwrap_or_else(|| panic!("{bug:?} breaks {law} no more")), law)
}

fn first_seed(bug: Bug) -> u64 {
    let fails = |seed: &u64| {
        let run = run(&Infected(bug), *seed, Scenario::Swarm.options(*seed, 1500));
        run.verdict.broken.first().is_some_and(|broken| broken.law != "panic")
    };
    (1..200).find(fails).unwrap_or_else(|| panic!("{bug:?} lives"))
}

/// The most events that a shrunk plan may have; two or three were measured for each.
const SMALL: [(Bug, usize); 8] = [
    (Bug::CancelledIdle, 6),
    (Bug::LossUntold, 6),
    (Bug::KillReadOnce, 6),
    (Bug::StaleReady, 6),
    (Bug::HalfSentAgain, 6),
    (Bug::PinsForgotten, 6),
    (Bug::ShrinkIgnored, 6),
    (Bug::AffinityForgotten, 6),
];

#[test]
fn a_failing_run_shrinks_to_a_few_events_that_break_the_same_law() {
    let mut sizes = Vec::new();
    for (bug, most) in SMALL {
        let seed = first_seed(bug);
        let (Shrunk { plan, is_minimal, .. }, law) = shrunk(bug, seed);
        sizes.push((bug, plan.events(), most));
        assert!(is_minimal, "{bug:?}");
        assert_eq!(plan.law.as_deref(), Some(law));
        let read = Plan::parse(&plan.to_text()).unwrap();
        assert!(laws(&read.replay(&Infected(bug), &mut ())).contains(&law), "{bug:?}");
        let product = read.replay(&Product, &mut ());
        assert!(product.is_good(), "{bug:?}: {:?}", product.verdict.broken);
    }
    assert!(sizes.iter().all(|(_, events, most)| events <= most), "{sizes:?}");
}

#[test]
fn a_shrunk_plan_has_nothing_that_can_go() {
    let bug = Bug::HalfSentAgain;
    let (Shrunk { plan, .. }, law) = shrunk(bug, first_seed(bug));
    let breaks = |plan: &Plan| laws(&plan.replay(&Infected(bug), &mut ())).contains(&law);
    for index in 0..plan.calls.len().max(plan.strikes.len()) {
        let mut less = plan.clone();
        if index < less.calls.len() && less.calls.len() > 1 {
            less.calls.remove(index);
            assert!(!breaks(&less), "call {index}\n{}", plan.to_text());
        }
        let mut less = plan.clone();
        if index < less.strikes.len() {
            less.strikes.remove(index);
            assert!(!breaks(&less), "strike {index}\n{}", plan.to_text());
        }
    }
    assert!(plan.strikes.iter().any(|strike| matches!(strike, Strike::Request { .. })));
}

#[test]
fn shrinking_is_a_function_of_the_failing_run_and_keeps_its_budget() {
    let bug = Bug::GarbageForgiven;
    let seed = first_seed(bug);
    let (first, law) = shrunk(bug, seed);
    let (again, _) = shrunk(bug, seed);
    assert_eq!(first.plan.to_text(), again.plan.to_text());
    assert_eq!(first.runs, again.runs);
    let options = Scenario::Swarm.options(seed, 1500);
    let budget = Budget { runs: 10, ..Budget::USUAL };
    let hasty = shrink(&Infected(bug), seed, &options, law, budget).unwrap();
    assert_eq!((hasty.runs, hasty.is_minimal), (10, false));
    assert!(hasty.plan.events() > first.plan.events());
}

/// Plans of planted bugs, named after them. A change of the format, or of how a world happens,
/// shows here. `poolshift-sim swarm --planted BUG --plan-dir FOLDER` writes them anew.
#[test]
fn committed_plans_break_their_law_on_the_bug_and_none_on_the_product() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let plan = Plan::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(plan.to_text(), text, "{name} is not as it would be written");
        let law = plan.law.clone().unwrap();
        let infected = Subject::named(Some(name)).unwrap().replay(&plan, &mut ());
        assert!(laws(&infected).contains(&law.as_str()), "{name}: {:?}", laws(&infected));
        let product = Subject::Product.replay(&plan, &mut ());
        assert!(product.is_good(), "{name}: {:?}", product.verdict.broken);
        count += 1;
    }
    assert!(count >= 10, "{count} plans");
}

#[test]
fn a_world_is_the_same_whoever_looks_on() {
    let options = Scenario::Full.options(9, 500);
    let quiet = World::new(&Product, 9, options.clone(), ()).run().hash;
    let (plan, _) = Plan::record(&Product, 9, &options);
    let mut trace: Vec<(Stamp, Event)> = Vec::new();
    assert_eq!(plan.replay(&Product, &mut trace).ended.unwrap().hash, quiet);
}
