//! Nothing happens after a deadline, and timeouts happen at theirs: S13 and L1.

use poolshift::Outcome;
use poolshift::clock::Moment;

use crate::checkers::calls::CallBook;
use crate::checkers::docket::Docket;
use crate::checkers::law::Law;
use crate::checkers::scene::Scene;
use crate::trace::{Event, Stamp};

#[inline]
pub(super) fn event(scene: &Scene, stamp: Stamp, event: &Event, docket: &mut Docket) {
    let at = stamp.at;
    match *event {
        Event::Lease { call, .. } => {
            let Some(book) = scene.calls.live(call) else { return };
            docket.check(Law::S13, at < book.wait_until, || {
                format!("leased at {at:?}, but it may wait only until {:?}", book.wait_until)
            });
        }
        Event::Dispatch { call, .. } => {
            let Some(book) = scene.calls.get(call) else { return };
            // What was ordered in time is written when the host comes to it.
            let limit = scene.latest(book.deadline) + scene.ground.host_lag;
            let in_time = at < book.deadline || (at <= limit && limit > book.deadline);
            docket.check(Law::S13, in_time, || {
                format!("written at {at:?}, but its deadline is {:?}", book.deadline)
            });
        }
        Event::Done { call, outcome, .. } => {
            let Some(book) = scene.calls.live(call).filter(|book| book.lane.is_some()) else {
                return;
            };
            done(scene, at, book, outcome, docket);
        }
        _ => {}
    }
}

fn done(scene: &Scene, at: Moment, book: &CallBook, outcome: Outcome, docket: &mut Docket) {
    let due = match outcome {
        // One that comes too late is over as it comes.
        Outcome::QueueTimeout => book.wait_until.max(book.submitted),
        Outcome::ExecTimeout => book.run_until,
        _ => {
            let limit = scene.latest(book.deadline.max(book.submitted));
            docket.check(Law::L1, at <= limit, || {
                format!("{outcome:?} at {at:?}, but its deadline is {:?}", book.deadline)
            });
            docket.sometimes(Law::L1, book.order < scene.fault_at);
            return;
        }
    };
    docket.sometimes(Law::S13, true);
    docket.check(Law::S13, due <= at && at <= scene.latest(due), || {
        format!("{outcome:?} at {at:?}, and it was due at {due:?}")
    });
}
