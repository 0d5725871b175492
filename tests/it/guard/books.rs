//! Who counts, when, and how often; and that the books outlive the process.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poolshift::clock::Wall;
use poolshift::router::guard::comparison::Comparison;
use poolshift::router::guard::risk::RiskSets;
use poolshift::router::guard::slow::Thresholds;
use poolshift::router::guard::strata::Strata;
use poolshift::router::guard::{
    Arm, Arms, Bounds, Drawn, Guards, Marks, Metric, Settings, Shares, Unit,
};
use poolshift::router::policy::Percents;
use poolshift::{Class, Outcome};
use proptest::prelude::*;

pub(super) fn strata() -> Strata {
    let commands = [("a", Class::Read), ("b", Class::Read), ("w", Class::Write)];
    Strata::new(commands.map(|(command, class)| (command.to_owned(), class)))
}

pub(super) fn settings(metrics: &[Metric]) -> Settings {
    let bounds =
        Bounds { tolerated: 1.25, unacceptable: 2.0, limit: 0.2, ignore: vec!["b".to_owned()] };
    let all = metrics.iter().map(|metric| (*metric, bounds.clone()));
    Settings {
        alpha: 0.001,
        beta: 0.05,
        floor: 0.0005,
        bounds: all.collect::<BTreeMap<_, _>>(),
        in_a_row: 5,
        crash_loop: 3,
        crash_loop_within_ms: 60_000,
    }
}

fn drawn(percent: u32) -> Drawn {
    let calls = Percents::all(percent.to_string().parse().unwrap());
    Drawn { calls, comparisons: "50".parse().unwrap() }
}

pub(super) fn guards() -> Guards {
    let mut guards = Guards::new(
        "build-1",
        settings(&[Metric::Errors, Metric::Timeouts, Metric::Mismatches]),
        strata(),
        Thresholds::default(),
    );
    guards.begin_step(1, drawn(5), &[Class::Read]);
    guards
}

pub(super) fn call(
    guards: &mut Guards,
    unit: &mut Unit<'_>,
    command: &str,
    arm: Arm,
    outcome: Outcome,
) {
    guards.called(unit, command, arm, outcome, Duration::ZERO);
}

fn errors(guards: &Guards) -> Arms {
    let evidence = guards.evidence();
    let (_, comparison) = evidence.comparisons().next().unwrap();
    comparison.bad_units()
}

#[test]
fn a_session_is_one_bad_unit_however_often_it_fails() {
    let mut guards = guards();
    let mut marks = guards.mark().unwrap();
    for command in ["a", "a", "w", "a", "unknown"] {
        let unit = &mut Unit::Session(&mut marks);
        call(&mut guards, unit, command, Arm::Candidate, Outcome::Raised);
    }
    assert_eq!(errors(&guards), Arms { control: 0, candidate: 1 });
    // Three commands: three units, of which one was seen to go bad.
    assert_eq!(guards.evidence().routed.units, Arms { control: 0, candidate: 3 });
    // An anonymous call is a unit each time.
    for _ in 0..4 {
        call(&mut guards, &mut Unit::Anonymous, "a", Arm::Control, Outcome::Raised);
    }
    assert_eq!(errors(&guards), Arms { control: 4, candidate: 1 });
}

/// Else one session that uses five commands would prove as much as five that use one.
#[test]
fn a_session_is_one_unit_of_proof_whatever_it_uses() {
    let mut guards = guards();
    guards.begin_step(2, drawn(5), &[Class::Read, Class::Write]);
    for n in 0..4 {
        let mut marks = guards.mark().unwrap();
        for command in ["a", "b", "a", "w"].iter().take(n + 1) {
            let unit = &mut Unit::Session(&mut marks);
            call(&mut guards, unit, command, Arm::Candidate, Outcome::Ok);
        }
    }
    call(&mut guards, &mut Unit::Anonymous, "w", Arm::Candidate, Outcome::Ok);
    let evidence = guards.evidence();
    assert_eq!(evidence.routed.units.candidate, 4 + 3 + 1 + 1);
    assert_eq!(evidence.routed.step.candidate, 4 + 1, "four sessions, and a call");
}

