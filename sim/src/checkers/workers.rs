//! Every slot's present process, as its pool has been told of it.

use poolshift::WorkerId;
use poolshift::clock::Moment;
use poolshift::machine::Stop;

use crate::trace::CallNo;

/// What a worker is doing. Only an idle one may be leased; the others say which law forbids it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Starting,
    Idle,
    Held(CallNo),
    Probing,
    /// Its caller went away; it must be drained or retired next.
    Forsaken,
    /// Its late reply is awaited.
    Abandoned(CallNo),
    /// Its pipe holds a part of a request.
    HalfSent,
    /// It broke the protocol.
    Garbled,
    /// It is lost, timed out, unwell, or has asked to be replaced: it must be retired next.
    Unfit,
    /// Its pool is ending it.
    Stopping,
    /// No process.
    Gone,
}

impl Doing {
    /// Whether the worker had become ready and is not being ended.
    pub(super) const fn is_serving(self) -> bool {
        !matches!(self, Self::Starting | Self::Stopping | Self::Gone)
    }

    /// Whether somebody holds its pipe.
    pub(super) const fn is_at_work(self) -> bool {
        matches!(self, Self::Held(_) | Self::Probing | Self::Abandoned(_))
    }
}

/// One slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The present process's, or the last one's; 0 before the first.
    pub(super) generation: u32,
    pub(super) doing: Doing,
    pub(super) since: Moment,
    /// Frames that it wrote and nobody read.
    pub(super) unread: i64,
    /// Since when there are any.
    pub(super) unread_since: Moment,
    /// The process has ended, whether or not its pool knows.
    pub(super) exited: bool,
    /// How and when it was told to stop, with the run's stalled time until then.
    pub(super) stopped: Option<(Moment, Stop, u64)>,
    /// The end of the abandoned call's time.
    pub(super) drain_until: Moment,
    /// Failed starts in a row, and when the last one was, if its wait must be kept.
    pub(super) failures: u32,
    pub(super) failed_at: Option<Moment>,
    /// Since when it has no process, though it is meant to have one.
    pub(super) vacant_since: Moment,
    /// Calls that wait for this very process.
    pub(super) waited_for: u32,
}

impl Slot {
    const fn new(vacant_since: Moment) -> Self {
        Self {
            generation: 0,
            doing: Doing::Gone,
            since: Moment::ZERO,
            unread: 0,
            unread_since: Moment::ZERO,
            exited: false,
            stopped: None,
            drain_until: Moment::ZERO,
            failures: 0,
            failed_at: None,
            vacant_since,
            waited_for: 0,
        }
    }

    const fn standing(&self) -> Standing {
        (self.doing, self.waited_for > 0)
    }
}

/// What the counts depend on: what a worker does, and whether a call waits for just this one.
type Standing = (Doing, bool);

/// The slots of one lane, with counts that make each look at them cheap.
#[derive(Clone, Debug)]
pub(super) struct Workers {
    slots: Vec<Slot>,
    size: usize,
    pub(super) starting: usize,
    pub(super) serving: usize,
    pub(super) at_work: usize,
    /// Idle workers within the size.
    pub(super) idle: usize,
    /// Those of them for which a call waits that may run nowhere else.
    pub(super) idle_and_waited_for: usize,
    pub(super) live: usize,
}

impl Workers {
    pub(super) fn new(size: usize) -> Self {
        Self {
            slots: vec![Slot::new(Moment::ZERO); size],
            size,
            starting: 0,
            serving: 0,
            at_work: 0,
            idle: 0,
            idle_and_waited_for: 0,
            live: 0,
        }
    }

    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// The slot, if this is its present or last process.
    #[inline]
    pub(super) fn get(&self, worker: WorkerId) -> Option<&Slot> {
        let slot = self.slots.get(worker.slot as usize)?;
        (slot.generation == worker.generation).then_some(slot)
    }

    /// Every slot that ever was, whatever its process.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// What the worker is doing; an unknown or replaced one is gone.
    #[inline]
    pub(super) fn doing(&self, worker: WorkerId) -> Doing {
        self.get(worker).map_or(Doing::Gone, |slot| slot.doing)
    }

    /// Whether the process may still hold what a session left in it.
    pub(super) fn keeps_state(&self, worker: WorkerId) -> bool {
        self.doing(worker).is_serving()
    }

    /// Changes what one worker is known for, and the counts with it.
    #[inline]
    pub(super) fn change(&mut self, worker: WorkerId, change: impl FnOnce(&mut Slot)) {
        let wanted = (worker.slot as usize) < self.size;
        let Some(slot) = self.slots.get_mut(worker.slot as usize) else { return };
        if slot.generation != worker.generation {
            return;
        }
        let before = slot.standing();
        change(slot);
        let after = slot.standing();
        if before != after {
            self.count(before, wanted, false);
            self.count(after, wanted, true);
        }
    }

    /// Sets what the worker does from now on.
    #[inline]
    pub(super) fn set(&mut self, now: Moment, worker: WorkerId, doing: Doing) {
        self.change(worker, |slot| (slot.doing, slot.since) = (doing, now));
    }

    pub(super) fn start(&mut self, now: Moment, worker: WorkerId) {
        self.reach(worker.slot as usize + 1, now);
        let index = worker.slot as usize;
        let old = self.slots[index];
        let wanted = index < self.size;
        self.count(old.standing(), wanted, false);
        let (failures, vacant_since) = (old.failures, old.vacant_since);
        let fresh = Slot { generation: worker.generation, failures, ..Slot::new(vacant_since) };
        self.slots[index] = Slot { doing: Doing::Starting, since: now, ..fresh };
        self.count((Doing::Starting, false), wanted, true);
    }

    pub(super) fn resize(&mut self, now: Moment, size: usize) {
        for slot in self.slots.iter_mut().skip(self.size) {
            slot.vacant_since = slot.vacant_since.max(now);
        }
        self.reach(size, now);
        self.size = size;
        (self.starting, self.serving, self.at_work) = (0, 0, 0);
        (self.idle, self.idle_and_waited_for, self.live) = (0, 0, 0);
        for index in 0..self.slots.len() {
            self.count(self.slots[index].standing(), index < size, true);
        }
    }

    fn reach(&mut self, size: usize, now: Moment) {
        if self.slots.len() < size {
            self.slots.resize(size, Slot::new(now));
        }
    }

    #[inline]
    fn count(&mut self, (doing, waited_for): Standing, wanted: bool, plus: bool) {
        let idle = wanted && doing == Doing::Idle;
        for (count, counts) in [
            (&mut self.starting, doing == Doing::Starting),
            (&mut self.serving, doing.is_serving()),
            (&mut self.at_work, doing.is_at_work()),
            (&mut self.idle, idle),
            (&mut self.idle_and_waited_for, idle && waited_for),
            (&mut self.live, doing != Doing::Gone),
        ] {
            *count = if plus { *count + usize::from(counts) } else { *count - usize::from(counts) };
        }
    }
}
