//! How often the guards err, and how soon they see: measured, and printed beside the bounds.
//!
//! The seeds were written down before the first run; every one of them is played and printed.

#![expect(clippy::print_stdout, reason = "the figures are to be read, with --nocapture")]

use poolshift::router::guard::comparison::Comparison;

use crate::guard::traffic::{Alarm, COMMANDS, Traffic, play};

const SEEDS: [u64; 3] = [1, 2, 3];
const ALPHA: f64 = 0.001;

const RAMP: Traffic = Traffic {
    steps: &[10_000, 50_000, 100_000, 250_000, 500_000],
    calls: 1000,
    session_calls: 5,
    rate: 0.05,
    ratio: 1.0,
    only: None,
    poisoned: 0,
    per_call: false,
};

/// One guard alone at `alpha`: a plan with more of them asks more of each.
fn enough(comparison: &Comparison) -> bool {
    comparison.ln_e() >= (1.0 / ALPHA).ln()
}

fn alarms(traffic: &Traffic, seed: u64, runs: u64) -> Vec<Alarm> {
    (0..runs).filter_map(|run| play(traffic, (seed, run), enough)).collect()
}

/// The share of ramps that were rolled back though V3 was no worse than tolerated.
fn false_alarms(what: &str, traffic: &Traffic, runs: u64) -> f64 {
    let alarms = SEEDS.map(|seed| alarms(traffic, seed, runs).len() as u64);
    let total = runs * SEEDS.len() as u64;
    let rate = alarms.iter().sum::<u64>() as f64 / total as f64;
    println!("false rollbacks, {what}: {:.3} % of {total} ramps ({alarms:?})", rate * 100.0);
    rate
}

/// Median of V3's bad units until the alarm, and the share of runs that saw one.
fn detection(what: &str, traffic: &Traffic, runs: u64) -> Vec<(u64, f64)> {
    let of = |seed: &u64| {
        let mut bad: Vec<u64> =
            alarms(traffic, *seed, runs).iter().map(|alarm| alarm.bad.candidate).collect();
        bad.sort_unstable();
        let seen = bad.len() as f64 / runs as f64;
        // Whoever saw nothing is beyond all who did.
        (bad.get(runs as usize / 2).copied().unwrap_or(u64::MAX), seen)
    };
    let all: Vec<(u64, f64)> = SEEDS.iter().map(of).collect();
    let shown = |(median, seen): &(u64, f64)| match *median {
        u64::MAX => format!("none ({:.0} % seen)", seen * 100.0),
        median => format!("{median} ({:.0} % seen)", seen * 100.0),
    };
    let shown: Vec<String> = all.iter().map(shown).collect();
    println!("median V3 bad units to see {what}, {runs} runs a seed: {}", shown.join(", "));
    all
}

/// As the acceptance of the ramp asks, at an `alpha` of 0.001.
const MOST: f64 = 0.003;

#[test]
fn a_good_v3_is_not_rolled_back() {
    assert!(false_alarms("V3 as V2", &RAMP, 250) <= MOST);
    let edge = Traffic { ratio: 1.25, ..RAMP };
    assert!(false_alarms("V3 at 1.25 times", &edge, 250) <= MOST);
}

#[test]
fn poisoned_sessions_are_no_false_alarm_if_units_are_sessions() {
    let poisoned = Traffic { poisoned: 10_000, rate: 0.005, ..RAMP };
    assert!(false_alarms("1 % poisoned sessions x 20 calls", &poisoned, 250) <= MOST);
    // The same traffic counted call by call: the trap is there.
    let per_call = Traffic { per_call: true, ..poisoned };
    assert!(false_alarms("the same, counted by call", &per_call, 100) > 0.02);
}

#[test]
fn ten_times_the_failures_at_5_percent_are_seen_soon() {
    let tenfold = Traffic { steps: &[50_000], calls: 60_000, rate: 0.002, ratio: 10.0, ..RAMP };
    for (median, seen) in detection("10x at 5 %", &tenfold, 40) {
        assert!(median <= 20 && seen > 0.95, "{median} {seen}");
    }
    let one_command = Traffic { only: Some(2), calls: 200_000, ..tenfold };
    let what = format!("10x in {} alone at 5 %", COMMANDS[2].0);
    for (median, seen) in detection(&what, &one_command, 15) {
        assert!(median <= 20 && seen > 0.9, "{median} {seen}");
    }
}

/// As in the acceptance of the ramp: 2000 ramps for each seed, and more kinds of traffic.
#[test]
#[ignore = "minutes; run by name, in release"]
fn false_alarms_at_length() {
    let long = Traffic { calls: 4000, ..RAMP };
    let anonymous = Traffic { session_calls: 1, ..long };
    let little = Traffic { calls: 150, rate: 0.15, ..RAMP };
    let poisoned = Traffic { poisoned: 10_000, rate: 0.005, calls: 8000, ..RAMP };
    let kinds = [
        ("sessions of 5 calls", long),
        ("sessions of 50 calls", Traffic { session_calls: 50, ..long }),
        ("anonymous calls", anonymous),
        ("little traffic, failures common", little),
        ("little anonymous traffic, the same", Traffic { session_calls: 1, ..little }),
        ("failures rare", Traffic { calls: 8000, rate: 0.002, ..RAMP }),
        ("1 % poisoned x 20", poisoned),
    ];
    for (what, traffic) in kinds {
        for ratio in [1.0, 1.25] {
            let what = format!("{what}, V3 at {ratio} times");
            let rate = false_alarms(&what, &Traffic { ratio, ..traffic }, 2000);
            assert!(rate <= MOST, "{what}: {rate}");
        }
    }
    let per_call = Traffic { per_call: true, ..poisoned };
    assert!(false_alarms("1 % poisoned x 20, counted by call (the trap)", &per_call, 2000) > MOST);
}

/// The table of the note, measured.
#[test]
#[ignore = "minutes; run by name, in release"]
fn detection_at_length() {
    for (steps, share) in [(&[10_000][..], "1"), (&[50_000], "5"), (&[500_000], "50")] {
        for ratio in [2.0, 3.0, 5.0, 10.0, 50.0] {
            let one = Traffic { steps, calls: 400_000, rate: 0.002, ratio, ..RAMP };
            let seen = detection(&format!("{ratio}x at {share} %"), &one, 200);
            if (ratio, share) == (10.0, "5") {
                assert!(seen.iter().all(|(median, _)| *median <= 20), "{seen:?}");
            }
        }
    }
}