#[test]
fn one_session_that_always_fails_burns_no_fuse() {
    let mut guards = guards();
    let mut marks = guards.mark().unwrap();
    (0..20).for_each(|_| guards.v3_failed(&mut Unit::Session(&mut marks), 7));
    assert_eq!(guards.evidence().in_a_row.load(), (1, 5));
    for _ in 0..4 {
        let mut marks = guards.mark().unwrap();
        (0..3).for_each(|_| guards.v3_failed(&mut Unit::Session(&mut marks), 7));
    }
    assert!(guards.evidence().in_a_row.is_burnt(), "five of them do");
}

#[test]
fn a_unit_does_not_move_the_share_that_it_is_judged_by() {
    let mut guards = guards();
    for _ in 0..3 {
        call(&mut guards, &mut Unit::Anonymous, "a", Arm::Control, Outcome::Ok);
    }
    call(&mut guards, &mut Unit::Anonymous, "a", Arm::Candidate, Outcome::Raised);
    call(&mut guards, &mut Unit::Anonymous, "a", Arm::Control, Outcome::Raised);
    // None of 3 in V3, so by the 5 % that were meant; then 1 of 4.
    let mut expected = Comparison::new(1.25, 2.0, strata().count());
    let stratum = guards.stratum("a");
    let shares = |actual| Shares { intended: 0.05, actual: Some(actual), arrived: None };
    expected.bad(stratum, shares(0.0), Arm::Candidate, true);
    expected.bad(stratum, shares(0.25), Arm::Control, true);
    let evidence = guards.evidence();
    assert_eq!(evidence.comparisons().next().unwrap().1, &expected);
}

#[test]
fn sessions_from_before_the_ramp_and_calls_that_tell_nothing_are_left_out() {
    let before = Guards::new("b", settings(&[Metric::Errors]), strata(), Thresholds::default());
    assert_eq!(before.mark(), None);
    let mut guards = guards();
    for outcome in [Outcome::Cancelled, Outcome::Draining] {
        call(&mut guards, &mut Unit::Anonymous, "a", Arm::Candidate, outcome);
    }
    assert_eq!(guards.evidence().routed.units, Arms::default());
    // An ignored command is counted as traffic, and its failures are not.
    call(&mut guards, &mut Unit::Anonymous, "b", Arm::Candidate, Outcome::Raised);
    assert_eq!(guards.evidence().routed.units.candidate, 1);
    assert_eq!(errors(&guards), Arms::default());
}

#[test]
fn good_calls_of_a_known_session_change_nothing() {
    let mut guards = guards();
    let mut marks = guards.mark().unwrap();
    let stratum = guards.stratum("a");
    assert!(!marks.has_used(stratum));
    call(&mut guards, &mut Unit::Session(&mut marks), "a", Arm::Control, Outcome::Ok);
    assert!(marks.has_used(stratum) && !marks.has_used(guards.stratum("b")));
    let (books, pin) = (guards.clone(), marks);
    for _ in 0..100 {
        call(&mut guards, &mut Unit::Session(&mut marks), "a", Arm::Control, Outcome::Ok);
    }
    assert_eq!((guards, marks), (books, pin));
    assert_eq!(size_of::<Marks>(), 24);
}

#[test]
fn a_proof_is_of_the_step_and_of_the_classes_that_it_raised() {
    let mut guards = guards();
    let bad = |guards: &mut Guards, marks: &mut Marks, command| {
        call(guards, &mut Unit::Session(marks), command, Arm::Candidate, Outcome::Raised);
    };
    let fresh = |guards: &mut Guards, command| {
        let mut marks = guards.mark().unwrap();
        bad(guards, &mut marks, command);
    };
    let step = |guards: &Guards| {
        let evidence = guards.evidence();
        let (_, comparison) = evidence.comparisons().next().unwrap();
        (comparison.step_bad().candidate, comparison.bad_units().candidate)
    };
    let mut early = guards.mark().unwrap();
    fresh(&mut guards, "a");
    fresh(&mut guards, "w");
    assert_eq!(step(&guards), (1, 2), "a write proves nothing of a step for reads");
    guards.begin_step(2, drawn(25), &[Class::Write]);
    assert_eq!(step(&guards), (0, 2));
    bad(&mut guards, &mut early, "w");
    assert_eq!(step(&guards), (0, 3), "a session of an earlier step proves nothing of this");
    fresh(&mut guards, "w");
    assert_eq!(step(&guards), (1, 4));
    assert_eq!(guards.evidence().routed.step, Arms { control: 0, candidate: 1 });
}

