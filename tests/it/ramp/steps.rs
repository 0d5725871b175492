//! The ramp machine: one step at a time, and back at once.

use poolshift::Class;
use poolshift::router::percent::Percent;
use poolshift::router::ramp::{Check, Finding, NotNow, Position, Ramp, Says, Verdict};
use poolshift::router::stage::{By, Stage};
use proptest::prelude::*;

use crate::ramp::{at, plan};

fn verdict(ramp: &Ramp, says: Says) -> Verdict {
    Verdict {
        verdict: says,
        at: at(0),
        position: ramp.position(),
        step: ramp.number(),
        percents: ramp.percents(),
        build: None,
        findings: Vec::new(),
    }
}

fn held_by(ramp: &Ramp, checks: &[Check]) -> Verdict {
    let finding = |check: &Check| Finding {
        check: *check,
        about: None,
        says: Says::Hold,
        formula: String::new(),
        inputs: Default::default(),
        value: 0.0,
        bound: 0.0,
        reason: format!("{check:?}"),
    };
    Verdict { findings: checks.iter().map(finding).collect(), ..verdict(ramp, Says::Hold) }
}

fn shares(ramp: &Ramp) -> [String; 3] {
    Class::ALL.map(|class| ramp.percents().of(class).to_string())
}

fn go_on(ramp: &mut Ramp) {
    let verdict = verdict(ramp, Says::Advance);
    assert!(ramp.follow(&verdict, at(1)).unwrap());
}

#[test]
fn r12_a_ramp_goes_through_its_plan_step_by_step() {
    let mut ramp = Ramp::start(plan(), at(0));
    let stages = |ramp: &Ramp| Class::ALL.map(|class| ramp.stages().of(class).as_str());
    assert_eq!(
        (shares(&ramp), stages(&ramp)),
        (["0", "0", "0"].map(String::from), ["shadow", "off", "off"])
    );
    go_on(&mut ramp);
    assert_eq!(
        (shares(&ramp), stages(&ramp)),
        (["5", "0", "0"].map(String::from), ["ramp", "off", "off"])
    );
    go_on(&mut ramp);
    assert_eq!(
        (shares(&ramp), ramp.position()),
        (["50", "0", "0"].map(String::from), Position::Step(1))
    );
    go_on(&mut ramp);
    assert_eq!((shares(&ramp), stages(&ramp)), (["100"; 3].map(String::from), ["ramp"; 3]));
    go_on(&mut ramp);
    assert_eq!((shares(&ramp), stages(&ramp)), (["100"; 3].map(String::from), ["complete"; 3]));
    assert_eq!(ramp.position(), Position::Done);
    let more = verdict(&ramp, Says::Advance);
    assert_eq!(ramp.follow(&more, at(2)), Err(NotNow::NoStepLeft));
    // V2 stays up, so even then everything can go back.
    ramp.roll_back(By::Human, at(3)).unwrap();
    assert_eq!((shares(&ramp), stages(&ramp)), (["0"; 3].map(String::from), ["rolled_back"; 3]));
}

#[test]
fn a_verdict_about_another_step_goes_nowhere_but_back() {
    let mut ramp = Ramp::start(plan(), at(0));
    let (old, old_rollback) = (verdict(&ramp, Says::Advance), verdict(&ramp, Says::Rollback));
    go_on(&mut ramp);
    assert_eq!(ramp.follow(&old, at(1)), Err(NotNow::Stale { verdict: 1, ramp: 2 }));
    assert_eq!(ramp.promote(&old, at(1)), Err(NotNow::Stale { verdict: 1, ramp: 2 }));
    assert_eq!(ramp.position(), Position::Step(0));
    assert!(ramp.follow(&old_rollback, at(1)).unwrap());
    assert_eq!(shares(&ramp), ["0"; 3].map(String::from));
    assert!(!ramp.follow(&old_rollback, at(1)).unwrap(), "it is back already");
}

