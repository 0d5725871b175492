//! All slots of a pool, with the indexes that keep each decision cheap.

use std::collections::{BTreeSet, VecDeque};

use crate::clock::Moment;
use crate::machine::recycling::Life;
use crate::machine::slot::{Slot, SlotState, Standing};
use crate::machine::slot_set::SlotSet;
use crate::pool::{PoolStatus, WorkerId, WorkerStatus};

/// The slots. Every change of state goes through [`Crew::set`], so the indexes cannot drift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crew {
    slots: Vec<Slot>,
    /// Idle workers in the order in which they became so. Mostly one comes at the end and one goes
    /// from the front; for any other some are moved, of as many as the pool has workers.
    idle: VecDeque<(Moment, u32)>,
    idle_slots: SlotSet,
    vacant: SlotSet,
    /// Vacant slots whose backoff is not known to be over, by when it is.
    resting: BTreeSet<(Moment, u32)>,
    /// All other vacant slots that are meant to have a worker.
    missing: SlotSet,
    /// Slots whose first worker has neither become ready nor failed yet.
    untried: SlotSet,
    /// Slots that are meant to have a worker.
    wanted: SlotSet,
    starting: usize,
    serving: usize,
    /// Workers in slots that are not.
    departing: usize,
    restarts: u64,
}

impl Crew {
    /// `size` vacant slots.
    #[must_use]
    pub fn new(size: usize) -> Self {
        let mut crew = Self {
            slots: Vec::new(),
            idle: VecDeque::new(),
            idle_slots: SlotSet::default(),
            vacant: SlotSet::default(),
            resting: BTreeSet::new(),
            missing: SlotSet::default(),
            untried: SlotSet::default(),
            wanted: SlotSet::default(),
            starting: 0,
            serving: 0,
            departing: 0,
            restarts: 0,
        };
        for _ in 0..size {
            crew.add();
        }
        crew
    }

    /// Adds a vacant slot that is meant to have a worker; none is ever taken away.
    pub fn add(&mut self) -> u32 {
        let index = self.next_index();
        self.vacant.insert(index);
        self.missing.insert(index);
        self.untried.insert(index);
        self.wanted.insert(index);
        self.slots.push(Slot::new());
        index
    }

    /// Changes whether the slot is meant to have a worker.
    pub fn stand(&mut self, index: u32, standing: Standing) {
        self.slots[index as usize].standing = standing;
        let live = !self.vacant.contains(index);
        if standing == Standing::Wanted {
            self.departing -= usize::from(self.wanted.insert(index) && live);
            if self.has_rested(index) {
                self.missing.insert(index);
            }
        } else {
            self.departing += usize::from(self.wanted.remove(index) && live);
            self.missing.remove(index);
        }
    }

    fn has_rested(&self, index: u32) -> bool {
        match self.slot(index).state {
            SlotState::Vacant { retry_at } => !self.resting.contains(&(retry_at, index)),
            _ => false,
        }
    }

    /// The slots that are meant to have a worker.
    #[must_use]
    pub const fn wanted(&self) -> &SlotSet {
        &self.wanted
    }

    /// How many workers are on their way out: their slots are not meant to have one any more.
    #[must_use]
    pub const fn departing(&self) -> usize {
        self.departing
    }

    /// The slot whose worker the one in slot `by` relieves. Looks at every slot.
    #[must_use]
    pub fn relieved_by(&self, by: u32) -> Option<u32> {
        self.indexes().find(|index| self.slot(*index).standing == Standing::Relieved { by })
    }

    /// All slots, in order.
    pub fn indexes(&self) -> impl DoubleEndedIterator<Item = u32> + use<> {
        0..self.next_index()
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
                let place = self.idle.binary_search(&(since, index));
                self.idle.remove(place.expect("an idle slot is in the order"));
                self.idle_slots.remove(index);
            }
            SlotState::Vacant { retry_at } => {
                self.vacant.remove(index);
                let _ = self.missing.remove(index) || self.resting.remove(&(retry_at, index));
            }
            SlotState::Starting => self.starting -= 1,
            _ => {}
        }
        self.serving -= usize::from(old.is_serving());
        self.serving += usize::from(state.is_serving());
        let vacant = |state| matches!(state, SlotState::Vacant { .. });
        if self.slots[index as usize].standing != Standing::Wanted {
            self.departing += usize::from(vacant(old));
            self.departing -= usize::from(vacant(state));
        }
        match state {
            SlotState::Idle { since } => {
                let place = self.idle.partition_point(|other| *other < (since, index));
                self.idle.insert(place, (since, index));
                self.idle_slots.insert(index);
            }
            SlotState::Vacant { retry_at } => {
                self.vacant.insert(index);
                self.resting.insert((retry_at, index));
            }
            SlotState::Starting => self.starting += 1,
            _ => {}
        }
    }

    /// Puts a new process into a vacant slot.
    pub fn start(&mut self, now: Moment, index: u32) -> WorkerId {
        let slot = &mut self.slots[index as usize];
        assert!(matches!(slot.state, SlotState::Vacant { .. }), "slot {index} is {:?}", slot.state);
        slot.generation += 1;
        slot.life = Life::starting(now);
        self.restarts += u64::from(slot.generation > 1);
        self.set(index, SlotState::Starting);
        self.worker(index)
    }

    /// The worker that has been idle longest.
    #[must_use]
    pub fn longest_idle(&self) -> Option<u32> {
        self.idle.front().map(|(_, index)| *index)
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
            if self.wanted.contains(index) {
                self.missing.insert(index);
            }
        }
    }

    /// Slots without a process.
    #[must_use]
    pub const fn vacant(&self) -> &SlotSet {
        &self.vacant
    }

    /// Slots whose backoff is not over, as far as [`Self::rest`] was told.
    pub fn resting(&self) -> impl Iterator<Item = u32> + '_ {
        self.resting.iter().map(|(_, index)| *index)
    }

    /// Slots that are meant to have a worker, have none, and have no backoff to wait for, as far
    /// as [`Self::rest`] was told.
    #[must_use]
    pub const fn missing(&self) -> &SlotSet {
        &self.missing
    }

    /// Slots with a process, in order.
    pub fn live(&self) -> impl Iterator<Item = u32> + '_ {
        self.indexes().filter(|index| !matches!(self.slot(*index).state, SlotState::Vacant { .. }))
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
        self.slots.len() - self.vacant.len()
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
        status.workers = self
            .indexes()
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
            memory_growth_bytes: slot.life.baseline.map(|_| slot.life.growth),
        }
    }
}
