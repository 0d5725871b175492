//! The rules as examples: one story each, told to a machine event by event.

use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::error::Refusal;
use poolshift::machine::engine::{Lifecycle, Terms};
use poolshift::machine::{
    Action, Breakage, CallKind, Census, Digest, End, Event, OnCancel, PoolMachine, Reply, Sent,
    Stop, Ticket,
};
use poolshift::{Class, Lane, SessionId, WorkerId};

use crate::machine::{Kind, V2, V3, handle, terms, wait_until};

/// A machine with its own clock. Times are milliseconds.
pub(super) struct Story<K: Kind> {
    pub(super) machine: K::Machine,
    now: Moment,
}

pub(super) fn worker(slot: u32, generation: u32) -> WorkerId {
    WorkerId { slot, generation }
}

pub(super) fn finish(call: u64, end: End) -> Action {
    Action::Finish { call: Ticket(call), end }
}

pub(super) fn assign(call: u64, worker: WorkerId) -> Action {
    Action::Assign { call: Ticket(call), worker }
}

impl<K: Kind> Story<K> {
    /// All `size` workers are ready and idle, in order of their slots.
    fn ready(size: usize, max_waiting: usize) -> Self {
        Self::with(size, max_waiting, Lifecycle::default())
    }

    /// The first workers are starting.
    pub(super) fn new(size: usize, max_waiting: usize, lifecycle: Lifecycle) -> Self {
        let max_starting = if K::LANE == Lane::V2 { 1 } else { size };
        let terms = Terms { lifecycle, ..terms(size, max_starting, OnCancel::Drain) };
        Self::on(terms, max_waiting)
    }

    fn on(terms: Terms, max_waiting: usize) -> Self {
        let mut story = Self { machine: K::machine(terms, max_waiting), now: Moment::ZERO };
        story.happens(Event::DeadlineReached);
        story
    }

    /// As [`Self::ready`], with what may be switched off.
    pub(super) fn with(size: usize, max_waiting: usize, lifecycle: Lifecycle) -> Self {
        Self::new(size, max_waiting, lifecycle).come_up(size)
    }

    fn come_up(mut self, size: usize) -> Self {
        for slot in 0..size as u32 {
            self.later(1);
            self.happens(Event::WorkerReady { worker: worker(slot, 1) });
        }
        assert_eq!(self.machine.census().ready, size);
        self
    }

    pub(super) fn happens(&mut self, event: Event) -> Vec<Action> {
        handle(&mut self.machine, self.now, event)
    }

    pub(super) fn later(&mut self, ms: u64) -> Vec<Action> {
        self.now = self.now + Duration::from_millis(ms);
        wait_until(&mut self.machine, self.now)
    }

    pub(super) fn submit(&mut self, call: u64, session: Option<&str>) -> Vec<Action> {
        let session = session.map(|session| SessionId::new(session).unwrap());
        let (call, kind, class) = (Ticket(call), CallKind::Live, Class::Read);
        let (deadline, digest) = (None, None);
        self.happens(Event::Submit { call, kind, class, session, deadline, digest })
    }

    /// An anonymous call that is told apart from others.
    pub(super) fn submit_as(&mut self, call: u64, digest: Option<Digest>) -> Vec<Action> {
        let (call, kind, class) = (Ticket(call), CallKind::Live, Class::Read);
        let (session, deadline) = (None, None);
        self.happens(Event::Submit { call, kind, class, session, deadline, digest })
    }

    /// The worker answers, and asks to be replaced.
    pub(super) fn asks(&mut self, call: u64, worker: WorkerId) -> Vec<Action> {
        let (call, reply) = (Ticket(call), Reply::Ok);
        self.happens(Event::Replied { call, worker, reply, recycle: true })
    }

    pub(super) fn reply(&mut self, call: u64, worker: WorkerId) -> Vec<Action> {
        let (call, reply) = (Ticket(call), Reply::Ok);
        self.happens(Event::Replied { call, worker, reply, recycle: false })
    }

    pub(super) fn breaks(
        &mut self,
        call: u64,
        worker: WorkerId,
        sent: Sent,
        cause: Breakage,
    ) -> Vec<Action> {
        self.happens(Event::CallBroke { call: Ticket(call), worker, sent, cause })
    }

    pub(super) fn replace(&mut self, old: WorkerId) -> Vec<Action> {
        let started = self.happens(Event::WorkerExited { worker: old });
        let new = worker(old.slot, old.generation + 1);
        assert!(started.contains(&Action::Start(new)), "{started:?}");
        self.happens(Event::WorkerReady { worker: new })
    }
}

