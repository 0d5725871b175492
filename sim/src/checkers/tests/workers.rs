//! S4 S5 S6 S7 S10 S15 S16 S17 L2 L6.

use std::time::Duration;

use poolshift::machine::{OnCancel, Reply, Sent, Stop};
use poolshift::{Outcome, Ran};

use super::story::{Story, empty, story};
use crate::checkers::Law;
use crate::trace::{CallNo, Cause, Event};

/// Call 1 is on worker 0.
fn running() -> Story {
    story().at(10).call(1).runs(1, 0)
}

/// Its caller goes away.
fn cancelled(sent: Sent) -> Story {
    let leased = story().at(10).call(1).lease(1, 0).dispatch(1, 0, sent);
    let broke = leased.at(20).cancel(1).broke(1, 0, sent, Cause::Dropped);
    let ran = if sent == Sent::None { Ran::No } else { Ran::Maybe };
    let (call, outcome) = (CallNo(1), Outcome::Cancelled);
    broke.event(Event::Done { call, outcome, ran, worker: None, answer: None })
}

/// The worker breaks the protocol.
fn garbled() -> Story {
    running().at(20).broke(1, 0, Sent::All, Cause::Garbled).over_on(1, 0, Outcome::Protocol)
}

#[test]
fn s4_leases_of_one_worker_do_not_overlap() {
    running().at(20).answers(1, 0).call(2).runs(2, 0).at(30).answers(2, 0).keeps(Law::S4);
    running().call(2).lease(2, 0).breaks(Law::S4);
    running().probe(0).breaks(Law::S4);
    story().probe(0).call(1).lease(1, 0).breaks(Law::S4);
}

#[test]
fn s5_only_ready_workers_are_leased() {
    let hung = running().at(4010).over_on(1, 0, Outcome::ExecTimeout);
    let retired = hung.clone().stop(0, Stop::DumpAndKill);
    retired.clone().call(2).runs(2, 1).keeps(Law::S5);
    retired.clone().call(2).lease(2, 0).breaks(Law::S5);
    retired.dies(0).call(2).lease(2, 0).breaks(Law::S5);
    // R4: a worker whose call timed out is never idle again, whether or not it is retired.
    hung.call(2).lease(2, 0).breaks(Law::S5);
    story().killed(0).start(0).call(1).lease(1, 0).breaks(Law::S5);
    let unwell = |story: Story| {
        let worker = story.worker(0);
        story.probe(0).event(Event::Probed { worker, healthy: false })
    };
    unwell(story()).call(1).lease(1, 0).breaks(Law::S5);
    let (call, kind, nonce) = (CallNo(1), Reply::Ok, CallNo(1));
    let worker = running().worker(0);
    let tired = running().event(Event::Reply { call, worker, kind, nonce, recycle: true });
    tired.ok(1, 0).call(2).lease(2, 0).breaks(Law::S5);
}

#[test]
fn s5_a_pool_that_shrinks_or_drains_serves_what_it_may() {
    let shrunk = story().event(Event::Resize { size: 1 });
    shrunk.clone().call(1).runs(1, 0).clean();
    shrunk.call(1).lease(1, 1).breaks(Law::S5);
    let draining = story().call(1).runs(1, 0).call(2).runs(2, 1).call(3).waits(3, 1).drain(1000);
    draining.at(1000).answers(1, 0).runs(3, 0).clean();
    let given_up = story().at(10).drain(1000).at(1001).call(1);
    given_up.lease(1, 0).breaks(Law::S5);
}

#[test]
fn s6_a_worker_that_broke_the_protocol_never_serves_again() {
    garbled().killed(0).keeps(Law::S6);
    garbled().call(2).lease(2, 0).breaks(Law::S6);
    running().at(20).over_on(1, 0, Outcome::Protocol).call(2).lease(2, 0).breaks(Law::S6);
}

#[test]
fn s7_what_lies_in_a_pipe_is_noticed_before_a_write() {
    let noise = story().at(10).junk(0).at(20).call(1).lease(1, 0);
    noise.clone().dispatch(1, 0, Sent::None).broke(1, 0, Sent::None, Cause::Lost).keeps(Law::S7);
    noise.dispatch(1, 0, Sent::All).breaks(Law::S7);
    let twice = running().at(20).answers(1, 0).writes(0, Some(CallNo(1))).at(30).call(2);
    twice.clone().runs(2, 0).breaks(Law::S7);
    // A host that lags cannot have noticed yet.
    let lags = |ground: &mut crate::trace::Ground| ground.host_lag = Duration::from_millis(50);
    twice.on(lags).runs(2, 0).clean();
    cancelled(Sent::Part).call(2).lease(2, 0).breaks(Law::S7);
}

#[test]
fn s10_slots_and_permits_are_kept() {
    story().closes().keeps(Law::S10);
    story().at(10).start(2).breaks(Law::S10);
    story().at(10).start(0).breaks(Law::S10);
    let one = |ground: &mut crate::trace::Ground| ground.lanes[1].terms.max_starting = 1;
    empty().on(one).start(0).ready(0).start(1).clean();
    empty().on(one).start(0).start(1).breaks(Law::S10);
    let worker = story().worker(0);
    story().killed(0).event(Event::Start { worker }).breaks(Law::S10);
    let open = story().closes().books(|closing| closing.lanes[1].status.available = 1);
    open.breaks(Law::S10);
}

