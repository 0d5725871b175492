//! What a call costs does not follow the numbers of workers, of waiting calls, of pins, or of
//! calls so far. By this thread's CPU time, the best of some rounds that take turns: whatever
//! else the machine does can only make a round dearer.

use poolshift::Lane;
use poolshift_sim::steady::{Load, Steady};

const ROUNDS: usize = 8;
const CALLS: usize = 1_000;

/// A logarithm grows so much from 8 workers to 4096; a walk over all workers costs far more.
const WIDE: f64 = 4.0;

/// A logarithm grows 5 times from 10 to 100,000, and each step of a search in so many finds
/// colder memory than in ten. A walk over all would cost a hundred times as much.
const DEEP: f64 = 12.0;

/// What has been before leaves nothing to search.
const OLD: f64 = 1.5;

fn best<const N: usize>(mut steadies: [Steady; N]) -> [f64; N] {
    steadies.iter_mut().for_each(|steady| steady.calls(CALLS));
    let mut best = [f64::INFINITY; N];
    for _ in 0..ROUNDS {
        for (best, steady) in best.iter_mut().zip(&mut steadies) {
            *best = best.min(steady.ns_per_call(CALLS));
        }
    }
    best
}

fn assert_below(bound: f64, what: &str, base: f64, other: f64) {
    let below = other < bound * base;
    assert!(below, "{what}: {base:.0} ns a call became {other:.0}, not below {bound} times");
}

#[test]
fn a_call_costs_as_much_with_many_workers_and_many_waiting_calls() {
    for lane in [Lane::V2, Lane::V3] {
        for load in Load::of(lane) {
            let sizes = [(8, 10), (4096, 10), (8, 100_000)];
            let machine = |(workers, waiting)| Steady::machine(lane, *load, workers, waiting);
            let [small, wide, deep] = best(sizes.map(machine));
            assert_below(WIDE, &format!("{lane} {load:?}, 4096 workers"), small, wide);
            assert_below(DEEP, &format!("{lane} {load:?}, 100,000 waiting"), small, deep);
        }
    }
}

#[test]
fn the_millionth_call_costs_as_much_as_the_thousandth() {
    for lane in [Lane::V2, Lane::V3] {
        let steady = || Steady::machine(lane, Load::Newcomers, 8, 10);
        let mut old = steady();
        old.calls(1_000_000);
        let [young, old] = best([steady(), old]);
        assert_below(OLD, &format!("{lane}, a million calls later"), young, old);
    }
}

#[test]
fn a_decision_costs_as_much_with_many_pins() {
    for all_new in [false, true] {
        let [few, many] = best([10, 100_000].map(|pins| Steady::router(pins, all_new)));
        assert_below(DEEP, &format!("router, all new: {all_new}, 100,000 pins"), few, many);
    }
}
