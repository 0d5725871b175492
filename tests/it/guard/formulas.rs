//! Each formula beside values by hand, or beside a slow reference that shares no code with it.

use std::time::Duration;

use poolshift::clock::Wall;
use poolshift::router::guard::comparison::Comparison;
use poolshift::router::guard::fuse::{CrashLoop, InARow};
use poolshift::router::guard::limit::{ln_e_above, ln_e_below, zero_failures};
use poolshift::router::guard::mixture::{Mixture, ln_mean_exp};
use poolshift::router::guard::sample_ratio::SampleRatio;
use poolshift::router::guard::slow::Thresholds;
use poolshift::router::guard::{Arm, Arms, Metric, Metrics, Shares};
use poolshift::{Lane, Outcome};
use proptest::prelude::*;

const HARM: [f64; 6] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0];

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0)
}

/// The definition, word by word: products of plain probabilities, and their mean.
fn slow_e(null: f64, alternatives: &[f64], events: &[(f64, bool)]) -> f64 {
    let p = |share: f64, r: f64| share * r / (1.0 - share + share * r);
    let product = |r: f64| -> f64 {
        let ratio = |(share, candidate): &(f64, bool)| match candidate {
            true => p(*share, r) / p(*share, null),
            false => (1.0 - p(*share, r)) / (1.0 - p(*share, null)),
        };
        events.iter().map(ratio).product()
    };
    alternatives.iter().map(|r| product(*r)).sum::<f64>() / alternatives.len() as f64
}

fn told(mut mixture: Mixture, events: &[(f64, bool)]) -> Mixture {
    for (share, candidate) in events {
        mixture.bad(*share, if *candidate { Arm::Candidate } else { Arm::Control });
    }
    mixture
}

fn events() -> impl Strategy<Value = Vec<(f64, bool)>> {
    prop::collection::vec((0.001..0.999, any::<bool>()), 0..40)
}

proptest! {
    #[test]
    fn the_mixture_is_the_mean_of_likelihood_ratios(events in events(), tolerated in 1.0..3.0) {
        let harm = HARM.map(|multiple| multiple * tolerated);
        let ours = told(Mixture::of_harm(tolerated), &events).ln_e();
        prop_assert!(close(ours, slow_e(tolerated, &harm, &events).ln()));
        let unacceptable = tolerated + 0.5;
        let ours = told(Mixture::of_harmlessness(unacceptable), &events).ln_e();
        prop_assert!(close(ours, slow_e(unacceptable, &[1.0, 0.75, 0.5], &events).ln()));
    }

    /// One bad event more in V3 is more harm and less proof; one in V2 the other way round.
    #[test]
    fn evidence_is_monotone_in_bad_events(events in events(), share in 0.001..0.999) {
        let harm = told(Mixture::of_harm(1.25), &events);
        let proof = told(Mixture::of_harmlessness(2.0), &events);
        let (mut more, mut less) = ((harm.clone(), proof.clone()), (harm.clone(), proof.clone()));
        more.0.bad(share, Arm::Candidate);
        more.1.bad(share, Arm::Candidate);
        prop_assert!(more.0.ln_e() > harm.ln_e() && more.1.ln_e() < proof.ln_e());
        less.0.bad(share, Arm::Control);
        less.1.bad(share, Arm::Control);
        prop_assert!(less.0.ln_e() < harm.ln_e() && less.1.ln_e() > proof.ln_e());
    }

    /// The order of events does not matter, nor which process saw them.
    #[test]
    fn evidence_is_a_sum(events in events(), cut in 0_usize..40) {
        let whole = told(Mixture::of_harm(1.25), &events);
        let (here, there) = events.split_at(cut.min(events.len()));
        let mut sum = told(Mixture::of_harm(1.25), there);
        sum.absorb(&told(Mixture::of_harm(1.25), here));
        prop_assert!(close(sum.ln_e(), whole.ln_e()));
    }

    #[test]
    fn a_limit_is_the_likelihood_ratio_of_its_counts(
        limit in 0.001_f64..0.9, units in 0_u64..200, bad_of in 0_u64..200,
    ) {
        let bad = bad_of.min(units);
        let slow = |multiples: &[f64]| -> f64 {
            let product = |multiple: &f64| -> f64 {
                let odds = multiple * limit / (1.0 - limit);
                let p: f64 = odds / (1.0 + odds);
                (p / limit).powi(bad as i32)
                    * ((1.0 - p) / (1.0 - limit)).powi((units - bad) as i32)
            };
            (multiples.iter().map(product).sum::<f64>() / multiples.len() as f64).ln()
        };
        prop_assert!(close(ln_e_above(limit, units, bad), slow(&HARM)));
        prop_assert!(close(ln_e_below(limit, units, bad), slow(&[0.5, 0.25, 0.125])));
    }

    /// The closed form is the product of predictions, draw by draw, in any order.
    #[test]
    fn the_sample_ratio_is_the_product_of_predictions(
        draws in prop::collection::vec(any::<bool>(), 1..300), percent in 1_u32..100,
    ) {
        let share = f64::from(percent) / 100.0;
        let (mut a, mut b, mut slow) = (100.0 * share, 100.0 * (1.0 - share), 0.0);
        let mut ratio = SampleRatio::default();
        ratio.intend(percent.to_string().parse().unwrap());
        for v3 in &draws {
            let total: f64 = a + b;
            slow += if *v3 { (a / total / share).ln() } else { (b / total / (1.0 - share)).ln() };
            *(if *v3 { &mut a } else { &mut b }) += 1.0;
            ratio.drew(Arms { control: u64::from(!*v3), candidate: u64::from(*v3) });
        }
        prop_assert!((ratio.ln_e() - slow).abs() < 1e-9, "{} {slow}", ratio.ln_e());
    }
}

