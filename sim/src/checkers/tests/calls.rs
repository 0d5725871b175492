//! S1 S2 S3 S8 S13 S14 S24 S25 L1.

use std::time::Duration;

use poolshift::machine::{Reply, Sent, Stop};
use poolshift::router::policy::Reason;
use poolshift::{Outcome, Ran};

use super::story::{Story, story};
use crate::checkers::Law;
use crate::trace::{CallNo, Cause, Event, Fault};

/// A call is on worker 0 from 10 ms on.
fn running() -> Story {
    story().at(10).call(1).runs(1, 0)
}

/// It times out.
fn hung() -> Story {
    running().at(4010).over_on(1, 0, Outcome::ExecTimeout).stop(0, Stop::DumpAndKill)
}

/// Its worker was dead, and it is between two places.
fn returned() -> Story {
    let leased = story().at(10).call(1).lease(1, 0).dispatch(1, 0, Sent::None);
    leased.broke(1, 0, Sent::None, Cause::Lost)
}

#[test]
fn s1_every_call_has_one_outcome() {
    hung().closes().keeps(Law::S1);
    running().answers(1, 0).ok(1, 0).breaks(Law::S1);
    running().closes().breaks(Law::S1);
    story().call(1).submit(1, None, None).breaks(Law::S1);
}

#[test]
fn s2_no_outcome_without_a_submit() {
    let cancelled = running().at(20).cancel(1).broke(1, 0, Sent::All, Cause::Dropped);
    let late = cancelled.over_on(1, 0, Outcome::Cancelled).abandon(1, 0).at(30).reply(1, 0);
    late.keeps(Law::S2);
    story().over(1, Outcome::Cancelled).breaks(Law::S2);
}

#[test]
fn s3_an_answer_is_its_callers_own() {
    // A duplicate of call 1's reply lies in the pipe, and call 2 is given its own all the same.
    let twice = running().answers(1, 0).writes(0, Some(CallNo(1)));
    twice.killed(0).call(2).runs(2, 1).answers(2, 1).keeps(Law::S3);
    let reply = |nonce| {
        let (call, worker, kind) = (CallNo(1), story().worker(0), Reply::Ok);
        Event::Reply { call, worker, kind, nonce: CallNo(nonce), recycle: false }
    };
    running().event(reply(2)).ok(1, 0).breaks(Law::S3);
    let answered = |outcome, answer: Option<u64>| {
        let (call, worker, ran) = (CallNo(1), Some(story().worker(0)), Ran::Yes);
        let answer = answer.map(CallNo);
        running().event(reply(1)).event(Event::Done { call, outcome, ran, worker, answer })
    };
    answered(Outcome::Ok, Some(1)).clean();
    answered(Outcome::Ok, Some(7)).breaks(Law::S3);
    answered(Outcome::Ok, None).breaks(Law::S3);
    running().ok(1, 0).breaks(Law::S3);
}

#[test]
fn s8_a_call_is_in_one_place() {
    // It came back while the other worker was busy, and waits again.
    let busy = story().call(2).runs(2, 1).at(10).call(1).lease(1, 0);
    let back = busy.broke(1, 0, Sent::None, Cause::Lost).waits_again(1, 1).killed(0);
    back.clone().at(20).answers(2, 1).runs(1, 1).at(30).answers(1, 1).keeps(Law::S8);
    back.clone().waits_again(1, 2).breaks(Law::S8);
    running().lease(1, 1).breaks(Law::S8);
    story().call(1).at(1).runs(1, 0).breaks(Law::S8);
    let full = story().call(1).runs(1, 0).call(2).runs(2, 1).call(3);
    full.clone().waits(3, 1).clean();
    full.waits(3, 2).breaks(Law::S8);
    // Done, and handed a worker: a cancelled waiter's.
    let over = story().call(1).cancel(1).over(1, Outcome::Cancelled);
    over.lease(1, 0).breaks(Law::S8);
}

#[test]
fn s8_is_lenient_where_moments_are_coarse() {
    let late = running().reply(1, 0).at(20);
    late.clone().ok(1, 0).breaks(Law::S8);
    late.ok(1, 0).slack(250).clean();
}

#[test]
fn s13_timeouts_are_told_at_their_deadline() {
    hung().keeps(Law::S13);
    let late = |at| running().at(at).over_on(1, 0, Outcome::ExecTimeout);
    late(4009).breaks(Law::S13);
    running().at(4011).over_on(1, 0, Outcome::ExecTimeout).slack(250).clean();
    let waiting = story().call(1).runs(1, 0).call(2).runs(2, 1).at(100).call(3).waits(3, 1);
    let answered = waiting.at(200).answers(1, 0);
    answered.clone().runs(3, 0).at(300).answers(3, 0).answers(2, 1).clean();
    let overdue = story().call(1).lease(1, 0).broke(1, 0, Sent::None, Cause::Lost);
    let overdue = overdue.waits_again(1, 1).killed(0).killed(1);
    overdue.clone().at(5000).over(1, Outcome::QueueTimeout).keeps(Law::S13);
    overdue.clone().at(5001).over(1, Outcome::QueueTimeout).breaks(Law::S13);
    overdue.at(5000).up(0).lease(1, 0).breaks(Law::S13);
}

