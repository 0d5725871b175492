//! What becomes of calls.

use poolshift::clock::Moment;
use poolshift::error::Refusal;
use poolshift::machine::{Action, Breakage, Digest, End, OnCancel, Reply, Sent, Stop, Ticket};
use poolshift::pool::RecycleReason;
use poolshift::{Lane, SessionId, WorkerId};

use super::{Call, Model, Place, SESSION_IDLE, Session, Standing, State};

impl Model {
    pub(super) fn submit(
        &mut self,
        id: Ticket,
        session: Option<SessionId>,
        deadline: Option<Moment>,
        digest: Option<Digest>,
    ) {
        let deadline = deadline.unwrap_or(self.now + self.terms.budget);
        let wait_until = deadline.min(self.now + self.terms.queue_timeout);
        if self.drain_until.is_some() {
            return self.actions.push(Action::Finish { call: id, end: End::Draining });
        }
        let refused = self.in_vain().or_else(|| self.quarantined(digest).map(End::Rejected));
        if let Some(end) = refused {
            return self.actions.push(Action::Finish { call: id, end });
        }
        let waiting = self.waiting();
        let (running, returns, shadow) = (None, 0, false);
        let call = Call { id, session, deadline, wait_until, digest, running, returns, shadow };
        self.calls.push(call);
        if !self.admit(id) {
            return self.finish(id, End::SessionLost);
        }
        let bound = self.slot_of(id);
        let fits = |slot: &u32| bound.is_none_or(|bound| bound == *slot);
        if let Some(slot) = self.idle().into_iter().find(fits) {
            self.assign(slot, id);
        } else if waiting >= self.max_waiting {
            self.finish(id, End::Rejected(Refusal::QueueFull { waiting }));
        }
    }

    /// R16: nobody waits, and `reserve` more workers are idle to which no session is bound.
    pub(super) fn shadow(&mut self, id: Ticket, reserve: usize, deadline: Option<Moment>) {
        let deadline = deadline.unwrap_or(self.now + self.terms.budget);
        let bound =
            |slot: &u32| self.sessions.values().any(|session| session.place == Place::Bound(*slot));
        let spare: Vec<u32> = self.idle().into_iter().filter(|slot| !bound(slot)).collect();
        let open = self.drain_until.is_none() && self.waiting() == 0 && self.now < deadline;
        if !open || spare.len() <= reserve {
            let end = End::Rejected(Refusal::NoSpareWorker);
            return self.actions.push(Action::Finish { call: id, end });
        }
        let (session, digest, running, returns, shadow) = (None, None, None, 0, true);
        let wait_until = deadline;
        let call = Call { id, session, deadline, wait_until, digest, running, returns, shadow };
        self.calls.push(call);
        self.slots[spare[0] as usize].lent = true;
        self.assign(spare[0], id);
    }

    /// What is said to calls while there is no worker and none can be started.
    fn in_vain(&self) -> Option<End> {
        let serving =
            |state: &State| !matches!(state, State::Vacant(_) | State::Starting | State::Stopping);
        let in_vain = self.is_broken() && self.count(serving) == 0;
        in_vain.then_some(End::NoWorker { failures: self.failures })
    }

    pub(super) fn refuse_in_vain(&mut self) {
        let Some(end) = self.in_vain() else { return };
        let waiting = self.calls.iter().filter(|call| call.running.is_none());
        let ids: Vec<Ticket> = waiting.map(|call| call.id).collect();
        ids.into_iter().for_each(|id| self.finish(id, end.clone()));
    }

    /// The last deaths in the window, if they are enough.
    fn quarantined(&self, digest: Option<Digest>) -> Option<Refusal> {
        let (terms, digest) = (self.terms.lifecycle.quarantine?, digest?);
        let recent: Vec<(WorkerId, std::time::Duration)> = self
            .deaths
            .iter()
            .filter(|(at, of, _)| *of == digest && self.now < *at + terms.window)
            .map(|(at, _, worker)| (*worker, self.now.since(*at)))
            .collect();
        let last = recent.len().checked_sub(terms.deaths)?;
        Some(Refusal::Quarantined { history: recent[last..].to_vec(), window: terms.window })
    }

    pub(super) fn died(&mut self, digest: Option<Digest>, worker: WorkerId) {
        self.deaths.extend(digest.map(|digest| (self.now, digest, worker)));
    }

    /// Counts the call in its session and binds that; false if the call is told of a loss.
    fn admit(&mut self, id: Ticket) -> bool {
        let Some(session) = self.call(id).session.clone().filter(|_| self.lane == Lane::V2) else {
            return true;
        };
        let now = self.now;
        self.sessions
            .retain(|_, other| other.unfinished > 0 || other.last_used + SESSION_IDLE > now);
        let fresh = Session { place: Place::Free, unfinished: 0, last_used: now, ended: false };
        let found = self.sessions.entry(session.clone()).or_insert(fresh);
        found.unfinished += 1;
        found.ended = false;
        match found.place {
            Place::Bound(_) => true,
            Place::Free => {
                self.bind(&session);
                true
            }
            Place::Lost => {
                found.place = Place::Free;
                false
            }
        }
    }

    /// To the slot with the fewest bindings, the first of them; to one that is lent only if all
    /// are.
    pub(super) fn bind(&mut self, session: &SessionId) {
        let load = |slot: u32| {
            self.sessions.values().filter(|other| other.place == Place::Bound(slot)).count()
        };
        let slot = (0..self.slots.len() as u32)
            .min_by_key(|slot| (self.slots[*slot as usize].lent, load(*slot)));
        let slot = slot.unwrap();
        self.sessions.get_mut(session).unwrap().place = Place::Bound(slot);
    }

