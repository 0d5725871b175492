//! The routing laws while the real ramp and guards steer: they hear of each call's end, judge at
//! random moments, and operators pause, resume, roll back and kill in between.

#![expect(clippy::print_stdout, reason = "the figures are to be read, with --nocapture")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use poolshift::clock::{Moment, Wall};
use poolshift::router::guard::slow::Thresholds;
use poolshift::router::guard::strata::Strata;
use poolshift::router::guard::{Arm, Arms, Drawn, Guards, Marks, Unit};
use poolshift::router::percent::Percent;
use poolshift::router::policy::{Decision, Percents, Policy, Reason};
use poolshift::router::ramp::{Capacity, Drill, Plan, Position, Ramp, Says, Situation, assess};
use poolshift::router::stage::{By, Stage};
use poolshift::{Class, Lane, SessionId};
use poolshift_sim::checkers::{Checkers, Law};
use poolshift_sim::options::Options;
use poolshift_sim::planted::{Bug, Infected};
use poolshift_sim::scenario::Scenario;
use poolshift_sim::trace::{CallNo, Closing, Event, Ground, LaneGround, SessionNo, Stamp, Watcher};
use poolshift_sim::world::{Product, Rig, Switch, World};

/// The routing laws.
const LAWS: [Law; 6] = [Law::S20, Law::S21, Law::S22, Law::S23, Law::S24, Law::S25];

/// Quick to go on and quick to go back, so that a run of seconds sees both many times.
fn plan() -> Plan {
    let step = |(class, percent): (&str, u32)| {
        format!("[[steps]]\n{class}percent = {percent}\nmin_time = \"300ms\"\nmin_units = 5\n")
    };
    let read = "class = \"read\"\n";
    let steps = [(read, 5), ("", 10), (read, 50), ("", 60), ("", 100)].map(step);
    let guard = "tolerated = 1.0\nunacceptable = 20\nlimit = 0.95\n";
    let head = format!("alpha = 0.05\nbeta = 0.49\nin_a_row = 60\n[guards.errors]\n{guard}");
    Plan::parse(&(head + &steps.concat()), &[]).unwrap()
}

fn strata() -> Strata {
    Strata::new(Class::ALL.map(|class| (class.as_str().to_owned(), class)))
}

/// How often each thing happened.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    steps: u64,
    done: u64,
    guards_rolled_back: u64,
    humans_rolled_back: u64,
    pauses: u64,
    kills: u64,
}

/// A call that has no end yet.
struct Open {
    session: Option<SessionNo>,
    class: Class,
    begun: Moment,
    lane: Lane,
    by_chance: bool,
}

/// The ramp and its guards, as one process has them.
struct Steering {
    ramp: Ramp,
    guards: Guards,
    whole_sessions: bool,
    now: Moment,
    marks: BTreeMap<SessionNo, Option<Marks>>,
    open: BTreeMap<CallNo, Open>,
    draws: [Arms; 3],
    good: u64,
    counts: Counts,
}

type Shared = Rc<RefCell<Steering>>;

impl Steering {
    fn shared() -> Shared {
        let (strata, slow) = (strata(), Thresholds::default());
        Rc::new(RefCell::new(Self {
            ramp: Ramp::start(plan(), Wall::from_millis(0)),
            guards: Guards::new("0", plan().guards, strata, slow),
            whole_sessions: false,
            now: Moment::ZERO,
            marks: BTreeMap::new(),
            open: BTreeMap::new(),
            draws: Default::default(),
            good: 0,
            counts: Counts::default(),
        }))
    }

    fn wall(&self) -> Wall {
        Wall::from_millis(self.now.as_nanos() / 1_000_000)
    }