#[test]
fn r1_an_unsent_call_returns_to_the_head_at_most_three_times() {
    let mut story = Story::<V3>::ready(1, 10);
    assert_eq!(story.submit(1, None), [assign(1, worker(0, 1))]);
    assert_eq!(story.submit(2, None), []);
    let mut holder = worker(0, 1);
    for _ in 0..3 {
        let broke = story.breaks(1, holder, Sent::None, Breakage::Lost);
        assert_eq!(broke, [Action::Stop { worker: holder, how: Stop::Kill }]);
        holder = worker(0, holder.generation + 1);
        let before = worker(0, holder.generation - 1);
        assert_eq!(story.replace(before), [assign(1, holder)], "ahead of call 2");
    }
    let broke = story.breaks(1, holder, Sent::None, Breakage::Lost);
    assert_eq!(broke[0], finish(1, End::WorkerLost), "it is not for ever");
}

#[test]
fn r4_a_call_that_timed_out_costs_its_worker_and_the_first_event_is_final() {
    let mut story = Story::<V3>::ready(1, 10);
    story.submit(1, None);
    let stop = Action::Stop { worker: worker(0, 1), how: Stop::DumpAndKill };
    assert_eq!(story.later(199), []);
    assert_eq!(story.later(1), [finish(1, End::ExecTimeout), stop]);
    assert_eq!(story.reply(1, worker(0, 1)), [], "too late");
    assert_eq!(story.submit(2, None), [], "it is never idle again");
    assert_eq!(story.replace(worker(0, 1)), [assign(2, worker(0, 2))]);
}

#[test]
fn r5_one_budget_bounds_waiting_and_running() {
    let mut story = Story::<V3>::ready(1, 10);
    story.submit(1, None);
    story.submit(2, None);
    assert_eq!(story.later(119), []);
    // Its budget of 300 ms began with its submit: 181 are left, though 200 may be run.
    assert_eq!(story.reply(1, worker(0, 1))[1], assign(2, worker(0, 1)));
    assert_eq!(story.later(180), []);
    assert_eq!(story.later(1)[0], finish(2, End::ExecTimeout));
    story.submit(3, None);
    assert_eq!(story.later(120), [finish(3, End::QueueTimeout)], "it never reached a worker");
}

/// In both lanes: neither the end of the waiting that is over ends a run, nor does it put off the
/// run's own limit, though the limit comes first where calls may wait for longer than they run.
fn a_call_that_waited_runs_as_long_as_any<K: Kind>(queue_ms: u64) {
    let queue_timeout = Duration::from_millis(queue_ms);
    let terms = Terms { queue_timeout, ..terms(1, 1, OnCancel::Drain) };
    let mut story = Story::<K>::on(terms, 10).come_up(1);
    story.submit(1, None);
    story.submit(2, None);
    story.later(30);
    assert_eq!(story.reply(1, worker(0, 1))[1], assign(2, worker(0, 1)));
    assert_eq!(story.later(199), [], "it may wait for {queue_ms} ms");
    let (ended, now) = (finish(2, End::ExecTimeout), story.later(1));
    assert_eq!(now.first(), Some(&ended), "it may wait for {queue_ms} ms");
}

#[test]
fn r5_how_long_a_call_may_wait_says_nothing_of_how_long_it_may_run() {
    for queue_ms in [31, 120, 229, 230, 231, 250, 300] {
        a_call_that_waited_runs_as_long_as_any::<V2>(queue_ms);
        a_call_that_waited_runs_as_long_as_any::<V3>(queue_ms);
    }
}

#[test]
fn r5_a_call_that_comes_back_waits_until_it_would_have_had_to_anyway() {
    let mut story = Story::<V3>::ready(1, 10);
    story.submit(1, None);
    story.later(50);
    story.breaks(1, worker(0, 1), Sent::None, Breakage::Lost);
    assert_eq!(story.later(69), []);
    assert_eq!(story.later(1), [finish(1, End::QueueTimeout)], "120 ms after its submit");
}

#[test]
fn r6_only_a_worker_that_never_answered_waits_for_its_successor() {
    let mut story = Story::<V3>::ready(1, 10);
    story.submit(1, None);
    story.reply(1, worker(0, 1));
    let exited = story.happens(Event::WorkerExited { worker: worker(0, 1) });
    assert_eq!(exited, [Action::Start(worker(0, 2))], "at once");
    let failed = story.happens(Event::StartFailed { worker: worker(0, 2) });
    assert_eq!(failed, []);
    assert_eq!(story.later(10), [Action::Start(worker(0, 3))], "10 ms, less the jitter");
    story.happens(Event::StartFailed { worker: worker(0, 3) });
    assert_eq!(story.later(14), [], "twice as long");
    assert_eq!(story.later(6), [Action::Start(worker(0, 4))]);
}

