//! The queue discipline: where a call may run, and which call a free worker takes.
//!
//! This is all that tells one pool's machine from the other's; everything else about workers
//! and calls is the [engine](crate::machine::engine)'s.

use std::fmt::Debug;

use crate::call::SessionId;
use crate::clock::Moment;
use crate::machine::Ticket;
use crate::machine::slot_set::SlotSet;

/// Who waits for whom.
pub trait Discipline: Clone + Debug + PartialEq + Send + 'static {
    /// Whether a worker in one slot can take the place of one in another, so that the pool can be
    /// resized, and a worker replaced before it leaves: not if sessions are bound to slots.
    const INTERCHANGEABLE: bool;

    /// Whether a lost worker is replaced at once, or only when a call waits for it.
    const REPLACES_AT_ONCE: bool;

    /// A call has been submitted. It is not in a queue until [`Self::enqueue`].
    fn admit(&mut self, now: Moment, session: Option<&SessionId>) -> Admission;

    /// Whether one more call may wait.
    fn has_room(&self) -> bool;

    /// The call waits, for the slot that it was admitted to if there is one; one that comes back
    /// from a worker takes its old place.
    fn enqueue(&mut self, call: Ticket, slot: Option<u32>);

    /// Takes the call that the free worker in `slot` serves next.
    fn next_for(&mut self, slot: u32) -> Option<Ticket>;

    /// Takes a waiting call out of its queue.
    fn withdraw(&mut self, call: Ticket, session: Option<&SessionId>);

    /// An admitted call is over, whatever came of it.
    fn finished(&mut self, now: Moment, session: Option<&SessionId>);

    /// The worker in `slot` will not serve again. The waiting calls that lost their session
    /// with it are taken out of their queues and returned; `session` knows that of each.
    fn slot_lost<'a>(
        &mut self,
        slot: u32,
        session: impl Fn(Ticket) -> Option<&'a SessionId>,
    ) -> Vec<Ticket>;

    /// Whether no session would lose anything with the worker in `slot`.
    fn is_spare(&self, _slot: u32) -> bool {
        true
    }

    /// The worker in `slot` has been lent to a shadow, or is back; whoever can go elsewhere is
    /// not to wait for it meanwhile.
    fn lend(&mut self, _slot: u32, _lent: bool) {}

    /// A session is over.
    fn end_session(&mut self, session: &SessionId);

    /// The first of these slots whose worker would find a call that waits.
    fn first_called(&self, slots: &SlotSet) -> Option<u32>;

    /// How many calls wait.
    fn waiting(&self) -> usize;
}

/// Where an admitted call may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// On any worker.
    Anywhere,
    /// On this slot's worker only.
    At(u32),
    /// Nowhere: its session was lost with a worker, and this call is told so.
    SessionLost,
}
