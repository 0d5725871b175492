//! Every call's life so far, as the trace tells it.

use poolshift::clock::Moment;
use poolshift::machine::{Reply, Sent};
use poolshift::{Class, Lane, Outcome, Ran, WorkerId};

use crate::trace::{CallNo, SessionNo, Stamp};

/// A finished call is remembered until a call this much younger takes its place: long enough
/// for its late reply and execution, short enough to stay in the processor's cache.
const REMEMBERED: usize = 4096;

/// One call.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallBook {
    pub(super) call: CallNo,
    pub(super) session: Option<SessionNo>,
    pub(super) class: Class,
    /// The lane that the router chose; `None` before.
    pub(super) lane: Option<Lane>,
    /// The epoch that decided.
    pub(super) epoch: u64,
    /// The number of its submit: the order in which calls stand in a queue.
    pub(super) order: u64,
    pub(super) submitted: Moment,
    /// The end of its whole budget.
    pub(super) deadline: Moment,
    /// The end of the part of it that it may wait.
    pub(super) wait_until: Moment,
    pub(super) place: Place,
    /// The number of the event since which it waits.
    pub(super) waits_since: u64,
    /// The worker that has the session's state, if the call waits for just that one.
    pub(super) waits_for: Option<WorkerId>,
    pub(super) leases: u32,
    pub(super) leased: Moment,
    /// The end of its time on its worker.
    pub(super) run_until: Moment,
    /// How much of it its last worker accepted.
    pub(super) sent: Sent,
    /// Whether any worker ever accepted a byte of it and did not answer.
    pub(super) broke_sent: bool,
    pub(super) executions: u32,
    /// Its caller has gone away.
    pub(super) cancelled: bool,
    /// The reply that its lease holder read, and for whom it was.
    pub(super) heard: Option<(Reply, CallNo)>,
    /// What the caller was told.
    pub(super) ran: Option<Ran>,
}

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Between two places; at no other moment than this one.
    Nowhere,
    Waiting,
    Held(WorkerId),
    Done,
}

impl CallBook {
    pub(super) const fn new(
        call: CallNo,
        session: Option<SessionNo>,
        class: Class,
        stamp: Stamp,
        deadline: Moment,
    ) -> Self {
        Self {
            call,
            session,
            class,
            lane: None,
            epoch: 0,
            order: stamp.seq,
            submitted: stamp.at,
            deadline,
            wait_until: Moment::NEVER,
            place: Place::Nowhere,
            waits_since: 0,
            waits_for: None,
            leases: 0,
            leased: Moment::ZERO,
            run_until: Moment::NEVER,
            sent: Sent::None,
            broke_sent: false,
            executions: 0,
            cancelled: false,
            heard: None,
            ran: None,
        }
    }

    /// Whether its pool had taken it when it ended so: what comes too late, or during a drain,
    /// is turned away at the door.
    pub(super) fn was_admitted(&self, outcome: Outcome) -> bool {
        let turned_away = matches!(outcome, Outcome::QueueTimeout | Outcome::Draining);
        !turned_away || self.leases > 0 || self.waits_since > 0
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self.place, Place::Done)
    }

    pub(super) const fn waits(&self) -> bool {
        matches!(self.place, Place::Waiting)
    }

    pub(super) fn is_held_by(&self, worker: WorkerId) -> bool {
        self.place == Place::Held(worker)
    }
}

/// Calls by number: a ring, because numbers are dense and lives are short. It grows when two
/// unfinished calls meet at one place, so it is bounded by the span of unfinished numbers.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    ring: Vec<Option<CallBook>>,
    unfinished: u64,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self { ring: vec![None; REMEMBERED], unfinished: 0 }
    }

    /// The call, unless it is unknown or forgotten.
    #[inline]
    pub(super) fn get(&self, call: CallNo) -> Option<&CallBook> {
        self.ring[self.place(call)].as_ref().filter(|book| book.call == call)
    }

    /// The call, unless it is unknown or finished.
    #[inline]
    pub(super) fn live(&self, call: CallNo) -> Option<&CallBook> {
        self.get(call).filter(|book| !book.is_done())
    }

    #[inline]
    pub(super) fn get_mut(&mut self, call: CallNo) -> Option<&mut CallBook> {
        let place = self.place(call);
        self.ring[place].as_mut().filter(|book| book.call == call)
    }

    pub(super) fn insert(&mut self, book: CallBook) {
        self.unfinished += 1;
        while self.live_at(self.place(book.call)).is_some_and(|other| other != book.call) {
            self.grow();
        }
        let place = self.place(book.call);
        self.ring[place] = Some(book);
    }

    pub(super) fn finished(&mut self) {
        self.unfinished = self.unfinished.saturating_sub(1);
    }

    /// How many calls are not done.
    pub(super) const fn unfinished(&self) -> u64 {
        self.unfinished
    }

    /// One of the calls that are not done.
    pub(super) fn any_unfinished(&self) -> Option<&CallBook> {
        self.ring.iter().flatten().find(|book| !book.is_done())
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.ring.len()
    }

    #[inline]
    fn place(&self, call: CallNo) -> usize {
        // The length is a power of two.
        call.0 as usize & (self.ring.len() - 1)
    }

    fn live_at(&self, place: usize) -> Option<CallNo> {
        self.ring[place].as_ref().filter(|book| !book.is_done()).map(|book| book.call)
    }

    fn grow(&mut self) {
        let longer = vec![None; self.ring.len() * 2];
        let books = std::mem::replace(&mut self.ring, longer);
        // Finished ones first, so that none takes the place of an unfinished one.
        let (done, live): (Vec<CallBook>, Vec<CallBook>) =
            books.into_iter().flatten().partition(CallBook::is_done);
        for book in done.into_iter().chain(live) {
            let place = self.place(book.call);
            self.ring[place] = Some(book);
        }
    }
}
