//! Bounds on calls that wait and on processes that live: S9, S10 and S17.

use poolshift::{Lane, Outcome, WorkerId};

use crate::checkers::calls::CallBook;
use crate::checkers::docket::Docket;
use crate::checkers::law::Law;
use crate::checkers::scene::Scene;
use crate::checkers::workers::Doing;
use crate::trace::{Closing, Event, ExitHow, Stamp};

#[inline]
pub(super) fn event(scene: &Scene, stamp: Stamp, event: &Event, docket: &mut Docket) {
    if let Event::Done { call, outcome: Outcome::Rejected, worker: None, .. } = *event
        && let Some(call) = scene.calls.live(call)
        && let Some(lane) = call.lane
    {
        rejected(scene, lane, call, docket);
    }
    let Some(lane) = stamp.lane else { return };
    let book = scene.lane(lane);
    match *event {
        // One that comes back takes its old place, whether or not there is room.
        Event::Enqueue { again: false, .. } => {
            let (waiting, room) = (book.waiting + 1, scene.ground.lane(lane).max_waiting);
            docket.check(Law::S9, waiting <= room, || {
                format!("{waiting} calls wait where {room} may")
            });
        }
        Event::Start { worker } => started(scene, lane, worker, docket),
        Event::StartFailed { worker, .. } => {
            let doing = book.workers.doing(worker);
            let was_starting = matches!(doing, Doing::Starting | Doing::Stopping);
            docket.check(Law::S17, was_starting, || format!("its start failed while {doing:?}"));
        }
        Event::Reaped { worker } => {
            let slot = book.workers.get(worker);
            let once = slot.is_some_and(|slot| slot.doing != Doing::Gone && slot.exited);
            docket.check(Law::S17, once, || match slot {
                Some(slot) if slot.exited => "reaped a second time".into(),
                Some(_) => "reaped while it lives".into(),
                None => "reaped and never started".into(),
            });
        }
        Event::Exit { how, .. } => docket.sometimes(Law::S17, how == ExitHow::Signal(9)),
        Event::Drained => {
            let (live, calls) = (book.workers.live, book.waiting + book.held);
            docket.check(Law::S17, live == 0, || format!("drained, and {live} processes live"));
            docket.check(Law::S1, calls == 0, || format!("drained, and {calls} calls are open"));
        }
        _ => {}
    }
}

pub(super) fn end(scene: &Scene, closing: &Closing, docket: &mut Docket) {
    for (lane, books) in [Lane::V2, Lane::V3].into_iter().zip(&closing.lanes) {
        let (processes, live) = (books.processes, scene.lane(lane).workers.live);
        docket.check(Law::S17, processes == 0, || {
            format!("{}: {processes} processes are left", lane.as_str())
        });
        docket.check(Law::S17, live == 0, || {
            format!("{}: {live} processes were started and never reaped", lane.as_str())
        });
        let status = &books.status;
        let gauges = [status.ready, status.available, status.busy, status.starting, status.live];
        docket.check(Law::S10, gauges == [0; 5], || {
            format!(
                "{}: ready, available, busy, starting and live are {gauges:?} at the end",
                lane.as_str()
            )
        });
    }
}

fn rejected(scene: &Scene, lane: Lane, call: &CallBook, docket: &mut Docket) {
    let (waiting, room) = (scene.lane(lane).waiting, scene.ground.lane(lane).max_waiting);
    // A call that had waited or run was not rejected for want of room.
    if call.leases == 0 && call.waits_since == 0 {
        docket.check(Law::S9, waiting >= room, || {
            format!("rejected while {waiting} calls wait where {room} may")
        });
        docket.sometimes(Law::S9, true);
    }
}

fn started(scene: &Scene, lane: Lane, worker: WorkerId, docket: &mut Docket) {
    let workers = &scene.lane(lane).workers;
    let (size, permits) = (workers.size(), scene.ground.lane(lane).terms.max_starting);
    // One that is to be recycled serves until another, in a slot of its own, is ready.
    let recycling = scene.ground.lane(lane).terms.lifecycle.recycling;
    let spare = recycling.map_or(0, |recycling| recycling.max_recycling);
    docket.check(Law::S10, (worker.slot as usize) < size + spare, || {
        format!("started though the pool is meant to have {size} workers")
    });
    if let Some(slot) = workers.slots().get(worker.slot as usize) {
        let (doing, generation) = (slot.doing, slot.generation);
        docket.check(Law::S10, doing == Doing::Gone, || {
            format!("started while process {generation} of its slot is {doing:?}")
        });
        docket.check(Law::S10, worker.generation > generation, || {
            format!("its number was used before: the last was {generation}")
        });
    }
    let starting = workers.starting + 1;
    docket.check(Law::S10, starting <= permits, || {
        format!("{starting} workers start at once where {permits} may")
    });
    docket.sometimes(Law::S10, starting == permits || workers.live + 1 == size);
}
