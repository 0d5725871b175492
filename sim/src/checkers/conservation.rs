//! Calls are neither lost nor multiplied: S1, S2 and S8.

use poolshift::Outcome;

use crate::checkers::calls::Place;
use crate::checkers::docket::Docket;
use crate::checkers::law::Law;
use crate::checkers::scene::Scene;
use crate::trace::{CallNo, Event, Stamp};

#[inline]
pub(super) fn event(scene: &Scene, stamp: Stamp, event: &Event, docket: &mut Docket) {
    match *event {
        Event::Submit { call, .. } => {
            docket.check(Law::S1, scene.calls.live(call).is_none(), || {
                "it was submitted already".into()
            })
        }
        Event::Done { call, outcome, .. } => done(scene, call, outcome, docket),
        Event::Reply { call, .. } | Event::Broke { call, .. } => {
            // A second outcome lies near: the worker speaks of a call that is over.
            docket.sometimes(Law::S2, scene.calls.get(call).is_some_and(|book| book.is_done()));
        }
        Event::Enqueue { call, waiting, again } => {
            placed(scene, call, false, docket);
            let counted = stamp.lane.map_or(0, |lane| scene.lane(lane).waiting + 1);
            let known = stamp.lane.is_none() || counted == waiting as usize;
            docket.check(Law::S8, known, || {
                format!("the pool says that {waiting} wait, by the trace {counted} do")
            });
            docket.sometimes(Law::S8, again);
        }
        Event::Lease { call, .. } => placed(scene, call, true, docket),
        _ => {}
    }
}

/// Time passes: every call has found its place.
#[inline]
pub(super) fn advance(scene: &Scene, docket: &mut Docket) {
    let placed = scene.nowhere == 0 || !scene.slack.is_zero();
    docket.check(Law::S8, placed, || {
        format!("{} calls neither wait nor have a worker nor are done", scene.nowhere)
    });
    docket.check(Law::S1, scene.untold == 0 || !scene.slack.is_zero(), || {
        format!("{} calls were cancelled, and have no outcome", scene.untold)
    });
}

pub(super) fn end(scene: &Scene, docket: &mut Docket) {
    let unfinished = scene.calls.unfinished();
    docket.check(Law::S1, unfinished == 0, || {
        let example = scene.calls.any_unfinished();
        let example = example.map_or_else(String::new, |book| {
            format!(
                "; call {} is {:?} since its submit at {:?}",
                book.call.0, book.place, book.submitted
            )
        });
        format!("{unfinished} calls have no outcome{example}")
    });
}

fn done(scene: &Scene, call: CallNo, outcome: Outcome, docket: &mut Docket) {
    let book = scene.calls.get(call);
    docket.check(Law::S2, book.is_some(), || "it was never submitted".into());
    if let Some(book) = book {
        docket.check(Law::S1, !book.is_done(), || format!("a second outcome, {outcome:?}"));
        docket.sometimes(Law::S1, outcome != Outcome::Ok);
    }
}

/// A call goes to a queue or a worker: it comes from between two places, or from the queue.
fn placed(scene: &Scene, call: CallNo, may_wait: bool, docket: &mut Docket) {
    let place = scene.calls.get(call).map(|book| book.place);
    let free = place == Some(Place::Nowhere) || (may_wait && place == Some(Place::Waiting));
    docket.check(Law::S8, free, || match place {
        None => "it is given a place and was never submitted".into(),
        Some(place) => format!("it is given a place and is {place:?}"),
    });
}
