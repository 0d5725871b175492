//! Whole ramps: made-up traffic through the guards, verdicts and machine together.

#![expect(clippy::print_stdout, reason = "the figures are to be read, with --nocapture")]

use std::collections::BTreeMap;
use std::time::Duration;

use poolshift::clock::Wall;
use poolshift::router::guard::slow::Thresholds;
use poolshift::router::guard::strata::Strata;
use poolshift::router::guard::{Arm, Arms, Drawn, Guards, Marks, Unit};
use poolshift::router::ramp::{Plan, Position, Ramp, Says, Situation, Verdict, assess};
use poolshift::{Class, Lane, Outcome};
use poolshift_sim::rng::{Domain, Seed, Stream};

use crate::ramp::{ROOM, drilled};

const PLAN: &str = r#"
[guards.errors]
limit = 0.6
[guards.timeouts]
limit = 0.5
[guards.slow_p90]
limit = 0.9
"#;

const SEEDS: [u64; 3] = [1, 2, 3];

fn plan() -> Plan {
    let step = |percent: &u32| {
        format!("[[steps]]\npercent = {percent}\nmin_time = \"1s\"\nmin_units = 20\n")
    };
    let steps: String = [1, 5, 25, 50, 100].iter().map(step).collect();
    Plan::parse(&format!("{PLAN}{steps}"), &[]).unwrap()
}

/// V3's rates as multiples of V2's.
#[derive(Clone, Copy)]
struct Next {
    errors: f64,
    timeouts: f64,
    slow: f64,
}

const ALIKE: Next = Next { errors: 1.0, timeouts: 1.0, slow: 1.0 };

struct Session {
    marks: Option<Marks>,
    lane: Lane,
    calls_left: u64,
    poisoned: bool,
}

struct Service {
    ramp: Ramp,
    guards: Guards,
    strata: Strata,
    sessions: BTreeMap<u64, Session>,
    draws: Arms,
    now: u64,
    good: u64,
    chance: Stream,
    next: Next,
    /// Sessions in a million that fail at each of 20 calls, in either lane.
    poisoned: u32,
}

impl Service {
    fn new(next: Next, seed: u64, run: u64) -> Self {
        let commands = ["a", "b"].map(|command| (command.to_owned(), Class::Read));
        let strata = Strata::new(commands);
        let mut slow = Thresholds::default();
        slow.freeze("a", 1000, |_| Duration::from_millis(10));
        slow.freeze("b", 1000, |_| Duration::from_millis(10));
        let guards = Guards::new("b", plan().guards, strata.clone(), slow);
        Self {
            ramp: Ramp::start(plan(), Wall::from_millis(0)),
            guards,
            strata,
            sessions: BTreeMap::new(),
            draws: Arms::default(),
            now: 0,
            good: 0,
            chance: Seed(seed).stream(Domain::Call, run, 1),
            next,
            poisoned: 0,
        }
    }

    fn draw(&mut self) -> Lane {
        let share = u64::from(self.ramp.percents().of(Class::Read).buckets());
        let lane = if self.chance.below(100_000) < share { Lane::V3 } else { Lane::V2 };
        self.draws.add(Arm::from(lane));
        lane
    }

    /// One call: half of them in one of 30 sessions, half anonymous; all of them in sessions
    /// where some of those are poisoned, so that V3 sometimes has no other.
    fn call(&mut self) {
        self.now += 10;
        let command = if self.chance.chance(300_000) { "b" } else { "a" };
        let seat = self.chance.below(if self.poisoned > 0 { 30 } else { 60 });
        if seat >= 30 {
            let lane = self.draw();
            let ended = self.outcome(lane);
            return self.note(&mut Unit::Anonymous, command, lane, ended);
        }
        if self.sessions.get(&seat).is_none_or(|session| session.calls_left == 0) {
            let (marks, lane) = (self.guards.mark(), self.draw());
            let poisoned = self.chance.chance(self.poisoned);
            let calls_left = if poisoned { 20 } else { self.chance.between(1, 10) };
            self.sessions.insert(seat, Session { marks, lane, calls_left, poisoned });
        }
        let Session { lane, poisoned, .. } = self.sessions[&seat];
        let (outcome, total) = self.outcome(lane);
        let outcome = if poisoned { Outcome::Raised } else { outcome };
        let session = self.sessions.get_mut(&seat).unwrap();
        session.calls_left -= 1;
        let mut marks = session.marks;
        if let Some(marks) = &mut marks {
            self.note(&mut Unit::Session(marks), command, lane, (outcome, total));
        }
        self.sessions.get_mut(&seat).unwrap().marks = marks;
    }