#[test]
fn another_build_starts_with_empty_books_and_the_same_one_does_not() {
    let mut guards = guards();
    call(&mut guards, &mut Unit::Anonymous, "a", Arm::Candidate, Outcome::Raised);
    assert_eq!(guards.clone().for_build("build-1"), guards);
    let next = guards.for_build("build-2");
    assert_eq!((errors(&next), next.mark()), (Arms::default(), None));
}

#[test]
fn more_commands_than_are_told_apart_share_a_stratum_and_more_cohorts_are_not_judged() {
    let names = (0..200).map(|n| (format!("c{n:03}"), Class::Read));
    let strata = Strata::new(names);
    assert_eq!((strata.count(), strata.of("c062"), strata.of("c063")), (64, 62, 63));
    assert_eq!((strata.name(63), strata.class(63)), (Strata::OTHERS, Class::Critical));
    let mut risk = RiskSets::new(strata);
    (0..128).for_each(|_| risk.begin_cohort(drawn(5).calls));
    assert!(risk.mark().is_some());
    risk.begin_cohort(drawn(5).calls);
    assert!(risk.mark().is_none());
    risk.enter(&mut Unit::Anonymous, 0, Arm::Control);
    assert_eq!(risk.units(), Arms::default());
}

#[test]
fn evidence_of_several_processes_adds_up_and_of_another_build_does_not() {
    let (mut here, mut there) = (guards(), guards());
    call(&mut here, &mut Unit::Anonymous, "a", Arm::Candidate, Outcome::Raised);
    for arm in [Arm::Control, Arm::Candidate] {
        call(&mut there, &mut Unit::Anonymous, "a", arm, Outcome::Raised);
    }
    (0..5).for_each(|_| there.v3_failed(&mut Unit::Anonymous, 0));
    let mut both = here.evidence();
    both.absorb(&there.evidence()).unwrap();
    let (_, comparison) = both.comparisons().next().unwrap();
    assert_eq!(comparison.bad_units(), Arms { control: 1, candidate: 2 });
    assert_eq!(both.routed.step, Arms { control: 1, candidate: 2 });
    assert!(both.in_a_row.is_burnt());
    // Another step adds evidence of harm, but no proof.
    let mut later = here.clone();
    later.begin_step(2, drawn(25), &[Class::Read]);
    let mut both = later.evidence();
    both.absorb(&there.evidence()).unwrap();
    assert_eq!(both.routed.step, Arms::default());
    assert_eq!(both.routed.units, Arms { control: 1, candidate: 2 });
    let error = both.absorb(&there.for_build("build-2").evidence()).unwrap_err();
    assert!(error.to_string().contains("build-2"), "{error}");
}

/// One thing that happens to the books.
#[derive(Clone, Debug)]
enum Note {
    Session(usize, usize, bool, bool),
    Anonymous(usize, bool, bool),
    Compared(bool, bool),
    Step(u32),
    Failed(u64),
    Died(u64),
    Drew(u64, u64),
}

fn notes() -> impl Strategy<Value = Vec<Note>> {
    let note = prop_oneof![
        8 => (0..20_usize, 0..4_usize, any::<bool>(), any::<bool>())
            .prop_map(|(s, c, v3, bad)| Note::Session(s, c, v3, bad)),
        4 => (0..4_usize, any::<bool>(), any::<bool>())
            .prop_map(|(c, v3, bad)| Note::Anonymous(c, v3, bad)),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(v3, bad)| Note::Compared(v3, bad)),
        1 => (1..99_u32).prop_map(Note::Step),
        1 => (0..3_u64).prop_map(Note::Failed),
        1 => (0..200_000_u64).prop_map(Note::Died),
        1 => (0..50_u64, 0..50_u64).prop_map(|(v2, v3)| Note::Drew(v2, v3)),
    ];
    prop::collection::vec(note, 0..200)
}

fn arm(v3: bool) -> Arm {
    if v3 { Arm::Candidate } else { Arm::Control }
}

const COMMANDS: [&str; 4] = ["a", "b", "w", "x"];

