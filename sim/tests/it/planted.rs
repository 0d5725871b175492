//! A machine with a bug takes the product's place, and a law names the bug.

use poolshift::clock::Moment;
use poolshift::machine::{Action, Census, End, Event, PoolMachine};
use poolshift::pool::PoolStatus;
use poolshift::v2_session_pool::machine::SessionMachine;
use poolshift::v3_pool::machine::QueueMachine;
use poolshift_sim::options::Options;
use poolshift_sim::run::run;
use poolshift_sim::scenario::Scenario;
use poolshift_sim::trace::LaneGround;
use poolshift_sim::world::{Product, Rig, Switchboard};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bug {
    /// A cancelled call is never finished.
    LostCancel,
    /// A call that times out in the queue is finished twice.
    DoubleTimeout,
}

#[derive(Clone, Debug, PartialEq)]
struct Planted {
    machine: QueueMachine,
    bug: Bug,
    again: Option<Action>,
}

impl PoolMachine for Planted {
    fn handle(&mut self, now: Moment, event: Event) {
        self.machine.handle(now, event);
    }

    fn next_action(&mut self) -> Option<Action> {
        let action = self.again.take().or_else(|| self.machine.next_action())?;
        match (&action, self.bug) {
            (Action::Finish { end: End::Cancelled, .. }, Bug::LostCancel) => self.next_action(),
            (Action::Finish { end: End::QueueTimeout, call }, Bug::DoubleTimeout) => {
                // The second one ends otherwise, so that there is no third.
                self.again = Some(Action::Finish { call: *call, end: End::WorkerLost });
                Some(action)
            }
            _ => Some(action),
        }
    }

    fn next_deadline(&self) -> Option<Moment> {
        self.machine.next_deadline()
    }

    fn census(&self) -> Census {
        self.machine.census()
    }

    fn status(&self) -> PoolStatus {
        self.machine.status()
    }
}

struct Infected(Bug);

impl Rig for Infected {
    type V2 = SessionMachine;
    type V3 = Planted;
    type Switch = Switchboard;

    fn v2(&self, ground: &LaneGround) -> SessionMachine {
        Product.v2(ground)
    }

    fn v3(&self, ground: &LaneGround) -> Planted {
        Planted { machine: Product.v3(ground), bug: self.0, again: None }
    }

    fn switch(&self, options: &Options) -> Switchboard {
        Product.switch(options)
    }
}

/// How many seeds it takes until this law is broken; nothing if some other law is first.
fn seeds_to_kill(bug: Bug, law: &str) -> u64 {
    for seed in 0..200 {
        let found = run(&Infected(bug), seed, Scenario::Full.options(seed, 3000));
        if let Some(first) = found.verdict.broken.first() {
            assert_eq!(first.law, law, "{bug:?}: {first:?}");
            return seed + 1;
        }
    }
    panic!("{bug:?} lives");
}

#[test]
fn a_lost_cancel_and_a_doubled_timeout_are_found() {
    assert!(seeds_to_kill(Bug::LostCancel, "S15") <= 3);
    assert!(seeds_to_kill(Bug::DoubleTimeout, "S1") <= 20);
}
