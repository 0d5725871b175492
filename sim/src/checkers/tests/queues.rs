//! S9 S11 S12 L3 L4 L5 L7.

use poolshift::machine::{Sent, Stop};
use poolshift::router::policy::Reason;
use poolshift::{Outcome, Ran};

use super::story::{Story, story};
use crate::checkers::Law;
use crate::trace::{CallNo, Cause, Event, SessionNo};

/// Both workers of V3 are busy with calls 1 and 2.
fn busy() -> Story {
    story().call(1).runs(1, 0).call(2).runs(2, 1)
}

/// And two more wait, which is all that may.
fn full() -> Story {
    busy().call(3).waits(3, 1).call(4).waits(4, 2)
}

/// Session 7 has its state in V2's worker 0.
fn at_home() -> Story {
    story().v2().call_in(7, 1).runs(1, 0).at(10).answers(1, 0)
}

#[test]
fn s9_a_queue_is_bounded_and_its_bound_is_used() {
    full().call(5).over(5, Outcome::Rejected).keeps(Law::S9);
    full().call(5).waits(5, 3).breaks(Law::S9);
    busy().call(3).waits(3, 1).call(4).over(4, Outcome::Rejected).breaks(Law::S9);
    // One that comes back takes its old place, full or not; then nobody else may join.
    let back = story().call(1).lease(1, 0).call(2).runs(2, 1).call(3).waits(3, 1);
    let back = back.call(4).waits(4, 2).broke(1, 0, Sent::None, Cause::Lost).waits_again(1, 3);
    back.clone().killed(0).call(5).over(5, Outcome::Rejected).keeps(Law::S9);
}

#[test]
fn s11_v3_serves_in_order() {
    full().at(10).answers(1, 0).runs(3, 0).answers(2, 1).runs(4, 1).keeps(Law::S11);
    full().at(10).answers(1, 0).runs(4, 0).breaks(Law::S11);
    busy().call(3).waits(3, 1).at(10).answers(1, 0).call(4).runs(4, 0).breaks(Law::S11);
    // Those that left the queue are not waited for.
    let left = full().at(5).cancel(3).over(3, Outcome::Cancelled).at(10).answers(1, 0);
    left.runs(4, 0).clean();
    // A call that came back is the oldest again.
    let back = story().call(1).lease(1, 0).call(2).runs(2, 1).call(3).waits(3, 1);
    let back = back.broke(1, 0, Sent::None, Cause::Lost).waits_again(1, 2).killed(0);
    back.clone().at(10).answers(2, 1).runs(1, 1).keeps(Law::S11);
    back.at(10).answers(2, 1).runs(3, 1).breaks(Law::S11);
}

#[test]
fn s12_a_session_lives_on_one_process() {
    let died = || at_home().at(20).exit(0).reaped(0).up(0);
    let told = || died().call_in(7, 2).over(2, Outcome::SessionLost);
    told().call_in(7, 3).runs(3, 1).at(30).answers(3, 1).keeps(Law::S12);
    // Moved while its worker serves; not told; told though nothing was lost; told twice.
    at_home().call_in(7, 2).lease(2, 1).breaks(Law::S12);
    died().call_in(7, 2).lease(2, 1).breaks(Law::S12);
    died().call_in(7, 2).lease(2, 0).breaks(Law::S12);
    at_home().call_in(7, 2).over(2, Outcome::SessionLost).breaks(Law::S12);
    told().call_in(7, 3).over(3, Outcome::SessionLost).breaks(Law::S12);
    story().call_in(8, 1).over(1, Outcome::SessionLost).breaks(Law::S12);
}

#[test]
fn s12_the_oldest_waiting_call_is_told() {
    let waiting = story().v2().call_in(7, 1).runs(1, 0).call_in(7, 2).waits(2, 1);
    let lost = waiting.call_in(7, 3).waits(3, 2).at(4000);
    let lost = lost.over_on(1, 0, Outcome::ExecTimeout).stop(0, Stop::DumpAndKill);
    let lost = lost.over(2, Outcome::SessionLost).runs(3, 1).at(4010).answers(3, 1);
    lost.keeps(Law::S12);
}

#[test]
fn s12_a_call_that_came_back_meets_its_loss() {
    let returned = story().v2().call_in(7, 1).lease(1, 0).broke(1, 0, Sent::None, Cause::Lost);
    returned.stop(0, Stop::Kill).over(1, Outcome::SessionLost).dies(0).keeps(Law::S12);
}

#[test]
fn s12_a_session_is_served_in_order() {
    let queue = at_home().call_in(7, 2).runs(2, 0).call_in(7, 3).waits(3, 1);
    let queue = queue.call_in(7, 4).waits(4, 2).at(20).answers(2, 0);
    queue.clone().runs(3, 0).at(30).answers(3, 0).runs(4, 0).clean();
    let overtaken = queue.runs(4, 0).at(30).answers(4, 0);
    overtaken.clone().runs(3, 0).breaks(Law::S12);
    // Overtaken, and never served at all.
    let busy = overtaken.call_in(9, 5).runs(5, 0);
    busy.at(5010).over(3, Outcome::QueueTimeout).check().violations().iter().for_each(|found| {
        assert!([Law::S12, Law::L5].contains(&found.law), "{found}");
    });
}

