//! The callers of calls that are not over, as the world plays them.

use poolshift::call::Timing;
use poolshift::clock::Moment;
use poolshift::machine::{Sent, Ticket};
use poolshift::{Class, Lane, Outcome, SessionId, WorkerId};

use crate::trace::{CallNo, SessionNo};
use crate::window::Window;
use crate::world::worker::Letter;

/// A caller with its call.
#[derive(Clone, Debug)]
pub(crate) struct Booking {
    pub(crate) ticket: Ticket,
    pub(crate) call: CallNo,
    pub(crate) lane: Lane,
    pub(crate) class: Class,
    pub(crate) planned: Moment,
    pub(crate) submitted: Moment,
    pub(crate) dispatched: Option<Moment>,
    /// The end of the whole budget.
    pub(crate) deadline: Moment,
    /// The session that a good answer ends.
    pub(crate) ending: Option<(SessionNo, SessionId)>,
    pub(crate) is_poison: bool,
    /// Whether its caller goes away as it is handed a worker.
    pub(crate) leaves_at_hand_off: bool,
    pub(crate) stage: Stage,
    /// The worker that had it last.
    pub(crate) worker: Option<WorkerId>,
    /// The worker whose link it holds, or has in its mail.
    pub(crate) lease: Option<WorkerId>,
    /// When that lease ends at the latest.
    pub(crate) until: Moment,
    /// Whether it has begun to write to that worker.
    pub(crate) exchanging: bool,
    /// How much of the request its worker's pipe has accepted.
    pub(crate) sent: Sent,
    /// What was left in the pipe of that worker when it was reaped: maybe nothing.
    pub(crate) left: Option<Option<Letter>>,
    /// The id of its request on that worker's pipe.
    pub(crate) asked: u64,
    /// How often it has had a worker.
    pub(crate) attempts: u32,
    /// Its end, of which its caller does not know yet.
    pub(crate) finished: Option<Outcome>,
}

/// How far the pool has come with a call, by what it has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing yet, or it has just come back from a worker.
    Open,
    /// It waits, and that is in the trace.
    Waiting,
    /// It has a worker.
    Leased,
    /// It is finished.
    Over,
}

/// Bookings by ticket.
#[derive(Debug)]
pub(crate) struct Bookings(Window<Booking>);

impl Bookings {
    pub(crate) fn new() -> Self {
        Self(Window::new())
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn open(&mut self, booking: Booking) {
        self.0.insert(booking.ticket.0, booking);
    }

    #[inline]
    pub(crate) fn get(&mut self, ticket: Ticket) -> Option<&mut Booking> {
        self.0.get_mut(ticket.0)
    }

    pub(crate) fn close(&mut self, ticket: Ticket) -> Option<Booking> {
        self.0.remove(ticket.0)
    }
}

impl Booking {
    pub(crate) const fn timing(&self, finished: Moment) -> Timing {
        let Self { planned, submitted, dispatched, .. } = *self;
        Timing { planned, submitted, dispatched, finished }
    }
}