#[test]
fn the_mixture_by_hand() {
    // Half of the units, nothing tolerated: p(r) / p(1) = 2 r / (1 + r) for V3's bad event.
    let one = told(Mixture::of_harm(1.0), &[(0.5, true)]).ln_e();
    let by_hand = [6.0 / 5.0, 4.0 / 3.0, 3.0 / 2.0, 5.0 / 3.0, 20.0 / 11.0, 40.0 / 21.0];
    assert!(close(one, (by_hand.iter().sum::<f64>() / 6.0).ln()), "{one}");
    assert!((one.exp() - 1.570_490).abs() < 1e-6, "{one}");
    // A share of 0.05 and 1.25 tolerated: p(1.25) = 0.0625 / 1.0125, p(12.5) = 0.625 / 1.575.
    let first = told(Mixture::of_harm(1.25), &[(0.05, true)]);
    assert!(close(first.sums()[4], (0.625 / 1.575 * 1.0125 / 0.0625_f64).ln()));
    assert!(close(told(Mixture::of_harm(1.25), &[]).ln_e(), 0.0));
}

#[test]
fn the_chance_of_the_null_is_kept() {
    // The mean of one step is 1 at the edge of the null, and below 1 inside it.
    for share in [0.001, 0.01, 0.05, 0.5, 0.9] {
        let of = |arm| {
            let mut mixture = Mixture::of_harm(1.25);
            mixture.bad(share, arm);
            mixture.ln_e().exp()
        };
        let mean = |r: f64| {
            let p = share * r / (1.0 - share + share * r);
            p * of(Arm::Candidate) + (1.0 - p) * of(Arm::Control)
        };
        assert!((mean(1.25) - 1.0).abs() < 1e-12, "{share}");
        assert!(mean(1.0) < 1.0 && mean(0.5) < mean(1.0) && mean(2.0) > 1.0, "{share}");
    }
}

#[test]
fn logarithms_stay_finite_at_any_length() {
    let (mut harm, mut proof) = (Mixture::of_harm(1.25), Mixture::of_harmlessness(2.0));
    for _ in 0..200_000 {
        harm.bad(0.001, Arm::Candidate);
        proof.bad(0.999, Arm::Control);
    }
    assert!(harm.ln_e() > 500_000.0 && harm.ln_e().is_finite(), "{}", harm.ln_e());
    assert!(proof.ln_e().is_finite());
    assert!(close(ln_mean_exp(&[-1e6, -1e6]), -1e6));
    assert!(ln_e_above(1e-9, u64::MAX, u64::MAX / 2).is_finite());
}

#[test]
fn zero_failures_by_the_table_of_the_note() {
    let limits = [0.001, 0.005, 0.01, 0.02, 0.05];
    assert_eq!(limits.map(|limit| zero_failures(limit, 0.05)), [2995, 598, 299, 149, 59]);
    assert_eq!(limits.map(|limit| zero_failures(limit, 0.01)), [4603, 919, 459, 228, 90]);
    // It is the least such number.
    assert!(0.999_f64.powi(2995) <= 0.05 && 0.999_f64.powi(2994) > 0.05);
}

