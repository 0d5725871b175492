//! All slots of a pool, with the indexes that keep each decision cheap.

use std::collections::BTreeSet;

use crate::clock::Moment;
use crate::machine::slot::{Slot, SlotState};
use crate::machine::slot_set::SlotSet;
use crate::pool::{PoolStatus, WorkerId, WorkerStatus};

/// The slots. Every change of state goes through [`Crew::set`], so the indexes cannot drift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crew {
    slots: Vec<Slot>,
    /// Idle workers in the order in which they became so.
    idle: BTreeSet<(Moment, u32)>,
    idle_slots: SlotSet,
    /// Vacant slots whose backoff is not known to be over, by when it is.
    resting: BTreeSet<(Moment, u32)>,
    /// All other vacant slots.
    rested: SlotSet,
    /// Slots whose first worker has neither become ready nor failed yet.
    untried: SlotSet,
    starting: usize,
    serving: usize,
    restarts: u64,
}

impl Crew {
    /// `size` vacant slots.
    #[must_use]
    pub fn new(size: usize) -> Self {
        let mut crew = Self {
            slots: Vec::new(),
            idle: BTreeSet::new(),
            idle_slots: SlotSet::default(),
            resting: BTreeSet::new(),
            rested: SlotSet::default(),
            untried: SlotSet::default(),
            starting: 0,
            serving: 0,
            restarts: 0,
        };
        crew.grow(size);
        crew
    }

    /// Adds vacant slots until there are `size`; never takes one away.
    pub fn grow(&mut self, size: usize) {
        while self.slots.len() < size {
            self.rested.insert(self.next_index());
            self.untried.insert(self.next_index());
            self.slots.push(Slot::new());
        }
    }

    fn next_index(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("config bounds a pool's size far below u32")
    }

    /// The slot of a worker, unless a later process has taken its place or none is there.
    #[must_use]
    pub fn present(&self, worker: WorkerId) -> Option<&Slot> {
        let slot = self.slots.get(worker.slot as usize)?;
        let vacant = matches!(slot.state, SlotState::Vacant { .. });
        (slot.generation == worker.generation && !vacant).then_some(slot)
    }

    /// The slot at `index`, which the crew must have.
    #[must_use]
    pub fn slot(&self, index: u32) -> &Slot {
        &self.slots[index as usize]
    }

    /// The tally of the slot at `index`. Its state is changed by [`Self::set`] only.
    pub fn tally(&mut self, index: u32) -> &mut Slot {
        &mut self.slots[index as usize]
    }

    /// The present process of the slot at `index`.
    #[must_use]
    pub fn worker(&self, index: u32) -> WorkerId {
        WorkerId { slot: index, generation: self.slot(index).generation }
    }

    /// Changes a slot's state and the indexes with it.
    pub fn set(&mut self, index: u32, state: SlotState) {
        let old = std::mem::replace(&mut self.slots[index as usize].state, state);
        match old {
            SlotState::Idle { since } => {
                self.idle.remove(&(since, index));
                self.idle_slots.remove(index);
            }
            SlotState::Vacant { retry_at } => {
                let _ = self.rested.remove(index) || self.resting.remove(&(retry_at, index));
            }
            SlotState::Starting => self.starting -= 1,
            _ => {}
        }
        self.serving -= usize::from(old.is_serving());
        self.serving += usize::from(state.is_serving());
        match state {
            SlotState::Idle { since } => {
                self.idle.insert((since, index));
                self.idle_slots.insert(index);
            }
            SlotState::Vacant { retry_at } => drop(self.resting.insert((retry_at, index))),
            SlotState::Starting => self.starting += 1,
            _ => {}
        }
    }

    /// Puts a new process into a vacant slot.
    pub fn start(&mut self, index: u32) -> WorkerId {
        let slot = &mut self.slots[index as usize];
        assert!(matches!(slot.state, SlotState::Vacant { .. }), "slot {index} is {:?}", slot.state);
        slot.generation += 1;
        slot.has_answered = false;
        self.restarts += u64::from(slot.generation > 1);
        self.set(index, SlotState::Starting);
        self.worker(index)
    }

    /// The worker that has been idle longest.
    #[must_use]
    pub fn longest_idle(&self) -> Option<u32> {
        self.idle.first().map(|(_, index)| *index)
    }

    /// Idle workers, longest idle first.
    pub fn idle(&self) -> impl Iterator<Item = u32> + '_ {
        self.idle.iter().map(|(_, index)| *index)
    }

    /// The slots of the idle workers.
    #[must_use]
    pub const fn idle_slots(&self) -> &SlotSet {
        &self.idle_slots
    }

    /// Ends the backoffs that are over. Each was begun once, so no event pays for many again.
    pub fn rest(&mut self, now: Moment) {
        while let Some((_, index)) = self.resting.first().copied().filter(|(at, _)| *at <= now) {
            self.resting.pop_first();
            self.rested.insert(index);
        }
    }

    /// Slots without a process in which one may be started, as far as [`Self::rest`] was told.
    #[must_use]
    pub const fn rested(&self) -> &SlotSet {
        &self.rested
    }

    /// Slots with a process, in order.
    pub fn live(&self) -> impl Iterator<Item = u32> + '_ {
        let indexes = 0..self.next_index();
        indexes.filter(|index| !matches!(self.slot(*index).state, SlotState::Vacant { .. }))
    }

    /// How many processes have not answered their start ping.
    #[must_use]
    pub const fn starting(&self) -> usize {
        self.starting
    }

    /// How many workers have become ready and are not being ended.
    #[must_use]
    pub const fn serving(&self) -> usize {
        self.serving
    }

    /// The slots whose first worker has neither become ready nor failed yet.
    #[must_use]
    pub const fn untried(&self) -> &SlotSet {
        &self.untried
    }

    /// How many slots have a process.
    #[must_use]
    pub fn live_count(&self) -> usize {
        self.slots.len() - self.resting.len() - self.rested.len()
    }

    /// The slot's first worker has become ready, or has failed to.
    pub fn mark_tried(&mut self, index: u32) {
        self.untried.remove(index);
    }

    /// Fills in what the crew knows of a pool of `size`.
    pub fn report(&self, size: usize, status: &mut PoolStatus) {
        status.size = size;
        status.ready = self.serving;
        status.available = self.idle.len();
        status.busy = status.ready - status.available;
        status.starting = self.starting;
        status.untried = self.untried.len();
        status.live = self.live_count();
        status.restarts = self.restarts;
        status.workers = (0..self.next_index())
            .filter(|index| self.slot(*index).generation > 0)
            .map(|index| self.describe(index))
            .collect();
    }

    fn describe(&self, index: u32) -> WorkerStatus {
        let slot = self.slot(index);
        let answered = u32::try_from(slot.requests).unwrap_or(u32::MAX);
        WorkerStatus {
            id: self.worker(index),
            pid: None,
            health_status: slot.state.as_str().into(),
            requests: slot.requests,
            errors: slot.errors,
            response_time: slot.busy.checked_div(answered),
        }
    }
}
