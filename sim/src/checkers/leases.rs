//! Who may be leased: S4, S5, S6, S7 and S15, of which a worker's state names the one that
//! forbids it, so that one wrong lease is reported once.

use poolshift::WorkerId;
use poolshift::machine::{OnCancel, Sent};

use crate::checkers::docket::Docket;
use crate::checkers::law::Law;
use crate::checkers::scene::Scene;
use crate::checkers::workers::{Doing, Workers};
use crate::trace::{CallNo, Cause, Event, Frame, Stamp};

#[inline]
pub(super) fn event(scene: &Scene, stamp: Stamp, event: &Event, docket: &mut Docket) {
    let Some(workers) = scene.workers(stamp) else { return };
    match *event {
        Event::Lease { worker, .. } => leased(scene, workers, stamp, worker, docket),
        Event::Probe { worker } => {
            let doing = workers.doing(worker);
            docket.check(Law::S4, !doing.is_at_work(), || format!("probed while {doing:?}"));
        }
        Event::Dispatch { worker, sent, .. } => dispatched(scene, workers, worker, sent, docket),
        Event::Writes { worker, frame } => {
            let awaited =
                workers.doing(worker).is_at_work() || workers.doing(worker) == Doing::Starting;
            docket.sometimes(Law::S7, !awaited || frame == Frame::Junk);
        }
        Event::Broke { cause, .. } => docket.sometimes(Law::S6, cause == Cause::Garbled),
        Event::Abandon { call, worker } => abandoned(scene, workers, stamp, call, worker, docket),
        Event::Reply { call, worker, .. } => {
            let late = workers.get(worker).filter(|slot| slot.doing == Doing::Abandoned(call));
            if let Some(slot) = late {
                let limit = scene.latest(slot.drain_until);
                docket.check(Law::S15, stamp.at <= limit, || {
                    format!("its late reply was awaited longer than until {limit:?}")
                });
            }
        }
        _ => {}
    }
}

fn leased(scene: &Scene, workers: &Workers, stamp: Stamp, worker: WorkerId, docket: &mut Docket) {
    let doing = workers.doing(worker);
    let must_not = || format!("leased while {doing:?}");
    let one_holder = !matches!(doing, Doing::Held(_) | Doing::Probing);
    docket.check(Law::S4, one_holder, must_not);
    let fit = !matches!(doing, Doing::Starting | Doing::Unfit | Doing::Stopping | Doing::Gone);
    docket.check(Law::S5, fit, must_not);
    docket.check(Law::S6, doing != Doing::Garbled, must_not);
    docket.check(Law::S7, doing != Doing::HalfSent, must_not);
    let drained = !matches!(doing, Doing::Forsaken | Doing::Abandoned(_));
    docket.check(Law::S15, drained, must_not);

    let size = workers.size();
    docket.check(Law::S5, !fit || (worker.slot as usize) < size, || {
        format!("leased though the pool is meant to have {size} workers")
    });
    let lane = stamp.lane.map(|lane| scene.lane(lane));
    if let Some((_, until, _)) = lane.and_then(|lane| lane.draining) {
        docket.check(Law::S5, stamp.at <= scene.latest(until), || {
            format!("leased though the drain gave up at {until:?}")
        });
    }
    // It was free to choose wrongly: others are there that must not be leased.
    docket.sometimes(Law::S5, workers.live > workers.serving);
    // The lease passes from hand to hand without a pause.
    let handed_on = workers.get(worker).is_some_and(|slot| slot.since == stamp.at);
    docket.sometimes(Law::S4, handed_on && doing == Doing::Idle);
}

/// R1: what the worker wrote before it was asked must have been noticed.
fn dispatched(scene: &Scene, workers: &Workers, worker: WorkerId, sent: Sent, docket: &mut Docket) {
    let Some(slot) = workers.get(worker) else { return };
    let noticed_by = slot.unread_since + scene.ground.host_lag + scene.slack;
    let dirty = slot.unread > 0 && noticed_by < scene.now;
    docket.check(Law::S7, sent == Sent::None || !dirty, || {
        format!("{} frames were unread since {:?}", slot.unread, slot.unread_since)
    });
}

/// R3: only a forsaken worker is drained, and only if drains are what the pool does.
fn abandoned(
    scene: &Scene,
    workers: &Workers,
    stamp: Stamp,
    call: CallNo,
    worker: WorkerId,
    docket: &mut Docket,
) {
    docket.sometimes(Law::S15, true);
    let doing = workers.doing(worker);
    docket.check(Law::S15, doing == Doing::Forsaken, || {
        format!("its late reply is awaited while it is {doing:?}")
    });
    let on_cancel = stamp.lane.map(|lane| scene.ground.lane(lane).terms.on_cancel);
    docket.check(Law::S15, on_cancel != Some(OnCancel::Kill), || {
        "it is drained though cancelled calls' workers are to be killed".into()
    });
    let over = scene.calls.get(call).is_none_or(|book| book.is_done());
    docket.check(Law::S15, over, || "its call is not over".into());
}
