//! What becomes of workers that did no wrong and are to be replaced.

use poolshift::clock::Moment;
use poolshift::machine::recycling::{Life, Recycling};
use poolshift::machine::{Action, Stop};
use poolshift::pool::RecycleReason;
use poolshift::{Lane, WorkerId};

use super::{Model, Slot, Standing, State};

impl Model {
    fn recycling(&self) -> Option<Recycling> {
        self.terms.lifecycle.recycling.filter(|_| self.lane == Lane::V3)
    }

    pub(super) fn answered(&mut self, worker: WorkerId) {
        let (recycling, now) = (self.recycling(), self.now);
        let life = &mut self.slot(worker).life;
        life.calls += 1;
        let Some(recycling) = recycling else { return };
        let measures = recycling.measures(now, life);
        let used_up = recycling.is_used_up(worker, life);
        if measures {
            life.measure_at = Moment::NEVER;
            self.actions.push(Action::Measure(worker));
        }
        if used_up {
            self.tired(worker.slot, RecycleReason::Requests);
        }
    }

    pub(super) fn measured(&mut self, worker: WorkerId, rss: u64) {
        let (recycling, now) = (self.recycling(), self.now);
        let slot = self.slot(worker);
        if matches!(slot.state, State::Starting | State::Stopping) {
            return;
        }
        let Some(recycling) = recycling else { return };
        slot.life.measured(now, rss);
        if recycling.is_too_large(now, worker, &slot.life) {
            self.tired(worker.slot, RecycleReason::Memory);
        }
    }

    /// When the worker in the slot will be too old, unless it is on its way out.
    pub(super) fn ages_at(&self, slot: usize) -> Option<Moment> {
        let slot = &self.slots[slot];
        let serving = !matches!(slot.state, State::Vacant(_) | State::Starting | State::Stopping);
        let counts = serving && slot.standing == Standing::Wanted && slot.life.due.is_none();
        self.recycling().filter(|_| counts)?.end_of_life(slot.worker, &slot.life)
    }

    pub(super) fn age(&mut self) {
        for slot in 0..self.slots.len() {
            if self.ages_at(slot).is_some_and(|at| at <= self.now) {
                self.tired(slot as u32, RecycleReason::Age);
            }
        }
    }

    pub(super) fn tired(&mut self, index: u32, reason: RecycleReason) {
        let stays = self.recycling().is_some();
        let slot = &mut self.slots[index as usize];
        let worker = slot.worker;
        if !stays {
            self.recycled += 1;
            self.actions.push(Action::Recycle { worker, reason });
            self.retire(index, Stop::Politely);
        } else if slot.standing == Standing::Wanted && slot.life.due.is_none() {
            slot.life.due = Some(reason);
            self.due.push(worker);
        }
    }

    /// First come, first relieved, as long as not too many are on their way out.
    pub(super) fn relieve_due(&mut self) {
        let most = self.recycling().map_or(0, |recycling| recycling.max_recycling);
        while self.drain_until.is_none() && !self.due.is_empty() && self.departing() < most {
            let worker = self.due.remove(0);
            if matches!(self.slot(worker).state, State::Starting | State::Stopping) {
                continue;
            }
            let vacant = |slot: &Slot| {
                slot.standing == Standing::Surplus && matches!(slot.state, State::Vacant(_))
            };
            let by = self.slots.iter().position(vacant).unwrap_or_else(|| self.add());
            self.slots[by].standing = Standing::Wanted;
            let slot = self.slot(worker);
            slot.standing = Standing::Relieved(by as u32);
            let reason = slot.life.due.unwrap();
            self.recycled += 1;
            self.actions.push(Action::Recycle { worker, reason });
        }
    }

    fn departing(&self) -> usize {
        let departing = |slot: &&Slot| {
            slot.standing != Standing::Wanted && !matches!(slot.state, State::Vacant(_))
        };
        self.slots.iter().filter(departing).count()
    }

    pub(super) fn relieve(&mut self, by: u32) {
        let relieved = |slot: &Slot| slot.standing == Standing::Relieved(by);
        let Some(index) = self.slots.iter().position(relieved) else { return };
        self.slots[index].standing = Standing::Surplus;
        if matches!(self.slots[index].state, State::Idle(_)) {
            self.retire(index as u32, Stop::Politely);
        }
    }

    pub(super) fn vacate(&mut self, index: u32, retry_at: Moment) {
        let slot = &mut self.slots[index as usize];
        slot.state = State::Vacant(retry_at);
        slot.life.due = None;
        if matches!(slot.standing, Standing::Relieved(_)) {
            slot.standing = Standing::Surplus;
        }
        self.due.retain(|worker| worker.slot != index);
    }

    pub(super) fn want(&mut self, size: usize) {
        self.largest = self.largest.max(size);
        let is_wanted = |slot: &Slot| slot.standing == Standing::Wanted;
        while self.slots.iter().filter(|slot| is_wanted(slot)).count() > size {
            let last = self.slots.iter().rposition(is_wanted).unwrap();
            self.slots[last].standing = Standing::Surplus;
            self.due.retain(|worker| worker.slot != last as u32);
            for slot in &mut self.slots {
                if slot.standing == Standing::Relieved(last as u32) {
                    slot.standing = Standing::Surplus;
                }
            }
        }
        while self.slots.iter().filter(|slot| is_wanted(slot)).count() < size {
            let surplus = |slot: &Slot| slot.standing == Standing::Surplus;
            let index = self.slots.iter().position(surplus).unwrap_or_else(|| self.add());
            let slot = &mut self.slots[index];
            slot.standing = Standing::Wanted;
            let serves = !matches!(slot.state, State::Vacant(_) | State::Stopping);
            if slot.life.due.is_some() && serves {
                self.due.push(slot.worker);
            }
        }
    }

    fn add(&mut self) -> usize {
        let worker = WorkerId { slot: self.slots.len() as u32, generation: 0 };
        self.slots.push(Slot {
            worker,
            state: State::Vacant(Moment::ZERO),
            standing: Standing::Wanted,
            failures: 0,
            tried: false,
            life: Life::default(),
            abandoned: None,
            lent: false,
        });
        self.slots.len() - 1
    }
}
