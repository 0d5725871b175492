//! Verdicts: what says what, which word wins, and that each can be computed again.

use std::collections::BTreeMap;
use std::time::Duration;

use poolshift::router::guard::limit::zero_failures;
use poolshift::router::guard::slow::Thresholds;
use poolshift::router::guard::{Arm, Arms, Drawn, Guards, Unit};
use poolshift::router::ramp::{
    Capacity, Check, Drill, Finding, Plan, Position, Ramp, Says, Situation, Verdict, assess,
};
use poolshift::router::stage::By;
use poolshift::{Class, Outcome};

use crate::ramp::{ROOM, at, drilled, plan, strata};

/// A ramp in its first step, with guards that know of it.
fn begun() -> (Ramp, Guards) {
    let mut ramp = Ramp::start(plan(), at(0));
    let guards = Guards::new("b", plan().guards, strata(), Thresholds::default());
    let verdict = judged(&ramp, Some(&guards), at(1), |_| ());
    assert_eq!(verdict.verdict, Says::Advance, "no shadow is asked for: {:?}", verdict.findings);
    ramp.follow(&verdict, at(1)).unwrap();
    let mut guards = guards;
    begin(&ramp, &mut guards);
    (ramp, guards)
}

fn begin(ramp: &Ramp, guards: &mut Guards) {
    let drawn = Drawn { calls: ramp.percents(), comparisons: "50".parse().unwrap() };
    guards.begin_step(ramp.number(), drawn, &ramp.step().unwrap().classes);
}