#[test]
fn s13_what_comes_too_late_is_over_as_it_comes() {
    let late = story().at(500).submit(1, None, Some(400)).sent(1, Reason::Percent, true);
    late.clone().over(1, Outcome::QueueTimeout).keeps(Law::S13);
    late.lease(1, 0).breaks(Law::S13);
}

#[test]
fn s13_a_stalled_host_is_as_late_as_its_stall() {
    let stall = |until_ms: u64| Event::Stall {
        until: poolshift::clock::Moment::from_nanos(until_ms * 1_000_000),
    };
    let late = |story: Story| story.at(6000).over_on(1, 0, Outcome::ExecTimeout);
    late(running().at(4000).event(stall(6000))).keeps(Law::S13);
    let early = running().at(2000).event(stall(3000));
    early.at(4012).over_on(1, 0, Outcome::ExecTimeout).breaks(Law::S13);
    // R4: replies go first for 20 ms, and deadlines of that time wait with the others.
    let awake = running().at(3500).event(stall(3990));
    awake.clone().at(4010).over_on(1, 0, Outcome::ExecTimeout).keeps(Law::S13);
    awake.at(4011).over_on(1, 0, Outcome::ExecTimeout).breaks(Law::S13);
    // What was ordered before the deadline is written when the host goes on.
    let ordered = running().answers(1, 0).at(20).submit(2, None, Some(100));
    let ordered = ordered.sent(2, Reason::Percent, true).lease(2, 0).event(stall(200));
    ordered.clone().at(200).dispatch(2, 0, Sent::All).clean();
    ordered.at(300).dispatch(2, 0, Sent::All).breaks(Law::S13);
}

#[test]
fn s14_a_call_is_executed_once() {
    let again = returned().killed(0).runs(1, 1).at(20).answers(1, 1);
    again.clone().keeps(Law::S14);
    again.executes(1, 1).breaks(Law::S14);
    // Some of it was accepted: it may have run.
    let half = story().call(1).lease(1, 0).dispatch(1, 0, Sent::Part);
    half.broke(1, 0, Sent::Part, Cause::Lost).killed(0).lease(1, 1).breaks(Law::S14);
    let mut often = returned();
    for _ in 0..3 {
        often = often.killed(0).up(0).lease(1, 0).broke(1, 0, Sent::None, Cause::Lost);
    }
    often.clone().clean();
    often.killed(0).up(0).lease(1, 0).breaks(Law::S14);
}

#[test]
fn s14_ran_is_the_truth() {
    let told = |story: Story, ran| {
        let (call, worker, outcome) = (CallNo(1), None, Outcome::WorkerLost);
        story.event(Event::Done { call, outcome, ran, worker, answer: None })
    };
    let lost = |sent| {
        let leased = story().call(1).lease(1, 0).dispatch(1, 0, sent);
        leased.broke(1, 0, sent, Cause::Lost)
    };
    told(lost(Sent::None), Ran::No).clean();
    told(lost(Sent::Part), Ran::Maybe).clean();
    told(lost(Sent::Part), Ran::No).breaks(Law::S14);
    told(lost(Sent::None), Ran::Maybe).breaks(Law::S14);
    // It was told that it had not run, and then its worker ran it.
    told(lost(Sent::None), Ran::No).executes(1, 0).breaks(Law::S14);
    let unrun = story().call(1).lease(1, 0).dispatch(1, 0, Sent::All);
    unrun.answers(1, 0).breaks(Law::S14);
}

#[test]
fn s24_a_call_is_executed_in_its_own_lane() {
    let moved = story().call(1).lease(1, 0).dispatch(1, 0, Sent::All).policy(10_000);
    moved.clone().executes(1, 0).keeps(Law::S24);
    moved.v2().executes(1, 0).breaks(Law::S24);
}

#[test]
fn s25_a_call_is_never_handed_to_the_other_lane() {
    returned().killed(0).runs(1, 1).at(20).answers(1, 1).keeps(Law::S25);
    returned().killed(0).v2().lease(1, 0).breaks(Law::S25);
    returned().killed(0).v2().waits_again(1, 1).breaks(Law::S25);
}

#[test]
fn l1_no_call_outlives_its_deadline() {
    let worker = Some(story().worker(0));
    let faulted = running().event(Event::Fault { fault: Fault::SlowWorker, worker });
    faulted.at(3000).answers(1, 0).keeps(Law::L1);
    let short = story().submit(1, None, Some(100)).sent(1, Reason::Percent, true).runs(1, 0);
    short.clone().at(100).answers(1, 0).clean();
    short.at(101).answers(1, 0).breaks(Law::L1);
    let lenient = |ground: &mut crate::trace::Ground| {
        ground.lanes[1].terms.run_timeout = Duration::from_secs(60);
    };
    let long = story().on(lenient).call(1).runs(1, 0).at(8001);
    long.answers(1, 0).breaks(Law::L1);
}
