//! V2's discipline: a session's calls run in order on its worker; a crash costs the session
//! (R10).

use std::time::Duration;

use crate::call::SessionId;
use crate::clock::Moment;
use crate::machine::Ticket;
use crate::machine::discipline::{Admission, Discipline};
use crate::machine::engine::Engine;
use crate::machine::slot_set::SlotSet;
use crate::machine::waitlist::Waitlist;
use crate::v2_session_pool::affinity::Affinity;

/// The machine of the V2 pool.
pub type SessionMachine = Engine<SessionQueues>;

/// A queue for each slot, and one for the calls that any worker may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionQueues {
    affinity: Affinity,
    anonymous: Waitlist,
    /// The calls in sessions that wait for each slot.
    bound: Vec<Waitlist>,
    /// The slots for which a call waits in `bound`, and how many do in all.
    called: SlotSet,
    bound_waiting: usize,
    max_waiting: usize,
}

impl SessionQueues {
    /// Queues for `slots` workers in which at most `max_waiting` calls wait.
    #[must_use]
    pub fn new(slots: usize, max_waiting: usize, session_idle: Duration) -> Self {
        Self {
            affinity: Affinity::new(slots, session_idle),
            anonymous: Waitlist::default(),
            bound: vec![Waitlist::default(); slots],
            called: SlotSet::default(),
            bound_waiting: 0,
            max_waiting,
        }
    }

    fn put(&mut self, slot: u32, call: Ticket) {
        self.bound[slot as usize].put(call);
        self.called.insert(slot);
        self.bound_waiting += 1;
    }

    /// A call has left the queue of this slot.
    fn left(&mut self, slot: u32) {
        self.bound_waiting -= 1;
        if self.bound[slot as usize].is_empty() {
            self.called.remove(slot);
        }
    }
}

impl Discipline for SessionQueues {
    const INTERCHANGEABLE: bool = false;
    const REPLACES_AT_ONCE: bool = false;

    fn admit(&mut self, now: Moment, session: Option<&SessionId>) -> Admission {
        let Some(session) = session else { return Admission::Anywhere };
        self.affinity.admit(now, session).map_or(Admission::SessionLost, Admission::At)
    }

    fn has_room(&self) -> bool {
        self.waiting() < self.max_waiting
    }

    fn enqueue(&mut self, call: Ticket, slot: Option<u32>) {
        match slot {
            Some(slot) => self.put(slot, call),
            None => self.anonymous.put(call),
        }
    }

    fn next_for(&mut self, slot: u32) -> Option<Ticket> {
        let bound = self.bound[slot as usize].oldest();
        let anonymous = self.anonymous.oldest();
        let oldest = bound.into_iter().chain(anonymous).min()?;
        if Some(oldest) == anonymous {
            return self.anonymous.take();
        }
        self.bound[slot as usize].take();
        self.left(slot);
        Some(oldest)
    }

    fn withdraw(&mut self, call: Ticket, session: Option<&SessionId>) {
        let waited = if let Some(session) = session {
            let slot = self.affinity.slot(session).expect("a session waits where it is bound");
            let waited = self.bound[slot as usize].remove(call);
            self.left(slot);
            waited
        } else {
            self.anonymous.remove(call)
        };
        assert!(waited, "{call:?} does not wait");
    }

    fn finished(&mut self, now: Moment, session: Option<&SessionId>) {
        if let Some(session) = session {
            self.affinity.finished(now, session);
        }
    }

    fn slot_lost<'a>(
        &mut self,
        slot: u32,
        session: impl Fn(Ticket) -> Option<&'a SessionId>,
    ) -> Vec<Ticket> {
        let waiting = std::mem::take(&mut self.bound[slot as usize]);
        self.bound_waiting -= waiting.len();
        self.called.remove(slot);
        let of = |call| (session(call).expect("no other call is in a slot's queue"), call);
        let mut told = Vec::new();
        for loss in self.affinity.slot_lost(slot, waiting.iter().map(of)) {
            told.push(loss.told);
            if let Some((slot, calls)) = loss.moved {
                calls.into_iter().for_each(|call| self.put(slot, call));
            }
        }
        told
    }

    fn is_spare(&self, slot: u32) -> bool {
        self.affinity.is_free(slot)
    }

    fn lend(&mut self, slot: u32, lent: bool) {
        self.affinity.lend(slot, lent);
    }

    fn end_session(&mut self, session: &SessionId) {
        self.affinity.end(session);
    }

    fn first_called(&self, slots: &SlotSet) -> Option<u32> {
        if self.anonymous.is_empty() { slots.first_shared(&self.called) } else { slots.first() }
    }

    fn waiting(&self) -> usize {
        self.bound_waiting + self.anonymous.len()
    }
}
