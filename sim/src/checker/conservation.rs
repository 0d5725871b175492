//! No call is lost, doubled, or nowhere: S1, S2, S8.

use poolshift::Outcome;
use poolshift::clock::Moment;

use crate::checker::{Checker, Law, Verdict};
use crate::trace::{CallNo, Closing, Event, Stamp, Watcher};
use crate::window::Window;

/// S1: every submit has exactly one end. S2: no end without a submit. S8: whenever time moves,
/// each submitted call waits, is with a worker, or is done, and the pools count the waiting
/// ones right.
#[derive(Debug)]
pub struct Conservation {
    s1: Law,
    s2: Law,
    s8: Law,
    open: Window<Place>,
    submitted: u64,
    done: u64,
    /// Calls that are neither waiting nor with a worker.
    nowhere: u64,
    /// Calls that wait in V2, and in V3.
    waiting: [u64; 2],
    at: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Waits,
    WithWorker,
}

impl Conservation {
    /// No call has been seen.
    #[must_use]
    pub fn new() -> Self {
        let [s1, s2, s8] = ["S1", "S2", "S8"].map(Law::new);
        let (open, at) = (Window::new(), Moment::ZERO);
        Self { s1, s2, s8, open, submitted: 0, done: 0, nowhere: 0, waiting: [0; 2], at }
    }

    #[inline]
    fn count(&mut self, place: Place, lane: usize, by: i64) {
        let count = match place {
            Place::Nowhere => &mut self.nowhere,
            Place::Waits => &mut self.waiting[lane],
            Place::WithWorker => return,
        };
        *count = count.wrapping_add_signed(by);
    }

    #[inline]
    fn put(&mut self, stamp: Stamp, call: CallNo, place: Place) {
        let lane = stamp.lane.map_or(0, |lane| lane as usize);
        let Some(kept) = self.open.get_mut(call.0) else { return };
        let before = std::mem::replace(kept, place);
        self.count(before, lane, -1);
        self.count(place, lane, 1);
    }

    fn finish(&mut self, stamp: Stamp, call: CallNo, outcome: Outcome) {
        self.done += 1;
        let lane = stamp.lane.map_or(0, |lane| lane as usize);
        let was_submitted = call.0 < self.submitted;
        self.s2
            .check(was_submitted, stamp, || format!("{call:?} ends as {outcome:?}, unsubmitted"));
        match self.open.remove(call.0) {
            Some(place) => self.count(place, lane, -1),
            None => {
                let what = || format!("{call:?} ends once more, as {outcome:?}");
                self.s1.check(!was_submitted, stamp, what);
            }
        }
        self.s1.sometimes(outcome != Outcome::Ok);
        self.s2.sometimes(outcome == Outcome::Cancelled);
    }

    /// Time moves.
    #[inline]
    fn pass(&mut self, stamp: Stamp) {
        self.at = stamp.at;
        let nowhere = self.nowhere;
        self.s8.check(nowhere == 0, stamp, || format!("{nowhere} calls are nowhere"));
        self.s8.sometimes(self.waiting[0] + self.waiting[1] > 0);
    }
}

impl Default for Conservation {
    fn default() -> Self {
        Self::new()
    }
}

impl Watcher for Conservation {
    #[inline]
    fn event(&mut self, stamp: Stamp, event: &Event) {
        if stamp.at > self.at {
            self.pass(stamp);
        }
        match *event {
            Event::Submit { call, .. } => {
                let twice = self.open.insert(call.0, Place::Nowhere).is_some();
                self.s1.check(!twice, stamp, || format!("{call:?} is submitted twice"));
                self.submitted = call.0 + 1;
                self.nowhere += 1;
            }
            Event::Enqueue { call, waiting, .. } => {
                self.put(stamp, call, Place::Waits);
                let lane = stamp.lane.map_or(0, |lane| lane as usize);
                let counted = self.waiting[lane];
                let what = || format!("{waiting} wait, it says; {counted} do");
                self.s8.check(counted == u64::from(waiting), stamp, what);
            }
            Event::Lease { call, .. } => self.put(stamp, call, Place::WithWorker),
            Event::Broke { call, .. } => self.put(stamp, call, Place::Nowhere),
            Event::Done { call, outcome, .. } => self.finish(stamp, call, outcome),
            _ => {}
        }
    }

    fn end(&mut self, closing: &Closing) {
        let stamp = Stamp { at: closing.at, seq: u64::MAX, lane: None };
        let mut lost: Vec<u64> = self.open.iter().map(|(call, _)| call).collect();
        lost.sort_unstable();
        let what = || format!("{} calls have no end, the first is {:?}", lost.len(), lost.first());
        self.s1.check(lost.is_empty(), stamp, what);
    }

    #[inline]
    fn has_seen_enough(&self) -> bool {
        self.s1.is_broken() || self.s2.is_broken() || self.s8.is_broken()
    }
}

impl Checker for Conservation {
    fn report(&self, verdict: &mut Verdict) {
        [&self.s1, &self.s2, &self.s8].iter().for_each(|law| law.report(verdict));
    }
}