#[test]
fn each_step_waits_for_its_own_time() {
    let mut ramp = Ramp::start(plan(), at(0));
    let verdict = verdict(&ramp, Says::Advance);
    ramp.follow(&verdict, at(5000)).unwrap();
    // However late it is, the next step counts from now.
    assert_eq!((ramp.since(), ramp.position()), (at(5000), Position::Step(0)));
}

#[test]
fn a_rollback_is_latched_until_a_human_clears_it() {
    let mut ramp = Ramp::start(plan(), at(0));
    go_on(&mut ramp);
    let rollback = verdict(&ramp, Says::Rollback);
    ramp.follow(&rollback, at(1)).unwrap();
    let on = verdict(&ramp, Says::Advance);
    assert!(matches!(ramp.follow(&on, at(2)), Err(NotNow::Refused(_))));
    assert!(matches!(ramp.promote(&on, at(2)), Err(NotNow::Refused(_))));
    assert!(ramp.resume(By::Human).is_err() && ramp.clear(By::Ramp).is_err());
    assert_eq!(ramp.stages().of(Class::Read), Stage::RolledBack);
    ramp.clear(By::Human).unwrap();
    assert_eq!((ramp.stages().of(Class::Read), shares(&ramp)[0].as_str()), (Stage::Off, "0"));
    // A cleared ramp is over: it cannot creep on from where it was.
    let on = verdict(&ramp, Says::Advance);
    assert!(ramp.follow(&on, at(3)).is_err());
}

#[test]
fn a_pause_holds_the_share_and_only_a_human_resumes() {
    let mut ramp = Ramp::start(plan(), at(0));
    assert!(ramp.pause(By::Human).is_err(), "nothing is on its way");
    go_on(&mut ramp);
    ramp.pause(By::Human).unwrap();
    let on = verdict(&ramp, Says::Advance);
    assert!(matches!(ramp.follow(&on, at(1)), Err(NotNow::Refused(_))));
    assert_eq!((ramp.resume(By::Ramp).is_err(), shares(&ramp)[0].as_str()), (true, "5"));
    ramp.resume(By::Human).unwrap();
    go_on(&mut ramp);
    ramp.pause(By::Human).unwrap();
    let rollback = verdict(&ramp, Says::Rollback);
    assert!(ramp.follow(&rollback, at(1)).unwrap(), "also while paused");
}

#[test]
fn r13_the_kill_switch_beats_all_and_leaves_a_paused_ramp() {
    let mut ramp = Ramp::start(plan(), at(0));
    go_on(&mut ramp);
    let kill = verdict(&ramp, Says::Kill);
    assert!(ramp.follow(&kill, at(1)).unwrap() && !ramp.follow(&kill, at(1)).unwrap());
    assert_eq!(shares(&ramp), ["0"; 3].map(String::from));
    let on = verdict(&ramp, Says::Advance);
    assert!(ramp.follow(&on, at(1)).is_err() && ramp.unkill(By::Ramp).is_err());
    ramp.unkill(By::Human).unwrap();
    assert_eq!((ramp.stages().of(Class::Read), shares(&ramp)[0].as_str()), (Stage::Hold, "5"));
    // A rollback under the kill switch is there when it is taken back.
    ramp.kill();
    ramp.roll_back(By::Ramp, at(2)).unwrap();
    ramp.unkill(By::Human).unwrap();
    assert_eq!(ramp.stages().of(Class::Read), Stage::RolledBack);
}