    /// As a process tells its guards.
    fn note(
        &mut self,
        unit: &mut Unit<'_>,
        command: &str,
        lane: Lane,
        (outcome, total): (Outcome, Duration),
    ) {
        self.guards.called(unit, command, Arm::from(lane), outcome, total);
        match (lane, outcome) {
            (Lane::V3, Outcome::Ok) => self.good += 1,
            (Lane::V3, _) => self.guards.v3_failed(unit, self.good),
            (Lane::V2, _) => {}
        }
    }

    fn outcome(&mut self, lane: Lane) -> (Outcome, Duration) {
        let Next { errors, timeouts, slow } = if lane == Lane::V3 { self.next } else { ALIKE };
        let dice = self.chance.unit();
        let outcome = match dice {
            dice if dice <= 0.04 * errors => Outcome::Raised,
            dice if dice <= 0.04 * errors + 0.02 * timeouts => Outcome::ExecTimeout,
            _ => Outcome::Ok,
        };
        let slow = self.chance.unit() <= 0.1 * slow;
        (outcome, Duration::from_millis(if slow { 20 } else { 5 }))
    }

    fn judge(&mut self) -> Verdict {
        self.guards.drew(Class::Read, std::mem::take(&mut self.draws));
        let evidence = self.guards.evidence();
        let now = Wall::from_millis(self.now);
        let situation = Situation {
            now,
            evidence: Some(&evidence),
            strata: &self.strata,
            killed: false,
            capacity: ROOM,
            drill: drilled(now),
            corpora: None,
        };
        let verdict = assess(&self.ramp, &situation);
        if self.ramp.follow(&verdict, now).unwrap() && self.ramp.position() != Position::Done {
            let step = self.ramp.step().unwrap().classes.clone();
            let drawn = Drawn { calls: self.ramp.percents(), comparisons: "50".parse().unwrap() };
            self.guards.begin_step(self.ramp.number(), drawn, &step);
        }
        verdict
    }

    /// Until it is done or rolled back, or that many calls were made; the last verdict.
    fn run(&mut self, calls: u64) -> Verdict {
        loop {
            let verdict = self.judge();
            let over = verdict.verdict == Says::Rollback || self.ramp.position() == Position::Done;
            if over || self.now / 10 >= calls {
                return verdict;
            }
            (0..100).for_each(|_| self.call());
        }
    }
}

#[test]
fn a_clean_v3_completes_and_a_worse_one_is_rolled_back_with_the_reason() {
    let mut clean = Service::new(ALIKE, 1, 0);
    clean.run(3_000_000);
    assert_eq!(clean.ramp.position(), Position::Done);
    println!("a clean V3 was through after {} calls", clean.now / 10);
    for (next, metric) in [
        (Next { errors: 5.0, ..ALIKE }, "errors"),
        (Next { timeouts: 10.0, ..ALIKE }, "timeouts"),
        (Next { slow: 4.0, ..ALIKE }, "slow_p90"),
    ] {
        let mut worse = Service::new(next, 1, 0);
        let verdict = worse.run(3_000_000);
        assert_eq!(verdict.verdict, Says::Rollback);
        let reason = verdict.reasons().next().unwrap();
        assert_eq!(reason.about.as_deref(), Some(metric), "{reason:?}");
        println!("after {} calls at {:?}: {}", worse.now / 10, verdict.position, reason.reason);
        assert_eq!(worse.ramp.percents().of(Class::Read).buckets(), 0);
    }
}

/// Ramps of a V3 that is as V2, and how many of them ended in a rollback or in no time.
fn clean(runs: u64, calls: u64, poisoned: u32) {
    for seed in SEEDS {
        let (mut rolled_back, mut done) = (0, 0);
        for run in 0..runs {
            let mut service = Service { poisoned, ..Service::new(ALIKE, seed, run) };
            match service.run(calls).verdict {
                Says::Rollback => rolled_back += 1,
                _ => done += u64::from(service.ramp.position() == Position::Done),
            }
        }
        println!(
            "seed {seed}: of {runs} whole ramps with three guards and {:.1} % poisoned sessions, \
             {rolled_back} were rolled back falsely and {done} were through within {calls} calls",
            f64::from(poisoned) / 1e4
        );
        assert!(rolled_back as f64 <= 0.003 * runs as f64, "{rolled_back} of {runs}");
    }
}

#[test]
fn whole_ramps_of_a_clean_v3_are_not_rolled_back() {
    clean(20, 8000, 0);
}

/// Little traffic: at a small share V3 often has the poisoned session alone.
#[test]
fn nor_are_those_with_poisoned_sessions() {
    clean(20, 8000, 10_000);
}

/// 2100 ramps: 700 by each seed.
#[test]
#[ignore = "minutes; run by name, in release"]
fn whole_ramps_at_length() {
    clean(700, 20_000, 0);
}

#[test]
#[ignore = "minutes; run by name, in release"]
fn whole_ramps_with_poisoned_sessions_at_length() {
    clean(700, 20_000, 10_000);
}