#[test]
fn the_difference_of_shares_is_mantel_and_haenszels() {
    // Two strata of anonymous calls. V3 is bad 3 in 10 and 1 in 50, V2 1 in 10 and 4 in 400.
    let (first, second) =
        (Arms { control: 10, candidate: 10 }, Arms { control: 400, candidate: 50 });
    let mut comparison = Comparison::new(1.25, 2.0, 2);
    let bad = [(0, first, 1, 3), (1, second, 4, 1)];
    for (stratum, arms, control, candidate) in bad {
        let shares =
            Shares { intended: arms.share().unwrap(), actual: arms.share(), arrived: None };
        (0..control).for_each(|_| comparison.bad(stratum, shares, Arm::Control, false));
        (0..candidate).for_each(|_| comparison.bad(stratum, shares, Arm::Candidate, false));
    }
    let weights = [10.0 * 10.0 / 20.0, 400.0 * 50.0 / 450.0];
    let differences = [0.3 - 0.1, 0.02 - 0.01];
    let expected =
        (weights[0] * differences[0] + weights[1] * differences[1]) / (weights[0] + weights[1]);
    let weight = first.weight() + second.weight();
    assert!(close(weight, weights[0] + weights[1]));
    assert!(close(comparison.difference(weight).unwrap(), expected));
    assert_eq!(comparison.difference(0.0), None);
}

#[test]
fn half_the_evidence_is_pooled_and_half_the_mean_of_the_strata() {
    let mut comparison = Comparison::new(1.0, 2.0, 4);
    let half = Shares { intended: 0.5, actual: Some(0.5), arrived: None };
    comparison.bad(2, half, Arm::Candidate, true);
    // By hand above: 1.570491 pooled and in one stratum; the other three are still at 1.
    let e = 1.570_490_62;
    let expected: f64 = (e + (e + 3.0) / 4.0) / 2.0;
    assert!((comparison.ln_e() - expected.ln()).abs() < 1e-8, "{}", comparison.ln_e().exp());
    assert_eq!(comparison.worst().0, 2);
    // One arm alone tells nothing, but is counted.
    let before = comparison.clone();
    let all = Shares { intended: 1.0, actual: Some(1.0), arrived: None };
    comparison.bad(2, all, Arm::Candidate, true);
    assert!(close(comparison.ln_e(), before.ln_e()));
    assert_eq!(comparison.bad_units().candidate, before.bad_units().candidate + 1);
}

#[test]
fn each_kind_of_evidence_takes_the_share_that_makes_it_weaker() {
    let shares = |intended, actual| Shares { intended, actual, arrived: None };
    let both = |shares: Shares| (shares.high(), shares.low());
    assert_eq!(both(shares(0.05, Some(0.1))), (Some(0.1), Some(0.05)));
    assert_eq!(both(shares(0.05, Some(0.01))), (Some(0.05), Some(0.01)));
    // Nobody yet, or V2 alone: harm is judged by the percentage, and nothing is proven.
    assert_eq!(both(shares(0.05, None)), (Some(0.05), None));
    assert_eq!(both(shares(0.05, Some(0.0))), (Some(0.05), None));
    assert_eq!(both(shares(1.0, Some(0.5))), (None, Some(0.5)));
    assert_eq!(both(shares(0.0, Some(0.0))), (None, None));
    for arm in [Arm::Control, Arm::Candidate] {
        let at = |share| {
            let mut comparison = Comparison::new(1.25, 2.0, 1);
            comparison.bad(0, shares(share, Some(share)), arm, true);
            (comparison.ln_e(), comparison.proof().ln_e())
        };
        assert!(at(0.1).0 < at(0.05).0 && at(0.1).1 > at(0.05).1, "{arm:?}");
        // One above and one below: harm is judged by the higher, proof by the lower.
        for both in [shares(0.05, Some(0.2)), shares(0.2, Some(0.05))] {
            let mut comparison = Comparison::new(1.25, 2.0, 1);
            comparison.bad(0, both, arm, true);
            assert_eq!((comparison.ln_e(), comparison.proof().ln_e()), (at(0.2).0, at(0.05).1));
        }
    }
}