fn judged(
    ramp: &Ramp,
    guards: Option<&Guards>,
    now: poolshift::clock::Wall,
    change: impl Fn(&mut Situation<'_>),
) -> Verdict {
    let (strata, evidence) = (strata(), guards.map(Guards::evidence));
    let mut situation = Situation {
        now,
        evidence: evidence.as_ref(),
        strata: &strata,
        killed: false,
        capacity: ROOM,
        drill: drilled(now),
        corpora: None,
    };
    change(&mut situation);
    assess(ramp, &situation)
}

fn calls(guards: &mut Guards, arm: Arm, outcome: Outcome, times: u64) {
    for _ in 0..times {
        guards.called(&mut Unit::Anonymous, "a", arm, outcome, Duration::ZERO);
    }
}

/// Enough of everything: 5 % of 2000 in V3, and V3 as good as V2.
fn good(guards: &mut Guards) {
    calls(guards, Arm::Control, Outcome::Ok, 1900);
    calls(guards, Arm::Candidate, Outcome::Ok, 100);
}

fn of(verdict: &Verdict, check: Check) -> &Finding {
    verdict.findings.iter().find(|finding| finding.check == check).unwrap()
}

fn only(verdict: &Verdict, says: Says, check: Check) -> String {
    assert_eq!(verdict.verdict, says, "{:?}", verdict.findings);
    let reasons: Vec<&Finding> = verdict.reasons().collect();
    assert!(reasons.len() == 1 && reasons[0].check == check, "{reasons:?}");
    recomputed(verdict);
    reasons[0].reason.clone()
}

fn ln_mean_exp(terms: &[f64]) -> f64 {
    // Below this, a plain sum of exponentials is 0.
    let top = terms.iter().copied().fold(f64::MIN, f64::max);
    top + (terms.iter().map(|term| (term - top).exp()).sum::<f64>() / terms.len() as f64).ln()
}

/// Computes every finding again by its formula, from what was stored and nothing else.
fn recomputed(verdict: &Verdict) {
    let stored = serde_json::to_string(verdict).unwrap();
    let read: Verdict = serde_json::from_str(&stored).unwrap();
    assert_eq!(&read, verdict);
    for finding in &read.findings {
        let input = |name: &str| finding.inputs[name];
        let sums = || -> Vec<f64> {
            (0..).map_while(|i| finding.inputs.get(&format!("sum_{i}")).copied()).collect()
        };
        let counts = |multiples: &[f64], units: f64, bad: f64| {
            let odds = input("limit") / (1.0 - input("limit"));
            let each = |k: &f64| units * ((1.0 + odds) / (1.0 + k * odds)).ln() + bad * k.ln();
            ln_mean_exp(&multiples.iter().map(each).collect::<Vec<_>>())
        };
        let value = match finding.check {
            Check::Harm => {
                let pooled = ln_mean_exp(&sums());
                assert!((pooled - input("pooled_ln_e")).abs() < 1e-9);
                ln_mean_exp(&[pooled, input("strata_ln_e")])
            }
            Check::Limit => counts(&[1.5, 2.0, 3.0, 5.0, 10.0, 20.0], input("units"), input("bad")),
            Check::Proof if finding.inputs.contains_key("sum_0") => {
                let odds = input("floor") / (1.0 - input("floor"));
                let each = |k: &f64| {
                    input("units") * ((1.0 + odds) / (1.0 + k * odds)).ln()
                        + input("bad_v3") * k.ln()
                };
                let below = ln_mean_exp(&[0.5, 0.25, 0.125].map(|k| each(&k)));
                assert!((below - input("below_floor")).abs() < 1e-9);
                (0.9 * ln_mean_exp(&sums()).exp() + 0.1 * below.exp()).ln()
            }
            Check::Gauntlet => input("live") + input("recorded"),
            Check::Proof if input("bad_v3") == 0.0 => input("units"),
            Check::Proof => counts(&[0.5, 0.25, 0.125], input("units"), input("bad_v3")),
            Check::Capacity => input("busy_workers") / input("v2_workers"),
            Check::Drill => input("now_ms") - input("drill_ms"),
            Check::Time => input("now_ms") - input("since_ms"),
            Check::Units => input("units_v3"),
            _ => continue,
        };
        assert!((value - finding.value).abs() < 1e-9, "{value} is not {finding:?}");
        let bound = match finding.check {
            Check::Harm | Check::Limit => (input("tests") / input("alpha")).ln(),
            Check::Proof if finding.formula.starts_with("value = units") => {
                (input("beta").ln() / (1.0 - input("limit")).ln()).ceil()
            }
            Check::Proof => -input("beta").ln(),
            _ => finding.bound,
        };
        assert!((bound - finding.bound).abs() < 1e-9, "{bound} is not {finding:?}");
    }
}

#[test]
fn no_data_is_hold() {
    let (ramp, guards) = begun();
    let verdict = judged(&ramp, None, at(60), |_| ());
    assert_eq!(verdict.verdict, Says::Hold);
    assert!(only(&verdict, Says::Hold, Check::Step).contains("told nothing"));
    let verdict = judged(&ramp, Some(&guards), at(60), |_| ());
    let checks: Vec<Check> = verdict.reasons().map(|finding| finding.check).collect();
    assert_eq!((verdict.verdict, checks), (Says::Hold, vec![Check::Units, Check::Proof]));
    recomputed(&verdict);
    assert_eq!(Verdict::strongest(&[]), Says::Hold);
}

#[test]
fn a_step_goes_on_when_all_is_proven_and_each_condition_alone_holds_it() {
    let (ramp, mut guards) = begun();
    good(&mut guards);
    let ready = judged(&ramp, Some(&guards), at(60), |_| ());
    assert_eq!(ready.verdict, Says::Advance, "{:?}", ready.findings);
    recomputed(&ready);
    let early = judged(&ramp, Some(&guards), at(5), |_| ());
    assert!(only(&early, Says::Hold, Check::Time).contains("4.0 s, of at least 10.0 s"));
    type Change = fn(&mut Situation<'_>);
    let holds: [(Check, Change); 6] = [
        (Check::Capacity, |s| s.capacity = None),
        (Check::Capacity, |s| {
            s.capacity = Some(Capacity { v2_workers: 8, busy_workers: 6.5 });
        }),
        (Check::Capacity, |s| {
            s.capacity = Some(Capacity { v2_workers: 0, busy_workers: 0.0 });
        }),
        (Check::Drill, |s| s.drill = None),
        (Check::Drill, |s| s.drill = Some(Drill { at: at(60), took_ms: 1001 })),
        (Check::Drill, |s| {
            s.now = at(60 + 8 * 86_400);
            s.drill = Some(Drill { at: at(59), took_ms: 1 });
        }),
    ];
    for (check, change) in holds {
        let verdict = judged(&ramp, Some(&guards), at(60), change);
        assert_eq!(verdict.verdict, Says::Hold, "{check:?}");
        assert!(verdict.reasons().all(|reason| reason.check == check));
    }
}

#[test]
fn evidence_of_another_step_proves_nothing() {
    let (mut ramp, mut guards) = begun();
    good(&mut guards);
    let ready = judged(&ramp, Some(&guards), at(60), |_| ());
    ramp.follow(&ready, at(60)).unwrap();
    let verdict = judged(&ramp, Some(&guards), at(600), |_| ());
    assert!(only(&verdict, Says::Hold, Check::Step).contains("step number 2, the ramp at 3"));
    begin(&ramp, &mut guards);
    let verdict = judged(&ramp, Some(&guards), at(600), |_| ());
    let checks: Vec<Check> = verdict.reasons().map(|finding| finding.check).collect();
    assert_eq!(checks, [Check::Units, Check::Proof]);
}

#[test]
fn harm_rolls_back_unless_it_is_too_little() {
    let (ramp, mut guards) = begun();
    good(&mut guards);
    calls(&mut guards, Arm::Control, Outcome::Raised, 4);
    for _ in 0..9 {
        // Between good answers, so that no row of failures is first.
        calls(&mut guards, Arm::Candidate, Outcome::Raised, 1);
        calls(&mut guards, Arm::Control, Outcome::Ok, 19);
    }
    let verdict = judged(&ramp, Some(&guards), at(60), |_| ());
    let harm = of(&verdict, Check::Harm);
    assert_eq!((verdict.verdict, harm.says), (Says::Rollback, Says::Rollback), "{harm:?}");
    assert!(harm.reason.contains("most evidence in a"), "{}", harm.reason);
    recomputed(&verdict);
    // The same evidence among so many calls that it is below the floor.
    calls(&mut guards, Arm::Control, Outcome::Ok, 1_900_000);
    calls(&mut guards, Arm::Candidate, Outcome::Ok, 100_000);
    let verdict = judged(&ramp, Some(&guards), at(60), |_| ());
    let harm = of(&verdict, Check::Harm);
    assert!(harm.value >= harm.bound && harm.inputs["difference"] < 0.0005, "{harm:?}");
    assert_eq!((verdict.verdict, harm.says), (Says::Hold, Says::Hold));
    recomputed(&verdict);
}

#[test]
fn a_limit_needs_no_baseline() {
    let (ramp, mut guards) = begun();
    // V2 is as bad, so there is no harm by comparison.
    calls(&mut guards, Arm::Control, Outcome::Raised, 1900);
    calls(&mut guards, Arm::Candidate, Outcome::Raised, 100);
    let verdict = judged(&ramp, Some(&guards), at(60), |_| ());
    assert_eq!(of(&verdict, Check::Harm).says, Says::Advance);
    assert_eq!(
        (verdict.verdict, of(&verdict, Check::Limit).says),
        (Says::Rollback, Says::Rollback)
    );
    recomputed(&verdict);
}

#[test]
fn fuses_roll_back_and_a_wrong_share_holds() {
    let (ramp, mut guards) = begun();
    good(&mut guards);
    let quiet = guards.clone();
    (0..10).for_each(|_| guards.v3_failed(&mut Unit::Anonymous, 7));
    only(&judged(&ramp, Some(&guards), at(60), |_| ()), Says::Rollback, Check::InARow);
    let mut guards = quiet.clone();
    (0..5).for_each(|second| guards.v3_worker_died(at(second)));
    only(&judged(&ramp, Some(&guards), at(60), |_| ()), Says::Rollback, Check::CrashLoop);
    let mut guards = quiet;
    guards.drew(Class::Read, Arms { control: 500, candidate: 500 });
    let reason =
        only(&judged(&ramp, Some(&guards), at(60), |_| ()), Says::Hold, Check::SampleRatio);
    assert!(reason.contains("500 draws of 1000 in V3 at 5 %"), "{reason}");
}

#[test]
fn kill_beats_rollback_beats_hold_beats_advance() {
    let (mut ramp, mut guards) = begun();
    good(&mut guards);
    (0..10).for_each(|_| guards.v3_failed(&mut Unit::Anonymous, 7));
    let all = judged(&ramp, Some(&guards), at(5), |situation| situation.killed = true);
    assert!(only(&all, Says::Kill, Check::KillSwitch).contains("kill switch"));
    let words: Vec<Says> = all.findings.iter().map(|finding| finding.says).collect();
    for says in [Says::Kill, Says::Rollback, Says::Hold, Says::Advance] {
        assert!(words.contains(&says), "{says:?}");
    }
    // Also while it is paused.
    ramp.pause(By::Human).unwrap();
    let paused = judged(&ramp, Some(&guards), at(60), |_| ());
    assert_eq!((paused.verdict, of(&paused, Check::Stage).says), (Says::Rollback, Says::Hold));
    assert!(ramp.follow(&paused, at(61)).unwrap());
    let after = judged(&ramp, Some(&guards), at(62), |_| ());
    assert!(of(&after, Check::Stage).reason.contains("rolled_back until a human clears it"));
}

#[test]
fn without_bad_units_in_v2_v3_is_proven_against_its_limit() {
    let (ramp, mut guards) = begun();
    let enough = zero_failures(0.2, 0.05);
    calls(&mut guards, Arm::Candidate, Outcome::Ok, enough - 1);
    let proof = |guards: &Guards| {
        let verdict = judged(&ramp, Some(guards), at(60), |_| ());
        recomputed(&verdict);
        of(&verdict, Check::Proof).says
    };
    assert_eq!(proof(&guards), Says::Hold);
    calls(&mut guards, Arm::Candidate, Outcome::Ok, 1);
    assert_eq!(proof(&guards), Says::Advance);
    // One bad one, and it takes more of them.
    calls(&mut guards, Arm::Candidate, Outcome::Raised, 1);
    assert_eq!(proof(&guards), Says::Hold);
    calls(&mut guards, Arm::Candidate, Outcome::Ok, 60);
    assert_eq!(proof(&guards), Says::Advance);
}

/// A call that a process drew late to V2, say; whatever it is, V2 has no rate there.
#[test]
fn at_100_percent_a_bad_unit_of_v2_leaves_the_proof_to_the_limit() {
    let (mut ramp, mut guards) = begun();
    while ramp.position() != Position::Step(2) {
        good(&mut guards);
        calls(&mut guards, Arm::Candidate, Outcome::Ok, 1000);
        let now = at(ramp.since().as_millis() / 1000 + 60);
        let verdict = judged(&ramp, Some(&guards), now, |_| ());
        ramp.follow(&verdict, now).unwrap();
        begin(&ramp, &mut guards);
    }
    let proof = |guards: &Guards| {
        let verdict = judged(&ramp, Some(guards), at(1000), |_| ());
        recomputed(&verdict);
        of(&verdict, Check::Proof).clone()
    };
    calls(&mut guards, Arm::Control, Outcome::Raised, 1);
    calls(&mut guards, Arm::Candidate, Outcome::Ok, zero_failures(0.2, 0.05) - 1);
    assert_eq!(proof(&guards).says, Says::Hold);
    calls(&mut guards, Arm::Candidate, Outcome::Ok, 1);
    let finding = proof(&guards);
    assert_eq!(finding.says, Says::Advance, "{finding:?}");
    assert!(finding.reason.contains("keep below their limit"), "{finding:?}");
}

#[test]
fn one_bad_unit_of_v2_does_not_hold_a_faultless_v3_for_ever() {
    let (ramp, mut guards) = begun();
    good(&mut guards);
    calls(&mut guards, Arm::Control, Outcome::Raised, 1);
    let proof = |guards: &Guards| {
        let verdict = judged(&ramp, Some(guards), at(60), |_| ());
        recomputed(&verdict);
        of(&verdict, Check::Proof).clone()
    };
    assert_eq!(proof(&guards).says, Says::Hold, "one event is no proof beside V2");
    calls(&mut guards, Arm::Candidate, Outcome::Ok, 10_000);
    assert_eq!(proof(&guards).says, Says::Hold);
    calls(&mut guards, Arm::Candidate, Outcome::Ok, 10_000);
    let finding = proof(&guards);
    assert_eq!(finding.says, Says::Advance, "below 0.05 % of units, by far: {finding:?}");
    // Bad units of V3 above the floor are no way around the comparison.
    for _ in 0..20 {
        calls(&mut guards, Arm::Candidate, Outcome::Raised, 1);
    }
    assert_eq!(proof(&guards).says, Says::Hold);
}

#[test]
fn the_gauntlet_holds_the_first_step_until_live_and_recorded_matches_are_enough() {
    let text = format!("[gauntlet]\na = 10\n{}", crate::ramp::PLAN);
    let ramp = Ramp::start(Plan::parse(&text, &["a"]).unwrap(), at(0));
    let mut guards = Guards::new("b", plan().guards, strata(), Thresholds::default());
    let recorded = BTreeMap::from([("a".to_owned(), 6), ("w".to_owned(), 100)]);
    let judge = |guards: &Guards, corpora| {
        let (strata, evidence) = (strata(), guards.evidence());
        let situation = Situation {
            now: at(60),
            evidence: Some(&evidence),
            strata: &strata,
            killed: false,
            capacity: ROOM,
            drill: drilled(at(60)),
            corpora,
        };
        let verdict = assess(&ramp, &situation);
        recomputed(&verdict);
        verdict
    };
    (0..3).for_each(|_| guards.matched("a"));
    guards.matched("w");
    let reason = only(&judge(&guards, Some(&recorded)), Says::Hold, Check::Gauntlet);
    assert!(reason.contains("a as V2 did 9 times (3 live, 6 in"), "{reason}");
    guards.matched("a");
    assert_eq!(judge(&guards, Some(&recorded)).verdict, Says::Advance);
    assert_eq!(judge(&guards, None).verdict, Says::Hold);
    // A human may waive it, as any proof.
    let mut ramp = ramp.clone();
    ramp.promote(&judge(&guards, None), at(61)).unwrap();
}

#[test]
fn a_done_ramp_is_still_watched() {
    let (mut ramp, mut guards) = begun();
    while ramp.position() != Position::Done {
        good(&mut guards);
        calls(&mut guards, Arm::Candidate, Outcome::Ok, 1000);
        let verdict =
            judged(&ramp, Some(&guards), at(ramp.since().as_millis() / 1000 + 60), |_| ());
        assert_eq!(verdict.verdict, Says::Advance, "{:?}", verdict.findings);
        ramp.follow(&verdict, verdict.at).unwrap();
        begin(&ramp, &mut guards);
    }
    let done = judged(&ramp, Some(&guards), at(1000), |_| ());
    assert!(only(&done, Says::Hold, Check::Step).contains("every step of the plan is done"));
    (0..10).for_each(|_| guards.v3_failed(&mut Unit::Anonymous, 7));
    only(&judged(&ramp, Some(&guards), at(1001), |_| ()), Says::Rollback, Check::InARow);
}
