//! Who comes first: S11, S12 and L7.

use poolshift::{Lane, Outcome, WorkerId};

use crate::checkers::calls::CallBook;
use crate::checkers::docket::Docket;
use crate::checkers::law::Law;
use crate::checkers::scene::Scene;
use crate::checkers::sessions::SessionBook;
use crate::trace::{Event, Stamp};

#[inline]
pub(super) fn event(scene: &Scene, stamp: Stamp, event: &Event, docket: &mut Docket) {
    match *event {
        Event::Lease { call, worker } => {
            let Some(book) = scene.calls.live(call) else { return };
            in_line(scene, stamp, book, docket);
            if stamp.lane == Some(Lane::V2)
                && let Some(session) = book.session.and_then(|session| scene.sessions.get(session))
            {
                at_home(scene, session, worker, docket);
                in_session(book, session, docket);
            }
        }
        Event::Done { call, outcome, .. } => {
            let Some(book) = scene.calls.live(call) else { return };
            if let Some(session) = book.session.and_then(|session| scene.sessions.get(session)) {
                if outcome == Outcome::SessionLost {
                    told(scene, book, session, docket);
                } else if book.waits() && book.lane == Some(Lane::V2) {
                    in_session(book, session, docket);
                }
            }
        }
        _ => {}
    }
}

/// No younger call is leased while an older one waits that any worker may take: V3's whole
/// queue (R9), V2's anonymous one (R10).
fn in_line(scene: &Scene, stamp: Stamp, book: &CallBook, docket: &mut Docket) {
    let Some(lane) = stamp.lane else { return };
    let law = if lane == Lane::V3 { Law::S11 } else { Law::L7 };
    let line = &scene.lane(lane).line;
    let Some((order, oldest)) = line.oldest() else { return };
    docket.check(law, book.order <= order, || {
        format!("leased though the older call {} waits for any worker", oldest.0)
    });
    // It has waited, and others behind it do: an order there was to be kept.
    docket.sometimes(law, book.waits() && line.len() > 1);
}

/// All calls of a live session run on one process; one that is gone was told of first.
fn at_home(scene: &Scene, session: &SessionBook, worker: WorkerId, docket: &mut Docket) {
    let Some(home) = session.home else { return };
    docket.check(Law::S12, home == worker, || {
        if scene.lane(Lane::V2).workers.keeps_state(home) {
            format!("its session lives on worker {home}, which serves")
        } else {
            format!("its session was lost with worker {home}, and no call was told")
        }
    });
}

/// No younger call of the session was leased while this one waited.
fn in_session(book: &CallBook, session: &SessionBook, docket: &mut Docket) {
    let Some((youngest, leased_at)) = session.youngest else { return };
    let overtaken = book.waits() && youngest > book.order && leased_at > book.waits_since;
    docket.check(Law::S12, !overtaken, || {
        format!("event {leased_at} leased a younger call of its session while it waited")
    });
}

/// A session is lost only with a worker, and each loss is told once.
fn told(scene: &Scene, book: &CallBook, session: &SessionBook, docket: &mut Docket) {
    docket.sometimes(Law::S12, true);
    let lane = scene.lane(Lane::V2);
    let lost = match session.home {
        Some(home) => !lane.workers.keeps_state(home),
        None => lane.lost_at > session.bound_since,
    };
    docket.check(Law::S12, lost && book.lane == Some(Lane::V2), || match session.home {
        Some(home) => format!("told that its session is lost, but worker {home} serves"),
        None => "told that its session is lost, and no worker was lost since it was bound".into(),
    });
}