    fn hear(&mut self, stamp: Stamp, event: &Event) {
        self.now = stamp.at;
        match *event {
            Event::Submit { call, session, class, .. } => {
                let (begun, lane) = (stamp.at, Lane::V2);
                self.open.insert(call, Open { session, class, begun, lane, by_chance: false });
            }
            Event::Route { call, lane, reason, drawn, .. } => {
                let open = self.open.get_mut(&call).unwrap();
                open.lane = lane;
                open.by_chance = matches!(reason, Reason::Pinned | Reason::Percent);
                if drawn {
                    self.draws[open.class as usize].add(Arm::from(lane));
                    if let Some(session) = open.session {
                        self.marks.insert(session, self.guards.mark());
                    }
                }
            }
            Event::Done { call, outcome, .. } => {
                let Some(open) = self.open.remove(&call) else { return };
                if !open.by_chance {
                    return;
                }
                let mut unit = match open.session.map(|session| self.marks.get_mut(&session)) {
                    None => Unit::Anonymous,
                    Some(Some(Some(marks))) => Unit::Session(marks),
                    Some(_) => return,
                };
                let (command, took) = (open.class.as_str(), stamp.at.since(open.begun));
                self.guards.called(&mut unit, command, Arm::from(open.lane), outcome, took);
                match (open.lane, outcome) {
                    (Lane::V3, poolshift::Outcome::Ok) => self.good += 1,
                    (Lane::V3, _) => self.guards.v3_failed(&mut unit, self.good),
                    (Lane::V2, _) => {}
                }
            }
            _ => {}
        }
    }

    /// As the controller of a process does.
    fn judge(&mut self) {
        let again = self.ramp.position() == Position::Done
            || self.ramp.stages().beneath(Class::Read) == Stage::RolledBack;
        if again && !self.ramp.stages().are_killed() {
            // The next build of V3, and its own ramp.
            let build = self.ramp.number().to_string() + self.guards.evidence().build();
            self.guards = Guards::new(&build, plan().guards, strata(), Thresholds::default());
            self.marks.clear();
            self.ramp = Ramp::start(plan(), self.wall());
        }
        for (class, draws) in Class::ALL.into_iter().zip(std::mem::take(&mut self.draws)) {
            self.guards.drew(class, draws);
        }
        let evidence = self.guards.evidence();
        let situation = Situation {
            now: self.wall(),
            evidence: Some(&evidence),
            strata: self.guards.strata(),
            killed: false,
            capacity: Some(Capacity { v2_workers: 8, busy_workers: 1.0 }),
            drill: Some(Drill { at: self.wall(), took_ms: 1 }),
            corpora: None,
        };
        let verdict = assess(&self.ramp, &situation);
        if !self.ramp.follow(&verdict, self.wall()).unwrap() {
            return;
        }
        match verdict.verdict {
            Says::Rollback => self.counts.guards_rolled_back += 1,
            _ if self.ramp.position() == Position::Done => self.counts.done += 1,
            _ => {
                self.counts.steps += 1;
                let step = self.ramp.step().unwrap().clone();
                let calls = match self.whole_sessions {
                    true => Percents::all(step.percents.of(Class::Critical)),
                    false => step.percents,
                };
                let drawn = Drawn { calls, comparisons: Percent::ZERO };
                self.guards.begin_step(self.ramp.number(), drawn, &step.classes);
            }
        }
    }

    /// What an operator does at a random moment: mostly look, now and then interfere.
    fn act(&mut self, lot: u32) {
        match lot {
            12_500 if self.ramp.pause(By::Human).is_ok() => self.counts.pauses += 1,
            12_500 | 90_000 => drop(self.ramp.resume(By::Human)),
            1 if self.ramp.position() != Position::Shadow => {
                let rolled = self.ramp.roll_back(By::Human, self.wall());
                self.counts.humans_rolled_back += u64::from(rolled.is_ok());
            }
            _ => self.judge(),
        }
    }
}

/// A rig whose shares are the ramp's, and not the operators'.
struct Steered<R> {
    rig: R,
    steering: Shared,
}

impl<R: Rig> Rig for Steered<R> {
    type V2 = R::V2;
    type V3 = R::V3;
    type Switch = SteeredSwitch<R::Switch>;

    fn v2(&self, ground: &LaneGround) -> R::V2 {
        self.rig.v2(ground)
    }

    fn v3(&self, ground: &LaneGround) -> R::V3 {
        self.rig.v3(ground)
    }

    fn switch(&self, options: &Options) -> Self::Switch {
        self.steering.borrow_mut().whole_sessions = options.whole_sessions;
        let steering = Rc::clone(&self.steering);
        SteeredSwitch { switch: self.rig.switch(options), steering }
    }
}

struct SteeredSwitch<S> {
    switch: S,
    steering: Shared,
}

impl<S: Switch> Switch for SteeredSwitch<S> {
    fn decide(
        &mut self,
        now: Moment,
        call: CallNo,
        session: Option<&SessionId>,
        class: Class,
    ) -> Decision {
        self.switch.decide(now, call, session, class)
    }

