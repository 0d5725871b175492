//! The pools' own books agree with the trace: S19.

use poolshift::machine::Reply;
use poolshift::{Class, Lane, Outcome, Ran};

use crate::checkers::calls::CallBook;
use crate::checkers::docket::Docket;
use crate::checkers::law::Law;
use crate::checkers::scene::Scene;
use crate::checkers::workers::Doing;
use crate::trace::{Closing, Event, LaneClosing, Stamp};

/// The trace's own count of one lane.
#[derive(Clone, Debug, Default)]
struct Count {
    submitted: u64,
    done: [[u64; Outcome::ALL.len()]; Class::ALL.len()],
    restarts: u64,
    start_failures: u64,
}

/// The trace's own count.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    lanes: [Count; 2],
}

impl Books {
    #[inline]
    pub(super) fn event(
        &mut self,
        scene: &Scene,
        stamp: Stamp,
        event: &Event,
        docket: &mut Docket,
    ) {
        match *event {
            Event::Route { call, lane, .. } => {
                let first = scene.calls.live(call).is_some_and(|book| book.lane.is_none());
                self.lanes[lane as usize].submitted += u64::from(first);
            }
            Event::Done { call, outcome, ran, .. } => {
                let Some(book) = scene.calls.live(call) else { return };
                if let Some(lane) = book.lane {
                    let row = &mut self.lanes[lane as usize].done[book.class as usize];
                    row[outcome as usize] += 1;
                }
                one_class(book, outcome, ran, docket);
            }
            Event::Start { worker } if worker.generation > 1 => {
                if let Some(lane) = stamp.lane {
                    self.lanes[lane as usize].restarts += 1;
                }
            }
            Event::StartFailed { worker, .. } => {
                let (doing, lane) = (scene.doing(stamp, worker), stamp.lane);
                if let (Doing::Starting, Some(lane)) = (doing, lane) {
                    self.lanes[lane as usize].start_failures += 1;
                }
            }
            _ => {}
        }
    }

    pub(super) fn end(&self, closing: &Closing, docket: &mut Docket) {
        for ((lane, books), count) in
            [Lane::V2, Lane::V3].into_iter().zip(&closing.lanes).zip(&self.lanes)
        {
            agree(lane, books, count, docket);
        }
    }
}

/// Each end has one class, and `ran` says what that class may say.
fn one_class(book: &CallBook, outcome: Outcome, ran: Ran, docket: &mut Docket) {
    let kind = book.heard.map(|(kind, _)| kind);
    let fits = match outcome {
        Outcome::Ok => ran == Ran::Yes && kind != Some(Reply::Raised),
        Outcome::Raised => ran == Ran::Yes && kind != Some(Reply::Ok),
        Outcome::Rejected | Outcome::QueueTimeout | Outcome::SessionLost | Outcome::Draining => {
            ran == Ran::No
        }
        Outcome::ExecTimeout | Outcome::WorkerLost | Outcome::Cancelled | Outcome::Protocol => {
            ran != Ran::Yes
        }
    };
    docket.sometimes(Law::S19, outcome != Outcome::Ok);
    docket.check(Law::S19, fits, || format!("{outcome:?}, ran {ran:?}, after the reply {kind:?}"));
}

fn agree(lane: Lane, books: &LaneClosing, count: &Count, docket: &mut Docket) {
    let mut equal = |what: &str, theirs: u64, ours: u64| {
        docket.check(Law::S19, theirs == ours, || {
            format!("{}: the books have {theirs} {what}, the trace has {ours}", lane.as_str())
        });
    };
    equal("submits", books.meter.submitted, count.submitted);
    equal("restarts", books.status.restarts, count.restarts);
    equal("failed starts", books.status.start_failures, count.start_failures);
    equal("calls in flight", books.status.in_flight as u64, 0);
    equal("calls waiting", books.status.queue_size as u64, 0);
    for outcome in Outcome::ALL {
        let ours = count.done.iter().map(|row| row[outcome as usize]).sum();
        equal(outcome.as_str(), books.status.outcomes.get(&outcome).copied().unwrap_or(0), ours);
        for class in Class::ALL {
            let latencies = books.meter.latencies.get(&(class, outcome));
            let theirs =
                |series: fn(&poolshift::meter::Latencies) -> u64| latencies.map_or(0, series);
            let ours = count.done[class as usize][outcome as usize];
            let name = format!("{} {}", class.as_str(), outcome.as_str());
            equal(&format!("total times of {name}"), theirs(|l| l.total.count()), ours);
            equal(&format!("queue times of {name}"), theirs(|l| l.queued.count()), ours);
            equal(&format!("service times of {name}"), theirs(|l| l.service.count()), ours);
        }
    }
}
