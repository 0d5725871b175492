//! S18 S19 S26 L9, and what concerns runs as a whole.

use std::time::Duration;

use poolshift::{Class, Outcome, Ran};

use super::story::{Story, story};
use crate::checkers::{Checkers, Held, Law};
use crate::trace::{CallNo, Event, TraceHash};

fn answered() -> Story {
    story().call(1).runs(1, 0).at(10).answers(1, 0)
}

/// Call 1 was answered, call 2 was not.
fn mixed() -> Story {
    answered().call(2).runs(2, 0).at(4010).over_on(2, 0, Outcome::ExecTimeout).killed(0).up(0)
}

fn breaks(checkers: &Checkers, law: Law) {
    let broken: Vec<Law> = checkers.violations().iter().map(|found| found.law).collect();
    assert_eq!(broken, [law]);
}

#[test]
fn s18_what_is_held_is_bounded() {
    let mut checkers = Checkers::new();
    checkers.holds(Held::Stderr, 10, 64);
    checkers.holds(Held::Frame, 32, 64);
    assert_eq!(checkers.violations(), []);
    let tally = checkers.laws()[&Law::S18];
    assert_eq!((tally.checked, tally.sometimes), (2, 1));
    checkers.holds(Held::Stderr, 65, 64);
    breaks(&checkers, Law::S18);
}

#[test]
fn s19_the_books_agree_with_the_trace() {
    mixed().closes().keeps(Law::S19);
    let books = |change: fn(&mut crate::trace::LaneClosing)| {
        mixed().closes().books(|closing| change(&mut closing.lanes[1]))
    };
    books(|books| books.meter.submitted += 1).breaks(Law::S19);
    books(|books| books.status.restarts = 0).breaks(Law::S19);
    books(|books| books.status.start_failures = 1).breaks(Law::S19);
    books(|books| books.status.in_flight = 1).breaks(Law::S19);
    books(|books| *books.status.outcomes.entry(Outcome::Ok).or_default() += 1).breaks(Law::S19);
    books(|books| {
        let late = books.meter.latencies.remove(&(Class::Read, Outcome::ExecTimeout));
        books.meter.latencies.insert((Class::Write, Outcome::ExecTimeout), late.unwrap());
    })
    .breaks(Law::S19);
    books(|books| {
        let good = books.meter.latencies.get_mut(&(Class::Read, Outcome::Ok)).unwrap();
        good.queued.record(Duration::ZERO);
    })
    .breaks(Law::S19);
}

#[test]
fn s19_each_end_has_one_class() {
    let told = |outcome, ran| {
        let (call, worker) = (CallNo(1), Some(story().worker(0)));
        let answer = Some(call);
        story().call(1).runs(1, 0).at(10).reply(1, 0).event(Event::Done {
            call,
            outcome,
            ran,
            worker,
            answer,
        })
    };
    told(Outcome::Ok, Ran::Yes).clean();
    told(Outcome::Ok, Ran::Maybe).breaks(Law::S19);
    told(Outcome::Raised, Ran::Yes).breaks(Law::S19);
}

#[test]
fn s26_two_runs_are_the_same() {
    let mut checkers = answered().check();
    checkers.made_again(TraceHash(7), TraceHash(7));
    assert_eq!(checkers.violations(), []);
    let tally = checkers.laws()[&Law::S26];
    assert_eq!((tally.checked, tally.sometimes), (1, 1));
    checkers.made_again(TraceHash(7), TraceHash(8));
    breaks(&checkers, Law::S26);
}

#[test]
fn l9_a_moment_has_an_end() {
    let spins = |times| {
        answered().at(20).many(0..times, |story, _| {
            story.probe(1).event(Event::Probed { worker: story_worker(), healthy: true })
        })
    };
    fn story_worker() -> poolshift::WorkerId {
        poolshift::WorkerId { slot: 1, generation: 1 }
    }
    spins(1000).at(21).call(2).runs(2, 0).keeps(Law::L9);
    spins(6000).at(21).call(2).runs(2, 0).breaks(Law::L9);
    // One event in each moment, and a million moments in a second.
    let busy = |times: u64| {
        let mut checkers = Checkers::new();
        crate::trace::Watcher::begin(&mut checkers, &super::story::ground());
        for n in 0..times {
            let at = poolshift::clock::Moment::from_nanos(n * 1000);
            let stamp = crate::trace::Stamp { at, seq: n, lane: None };
            let heal = Event::Heal { fault: crate::trace::Fault::Hang };
            crate::trace::Watcher::event(&mut checkers, stamp, &heal);
        }
        checkers
    };
    assert_eq!(busy(90_000).violations(), []);
    breaks(&busy(1_000_001), Law::L9);
}

#[test]
fn all_laws_are_listed_in_order_and_said() {
    let laws = Checkers::new().laws();
    assert_eq!(laws.len(), 35);
    assert!(laws.keys().eq(&Law::ALL));
    let json = serde_json::to_string(&laws).unwrap();
    assert!(json.starts_with(r#"{"S1":{"checked":0,"sometimes":0},"S2""#), "{json}");
}

#[test]
fn a_run_may_be_stopped_at_its_first_violation() {
    use crate::trace::Watcher;
    let bad = story().call(1).runs(1, 0).answers(1, 0).ok(1, 0).check();
    assert!(!bad.has_seen_enough());
    assert!(bad.stop_at_first().has_seen_enough());
    assert!(!answered().check().stop_at_first().has_seen_enough());
    let many = story().many(0..1000, |story, call| story.over(call, Outcome::Cancelled)).check();
    assert_eq!(many.violations().len(), 64);
    let first = many.violations()[0].to_string();
    assert_eq!(
        first,
        "S2 broken at 0ns, event 13, v3, call 0: it was never submitted \
         (no outcome without a submit)"
    );
}