    /// The operators' shares are lots: what they do with the ramp.
    fn set_percents(&mut self, lot: Percents) {
        let mut steering = self.steering.borrow_mut();
        steering.act(lot.of(Class::Read).buckets());
        let killed = steering.ramp.stages().are_killed();
        let shares = if killed { self.switch.policy().percents } else { steering.ramp.percents() };
        self.switch.set_percents(shares);
    }

    fn set_killed(&mut self, killed: bool) {
        let mut steering = self.steering.borrow_mut();
        if killed {
            steering.counts.kills += 1;
            steering.ramp.kill();
        } else {
            steering.ramp.unkill(By::Human).unwrap();
            self.switch.set_percents(steering.ramp.percents());
        }
        self.switch.set_killed(killed);
    }

    fn end_session(&mut self, session: &SessionId) {
        self.switch.end_session(session);
    }

    fn policy(&self) -> &Policy {
        self.switch.policy()
    }
}

/// The checkers, with the steering listening beside them.
struct Both {
    checkers: Checkers,
    steering: Shared,
}

impl Watcher for Both {
    fn begin(&mut self, ground: &Ground) {
        self.checkers.begin(ground);
    }

    fn event(&mut self, stamp: Stamp, event: &Event) {
        self.steering.borrow_mut().hear(stamp, event);
        self.checkers.event(stamp, event);
    }

    fn end(&mut self, closing: &Closing) {
        self.checkers.end(closing);
    }

    fn has_seen_enough(&self) -> bool {
        self.checkers.has_seen_enough()
    }
}

fn options(seed: u64, calls: u64) -> Options {
    let mut options = Scenario::Swarm.options(seed, calls);
    options.operators.percent = Percent::ZERO;
    options.operators.change_every = Duration::from_millis(250);
    // Ramps take time: some hundred acts a run.
    options.mean_gap = options.mean_gap.max(Duration::from_millis(8));
    options
}

fn run<R: Rig>(rig: R, seed: u64, calls: u64) -> (Checkers, Counts) {
    let steering = Steering::shared();
    let checkers = Checkers::new().stop_at_first();
    let watcher = Both { checkers, steering: Rc::clone(&steering) };
    let rig = Steered { rig, steering };
    let ended = World::new(&rig, seed, options(seed, calls), watcher).run();
    let counts = ended.watcher.steering.borrow().counts;
    (ended.watcher.checkers, counts)
}

fn ramps(seeds: std::ops::Range<u64>, calls: u64) -> Counts {
    let (mut all, mut sometimes) = (Counts::default(), BTreeMap::new());
    for seed in seeds.clone() {
        let (checkers, counts) = run(Product, seed, calls);
        assert_eq!(checkers.violations(), [], "seed {seed}");
        for (law, tally) in checkers.laws() {
            *sometimes.entry(law).or_insert(0) += tally.sometimes;
        }
        all.steps += counts.steps;
        all.done += counts.done;
        all.guards_rolled_back += counts.guards_rolled_back;
        all.humans_rolled_back += counts.humans_rolled_back;
        all.pauses += counts.pauses;
        all.kills += counts.kills;
    }
    println!("{} runs of {calls} calls under ramps: {all:?}", seeds.end - seeds.start);
    for law in LAWS {
        println!("{law} was put to the test {} times", sometimes[&law]);
        assert!(sometimes[&law] > 0, "{law} was never put to the test");
    }
    all
}

#[test]
fn the_routing_laws_hold_while_ramps_go_on_pause_roll_back_and_are_killed() {
    let Counts { steps, done, guards_rolled_back, humans_rolled_back, pauses, kills } =
        ramps(0..40, 6000);
    assert!(steps > 100 && done > 0, "{steps} {done}");
    assert!(guards_rolled_back > 0 && humans_rolled_back > 0);
    assert!(pauses > 20 && kills > 20, "{pauses} {kills}");
}

#[test]
fn bugs_of_the_router_are_found_under_ramps() {
    for bug in [Bug::KillReadOnce, Bug::RollbackSpares, Bug::RaiseMoves, Bug::StalePolicy] {
        let found = (0..40).find(|seed| !run(Infected(bug), *seed, 6000).0.violations().is_empty());
        assert!(found.is_some(), "{bug:?} is not found");
    }
}

#[test]
#[ignore = "minutes; run by name, in release"]
fn ramps_at_length() {
    let runs = std::env::var("POOLSHIFT_RAMPS").map_or(2000, |runs| runs.parse().unwrap());
    ramps(1000..1000 + runs, 20_000);
}
