//! What may be switched off, as examples: the breaker, recycling and the quarantine.

use std::time::Duration;

use poolshift::error::Refusal;
use poolshift::machine::breaker::BreakerTerms;
use poolshift::machine::engine::Lifecycle;
use poolshift::machine::quarantine::QuarantineTerms;
use poolshift::machine::recycling::{FIRST_CALLS, Recycling};
use poolshift::machine::{Action, Breakage, Digest, End, Event, PoolMachine, Reply, Sent, Stop};
use poolshift::pool::RecycleReason;

use crate::machine::rules::{Story, assign, finish, worker};
use crate::machine::{Kind, V2, V3};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn breaker() -> Lifecycle {
    let breaker = Some(BreakerTerms { failures: 3, probe: ms(50) });
    Lifecycle { breaker, ..Lifecycle::default() }
}

fn recycling(max_requests: u64, max_age: Duration, max_memory_growth: u64) -> Lifecycle {
    let max_recycling = 1;
    let recycling = Recycling { max_requests, max_age, max_memory_growth, max_recycling, seed: 5 };
    Lifecycle { recycling: Some(recycling), ..Lifecycle::default() }
}

fn recycle(slot: u32, generation: u32, reason: RecycleReason) -> Action {
    Action::Recycle { worker: worker(slot, generation), reason }
}

fn stop(slot: u32, generation: u32) -> Action {
    Action::Stop { worker: worker(slot, generation), how: Stop::Politely }
}

fn ok(call: u64) -> Action {
    finish(call, End::Replied(Reply::Ok))
}

/// In both lanes: who waits is told, nobody else waits, one start at a time, and back by itself.
fn opens_refuses_probes_and_closes<K: Kind>() {
    let mut story = Story::<K>::new(1, 10, breaker());
    let start = |generation| Action::Start(worker(0, generation));
    let fails = |story: &mut Story<K>, generation| {
        story.happens(Event::StartFailed { worker: worker(0, generation) })
    };
    assert_eq!(story.submit(1, None), []);
    for generation in 1..3 {
        assert_eq!(fails(&mut story, generation), []);
        assert_eq!(story.later(20), [start(generation + 1)]);
    }
    let end = |failures| End::NoWorker { failures };
    assert_eq!(fails(&mut story, 3), [finish(1, end(3))], "who waits is told");
    assert!(story.machine.census().broken);
    assert_eq!(story.submit(2, None), [finish(2, end(3))], "nobody waits in vain");
    assert_eq!(story.later(49), [], "whatever the slot's own backoff says");
    assert_eq!(story.later(1), [start(4)], "though nobody waits");
    assert_eq!(story.submit(3, None), [finish(3, end(3))]);
    assert_eq!(fails(&mut story, 4), []);
    assert_eq!(story.submit(4, None), [finish(4, end(4))]);
    assert_eq!(story.later(49), []);
    assert_eq!(story.later(1), [start(5)]);
    story.happens(Event::WorkerReady { worker: worker(0, 5) });
    assert!(!story.machine.census().broken);
    assert_eq!(story.submit(5, None), [assign(5, worker(0, 5))]);
}

#[test]
fn r6_the_breaker_opens_refuses_probes_and_closes() {
    opens_refuses_probes_and_closes::<V2>();
    opens_refuses_probes_and_closes::<V3>();
}

#[test]
fn r6_a_worker_that_becomes_ready_lets_the_other_slots_start() {
    let mut story = Story::<V3>::new(3, 10, breaker());
    for (slot, generation) in [(0, 1), (1, 1), (0, 2)] {
        story.happens(Event::StartFailed { worker: worker(slot, generation) });
        story.later(10);
    }
    assert!(story.machine.census().broken);
    story.happens(Event::StartFailed { worker: worker(1, 2) });
    assert_eq!(story.later(49), [], "while one starts, no other does");
    let closed = story.happens(Event::WorkerReady { worker: worker(2, 1) });
    assert_eq!(closed, [Action::Start(worker(0, 3)), Action::Start(worker(1, 3))]);
}

#[test]
fn r6_while_a_worker_serves_an_open_breaker_refuses_nobody() {
    let mut story = Story::<V3>::new(2, 10, breaker());
    story.happens(Event::WorkerReady { worker: worker(0, 1) });
    for generation in 1..4 {
        story.happens(Event::StartFailed { worker: worker(1, generation) });
        story.later(50);
    }
    assert!(story.machine.census().broken);
    assert_eq!(story.submit(1, None), [assign(1, worker(0, 1))]);
    assert_eq!(story.submit(2, None), []);
    let died = story.breaks(1, worker(0, 1), Sent::All, Breakage::Lost);
    let end = End::NoWorker { failures: 3 };
    assert!(died.contains(&finish(2, end)), "the last one is gone: {died:?}");
}

