//! What must be able to race does race, both ways round.

use std::collections::{BTreeMap, BTreeSet};

use poolshift::machine::Sent;
use poolshift::{Lane, Outcome, WorkerId};
use poolshift_sim::scenario::Scenario;
use poolshift_sim::trace::{CallNo, Cause, Event, Stamp, Unready, Watcher};
use poolshift_sim::world::{Product, World};

/// Counts races by name.
#[derive(Default)]
struct Races {
    seen: BTreeMap<&'static str, u64>,
    /// Calls that are done, and when.
    done: BTreeMap<CallNo, (Stamp, Outcome)>,
    /// Calls with a lease of which nothing has been written.
    leased: BTreeSet<CallNo>,
    reaped: BTreeSet<(Option<Lane>, WorkerId)>,
    draining: BTreeSet<Lane>,
}

impl Races {
    fn saw(&mut self, race: &'static str, happened: bool) {
        *self.seen.entry(race).or_default() += u64::from(happened);
    }
}

impl Watcher for Races {
    fn event(&mut self, stamp: Stamp, event: &Event) {
        match *event {
            Event::Lease { call, .. } => drop(self.leased.insert(call)),
            Event::Dispatch { call, sent, .. } => {
                self.leased.remove(&call);
                self.saw("half a request is written", sent == Sent::Part);
            }
            Event::Reply { call, worker, .. } => {
                let (earlier, reaped) = (self.done.get(&call), &self.reaped);
                let beaten = earlier.is_some_and(|(_, outcome)| *outcome == Outcome::ExecTimeout);
                let in_the_same = beaten && earlier.is_some_and(|(at, _)| at.at == stamp.at);
                let after_reaping = reaped.contains(&(stamp.lane, worker));
                self.saw("a deadline beats the reply of the same moment", in_the_same);
                self.saw("a reply of a reaped worker is read", after_reaping);
            }
            Event::Broke { call, cause, sent, .. } => {
                let unused = self.leased.remove(&call) && cause == Cause::Dropped;
                self.saw("a caller goes away between lease and write", unused);
                self.saw(
                    "a caller goes away from a running call",
                    sent == Sent::All && cause == Cause::Dropped,
                );
            }
            Event::Done { call, outcome, .. } => {
                let unused = self.leased.remove(&call) && outcome == Outcome::ExecTimeout;
                self.saw("a deadline comes between lease and write", unused);
                self.done.insert(call, (stamp, outcome));
            }
            Event::Enqueue { again, .. } => self.saw("a call comes back unsent", again),
            Event::Reaped { worker } => drop(self.reaped.insert((stamp.lane, worker))),
            Event::StartFailed { why, .. } => {
                self.saw("a worker is stopped while it starts", why == Unready::Stopped);
            }
            Event::Drain { .. } => drop(self.draining.insert(stamp.lane.unwrap())),
            Event::Resize { .. } => {
                let draining = self.draining.contains(&stamp.lane.unwrap());
                self.saw("a pool is resized while it drains", draining);
            }
            Event::Cancel { call } => {
                let told = self.done.get(&call).is_some_and(|(at, _)| at.at == stamp.at);
                self.saw("a caller goes away in the moment of its answer", told);
            }
            _ => {}
        }
    }
}

#[test]
fn races_are_run_both_ways() {
    let mut races: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..60 {
        let options = Scenario::Swarm.options(seed, 1500);
        let found = World::new(&Product, seed, options, Races::default()).run().watcher;
        found.seen.iter().for_each(|(race, count)| *races.entry(race).or_default() += count);
    }
    let never: Vec<&&str> = races.iter().filter(|(_, count)| **count == 0).map(|it| it.0).collect();
    assert!(never.is_empty(), "never: {never:?} of {races:#?}");
}

/// What the host did while it stood still.
#[derive(Default)]
struct StandStill {
    stands: Option<(poolshift::clock::Moment, poolshift::clock::Moment)>,
    stalls: u32,
    moved: Vec<(Stamp, Event)>,
}

impl Watcher for StandStill {
    fn event(&mut self, stamp: Stamp, event: &Event) {
        if let Event::Stall { until } = *event {
            let (from, earlier) = self.stands.unwrap_or((stamp.at, until));
            let goes_on = stamp.at < earlier;
            self.stands = Some((if goes_on { from } else { stamp.at }, until.max(earlier)));
            self.stalls += 1;
        }
        let processes = matches!(
            event,
            Event::Writes { .. }
                | Event::Executes { .. }
                | Event::Exit { .. }
                | Event::Closes { .. }
                | Event::Fault { .. }
                | Event::Heal { .. }
                | Event::Stall { .. }
        );
        // What is due in the very moment in which it stops may come first.
        let stands = self.stands.is_some_and(|(from, until)| from < stamp.at && stamp.at < until);
        if stands && !processes {
            self.moved.push((stamp, *event));
        }
    }
}

#[test]
fn a_host_that_stands_still_does_nothing() {
    let mut stalls = 0;
    for seed in 0..150 {
        let options = Scenario::Swarm.options(seed, 1500);
        let seen = World::new(&Product, seed, options, StandStill::default()).run().watcher;
        assert_eq!(seen.moved.first(), None, "seed {seed}");
        stalls += seen.stalls;
    }
    assert!(stalls > 30, "{stalls} stalls");
}
