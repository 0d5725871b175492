//! Nobody is given somebody else's answer: S3.

use poolshift::Outcome;

use crate::checkers::docket::Docket;
use crate::checkers::law::Law;
use crate::checkers::scene::Scene;
use crate::checkers::workers::Doing;
use crate::trace::{CallNo, Event, Frame, Stamp};

#[inline]
pub(super) fn event(scene: &Scene, stamp: Stamp, event: &Event, docket: &mut Docket) {
    match *event {
        Event::Reply { call, nonce, .. } => docket.check(Law::S3, nonce == call, || {
            format!("the reply that was taken for its own answers call {}", nonce.0)
        }),
        Event::Done { call, outcome, answer, .. } => done(scene, call, outcome, answer, docket),
        Event::Writes { worker, frame: Frame::Reply { nonce: Some(nonce), .. } } => {
            // An answer that nobody may be given is in a pipe.
            let holder = scene.workers(stamp).map(|workers| workers.doing(worker));
            docket.sometimes(Law::S3, holder != Some(Doing::Held(nonce)));
        }
        _ => {}
    }
}

fn done(
    scene: &Scene,
    call: CallNo,
    outcome: Outcome,
    answer: Option<CallNo>,
    docket: &mut Docket,
) {
    let Some(book) = scene.calls.live(call) else { return };
    let answered = matches!(outcome, Outcome::Ok | Outcome::Raised);
    let heard = book.heard.map(|(_, nonce)| nonce);
    // What was wrong with the reply has been said when it was read.
    let known_wrong = heard.is_some_and(|nonce| nonce != call);
    let own = match answered {
        true => answer == Some(call) && heard.is_some(),
        false => answer.is_none(),
    };
    docket.check(Law::S3, own || known_wrong, || match (answer, heard) {
        (None, _) => format!("{outcome:?} without an answer"),
        (Some(answer), None) => {
            format!("given the answer of call {}, and no reply was read", answer.0)
        }
        (Some(answer), Some(_)) => format!("{outcome:?} with the answer of call {}", answer.0),
    });
}
