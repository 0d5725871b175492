//! Starts after failed starts: S16 and L2.

use std::ops::Range;
use std::time::Duration;

use poolshift::Lane;
use poolshift::clock::Moment;
use poolshift::machine::backoff::Backoff;

use crate::checkers::docket::Docket;
use crate::checkers::law::Law;
use crate::checkers::scene::Scene;
use crate::checkers::workers::{Doing, Slot};
use crate::trace::{Event, Stamp};

/// How late a pool may notice that a slot's wait is over: it compares what it has with what it
/// is meant to have once a second.
const DETECT: Duration = Duration::from_secs(1);

/// Delays are computed in floating point.
const ROUNDING: Duration = Duration::from_micros(1);

/// What the scene does not keep: since when each lane's start permits were not all taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Restarts {
    permit_free_since: [Moment; 2],
}

impl Restarts {
    #[inline]
    pub(super) fn event(
        &mut self,
        scene: &Scene,
        stamp: Stamp,
        event: &Event,
        docket: &mut Docket,
    ) {
        let Some(lane) = stamp.lane else { return };
        match *event {
            Event::Start { worker } => {
                let index = worker.slot as usize;
                if let Some(slot) = scene.lane(lane).workers.slots().get(index) {
                    waited(scene, lane, slot, stamp.at, docket);
                }
                self.found(scene, lane, index..index + 1, docket);
            }
            Event::Drain { .. } if scene.lane(lane).draining.is_none() => {
                self.found(scene, lane, 0..scene.lane(lane).workers.size(), docket);
            }
            Event::Ready { worker } => {
                let again = worker.generation > 1;
                docket.sometimes(Law::L2, again && lane == Lane::V3);
            }
            _ => {}
        }
        // A permit comes back with any of these; whoever may start with it does so from here.
        let comes_back =
            matches!(event, Event::Ready { .. } | Event::StartFailed { .. } | Event::Stop { .. });
        let all_taken =
            scene.lane(lane).workers.starting >= scene.ground.lane(lane).terms.max_starting;
        if comes_back && all_taken {
            self.permit_free_since[lane as usize] = stamp.at;
        }
    }

    /// L2: V3 leaves no slot without a process for longer than its wait takes, if a permit is
    /// free. V2 replaces a worker when it is next needed (R10), which this law leaves to L3.
    fn found(&self, scene: &Scene, lane: Lane, slots: Range<usize>, docket: &mut Docket) {
        let book = scene.lane(lane);
        if lane == Lane::V2 || book.draining.is_some() {
            return;
        }
        let wait = scene.ground.lane(lane).terms.backoff.cap + DETECT + scene.ground.host_lag;
        let permits = scene.ground.lane(lane).terms.max_starting;
        if book.workers.starting >= permits {
            return;
        }
        // Which of its slots is the spare one changes with each worker that is recycled.
        let recycles = scene.ground.lane(lane).terms.lifecycle.recycling.is_some();
        if recycles && book.workers.live >= book.workers.size() {
            return;
        }
        for index in slots {
            let Some(slot) = book.workers.slots().get(index) else { continue };
            if slot.doing != Doing::Gone {
                continue;
            }
            let due = (slot.vacant_since + wait).max(self.permit_free_since[lane as usize]);
            let due = scene.latest(due);
            docket.check(Law::L2, scene.now <= due, || {
                format!("slot {index} had no process since {:?}", slot.vacant_since)
            });
        }
    }
}

/// S16: R6's wait, by the start's number in a row of failures.
fn waited(scene: &Scene, lane: Lane, slot: &Slot, at: Moment, docket: &mut Docket) {
    let (Some(failed_at), failures) = (slot.failed_at, slot.failures) else { return };
    let Backoff { base, cap, .. } = scene.ground.lane(lane).terms.backoff;
    let doublings = failures.saturating_sub(1).min(31);
    let full = base.saturating_mul(1 << doublings).min(cap);
    let least = full.mul_f64(1.0 - Backoff::JITTER).saturating_sub(ROUNDING);
    docket.check(Law::S16, at >= failed_at + least, || {
        let waited = at.since(failed_at);
        format!("started {waited:?} after failure {failures} in a row; it must wait {least:?}")
    });
    docket.sometimes(Law::S16, failures > 1);
}
