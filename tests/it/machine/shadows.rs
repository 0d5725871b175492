//! R16 as stories: whom a shadow may have, and what it costs others.

use poolshift::clock::Moment;
use poolshift::error::Refusal;
use poolshift::machine::engine::Lifecycle;
use poolshift::machine::{Action, Breakage, CallKind, End, Event, PoolMachine, Sent, Stop, Ticket};
use poolshift::{Class, WorkerId};

use crate::machine::rules::{Story, assign, finish, worker};
use crate::machine::{Kind, V2, V3};

const REFUSED: End = End::Rejected(Refusal::NoSpareWorker);

fn shadow<K: Kind>(story: &mut Story<K>, call: u64, reserve: usize) -> Vec<Action> {
    let (call, kind) = (Ticket(call), CallKind::Shadow { reserve });
    let (class, session, digest) = (Class::Read, None, None);
    story.happens(Event::Submit { call, kind, class, session, deadline: None, digest })
}

fn ready<K: Kind>(size: usize) -> Story<K> {
    Story::with(size, 10, Lifecycle::default())
}

fn first<K: Kind>(size: usize, reserve: usize) {
    let mut story = ready::<K>(size);
    assert_eq!(shadow(&mut story, 1, reserve), [assign(1, worker(0, 1))]);
    assert_eq!(shadow(&mut story, 2, reserve), [finish(2, REFUSED)], "{reserve} of {size}");
}

#[test]
fn r16_more_than_the_reserve_must_be_idle() {
    for size in 1..4 {
        first::<V2>(size, size - 1);
        first::<V3>(size, size - 1);
        let mut story = ready::<V3>(size);
        assert_eq!(shadow(&mut story, 1, size), [finish(1, REFUSED)]);
    }
}

#[test]
fn r16_nobody_may_wait_and_a_shadow_never_does() {
    let mut story = ready::<V3>(2);
    story.submit(1, None);
    story.submit(2, None);
    story.submit(3, None);
    assert_eq!(shadow(&mut story, 4, 0), [finish(4, REFUSED)]);
    story.reply(1, worker(0, 1));
    story.reply(2, worker(1, 1));
    // 3 runs on the worker that freed first; the other one is idle.
    assert_eq!(shadow(&mut story, 5, 0), [assign(5, worker(1, 1))]);
    let broke = story.breaks(5, worker(1, 1), Sent::None, Breakage::Lost);
    assert_eq!(broke[0], finish(5, End::WorkerLost), "it is not queued");
    let drained = story.happens(Event::Drain { until: Moment::NEVER });
    assert!(!drained.contains(&finish(5, End::Draining)));
    assert_eq!(shadow(&mut story, 6, 0), [finish(6, REFUSED)]);
    // In V2 a session waits for its own worker while others are idle.
    let mut story = ready::<V2>(2);
    assert_eq!(story.submit(1, Some("ann")), [assign(1, worker(0, 1))]);
    story.submit(2, Some("ann"));
    assert_eq!(shadow(&mut story, 3, 0), [finish(3, REFUSED)]);
    story.reply(1, worker(0, 1));
    assert_eq!(shadow(&mut story, 4, 0), [assign(4, worker(1, 1))]);
}

#[test]
fn r16_a_bound_worker_is_not_spare_and_no_session_is_bound_to_a_lent_one() {
    let mut story = ready::<V2>(3);
    assert_eq!(story.submit(1, Some("ann")), [assign(1, worker(0, 1))]);
    story.reply(1, worker(0, 1));
    // Idle, but ann's state is in it.
    assert_eq!(shadow(&mut story, 2, 1), [assign(2, worker(1, 1))]);
    assert_eq!(shadow(&mut story, 3, 1), [finish(3, REFUSED)]);
    assert_eq!(story.submit(4, Some("bob")), [assign(4, worker(2, 1))], "not to the lent one");
    assert_eq!(story.submit(5, Some("cem")), [assign(5, worker(0, 1))], "nor is the next");
    story.reply(2, worker(1, 1));
    assert_eq!(story.submit(6, Some("dan")), [assign(6, worker(1, 1))], "it is back");
}

/// V2 replaces a lost worker when somebody needs it, who then waits for its start; what a shadow
/// costs nobody shall wait for.
#[test]
fn r16_a_worker_that_a_shadow_cost_is_replaced_at_once() {
    let mut story = ready::<V2>(2);
    assert_eq!(shadow(&mut story, 1, 1), [assign(1, worker(0, 1))]);
    let stop = Action::Stop { worker: worker(0, 1), how: Stop::DumpAndKill };
    assert_eq!(story.later(200), [finish(1, End::ExecTimeout), stop]);
    assert_eq!(story.submit(2, Some("ann")), [assign(2, worker(1, 1))]);
    let gone = story.happens(Event::WorkerExited { worker: worker(0, 1) });
    assert_eq!(gone, [Action::Start(worker(0, 2))]);
    assert_eq!(story.submit(3, Some("bob"))[..], [], "not to one that is starting");
    story.happens(Event::WorkerReady { worker: worker(0, 2) });
    assert_eq!(story.submit(4, Some("cem")), [assign(4, WorkerId { slot: 0, generation: 2 })]);
    assert_eq!(story.machine.census().ready, 2);
}
