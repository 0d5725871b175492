//! What becomes of workers, and of the sessions bound to them.

use poolshift::clock::Moment;
use poolshift::machine::{Action, End, Stop, Ticket};
use poolshift::{SessionId, WorkerId};

use super::{Call, Model, Place, Standing, State};

impl Model {
    pub(super) fn retire(&mut self, slot: u32, how: Stop) {
        let worker = self.slots[slot as usize].worker;
        let was = std::mem::replace(&mut self.slots[slot as usize].state, State::Stopping);
        self.actions.push(Action::Stop { worker, how });
        if was != State::Starting {
            self.lose_sessions(slot);
        }
    }

    /// R10: each session bound there is told once, on its oldest waiting call or on its next.
    fn lose_sessions(&mut self, slot: u32) {
        let mut told = Vec::new();
        let bound: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.place == Place::Bound(slot))
            .map(|(id, _)| id.clone())
            .collect();
        for session in &bound {
            self.sessions.get_mut(session).unwrap().place = Place::Lost;
        }
        for session in &bound {
            let waits =
                |call: &&Call| call.running.is_none() && call.session.as_ref() == Some(session);
            let waiting: Vec<Ticket> =
                self.calls.iter().filter(waits).map(|call| call.id).collect();
            if let Some((first, rest)) = waiting.split_first() {
                told.push(*first);
                self.sessions.get_mut(session).unwrap().place = Place::Free;
                if !rest.is_empty() {
                    self.bind(session);
                }
            }
        }
        told.into_iter().for_each(|id| self.finish(id, End::SessionLost));
    }

    pub(super) fn start_failed(&mut self, worker: WorkerId) {
        let backoff = self.terms.backoff;
        let slot = self.slot(worker);
        slot.tried = true;
        slot.failures += 1;
        let delay = backoff.delay(worker.slot, slot.failures);
        self.failures += 1;
        if let Some(breaker) = self.terms.lifecycle.breaker
            && self.failures >= breaker.failures
        {
            self.probe_at = Some(self.now + breaker.probe);
        }
        self.vacate(worker.slot, self.now + delay);
    }

    /// A worker has become ready: an open breaker closes, and whoever waits may start.
    pub(super) fn closes(&mut self) {
        self.failures = 0;
        if self.probe_at.take().is_some() {
            for slot in &mut self.slots {
                if let State::Vacant(retry_at) = &mut slot.state {
                    *retry_at = self.now;
                }
            }
        }
    }

    pub(super) fn exited(&mut self, worker: WorkerId) {
        let backoff = self.terms.backoff;
        let now = self.now;
        let slot = self.slot(worker);
        slot.tried = true;
        let was = slot.state;
        let rests = slot.life.calls == 0 && was != State::Stopping;
        let delay = backoff.delay(worker.slot, slot.failures.max(1));
        if matches!(was, State::Abandoned(..)) {
            let digest = slot.abandoned;
            self.died(digest, worker);
        }
        self.vacate(worker.slot, if rests { now + delay } else { now });
        if was != State::Stopping {
            self.lose_sessions(worker.slot);
        }
    }

    pub(super) fn resize(&mut self, size: usize) {
        self.terms.size = size;
        self.want(size);
        for slot in 0..self.slots.len() {
            if self.slots[slot].standing != Standing::Surplus {
                continue;
            }
            match self.slots[slot].state {
                State::Idle(_) => self.retire(slot as u32, Stop::Politely),
                State::Starting => self.retire(slot as u32, Stop::Kill),
                _ => {}
            }
        }
    }

    pub(super) fn drain(&mut self, until: Moment) {
        (self.drain_until, self.drain_due) = (Some(until), Some(until));
        for slot in 0..self.slots.len() {
            match self.slots[slot].state {
                State::Idle(_) => self.retire(slot as u32, Stop::Politely),
                State::Starting if self.waiting() == 0 => self.retire(slot as u32, Stop::Kill),
                _ => {}
            }
        }
    }
}