fn take(guards: &mut Guards, live: &mut BTreeMap<usize, Marks>, note: &Note) {
    let outcome = |bad| if bad { Outcome::Raised } else { Outcome::Ok };
    match *note {
        Note::Session(session, command, v3, bad) => {
            let drawn = guards.mark().unwrap();
            let marks = live.entry(session).or_insert(drawn);
            let unit = &mut Unit::Session(marks);
            call(guards, unit, COMMANDS[command], arm(v3), outcome(bad));
        }
        Note::Anonymous(command, v3, bad) => {
            call(guards, &mut Unit::Anonymous, COMMANDS[command], arm(v3), outcome(bad));
        }
        Note::Compared(v3, bad) => guards.compared(&mut Unit::Anonymous, "a", arm(v3), bad),
        Note::Step(percent) => {
            guards.begin_step(u64::from(percent), drawn(percent), &[Class::Read]);
        }
        Note::Failed(good) => guards.v3_failed(&mut Unit::Anonymous, good),
        Note::Died(at) => guards.v3_worker_died(Wall::from_millis(at)),
        Note::Drew(control, candidate) => guards.drew(Class::Read, Arms { control, candidate }),
    }
}

/// Every number's text gives that number again, so equal texts are equal bits.
fn stored(guards: &Guards) -> String {
    serde_json::to_string(guards).unwrap()
}

/// A quarter of the usual cases: each is stored and read a hundred times.
fn few() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.div_ceil(4), ..usual }
}

proptest! {
    #![proptest_config(few())]

    /// Stored and read again after each note, the books are the same to the last bit.
    #[test]
    fn a_restart_changes_no_bit(notes in notes()) {
        let (mut steady, mut restarted) = (guards(), guards());
        let (mut live, mut also) = (BTreeMap::new(), BTreeMap::new());
        for note in &notes {
            take(&mut steady, &mut live, note);
            take(&mut restarted, &mut also, note);
            restarted = serde_json::from_str(&stored(&restarted)).unwrap();
        }
        prop_assert_eq!(stored(&steady), stored(&restarted));
        let bits = |guards: &Guards| -> Vec<u64> {
            let evidence = guards.evidence();
            let ratios: Vec<f64> = evidence.ratios().map(|(_, ratio)| ratio.ln_e()).collect();
            let sums = evidence.comparisons().flat_map(|(_, comparison)| {
                let sums = comparison.pooled().sums().iter().chain(comparison.proof().sums());
                let difference = comparison.difference(1.0).unwrap();
                sums.copied().chain([comparison.ln_e(), difference]).collect::<Vec<_>>()
            });
            sums.chain(ratios).map(f64::to_bits).collect()
        };
        prop_assert_eq!(bits(&steady), bits(&restarted));
    }
}

proptest! {
    /// The risk sets against sets of sessions, walked through at each event.
    #[test]
    fn at_risk_are_those_of_the_cohort_that_used_the_command_and_are_not_bad(notes in notes()) {
        let mut risk = RiskSets::new(strata());
        risk.begin_cohort(drawn(5).calls);
        let mut live: BTreeMap<usize, (Marks, usize)> = BTreeMap::new();
        // Session, stratum, arm; and the sessions that are bad.
        let mut entered: Vec<(usize, usize, Arm)> = Vec::new();
        let mut gone: BTreeSet<usize> = BTreeSet::new();
        let mut cohort = 0;
        for note in &notes {
            match *note {
                Note::Step(_) => {
                    risk.begin_cohort(drawn(5).calls);
                    cohort += 1;
                }
                Note::Session(session, stratum, v3, bad) => {
                    let drawn = (risk.mark().unwrap(), cohort);
                    let (marks, mine) = live.entry(session).or_insert(drawn);
                    let mine = *mine;
                    let shares = risk.shares(&Unit::Session(marks), stratum, Metric::Errors);
                    risk.enter(&mut Unit::Session(marks), stratum, arm(v3));
                    let latest = match bad {
                        true => risk.bad(&mut Unit::Session(marks), Metric::Errors),
                        false => None,
                    };
                    let mut expected = Arms::default();
                    for (session, at, arm) in &entered {
                        let ours = live[session].1 == mine && *at == stratum;
                        if ours && !gone.contains(session) {
                            expected.add(*arm);
                        }
                    }
                    // A write has the share of its class, as has a command nobody knows.
                    let (actual, arrived) = (expected.share(), None);
                    let expected = Shares { intended: 0.05, actual, arrived };
                    prop_assert_eq!(shares, Some(expected));
                    if !entered.iter().any(|(s, c, _)| (*s, *c) == (session, stratum)) {
                        entered.push((session, stratum, arm(v3)));
                    }
                    let first = bad && gone.insert(session);
                    prop_assert_eq!(latest, first.then_some(mine == cohort));
                }
                _ => {}
            }
        }
    }
}