#[test]
fn a_used_up_worker_serves_until_its_replacement_is_ready() {
    let mut story = Story::<V3>::with(1, 10, recycling(2, Duration::ZERO, 0));
    let (old, new) = (worker(0, 1), worker(1, 1));
    story.submit(1, None);
    assert_eq!(story.reply(1, old), [ok(1)]);
    story.submit(2, None);
    let due = story.reply(2, old);
    assert_eq!(due, [ok(2), recycle(0, 1, RecycleReason::Requests), Action::Start(new)]);
    assert_eq!(story.submit(3, None), [assign(3, old)], "it serves on");
    assert_eq!(story.happens(Event::WorkerReady { worker: new }), [], "between calls only");
    assert_eq!(story.submit(4, None), [assign(4, new)]);
    assert_eq!(story.reply(3, old), [ok(3), stop(0, 1)]);
    assert_eq!(story.happens(Event::WorkerExited { worker: old }), [], "its slot is a spare now");
    story.reply(4, new);
    story.submit(5, None);
    let due = story.reply(5, new);
    let back = Action::Start(worker(0, 2));
    assert_eq!(due, [ok(5), recycle(1, 1, RecycleReason::Requests), back]);
    assert_eq!(story.happens(Event::WorkerReady { worker: worker(0, 2) }), [stop(1, 1)], "idle");
}

#[test]
fn at_most_max_recycling_are_on_their_way_out() {
    let mut story = Story::<V3>::with(3, 10, recycling(1, Duration::ZERO, 0));
    for call in 0..3 {
        story.submit(call, None);
    }
    let first = story.reply(0, worker(0, 1));
    assert_eq!(first[2], Action::Start(worker(3, 1)), "{first:?}");
    assert_eq!(story.reply(1, worker(1, 1)), [ok(1)], "it waits its turn");
    assert_eq!(story.reply(2, worker(2, 1)), [ok(2)]);
    assert_eq!(story.happens(Event::WorkerReady { worker: worker(3, 1) }), [stop(0, 1)]);
    let next = story.happens(Event::WorkerExited { worker: worker(0, 1) });
    let started = Action::Start(worker(0, 2));
    assert_eq!(next, [recycle(1, 1, RecycleReason::Requests), started], "the next one's turn");
    // A replacement that does not start costs no worker.
    story.happens(Event::StartFailed { worker: worker(0, 2) });
    assert_eq!(story.machine.census().ready, 3);
}

#[test]
fn a_worker_that_is_being_ended_has_its_turn_no_more() {
    let mut story = Story::<V3>::with(3, 10, recycling(1, Duration::ZERO, 0));
    (0..3).for_each(|call| drop(story.submit(call, None)));
    (0..3).for_each(|call| drop(story.reply(call, worker(call as u32, 1))));
    assert_eq!(story.submit(3, None), [assign(3, worker(0, 1))], "on its way out");
    assert_eq!(story.submit(4, None), [assign(4, worker(1, 1))], "due after it");
    story.reply(3, worker(0, 1));
    let broke = story.breaks(4, worker(1, 1), Sent::All, Breakage::Garbled);
    let kill = Action::Stop { worker: worker(1, 1), how: Stop::Kill };
    assert!(broke.contains(&kill), "{broke:?}");
    story.happens(Event::WorkerReady { worker: worker(3, 1) });
    let next = story.happens(Event::WorkerExited { worker: worker(0, 1) });
    assert_eq!(next[0], recycle(2, 1, RecycleReason::Requests), "{next:?}");
}

#[test]
fn age_and_growth_are_reasons_too_and_the_worker_may_ask() {
    let mut story = Story::<V3>::with(2, 10, recycling(0, ms(500), 0));
    let aged = story.later(500);
    let by_age =
        |action: &Action| matches!(action, Action::Recycle { reason: RecycleReason::Age, .. });
    assert_eq!(aged.iter().filter(|action| by_age(action)).count(), 1, "though idle: {aged:?}");

    let mut story = Story::<V3>::with(1, 10, recycling(0, Duration::ZERO, 100));
    let mut measured = Vec::new();
    for call in 0..FIRST_CALLS {
        story.submit(call, None);
        measured = story.reply(call, worker(0, 1));
    }
    assert_eq!(measured, [ok(FIRST_CALLS - 1), Action::Measure(worker(0, 1))]);
    let rss =
        |story: &mut Story<V3>, rss| story.happens(Event::Measured { worker: worker(0, 1), rss });
    assert_eq!(rss(&mut story, 5000), [], "its baseline");
    story.later(300);
    assert_eq!(rss(&mut story, 5080), []);
    assert_eq!(story.machine.status().workers[0].memory_growth_bytes, Some(80));
    assert_eq!(rss(&mut story, 5101)[0], recycle(0, 1, RecycleReason::Memory));

    let mut story = Story::<V3>::with(1, 10, recycling(0, Duration::ZERO, 0));
    story.submit(1, None);
    let asked = story.asks(1, worker(0, 1));
    assert_eq!(asked[1..], [recycle(0, 1, RecycleReason::Asked), Action::Start(worker(1, 1))]);
    assert_eq!(story.machine.status().recycled, [(RecycleReason::Asked, 1)].into());
}