#[test]
fn a_human_may_waive_patience_and_proof_but_not_safety() {
    let mut ramp = Ramp::start(plan(), at(0));
    go_on(&mut ramp);
    for check in [
        Check::Harm,
        Check::SampleRatio,
        Check::Capacity,
        Check::Drill,
        Check::Step,
        Check::Stage,
        Check::KillSwitch,
    ] {
        let verdict = held_by(&ramp, &[Check::Time, check]);
        let refused = ramp.promote(&verdict, at(1)).unwrap_err();
        assert_eq!(refused, NotNow::Unsafe { reasons: format!("{check:?}") });
    }
    let verdict = held_by(&ramp, &[Check::Time, Check::Units, Check::Proof]);
    ramp.promote(&verdict, at(1)).unwrap();
    assert_eq!(ramp.position(), Position::Step(1));
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Follow(Says),
    Promote,
    Pause(bool),
    Resume(bool),
    RollBack(bool),
    Clear(bool),
    Kill,
    Unkill(bool),
    Restart,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let says = prop::sample::select(vec![
        Says::Advance,
        Says::Advance,
        Says::Advance,
        Says::Hold,
        Says::Rollback,
        Says::Kill,
    ]);
    let act = prop_oneof![
        6 => says.prop_map(Act::Follow),
        2 => Just(Act::Promote),
        1 => any::<bool>().prop_map(Act::Pause),
        2 => any::<bool>().prop_map(Act::Resume),
        1 => any::<bool>().prop_map(Act::RollBack),
        2 => any::<bool>().prop_map(Act::Clear),
        1 => Just(Act::Kill),
        2 => any::<bool>().prop_map(Act::Unkill),
        1 => Just(Act::Restart),
    ];
    prop::collection::vec(act, 0..60)
}

fn act(ramp: &mut Ramp, act: Act, now: u64) -> bool {
    let by = |human| if human { By::Human } else { By::Ramp };
    let advance = verdict(ramp, Says::Advance);
    match act {
        Act::Follow(says) => {
            let verdict = verdict(ramp, says);
            ramp.follow(&verdict, at(now)).is_ok()
        }
        Act::Promote => ramp.promote(&advance, at(now)).is_ok(),
        Act::Pause(human) => ramp.pause(by(human)).is_ok(),
        Act::Resume(human) => ramp.resume(by(human)).is_ok(),
        Act::RollBack(human) => ramp.roll_back(by(human), at(now)).is_ok(),
        Act::Clear(human) => ramp.clear(by(human)).is_ok(),
        Act::Kill => {
            ramp.kill();
            true
        }
        Act::Unkill(human) => ramp.unkill(by(human)).is_ok(),
        Act::Restart => {
            let stored = serde_json::to_string(ramp).unwrap();
            *ramp = serde_json::from_str(&stored).unwrap();
            serde_json::to_string(ramp).unwrap() == stored
        }
    }
}

fn index(ramp: &Ramp) -> usize {
    match ramp.position() {
        Position::Shadow => 0,
        Position::Step(index) => index + 1,
        Position::Done => ramp.plan().steps.len() + 1,
    }
}

proptest! {
    /// Whatever is asked in whatever order: no step is skipped or gone back to, what is not
    /// going on raises nothing, and nothing gets out of a rollback but a human.
    #[test]
    fn no_order_of_requests_breaks_the_ramp(acts in acts()) {
        let mut ramp = Ramp::start(plan(), at(0));
        for (now, one) in acts.into_iter().enumerate() {
            let before = ramp.clone();
            let done = act(&mut ramp, one, now as u64);
            if !done {
                prop_assert_eq!(&ramp, &before, "a refusal changes nothing");
            }
            let (from, to) = (index(&before), index(&ramp));
            prop_assert!(to == from || to == from + 1, "{from} to {to}");
            let goes_on = matches!(one, Act::Follow(Says::Advance) | Act::Promote);
            prop_assert!(to == from || goes_on && ramp.number() == before.number() + 1);
            for class in Class::ALL {
                let (old, new) = (before.percents().of(class), ramp.percents().of(class));
                let may_rise = goes_on || matches!(one, Act::Unkill(true));
                prop_assert!(new <= old || may_rise, "{one:?}: {old} to {new}");
                prop_assert!(new >= old || new == Percent::ZERO, "{one:?}: {old} to {new}");
                let latched = before.stages().beneath(class) == Stage::RolledBack;
                let still = ramp.stages().beneath(class) == Stage::RolledBack;
                prop_assert!(!latched || still || matches!(one, Act::Clear(true)), "{one:?}");
                if ramp.stages().are_killed() {
                    prop_assert_eq!(new, Percent::ZERO);
                }
            }
        }
    }
}
