//! How a worker that did no wrong is replaced: first by another, then it leaves.
//!
//! A worker that is due waits its turn, since at most so many may be on their way out at once.
//! Then another slot is meant to have a worker in its place, and it serves on until that one is
//! ready. Where slots are not interchangeable, a worker that is due leaves at once.

use crate::clock::Moment;
use crate::machine::discipline::Discipline;
use crate::machine::engine::{Due, Engine};
use crate::machine::recycling::Recycling;
use crate::machine::slot::{SlotState, Standing};
use crate::machine::{Action, Stop};
use crate::pool::{RecycleReason, WorkerId};

impl<D: Discipline> Engine<D> {
    /// By what workers are recycled, if one can take another's place.
    fn recycling(&self) -> Option<Recycling> {
        self.terms.lifecycle.recycling.filter(|_| D::INTERCHANGEABLE)
    }

    /// A worker has become ready: from now on it ages.
    pub(super) fn grow_old(&mut self, worker: WorkerId) {
        let Some(recycling) = self.recycling() else { return };
        let life = &self.crew.slot(worker.slot).life;
        if let Some(end) = recycling.end_of_life(worker, life) {
            self.timers.set(Due::Age(worker.slot), end);
        }
    }

    /// The worker has answered a call, and may have done enough.
    pub(super) fn answered(&mut self, now: Moment, worker: WorkerId) {
        let life = &mut self.crew.tally(worker.slot).life;
        life.calls += 1;
        let life = *life;
        let Some(recycling) = self.recycling() else { return };
        if recycling.measures(now, &life) {
            self.crew.tally(worker.slot).life.measure_at = Moment::NEVER;
            self.actions.push_back(Action::Measure(worker));
        }
        if recycling.is_used_up(worker, &life) {
            self.tired(now, worker.slot, RecycleReason::Requests);
        }
    }

    pub(super) fn measured(&mut self, now: Moment, worker: WorkerId, rss: u64) {
        let present = self.crew.present(worker).is_some_and(|slot| slot.state.is_serving());
        let Some(recycling) = self.recycling().filter(|_| present) else { return };
        let life = &mut self.crew.tally(worker.slot).life;
        life.measured(now, rss);
        let life = *life;
        if recycling.is_too_large(now, worker, &life) {
            self.tired(now, worker.slot, RecycleReason::Memory);
        }
    }

    /// The worker in `slot`, which serves, is to be replaced; the first reason counts.
    pub(super) fn tired(&mut self, now: Moment, slot: u32, reason: RecycleReason) {
        let worker = self.crew.worker(slot);
        if self.recycling().is_none() {
            self.note_recycled(worker, reason);
            self.retire(now, slot, Stop::Politely);
            return;
        }
        let tally = self.crew.tally(slot);
        if tally.life.due.is_none() && tally.standing == Standing::Wanted {
            tally.life.due = Some(reason);
            self.due.push_back(worker);
        }
    }

    /// As many of those that are due as may leave at once get somebody to take their place.
    pub(super) fn relieve_due(&mut self) {
        if self.due.is_empty() || self.is_draining() {
            return;
        }
        let most = self.recycling().map_or(0, |recycling| recycling.max_recycling);
        while self.crew.departing() < most {
            let Some(worker) = self.due.pop_front() else { return };
            if !self.crew.slot(worker.slot).state.is_serving() {
                // It is being ended for another reason, and is replaced for that.
                continue;
            }
            let by = self.spare();
            self.crew.stand(by, Standing::Wanted);
            self.crew.stand(worker.slot, Standing::Relieved { by });
            let reason = self.crew.slot(worker.slot).life.due;
            self.note_recycled(worker, reason.expect("who is due has a reason"));
        }
    }

    fn note_recycled(&mut self, worker: WorkerId, reason: RecycleReason) {
        *self.recycled.entry(reason).or_default() += 1;
        self.actions.push_back(Action::Recycle { worker, reason });
    }

    /// A vacant slot that is not meant to have a worker. The crew grows by at most one for each
    /// worker that may be on its way out: whoever has left leaves a slot behind.
    fn spare(&mut self) -> u32 {
        let spare = self.crew.vacant().first_beyond(self.crew.wanted());
        spare.unwrap_or_else(|| self.crew.add())
    }

    /// The worker in slot `by` is ready: whoever it relieves leaves, now or after its call.
    pub(super) fn relieve(&mut self, now: Moment, by: u32) {
        if self.crew.departing() == 0 {
            return;
        }
        let Some(slot) = self.crew.relieved_by(by) else { return };
        self.crew.stand(slot, Standing::Surplus);
        if matches!(self.crew.slot(slot).state, SlotState::Idle { .. }) {
            self.retire(now, slot, Stop::Politely);
        }
    }

    /// The slot's process is gone: it is due no more, and whoever relieves it stays in its place.
    pub(super) fn depart(&mut self, slot: u32) {
        self.timers.clear(Due::Age(slot));
        let tally = self.crew.slot(slot);
        let (standing, is_due) = (tally.standing, tally.life.due.is_some());
        if is_due {
            self.due.retain(|worker| worker.slot != slot);
        }
        self.crew.tally(slot).life.due = None;
        if matches!(standing, Standing::Relieved { .. }) {
            self.crew.stand(slot, Standing::Surplus);
        }
    }

    /// Exactly `size` slots are meant to have a worker: the lowest come first, the highest go
    /// first, and with a slot whoever its worker was to relieve. Who was due and is to stay after
    /// all is due again.
    pub(super) fn want(&mut self, size: usize) {
        while self.crew.wanted().len() > size {
            let last = self.crew.wanted().last().expect("more than none are wanted");
            self.crew.stand(last, Standing::Surplus);
            self.due.retain(|worker| worker.slot != last);
            if let Some(relieved) = self.crew.relieved_by(last) {
                self.crew.stand(relieved, Standing::Surplus);
            }
        }
        while self.crew.wanted().len() < size {
            let surplus = |slot: &u32| self.crew.slot(*slot).standing == Standing::Surplus;
            let Some(slot) = self.crew.indexes().find(surplus) else {
                self.crew.add();
                continue;
            };
            self.crew.stand(slot, Standing::Wanted);
            let (tally, worker) = (self.crew.slot(slot), self.crew.worker(slot));
            match (tally.state.is_serving(), tally.life.due.is_some()) {
                (true, true) => self.due.push_back(worker),
                // Its age may have come while nobody asked.
                (true, false) => self.grow_old(worker),
                (false, _) => {}
            }
        }
    }
}