    pub(super) fn slot_of(&self, id: Ticket) -> Option<u32> {
        let session = self.calls.iter().find(|call| call.id == id)?.session.as_ref()?;
        match self.sessions.get(session)?.place {
            Place::Bound(slot) => Some(slot),
            _ => None,
        }
    }

    pub(super) fn finish(&mut self, id: Ticket, end: End) {
        let index = self.calls.iter().position(|call| call.id == id).unwrap();
        let call = self.calls.remove(index);
        self.leave(call.session.as_ref());
        self.actions.push(Action::Finish { call: id, end });
    }

    fn leave(&mut self, session: Option<&SessionId>) {
        let Some(session) = session else { return };
        if let Some(found) = self.sessions.get_mut(session) {
            found.unfinished -= 1;
            found.last_used = self.now;
            self.forget_if_over(session);
        }
    }

    pub(super) fn forget_if_over(&mut self, session: &SessionId) {
        let found = &self.sessions[session];
        if found.unfinished == 0 && (found.ended || found.place == Place::Free) {
            self.sessions.remove(session);
        }
    }

    /// Idle slots, longest idle first.
    pub(super) fn idle(&self) -> Vec<u32> {
        let mut idle: Vec<(Moment, u32)> = Vec::new();
        for slot in &self.slots {
            if let State::Idle(since) = slot.state {
                idle.push((since, slot.worker.slot));
            }
        }
        idle.sort_unstable();
        idle.into_iter().map(|(_, slot)| slot).collect()
    }

    fn assign(&mut self, slot: u32, id: Ticket) {
        let until = self.call(id).deadline.min(self.now + self.terms.run_timeout);
        let worker = self.slots[slot as usize].worker;
        self.call(id).running = Some((worker, until));
        self.slots[slot as usize].state = State::Busy(id);
        self.actions.push(Action::Assign { call: id, worker });
    }

    pub(super) fn release(&mut self, slot: u32) {
        self.slots[slot as usize].lent = false;
        if self.slots[slot as usize].standing == Standing::Surplus {
            self.retire(slot, Stop::Politely);
        } else if self.serve(slot) {
        } else if self.drain_until.is_some() {
            self.retire(slot, Stop::Politely);
        } else {
            self.slots[slot as usize].state = State::Idle(self.now);
        }
    }

    /// Gives the slot the oldest call that may run there; whether there was one.
    pub(super) fn serve(&mut self, slot: u32) -> bool {
        loop {
            let may = |call: &&Call| {
                call.running.is_none() && self.slot_of(call.id).is_none_or(|bound| bound == slot)
            };
            let Some(call) = self.calls.iter().find(may) else { return false };
            let id = call.id;
            if call.wait_until <= self.now {
                self.finish(id, End::QueueTimeout);
            } else if let Some(refusal) = self.quarantined(call.digest) {
                self.finish(id, End::Rejected(refusal));
            } else {
                self.assign(slot, id);
                return true;
            }
        }
    }

    pub(super) fn replied(&mut self, id: Ticket, worker: WorkerId, reply: Reply, recycle: bool) {
        let held = self.holds(worker, id);
        if self.calls.iter().any(|call| call.id == id) {
            self.finish(id, End::Replied(reply));
        }
        if held {
            self.answered(worker);
            if recycle {
                self.tired(worker.slot, RecycleReason::Asked);
            }
            if self.holds(worker, id) {
                self.release(worker.slot);
            }
        }
    }

    pub(super) fn broke(&mut self, id: Ticket, worker: WorkerId, sent: Sent, cause: Breakage) {
        let held = self.holds(worker, id);
        let until =
            self.calls.iter().find(|call| call.id == id).map(|call| call.running.unwrap().1);
        let digest = match self.calls.iter().find(|call| call.id == id) {
            Some(call) => call.digest,
            None => self.slot(worker).abandoned.filter(|_| held),
        };
        if cause == Breakage::Lost && sent != Sent::None && (held || until.is_some()) {
            self.died(digest, worker);
        }
        if until.is_some() {
            if cause == Breakage::Lost && sent == Sent::None {
                self.send_back(id);
            } else {
                self.finish(
                    id,
                    match &cause {
                        Breakage::Dropped => End::Cancelled,
                        Breakage::Refused(refusal) => End::Rejected(refusal.clone()),
                        Breakage::Lost => End::WorkerLost,
                        Breakage::Garbled => End::Protocol,
                    },
                );
            }
        }
        let drains = self.terms.on_cancel == OnCancel::Drain;
        match (held, cause, sent, until) {
            (false, ..) => {}
            (_, Breakage::Refused(_), _, Some(_)) | (_, Breakage::Dropped, Sent::None, Some(_)) => {
                self.release(worker.slot);
            }
            (_, Breakage::Dropped, Sent::All, Some(until)) if drains && self.now < until => {
                self.slot(worker).state = State::Abandoned(id, until);
                self.slot(worker).abandoned = digest;
                self.actions.push(Action::Abandon { call: id, worker });
            }
            _ => self.retire(worker.slot, Stop::Kill),
        }
    }

    fn send_back(&mut self, id: Ticket) {
        let now = self.now;
        let call = self.call(id);
        if call.shadow || call.returns == 3 || call.wait_until <= now {
            return self.finish(id, End::WorkerLost);
        }
        call.returns += 1;
        call.running = None;
        let session = call.session.clone();
        self.leave(session.as_ref());
        if !self.admit(id) {
            self.finish(id, End::SessionLost);
        }
    }
}
