//! S20 S21 S22 S23 L8.

use poolshift::Lane::{V2, V3};
use poolshift::router::policy::Reason;

use super::story::{Story, empty, story};
use crate::checkers::Law;
use crate::trace::{Event, SessionNo};

/// A session's call, drawn or pinned, to the present lane.
fn routed(story: Story, session: u64, call: u64, drawn: bool) -> Story {
    let reason = if drawn { Reason::Percent } else { Reason::Pinned };
    ends(story.submit(call, Some(session), None).sent(call, reason, drawn), call)
}

/// The call is answered at once by whoever is there.
fn ends(story: Story, call: u64) -> Story {
    story.runs(call, 0).answers(call, 0)
}

fn anonymous(story: Story, call: u64) -> Story {
    ends(story.call(call), call)
}

fn end(story: Story) -> Story {
    story.event(Event::EndSession { session: SessionNo(7) })
}

#[test]
fn s20_a_live_session_keeps_its_lane() {
    let pinned = || routed(story(), 7, 1, true);
    routed(pinned().at(10), 7, 2, false).keeps(Law::S20);
    routed(pinned().v2().at(10), 7, 2, false).breaks(Law::S20);
    routed(pinned().at(10), 7, 2, true).breaks(Law::S20);
    routed(pinned().policy(60_000).at(10), 7, 2, true).breaks(Law::S20);
    routed(story(), 7, 1, false).breaks(Law::S20);
    // A pin lives 60 s from its last call, and ends with its session.
    routed(pinned().at(59_999), 7, 2, false).clean();
    routed(pinned().at(60_000), 7, 2, true).clean();
    routed(pinned().at(60_000), 7, 2, false).breaks(Law::S20);
    routed(end(pinned()), 7, 2, true).clean();
    routed(end(pinned()), 7, 2, false).breaks(Law::S20);
}

#[test]
fn s21_raising_moves_only_to_v3_and_lowering_only_back() {
    // A session at 30 % or above: pinned to V2 below it, back in V2 after a cut.
    let low = || routed(story().policy(30_000).v2(), 7, 1, true);
    let raised = || routed(end(low()).policy(60_000).v3().at(10), 7, 2, true);
    raised().keeps(Law::S21);
    routed(raised().policy(30_000).v2().at(20), 7, 3, false).keeps(Law::S21);
    routed(raised().policy(30_000).v3().at(20), 7, 3, false).breaks(Law::S21);
    // Raising leaves a live session where it is.
    routed(low().policy(60_000).at(10), 7, 2, false).clean();
    routed(low().policy(60_000).v3().at(10), 7, 2, false).breaks(Law::S21);
    // Its bucket was drawn anew: in V3 at 60 %, not in V3 at 70 %.
    routed(end(raised()).policy(70_000).v2().at(20), 7, 3, true).breaks(Law::S21);
    // A cut that came and went while it was silent counts all the same.
    let silent = || raised().policy(20_000).policy(60_000).at(20);
    routed(silent().v2(), 7, 3, false).clean();
    routed(silent().v3(), 7, 3, false).breaks(Law::S21);
}

#[test]
fn s22_nothing_and_everything_are_exact() {
    anonymous(story().policy(0).v2(), 1).clean();
    anonymous(story().policy(0).v3(), 1).breaks(Law::S22);
    anonymous(story().policy(100_000).v3(), 1).clean();
    anonymous(story().policy(100_000).v2(), 1).breaks(Law::S22);
    routed(story().policy(0).v3(), 7, 1, true).breaks(Law::S22);
    // A session that is governed as a whole by the lowest share is no exception to it.
    let whole = || story().on(|ground| ground.whole_sessions = true);
    let mixed = || whole().config([100_000, 0, 0], false);
    routed(mixed().v2(), 7, 1, true).clean();
    routed(mixed().v3(), 7, 1, true).breaks(Law::S22);
}

#[test]
fn s22_a_share_is_what_was_asked_for() {
    let draws = |one_in: u64| {
        let calls = story().many(0..800, |story, call| {
            let story = if call % one_in == 0 { story.v3() } else { story.v2() };
            anonymous(story.at(call), call)
        });
        calls.at(1000).closes()
    };
    draws(2).keeps(Law::S22);
    draws(3).breaks(Law::S22);
}

#[test]
fn s23_the_policy_in_force_decides() {
    let (epoch, percent, drawn) = (1, 50_000, true);
    let route = |epoch, percent, reason, lane| Event::Route {
        call: crate::trace::CallNo(1),
        lane,
        epoch,
        reason,
        drawn,
        percent,
    };
    let submitted = || story().submit(1, None, None);
    ends(submitted().event(route(epoch, percent, Reason::Percent, V3)), 1).clean();
    ends(submitted().event(route(2, percent, Reason::Percent, V3)), 1).breaks(Law::S23);
    ends(submitted().event(route(epoch, 40_000, Reason::Percent, V3)), 1).breaks(Law::S23);
    ends(submitted().v2().event(route(epoch, percent, Reason::Killed, V2)), 1).breaks(Law::S23);
    let twice = submitted().event(route(epoch, percent, Reason::Percent, V3));
    twice.event(route(epoch, percent, Reason::Percent, V3)).breaks(Law::S23);
    let stale = Event::Config { epoch: 1, percents: [0; 3], killed: false };
    story().event(stale).breaks(Law::S23);
}

#[test]
fn s23_after_a_kill_nothing_is_sent_to_v3() {
    // Calls that are there already finish there.
    let busy = || story().call(1).runs(1, 0).call(2).runs(2, 1).call(3).waits(3, 1).kill();
    let after =
        |story: Story, call| story.submit(call, None, None).sent(call, Reason::Killed, false);
    let killed = ends(after(busy().at(5).v2(), 4), 4);
    killed.clone().v3().at(10).answers(1, 0).runs(3, 0).keeps(Law::S23);
    ends(after(story().kill(), 1), 1).breaks(Law::S23);
    let forced = story().kill().submit(1, None, None).sent(1, Reason::Forced, false);
    ends(forced, 1).breaks(Law::S23);
    let pinned = routed(story(), 7, 1, true).kill().at(10);
    routed(pinned, 7, 2, false).breaks(Law::S23);
}

#[test]
fn a_kill_may_have_dropped_a_pin() {
    let back = || {
        let killed = routed(story(), 7, 1, true).kill().at(10).v2();
        let sent = killed.submit(2, Some(7), None).sent(2, Reason::Killed, false);
        ends(sent, 2).policy(50_000).v3().at(20)
    };
    routed(back(), 7, 3, true).clean();
    routed(back(), 7, 3, false).clean();
}

#[test]
fn l8_v3_gets_its_share_back() {
    let unkilled = || story().kill().policy(50_000);
    anonymous(unkilled().at(5), 1).keeps(Law::L8);
    let none = |calls| unkilled().v2().many(0..calls, anonymous);
    none(79).clean();
    none(80).breaks(Law::L8);
    let nothing = empty().policy(0).kill().policy(0).v2().up(0);
    nothing.many(0..200, anonymous).clean();
}
