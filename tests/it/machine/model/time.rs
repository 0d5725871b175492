//! What becomes of everything as time passes, and after each event.

use poolshift::Lane;
use poolshift::clock::Moment;
use poolshift::machine::{Action, End, Stop, Ticket};

use super::{Model, State};

impl Model {
    pub(super) fn wait_until(&mut self, end: Moment) {
        while let Some(next) = self.next_moment().filter(|next| *next <= end) {
            self.now = next;
            self.expire();
            self.after_event();
        }
        self.now = end;
    }

    /// The next moment at which something happens by itself.
    pub(crate) fn next_moment(&self) -> Option<Moment> {
        let calls = self.calls.iter().map(|call| match call.running {
            Some((_, until)) => until,
            None => call.wait_until,
        });
        let slots = self.slots.iter().filter_map(|slot| match slot.state {
            State::Abandoned(_, until) => Some(until),
            State::Vacant(retry_at) if retry_at > self.now => Some(retry_at),
            _ => None,
        });
        calls.chain(slots).chain(self.drain_due).min()
    }

    /// Calls first, then slots, then the drain.
    fn expire(&mut self) {
        let now = self.now;
        let ids: Vec<Ticket> = self.calls.iter().map(|call| call.id).collect();
        for id in ids {
            let Some(call) = self.calls.iter().find(|call| call.id == id) else { continue };
            match call.running {
                None if call.wait_until <= now => self.finish(id, End::QueueTimeout),
                Some((worker, until)) if until <= now && self.holds(worker, id) => {
                    self.finish(id, End::ExecTimeout);
                    self.retire(worker.slot, Stop::DumpAndKill);
                }
                Some((_, until)) if until <= now => self.finish(id, End::WorkerLost),
                _ => {}
            }
        }
        for slot in 0..self.slots.len() {
            if matches!(self.slots[slot].state, State::Abandoned(_, until) if until <= now) {
                self.retire(slot as u32, Stop::Kill);
            }
        }
        if self.drain_due.is_some_and(|due| due <= now) {
            self.drain_due = None;
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        let ids: Vec<(Ticket, bool)> =
            self.calls.iter().map(|call| (call.id, call.running.is_some())).collect();
        for (id, running) in ids {
            self.finish(id, if running { End::WorkerLost } else { End::Draining });
        }
        for slot in 0..self.slots.len() {
            if !matches!(self.slots[slot].state, State::Vacant(_) | State::Stopping) {
                self.retire(slot as u32, Stop::Kill);
            }
        }
    }

    /// Idle workers take what has moved to them; missing workers are started.
    pub(super) fn after_event(&mut self) {
        for slot in self.idle() {
            self.serve(slot);
        }
        while self.starting().len() < self.terms.max_starting {
            let Some(slot) = (0..self.slots.len()).find(|slot| self.may_start(*slot)) else {
                return;
            };
            let slot = &mut self.slots[slot];
            slot.worker.generation += 1;
            slot.answered = false;
            slot.state = State::Starting;
            let worker = slot.worker;
            self.actions.push(Action::Start(worker));
        }
    }

    fn may_start(&self, index: usize) -> bool {
        let slot = &self.slots[index];
        let waits_for_it = self.calls.iter().any(|call| {
            call.running.is_none() && self.slot_of(call.id).is_none_or(|slot| slot == index as u32)
        });
        matches!(slot.state, State::Vacant(retry_at) if retry_at <= self.now)
            && index < self.terms.size
            && (!slot.tried || self.lane == Lane::V3 || waits_for_it)
            && (self.drain_until.is_none() || self.waiting() > 0)
    }
}