#[test]
fn r6_a_slot_that_is_wanted_again_waits_for_as_long_as_before() {
    let mut story = Story::<V3>::new(2, 10, Lifecycle::default());
    story.happens(Event::StartFailed { worker: worker(1, 1) });
    assert_eq!(story.happens(Event::Resize { size: 1 }), []);
    assert_eq!(story.happens(Event::Resize { size: 2 }), [], "its start failed a moment ago");
    assert_eq!(story.later(10), [Action::Start(worker(1, 2))]);
}

fn serves_without_a_limit<K: Kind>() {
    let end = Duration::MAX;
    let terms = Terms {
        budget: end,
        queue_timeout: end,
        run_timeout: end,
        probe_after: Some(end),
        ..terms(1, 1, OnCancel::Drain)
    };
    let mut story = Story::<K>::on(terms, 10).come_up(1);
    assert_eq!(story.later(100_000), [], "it is not probed");
    assert_eq!(story.submit(1, None), [assign(1, worker(0, 1))]);
    assert_eq!(story.later(100_000), []);
    assert_eq!(story.reply(1, worker(0, 1)), [finish(1, End::Replied(Reply::Ok))]);
}

/// A span of `Duration::MAX` means none.
#[test]
fn r8_a_worker_that_is_never_to_be_probed_is_not() {
    serves_without_a_limit::<V2>();
    serves_without_a_limit::<V3>();
}

#[test]
fn r9_first_come_first_served_by_the_longest_idle() {
    let mut story = Story::<V3>::ready(3, 2);
    let idle = [worker(0, 1), worker(1, 1), worker(2, 1)];
    for (call, worker) in (1..).zip(idle) {
        assert_eq!(story.submit(call, None), [assign(call, worker)]);
    }
    assert_eq!(story.submit(4, None), []);
    assert_eq!(story.submit(5, None), []);
    let full = End::Rejected(Refusal::QueueFull { waiting: 2 });
    assert_eq!(story.submit(6, None), [finish(6, full)]);
    // One request in a worker's pipe at a time; the oldest waiter is next, whoever is free.
    let ok = |call| finish(call, End::Replied(Reply::Ok));
    assert_eq!(story.reply(2, idle[1]), [ok(2), assign(4, idle[1])]);
    assert_eq!(story.reply(1, idle[0]), [ok(1), assign(5, idle[0])]);
    story.later(1);
    story.reply(4, idle[1]);
    story.later(1);
    story.reply(3, idle[2]);
    story.later(1);
    story.reply(5, idle[0]);
    for (call, worker) in [(7, idle[1]), (8, idle[2]), (9, idle[0])] {
        assert_eq!(story.submit(call, None), [assign(call, worker)]);
    }
}

#[test]
fn r10_a_session_is_bound_to_the_emptiest_slot_and_runs_there_in_order() {
    let mut story = Story::<V2>::ready(2, 10);
    let (first, second) = (worker(0, 1), worker(1, 1));
    assert_eq!(story.submit(1, Some("a")), [assign(1, first)]);
    assert_eq!(story.submit(2, Some("b")), [assign(2, second)]);
    assert_eq!(story.submit(3, Some("a")), []);
    assert_eq!(story.submit(4, Some("c")), [], "bound to the first, of two equals");
    assert_eq!(story.submit(5, None), [], "anywhere");
    let ok = |call| finish(call, End::Replied(Reply::Ok));
    // The oldest among those bound to it and the anonymous: not 3 or 4, which are not its own.
    assert_eq!(story.reply(2, second), [ok(2), assign(5, second)]);
    assert_eq!(story.reply(1, first), [ok(1), assign(3, first)]);
    assert_eq!(story.reply(5, second), [ok(5)], "4 waits for its own worker");
    // The first dies: 3 was in flight, c is told on its oldest waiting call.
    let died = story.breaks(3, first, Sent::All, Breakage::Lost);
    let stop = Action::Stop { worker: first, how: Stop::Kill };
    assert_eq!(died, [finish(3, End::WorkerLost), stop, finish(4, End::SessionLost)]);
    // a is told on its next call, once; both are bound anew.
    assert_eq!(story.submit(6, Some("a")), [finish(6, End::SessionLost)]);
    assert_eq!(story.submit(7, Some("c")), []);
    let exited = story.happens(Event::WorkerExited { worker: first });
    assert_eq!(exited, [Action::Start(worker(0, 2))], "needed, so replaced");
    assert_eq!(story.submit(8, Some("a")), [], "c and b make the two equal again");
    assert_eq!(story.submit(9, Some("d")), [assign(9, second)], "a dead slot counts its own");
}