#[test]
fn r10_a_v2_worker_that_asks_leaves_at_once_and_its_sessions_are_told() {
    let mut story = Story::<V2>::with(1, 10, recycling(1, ms(1), 1));
    story.submit(1, Some("a"));
    story.submit(2, Some("b"));
    let asked = story.asks(1, worker(0, 1));
    let told = finish(2, End::SessionLost);
    assert_eq!(asked, [ok(1), recycle(0, 1, RecycleReason::Asked), stop(0, 1), told]);
    assert_eq!(story.submit(3, Some("a")), [finish(3, End::SessionLost)]);
    assert_eq!(story.submit(4, Some("a")), []);
}

fn quarantine() -> Lifecycle {
    let quarantine = Some(QuarantineTerms { deaths: 2, window: ms(1000) });
    Lifecycle { quarantine, ..Lifecycle::default() }
}

/// In both lanes: after two deaths it is refused, waiting or new, and others are not.
fn poison_is_refused<K: Kind>() {
    let mut story = Story::<K>::with(2, 10, quarantine());
    let poison = Some(Digest(1));
    story.submit_as(1, poison);
    story.submit_as(2, poison);
    story.submit_as(3, poison);
    story.submit_as(4, Some(Digest(2)));
    let lost = finish(1, End::WorkerLost);
    assert_eq!(story.breaks(1, worker(0, 1), Sent::All, Breakage::Lost)[0], lost);
    story.later(10);
    story.breaks(2, worker(1, 1), Sent::Part, Breakage::Lost);
    let history = vec![(worker(0, 1), ms(10)), (worker(1, 1), Duration::ZERO)];
    let refusal = Refusal::Quarantined { history, window: ms(1000) };
    let refused = finish(5, End::Rejected(refusal.clone()));
    assert_eq!(story.submit_as(5, poison), [refused]);
    let served = story.replace(worker(0, 1));
    let expected = [finish(3, End::Rejected(refusal)), assign(4, worker(0, 2))];
    assert_eq!(served, expected, "the one that had waited, too");
    story.later(990);
    assert_eq!(story.submit_as(6, poison), [], "the first death is forgotten: one more try");
}

#[test]
fn a_call_that_kills_workers_is_refused_with_their_history() {
    poison_is_refused::<V2>();
    poison_is_refused::<V3>();
}

#[test]
fn deaths_that_the_host_caused_are_not_held_against_a_call() {
    let mut story = Story::<V3>::with(1, 10, quarantine());
    let call = Some(Digest(1));
    let mut generation = 1;
    let mut again = |story: &mut Story<V3>, how: &dyn Fn(&mut Story<V3>, u64)| {
        let id = u64::from(generation);
        assert_eq!(story.submit_as(id, call), [assign(id, worker(0, generation))]);
        how(story, id);
        story.replace(worker(0, generation));
        generation += 1;
    };
    for _ in 0..2 {
        // It timed out and was killed; what its holder then found is the kill.
        again(&mut story, &|story, id| {
            story.later(200);
            story.breaks(id, worker(0, id as u32), Sent::All, Breakage::Lost);
        });
        // It broke the protocol and was killed.
        again(&mut story, &|story, id| {
            story.breaks(id, worker(0, id as u32), Sent::All, Breakage::Garbled);
        });
        // Its caller went away with half of it sent, and it was killed.
        again(&mut story, &|story, id| {
            story.breaks(id, worker(0, id as u32), Sent::Part, Breakage::Dropped);
        });
    }
    // A caller that goes away does not hide a death: two of these are two.
    for _ in 0..2 {
        again(&mut story, &|story, id| {
            story.breaks(id, worker(0, id as u32), Sent::All, Breakage::Dropped);
            story.breaks(id, worker(0, id as u32), Sent::All, Breakage::Lost);
        });
    }
    let refused = story.submit_as(100, call);
    let poison = |action: &Action| {
        matches!(action, Action::Finish { end: End::Rejected(Refusal::Quarantined { .. }), .. })
    };
    assert!(refused.len() == 1 && refused.iter().all(poison), "{refused:?}");
}