#[test]
fn s10_a_smaller_pool_ends_what_it_has_too_many() {
    let shrunk = story().event(Event::Resize { size: 1 });
    // Worker 1 still runs while worker 0 is replaced.
    shrunk.clone().killed(0).up(0).at(10).killed(1).clean();
    shrunk.clone().killed(1).event(Event::Resize { size: 2 }).up(1).clean();
    shrunk.killed(1).start(1).breaks(Law::S10);
}

#[test]
fn s15_a_cancelled_calls_worker_is_drained_or_retired() {
    let drained = cancelled(Sent::All).abandon(1, 0);
    drained.clone().at(30).executes(1, 0).reply(1, 0).call(2).runs(2, 0).keeps(Law::S15);
    drained.clone().at(4010).killed(0).clean();
    cancelled(Sent::All).killed(0).clean();
    cancelled(Sent::None).call(2).runs(2, 0).clean();
    drained.clone().call(2).lease(2, 0).breaks(Law::S15);
    cancelled(Sent::All).call(2).lease(2, 0).breaks(Law::S15);
    drained.clone().at(4011).reply(1, 0).breaks(Law::S15);
    let kills =
        |ground: &mut crate::trace::Ground| ground.lanes[1].terms.on_cancel = OnCancel::Kill;
    drained.on(kills).breaks(Law::S15);
    running().abandon(1, 0).breaks(Law::S15);
}

#[test]
fn s16_failed_starts_are_followed_by_longer_waits() {
    let down = || story().at(10).killed(0).start(0).at(20).start_fails(0);
    let second = |at| down().at(at).start(0);
    second(770).clean();
    second(769).breaks(Law::S16);
    let third = |at| second(1020).at(1030).start_fails(0).at(at).start(0);
    third(2530).keeps(Law::S16);
    third(2529).breaks(Law::S16);
    // A good start ends the row, and one that was called off costs no wait.
    let well = second(1020).ready(0).at(1030).killed(0).start(0).at(1040).start_fails(0);
    well.at(1790).start(0).clean();
    second(1020).stop(0, Stop::Kill).at(1030).start_fails(0).start(0).clean();
}

#[test]
fn s17_every_process_is_reaped_once() {
    story().closes().keeps(Law::S17);
    story().killed(0).reaped(0).breaks(Law::S17);
    story().stop(0, Stop::Kill).reaped(0).breaks(Law::S17);
    story().killed(0).start_fails(0).breaks(Law::S17);
    story().drain(1000).killed(0).event(Event::Drained).breaks(Law::S17);
    let left = story().closes().books(|closing| closing.lanes[0].processes = 1);
    left.breaks(Law::S17);
    let deaf = story().drain(1000).stop(0, Stop::Kill).stop(1, Stop::Kill).dies(0);
    deaf.exit(1).books(|_| {}).check().violations().iter().for_each(|found| {
        assert!([Law::S17, Law::L6].contains(&found.law), "{found}");
    });
}

#[test]
fn l2_v3_replaces_what_it_lost() {
    let dead = || story().at(10).exit(0).reaped(0);
    dead().at(8000).up(0).keeps(Law::L2);
    dead().at(9011).start(0).breaks(Law::L2);
    dead().at(9011).drain(20_000).breaks(Law::L2);
    // V2 replaces a dead worker when it is next needed, and a drain needs none.
    story().v2().at(10).exit(0).reaped(0).at(20_000).up(0).clean();
    dead().drain(20_000).at(9011).killed(1).clean();
    // All permits were taken until just now.
    let one = |ground: &mut crate::trace::Ground| ground.lanes[1].terms.max_starting = 1;
    let queued = empty().on(one).start(0).at(60_000).start_fails(0);
    queued.clone().start(1).clean();
    queued.at(62_000).start(1).breaks(Law::L2);
}

#[test]
fn l6_what_is_told_to_end_ends() {
    let busy = || story().at(10).call(1).runs(1, 0).drain(1000);
    let over = |story: Story| story.event(Event::Drained);
    over(busy().at(500).answers(1, 0).killed(0).killed(1)).keeps(Law::L6);
    let given_up = |exit_at| {
        let told = busy().killed(1).at(1000).over_on(1, 0, Outcome::WorkerLost);
        over(told.stop(0, Stop::Kill).at(exit_at).dies(0))
    };
    given_up(1900).clean();
    given_up(2001).breaks(Law::L6);
    let polite = |exit_at| story().stop(0, Stop::Politely).at(exit_at).dies(0);
    polite(3000).clean();
    polite(3001).breaks(Law::L6);
    let never = story().killed(0).killed(1).drain(1000).books(|_| {});
    let never = never.v2().killed(0).killed(1).books(|_| {});
    never.breaks(Law::L6);
}