#[test]
fn r10_calls_that_outlive_their_worker_wait_where_their_sessions_are_bound_anew() {
    let mut story = Story::<V2>::ready(2, 10);
    story.submit(1, Some("a"));
    story.submit(2, Some("b"));
    for (call, session) in [(3, "c"), (4, "c"), (5, "c"), (6, "a"), (7, "a")] {
        assert_eq!(story.submit(call, Some(session)), [], "bound to slot 0");
    }
    story.reply(2, worker(1, 1));
    story.happens(Event::EndSession { session: SessionId::new("b").unwrap() });
    assert_eq!(story.reply(1, worker(0, 1))[1], assign(3, worker(0, 1)));
    let told = [finish(6, End::SessionLost), finish(4, End::SessionLost)];
    let served = [assign(5, worker(1, 1)), Action::Start(worker(0, 2))];
    let lost = story.happens(Event::WorkerExited { worker: worker(0, 1) });
    assert_eq!(lost, [told, served].concat(), "c goes to the idle slot, a calls for a new worker");
    let ready = story.happens(Event::WorkerReady { worker: worker(0, 2) });
    assert_eq!(ready, [assign(7, worker(0, 2))]);
}

#[test]
fn r10_a_dead_worker_is_replaced_when_next_needed() {
    let mut story = Story::<V2>::ready(1, 10);
    story.submit(1, None);
    story.reply(1, worker(0, 1));
    assert_eq!(story.happens(Event::WorkerExited { worker: worker(0, 1) }), []);
    assert_eq!(story.later(10_000), []);
    assert_eq!(story.submit(2, None), [Action::Start(worker(0, 2))]);
}

#[test]
fn r7_a_drain_ends_idle_workers_politely_and_the_rest_after_its_calls() {
    let mut story = Story::<V3>::ready(2, 10);
    story.submit(1, None);
    let until = story.now + Duration::from_millis(100);
    let drained = story.happens(Event::Drain { until });
    assert_eq!(drained, [Action::Stop { worker: worker(1, 1), how: Stop::Politely }]);
    assert_eq!(story.submit(2, None), [finish(2, End::Draining)]);
    let stop = Action::Stop { worker: worker(0, 1), how: Stop::Politely };
    let replied = story.reply(1, worker(0, 1));
    assert_eq!(replied, [finish(1, End::Replied(Reply::Ok)), stop]);
    story.happens(Event::WorkerExited { worker: worker(0, 1) });
    story.happens(Event::WorkerExited { worker: worker(1, 1) });
    let over = Census { draining: true, ..Census::default() };
    assert_eq!(story.machine.census(), over, "and nothing is started again");
}

#[test]
fn r7_a_drain_whose_calls_are_over_calls_off_starts_that_are_under_way() {
    let mut story = Story::<V3>::ready(2, 10);
    story.submit(1, None);
    story.submit(2, None);
    // One that has answered is replaced at once.
    story.reply(2, worker(1, 1));
    story.submit(3, None);
    let exited = story.happens(Event::WorkerExited { worker: worker(1, 1) });
    assert_eq!(exited, [Action::Start(worker(1, 2))]);
    story.submit(4, None);
    story.happens(Event::Drain { until: story.now + Duration::from_secs(100) });
    story.reply(1, worker(0, 1));
    let kill = Action::Stop { worker: worker(1, 2), how: Stop::Kill };
    assert!(!story.reply(4, worker(0, 1)).contains(&kill), "call 3 may still come back");
    let (call, worker, sent) = (Ticket(3), worker(1, 1), Sent::All);
    let lost = Event::CallBroke { call, worker, sent, cause: Breakage::Lost };
    assert!(story.happens(lost).contains(&kill));
}

/// What was an index out of bounds somewhere below says now what it is.
#[test]
#[should_panic(expected = "whose sessions are bound to its slots is not resized")]
fn r10_v2_is_not_resized() {
    Story::<V2>::ready(2, 10).happens(Event::Resize { size: 3 });
}