#[test]
fn s12_what_ended_or_rested_is_bound_anew() {
    let end = |story: Story| story.event(Event::EndSession { session: SessionNo(7) });
    let drawn = |story: Story| story.sent(2, Reason::Percent, true);
    let forced = |story: Story| story.sent(2, Reason::Forced, false);
    drawn(end(at_home()).submit(2, Some(7), None)).lease(2, 1).clean();
    let rested = |at| at_home().at(at).submit(2, Some(7), None);
    drawn(rested(60_010)).lease(2, 1).clean();
    forced(rested(60_010)).lease(2, 1).clean();
    forced(rested(60_009)).lease(2, 1).breaks(Law::S12);
    // A loss mark expires with the binding.
    let died = at_home().at(20).exit(0).reaped(0).at(60_010).submit(2, Some(7), None);
    drawn(died).lease(2, 1).clean();
    // Ended while a call waits: that one may still go home, and what it finds there is nobody's.
    let queue = end(at_home().call_in(7, 5).runs(5, 0).call_in(7, 6).waits(6, 1));
    let back = queue.at(20).answers(5, 0).lease(6, 0).broke(6, 0, Sent::None, Cause::Lost);
    back.waits_again(6, 1).killed(0).runs(6, 1).at(30).answers(6, 1).clean();
}

#[test]
fn l3_no_worker_rests_while_a_call_waits_for_it() {
    full().at(10).answers(1, 0).runs(3, 0).keeps(Law::L3);
    full().at(10).answers(1, 0).at(11).answers(2, 1).breaks(Law::L3);
    story().call(1).waits(1, 1).at(1).lease(1, 0).breaks(Law::L3);
    // V2: another worker may rest, its own may not, and no worker while an anonymous call waits.
    let bound = || at_home().call_in(7, 2).runs(2, 0).call_in(7, 3).waits(3, 1);
    bound().at(20).answers(2, 0).runs(3, 0).at(30).answers(3, 0).keeps(Law::L3);
    bound().at(20).answers(2, 0).at(21).lease(3, 0).breaks(Law::L3);
    at_home().call(2).waits(2, 1).at(11).lease(2, 0).breaks(Law::L3);
    // V2: a new session's call may be bound to a busy worker, but not if none is busy.
    let new = || at_home().call_in(7, 2).runs(2, 0).call_in(8, 3).waits(3, 1).at(20);
    new().answers(2, 0).runs(3, 0).at(30).answers(3, 0).keeps(Law::L3);
    new().answers(2, 0).at(21).lease(3, 1).breaks(Law::L3);
    // A worker that is probed does not rest, nor one that is too many.
    story().probe(0).probe(1).call(1).waits(1, 1).at(20).clean();
    let shrunk = busy().call(3).waits(3, 1).event(Event::Resize { size: 1 });
    shrunk.at(10).answers(2, 1).stop(1, Stop::Politely).at(20).answers(1, 0).runs(3, 0).clean();
}

#[test]
fn l4_a_backlog_drains_at_the_workers_rate() {
    full()
        .at(10)
        .answers(1, 0)
        .runs(3, 0)
        .at(20)
        .answers(2, 1)
        .runs(4, 1)
        .at(30)
        .answers(3, 0)
        .keeps(Law::L4);
    // Worker 0 has lost its call and is neither retired nor used again: it has leaked.
    let leaked = full().at(10).broke(1, 0, Sent::All, Cause::Lost);
    let leaked = leaked.over_on(1, 0, Outcome::WorkerLost);
    leaked
        .clone()
        .at(200)
        .answers(2, 1)
        .runs(3, 1)
        .at(300)
        .answers(3, 1)
        .runs(4, 1)
        .at(301)
        .killed(0)
        .breaks(Law::L4);
    let retired = leaked.killed(0).at(200).answers(2, 1).runs(3, 1).at(300);
    retired.answers(3, 1).runs(4, 1).at(301).answers(4, 1).clean();
}

#[test]
fn l5_the_others_go_on_while_some_hang() {
    let others = busy().at(10).answers(2, 1).at(4000).over_on(1, 0, Outcome::ExecTimeout);
    others.keeps(Law::L5);
    let patient = |ground: &mut crate::trace::Ground| {
        ground.lanes[1].terms.budget *= 10;
    };
    busy().on(patient).at(4000).answers(2, 1).clean();
    busy().on(patient).at(4001).answers(2, 1).breaks(Law::L5);
}

#[test]
fn l7_nobody_overtakes_a_call_that_any_worker_may_take() {
    let busy = at_home().call_in(7, 2).runs(2, 0).call(3).runs(3, 1);
    let queue = busy.call(4).waits(4, 1).call_in(7, 5).waits(5, 2).at(20);
    queue.clone().answers(3, 1).runs(4, 1).at(30).answers(2, 0).runs(5, 0).clean();
    queue.clone().answers(2, 0).runs(4, 0).at(30).answers(4, 0).runs(5, 0).clean();
    queue.answers(2, 0).runs(5, 0).breaks(Law::L7);
    let two = story().v2().call(1).runs(1, 0).call(2).runs(2, 1).call(3).waits(3, 1);
    let two = two.call(4).waits(4, 2).at(10).answers(1, 0);
    two.clone().runs(3, 0).keeps(Law::L7);
    two.runs(4, 0).breaks(Law::L7);
}

#[test]
fn a_cancelled_waiter_leaves_the_queue_at_once() {
    let (call, ran) = (CallNo(3), Ran::No);
    let outcome = Outcome::Cancelled;
    let done = Event::Done { call, outcome, ran, worker: None, answer: None };
    full().at(10).cancel(3).event(done).call(5).waits(5, 2).clean();
    full().at(10).cancel(3).at(11).call(5).breaks(Law::S1);
}
