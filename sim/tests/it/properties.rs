//! Crashes and queues under options of any kind: no law is broken, no call is lost, and a failing
//! case shrinks to few calls, few faults and small pools.
//!
//! Seeds are fixed, unless `PROPTEST_RNG_SEED` says otherwise; `PROPTEST_CASES` makes it longer.

use std::time::Duration;

use poolshift::Lane;
use poolshift::machine::OnCancel;
use poolshift_sim::bounds;
use poolshift_sim::fault::{Fault, Strikes};
use poolshift_sim::options::{Arrivals, FaultRates, Options};
use poolshift_sim::planted::{Bug, Infected};
use poolshift_sim::run::{Run, run};
use poolshift_sim::shell_rig::plan::RigOptions;
use poolshift_sim::shell_rig::run as shell;
use poolshift_sim::world::{Product, Rig};
use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{FileFailurePersistence, RngSeed, TestCaseError, TestRunner};

/// Few enough for every test run; more come by `PROPTEST_CASES`.
const CASES: u32 = 48;

fn config(file: &'static str) -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { CASES };
    let rng_seed = match asked.rng_seed {
        RngSeed::Random => RngSeed::Fixed(7),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    let failure_persistence = Some(Box::new(FileFailurePersistence::Direct(file)) as Box<_>);
    ProptestConfig { cases, rng_seed, failure_persistence, ..asked }
}

/// Workers that crash, hang, garble and come back, at any rate at which something else happens.
fn faults() -> impl Strategy<Value = FaultRates> {
    btree_map(select(Fault::ALL.to_vec()), 1_u32..=100, 0..6).prop_map(|percents| {
        let mut rates = FaultRates::NONE;
        for (fault, percent) in percents {
            let most = match fault.strikes() {
                Strikes::Request | Strikes::Plan => 50_000,
                Strikes::Start | Strikes::Stop => 300_000,
                Strikes::Moment => 7200,
            };
            rates.set(fault, most * percent / 100);
        }
        rates
    })
}

/// Queues of any length under any load: the gap between calls is a share of what the pools serve.
fn queues() -> impl Strategy<Value = Options> {
    let sizes = (1..=6_usize, 1..=6_usize);
    let waiting = select(vec![0_usize, 1, 5, 60, 1000]);
    let load = 10..=200_u64;
    let arrivals = prop_oneof![
        Just(Arrivals::Poisson),
        Just(Arrivals::Constant),
        (2_u32..50).prop_map(Arrivals::Bursts),
    ];
    let timeouts = (1..=2000_u64, 50..=3000_u64);
    (sizes, waiting, load, arrivals, timeouts).prop_map(
        |((v2, v3), waiting, load, arrivals, (queue, run))| {
            let mut options = Options { arrivals, ..Options::default() };
            let served = options.mean_service.as_nanos() as u64 * 100 / (v2 + v3) as u64;
            options.mean_gap = Duration::from_nanos(served / load);
            for (lane, size) in [(Lane::V2, v2), (Lane::V3, v3)] {
                let ground = options.lane_mut(lane);
                ground.max_waiting = waiting;
                ground.terms.size = size;
                ground.terms.queue_timeout = Duration::from_millis(queue);
                ground.terms.run_timeout = Duration::from_millis(run);
                ground.terms.budget = Duration::from_millis(queue + run);
            }
            options
        },
    )
}

fn cases() -> impl Strategy<Value = (u64, Options)> {
    let cancels = select(vec![0_u32, 20_000, 300_000]);
    let operators = (select(vec![0_u64, 300, 5000]), select(vec![0_u64, 300, 5000]));
    let kills = any::<bool>();
    let calls = 1..=1500_u64;
    (calls, any::<u64>(), queues(), faults(), cancels, operators, kills).prop_map(
        |(calls, seed, mut options, faults, cancels, (change, resize), kills)| {
            options.calls = calls;
            options.faults = faults;
            options.recycles = 1000;
            options.mix.cancels = (cancels, Duration::from_millis(200));
            options.operators.change_every = Duration::from_millis(change);
            options.operators.resize_every = Duration::from_millis(resize);
            options.operators.sizes = (1, 8);
            let on_cancel = if kills { OnCancel::Kill } else { OnCancel::Drain };
            for lane in [Lane::V2, Lane::V3] {
                options.lane_mut(lane).terms.on_cancel = on_cancel;
            }
            (seed, options)
        },
    )
}

fn holds<R: Rig>(rig: &R, seed: u64, options: &Options) -> Result<Run, TestCaseError> {
    prop_assert!(bounds::check(options).is_ok(), "{:?}", bounds::check(options));
    let run = run(rig, seed, options.clone());
    prop_assert!(run.is_good(), "seed {seed}: {:#?}", run.verdict.broken.first());
    Ok(run)
}

#[test]
fn crashes_and_queues_lose_no_call_and_break_no_law() {
    let mut runner = TestRunner::new(config("tests/properties-regressions/world.txt"));
    let outcome = runner.run(&cases(), |(seed, options)| {
        let ended = holds(&Product, seed, &options)?.ended.expect("a good run has ended");
        let told = ended.closing.lanes.iter().flat_map(|lane| lane.meter.outcomes());
        let finished: u64 = told.map(|(_, count)| count).sum();
        prop_assert_eq!((ended.calls, finished), (options.calls, options.calls));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn the_shell_bears_any_mixture_too() {
    let mut runner = TestRunner::new(config("tests/properties-regressions/shell.txt"));
    let cases = (any::<u64>(), 1..=80_u64, 0..=500_000_u32, 0..=400_000_u32, 0..=8_u64);
    let outcome = runner.run(&cases, |(seed, calls, faults, cancels, most_yields)| {
        let swarm = RigOptions::swarm(seed);
        let options = RigOptions { calls, faults, cancels, most_yields, ..swarm };
        let report = shell::run(seed, &options, &mut ());
        prop_assert!(report.violations.is_empty(), "seed {seed}: {:#?}", report.violations);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// The property is one that can fail, and says so in small numbers.
#[test]
fn a_planted_bug_fails_the_property_and_shrinks() {
    let quiet = ProptestConfig { failure_persistence: None, ..config("unused") };
    let mut runner = TestRunner::new(quiet);
    let infected = Infected(Bug::HalfSentAgain);
    let failure =
        runner.run(&cases(), |(seed, options)| holds(&infected, seed, &options).map(drop));
    let Err(proptest::test_runner::TestError::Fail(why, (_, least))) = failure else {
        panic!("the bug lives: {failure:?}");
    };
    assert!(why.to_string().contains("S14"), "{why}");
    assert!(least.calls < 500, "{} calls", least.calls);
}
