//! What becomes of everything as time passes, and after each event.

use poolshift::Lane;
use poolshift::clock::Moment;
use poolshift::machine::recycling::Life;
use poolshift::machine::{Action, End, Stop, Ticket};

use super::{Model, Standing, State};

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
        let probe = self.probe_at.filter(|at| *at > self.now);
        let ages = (0..self.slots.len()).filter_map(|slot| self.ages_at(slot));
        calls.chain(slots).chain(self.drain_due).chain(probe).chain(ages).min()
    }

    /// Calls first, then slots, then ages, then the drain.
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
                Some((worker, until)) if until <= now => {
                    self.died(call.digest, worker);
                    self.finish(id, End::WorkerLost);
                }
                _ => {}
            }
        }
        for slot in 0..self.slots.len() {
            if matches!(self.slots[slot].state, State::Abandoned(_, until) if until <= now) {
                self.retire(slot as u32, Stop::Kill);
            }
        }
        self.age();
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
        self.relieve_due();
        for slot in self.idle() {
            self.serve(slot);
        }
        self.refuse_in_vain();
        let now = self.now;
        while self.starting().len() < self.terms.max_starting {
            let Some(slot) = (0..self.slots.len()).find(|slot| self.may_start(*slot)) else {
                break;
            };
            let slot = &mut self.slots[slot];
            slot.worker.generation += 1;
            slot.life = Life { started: now, ..Life::default() };
            slot.state = State::Starting;
            let worker = slot.worker;
            self.actions.push(Action::Start(worker));
        }
        if self.drain_until.is_some() && self.calls.is_empty() {
            for worker in self.starting() {
                self.retire(worker.slot, Stop::Kill);
            }
        }
    }

    fn may_start(&self, index: usize) -> bool {
        let slot = &self.slots[index];
        let waits_for_it = self.calls.iter().any(|call| {
            call.running.is_none() && self.slot_of(call.id).is_none_or(|slot| slot == index as u32)
        });
        let State::Vacant(retry_at) = slot.state else { return false };
        let starts = match self.probe_at {
            None => {
                retry_at <= self.now
                    && (!slot.tried || self.lane == Lane::V3 || waits_for_it || slot.lent)
            }
            Some(probe_at) => probe_at <= self.now && self.starting().is_empty(),
        };
        starts
            && slot.standing == Standing::Wanted
            && (self.drain_until.is_none() || self.waiting() > 0)
    }
}
