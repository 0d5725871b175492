//! V2's discipline: a session's calls run in order on its worker; a crash costs the session
//! (R10).

use std::collections::BTreeMap;
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
    bound: Vec<Waitlist>,
    /// The slots for which a call waits in `bound`.
    called: SlotSet,
    /// The session of each call that waits in `bound`.
    sessions: BTreeMap<Ticket, SessionId>,
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
            sessions: BTreeMap::new(),
            max_waiting,
        }
    }

    fn put(&mut self, slot: u32, call: Ticket) {
        self.bound[slot as usize].put(call);
        self.called.insert(slot);
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

    fn enqueue(&mut self, call: Ticket, session: Option<&SessionId>) {
        let Some(session) = session else { return self.anonymous.put(call) };
        let slot = self.affinity.wait(session, call);
        self.put(slot, call);
        self.sessions.insert(call, session.clone());
    }

    fn next_for(&mut self, slot: u32) -> Option<Ticket> {
        let bound = self.bound[slot as usize].oldest();
        let anonymous = self.anonymous.oldest();
        let oldest = bound.into_iter().chain(anonymous).min()?;
        if Some(oldest) == anonymous {
            return self.anonymous.take();
        }
        let session = self.sessions[&oldest].clone();
        self.withdraw(oldest, Some(&session));
        Some(oldest)
    }

    fn withdraw(&mut self, call: Ticket, session: Option<&SessionId>) {
        let waited = if let Some(session) = session {
            self.sessions.remove(&call);
            let slot = self.affinity.unwait(session, call);
            let queue = &mut self.bound[slot as usize];
            let waited = queue.remove(call);
            if queue.is_empty() {
                self.called.remove(slot);
            }
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

    fn slot_lost(&mut self, _: Moment, slot: u32) -> Vec<Ticket> {
        self.bound[slot as usize] = Waitlist::default();
        self.called.remove(slot);
        let mut told = Vec::new();
        for loss in self.affinity.slot_lost(slot) {
            self.sessions.remove(&loss.told);
            told.push(loss.told);
            if let Some((slot, calls)) = loss.moved {
                calls.iter().for_each(|call| self.put(slot, call));
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
        self.sessions.len() + self.anonymous.len()
    }
}
