//! V3's discipline: one bounded queue, first in first out, any worker (R9).

use crate::call::SessionId;
use crate::clock::Moment;
use crate::machine::Ticket;
use crate::machine::discipline::{Admission, Discipline};
use crate::machine::engine::Engine;
use crate::machine::slot_set::SlotSet;
use crate::machine::waitlist::Waitlist;

/// The machine of the V3 pool.
pub type QueueMachine = Engine<SharedQueue>;

/// One queue for all workers. Sessions do not matter: their state is in the session store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedQueue {
    waitlist: Waitlist,
    max_waiting: usize,
}

impl SharedQueue {
    /// A queue in which at most `max_waiting` calls wait.
    #[must_use]
    pub fn new(max_waiting: usize) -> Self {
        Self { waitlist: Waitlist::default(), max_waiting }
    }
}

impl Discipline for SharedQueue {
    const INTERCHANGEABLE: bool = true;
    const REPLACES_AT_ONCE: bool = true;

    fn admit(&mut self, _: Moment, _: Option<&SessionId>) -> Admission {
        Admission::Anywhere
    }

    fn has_room(&self) -> bool {
        self.waitlist.len() < self.max_waiting
    }

    fn enqueue(&mut self, call: Ticket, _: Option<u32>) {
        self.waitlist.put(call);
    }

    fn next_for(&mut self, _: u32) -> Option<Ticket> {
        self.waitlist.take()
    }

    fn withdraw(&mut self, call: Ticket, _: Option<&SessionId>) {
        let waited = self.waitlist.remove(call);
        assert!(waited, "{call:?} does not wait");
    }

    fn finished(&mut self, _: Moment, _: Option<&SessionId>) {}

    fn slot_lost<'a>(
        &mut self,
        _: u32,
        _: impl Fn(Ticket) -> Option<&'a SessionId>,
    ) -> Vec<Ticket> {
        Vec::new()
    }

    fn end_session(&mut self, _: &SessionId) {}

    fn first_called(&self, slots: &SlotSet) -> Option<u32> {
        if self.waitlist.is_empty() { None } else { slots.first() }
    }

    fn waiting(&self) -> usize {
        self.waitlist.len()
    }
}