#[test]
fn a_row_breaks_when_a_good_answer_came_between() {
    let mut fuse = InARow::new(3);
    for good in [7, 7, 8, 8] {
        fuse.failed(good);
    }
    assert!(!fuse.is_burnt(), "{:?}", fuse.load());
    fuse.failed(8);
    fuse.failed(9);
    assert!(fuse.is_burnt() && fuse.load() == (3, 3), "a burnt fuse stays burnt");
}

#[test]
fn a_crash_loop_is_deaths_close_together() {
    let at = |fuse: &mut CrashLoop, seconds: u64| fuse.died(Wall::from_millis(seconds * 1000));
    let mut fuse = CrashLoop::new(3, Duration::from_secs(60));
    for seconds in [0, 50, 61, 122, 130] {
        at(&mut fuse, seconds);
    }
    assert!(!fuse.is_burnt(), "{fuse:?}");
    at(&mut fuse, 90);
    assert!(!fuse.is_burnt(), "the clock was put back: {fuse:?}");
    at(&mut fuse, 91);
    at(&mut fuse, 150);
    assert!(fuse.is_burnt());
    at(&mut fuse, 10_000);
    assert!(fuse.is_burnt(), "a burnt fuse stays burnt");
}

#[test]
fn a_draw_that_0_or_100_exclude_is_a_stray() {
    let mut ratio = SampleRatio::default();
    ratio.drew(Arms { control: 1000, candidate: 0 });
    assert_eq!((ratio.strays(), ratio.ln_e()), (0, 0.0));
    ratio.drew(Arms { control: 0, candidate: 1 });
    ratio.intend("100".parse().unwrap());
    ratio.drew(Arms { control: 2, candidate: 50 });
    assert_eq!(ratio.strays(), 3);
}

#[test]
fn evidence_of_a_wrong_share_stays_when_the_percentage_moves() {
    let mut ratio = SampleRatio::default();
    ratio.intend("5".parse().unwrap());
    ratio.drew(Arms { control: 900, candidate: 100 });
    let (before, needed) = (ratio.ln_e(), 1000_f64.ln());
    assert!(before > needed, "twice the share over 1000 draws: {before}");
    ratio.intend("25".parse().unwrap());
    assert_eq!(ratio.ln_e().to_bits(), before.to_bits());
    ratio.drew(Arms { control: 750, candidate: 250 });
    assert!(ratio.ln_e() < before, "as it should be is evidence of none");
}

#[test]
fn slow_is_beyond_what_v2_took_and_only_if_v2_had_calls_enough() {
    let mut slow = Thresholds::default();
    let quantile = |share: f64| Duration::from_millis((share * 100.0).round() as u64);
    slow.freeze("many", 3000, quantile);
    slow.freeze("some", 300, quantile);
    slow.freeze("few", 59, quantile);
    let beyond = |command, millis| {
        let beyond = slow.beyond(command, Duration::from_millis(millis));
        beyond.iter().map(Metric::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(beyond("many", 50), "");
    assert_eq!(beyond("many", 51), "slow_p50");
    assert_eq!(beyond("many", 100), "slow_p50 slow_p90 slow_p99");
    assert_eq!(beyond("some", 100), "slow_p50 slow_p90");
    assert_eq!((beyond("few", 100), beyond("none", 100)), (String::new(), String::new()));
}

#[test]
fn each_outcome_is_bad_in_its_own_way() {
    let slow = Thresholds::default();
    let of = |outcome| {
        let bad = Metrics::of(outcome, "c", Duration::ZERO, &slow)?;
        Some(bad.iter().map(Metric::as_str).collect::<Vec<_>>().join(" "))
    };
    let late = "slow_p50 slow_p90 slow_p99";
    for outcome in Outcome::ALL {
        let expected = match outcome {
            Outcome::Ok => Some(String::new()),
            Outcome::QueueTimeout | Outcome::ExecTimeout => Some(format!("timeouts {late}")),
            Outcome::Cancelled | Outcome::Draining => None,
            _ => Some(format!("errors {late}")),
        };
        assert_eq!(of(outcome), expected, "{outcome:?}");
    }
    assert!(Metric::ALL.iter().all(|metric| Metric::named(metric.as_str()) == Some(*metric)));
    assert_eq!((Arm::from(Lane::V2), Arm::from(Lane::V3)), (Arm::Control, Arm::Candidate));
}
