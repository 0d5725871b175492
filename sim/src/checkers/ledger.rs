//! What was executed, where, and what the caller was told of it: S14, S24 and S25.
//!
//! The product neither retries nor falls back yet, so a call that a worker has accepted a byte
//! of is never given to another, idempotent or not.

use poolshift::machine::Sent;
use poolshift::{Lane, Outcome, Ran};

use crate::checkers::calls::CallBook;
use crate::checkers::docket::Docket;
use crate::checkers::law::Law;
use crate::checkers::scene::Scene;
use crate::trace::{Event, Stamp};

/// R1: how often a call may come back from a worker that had accepted no byte of it.
const MAX_RETURNS: u32 = 3;

#[inline]
pub(super) fn event(scene: &Scene, stamp: Stamp, event: &Event, docket: &mut Docket) {
    match *event {
        Event::Executes { call, .. } => {
            // A call that was forgotten was done long ago, and its worker with it.
            let Some(book) = scene.calls.get(call) else { return };
            docket.check(Law::S14, book.executions == 0, || "executed a second time".into());
            docket.check(Law::S14, book.ran != Some(Ran::No), || {
                "executed, and its caller was told that it had not run".into()
            });
            docket.sometimes(Law::S14, book.leases > 1);
            docket.check(Law::S24, is_here(book, stamp), || elsewhere("executed", book, stamp));
            docket.sometimes(Law::S24, book.epoch < scene.policies.epoch);
        }
        Event::Enqueue { call, .. } | Event::Dispatch { call, .. } => {
            let Some(book) = scene.calls.live(call) else { return };
            docket.check(Law::S25, is_here(book, stamp), || elsewhere("handled", book, stamp));
        }
        Event::Lease { call, .. } => {
            let Some(book) = scene.calls.live(call) else { return };
            docket.check(Law::S25, is_here(book, stamp), || elsewhere("leased", book, stamp));
            docket.sometimes(Law::S25, book.leases > 0 && book.lane == Some(Lane::V3));
            docket.check(Law::S14, !book.broke_sent, || {
                "leased again, though a worker had accepted some of it".into()
            });
            docket.check(Law::S14, book.leases <= MAX_RETURNS, || {
                format!("leased for the {}th time", book.leases + 1)
            });
        }
        Event::Done { call, outcome, ran, .. } => {
            let Some(book) = scene.calls.live(call) else { return };
            told(scene, book, outcome, ran, docket);
        }
        _ => {}
    }
}

/// `ran` must not soothe: `no` only if no byte was accepted, `yes` only if it was executed.
fn told(scene: &Scene, book: &CallBook, outcome: Outcome, ran: Ran, docket: &mut Docket) {
    let accepted = book.sent != Sent::None;
    let answered = matches!(outcome, Outcome::Ok | Outcome::Raised);
    let honest = match ran {
        // An answer that is called unrun is a wrong class (S19).
        Ran::No => answered || (book.executions == 0 && !accepted),
        Ran::Maybe => answered || accepted || !scene.slack.is_zero(),
        Ran::Yes => book.executions > 0 || !answered,
    };
    docket.check(Law::S14, honest, || {
        let (sent, times) = (book.sent, book.executions);
        format!("{outcome:?}, ran {ran:?}; its worker accepted {sent:?}, {times} executions")
    });
}

/// Whether the event is in the lane that the call was sent to, if it says in which it is.
fn is_here(book: &CallBook, stamp: Stamp) -> bool {
    stamp.lane.is_none() || stamp.lane == book.lane
}

fn elsewhere(what: &str, book: &CallBook, stamp: Stamp) -> String {
    let name = |lane: Option<Lane>| lane.map_or("no lane", Lane::as_str);
    format!("{what} in {}, but it was sent to {}", name(stamp.lane), name(book.lane))
}
