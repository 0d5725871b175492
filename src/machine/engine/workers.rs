//! What happens to a worker: started, ready, probed, retired, replaced.

use std::time::Duration;

use crate::clock::Moment;
use crate::machine::backoff::unit;
use crate::machine::discipline::Discipline;
use crate::machine::engine::{Due, Engine};
use crate::machine::slot::{SlotState, Standing};
use crate::machine::{Action, End, Stop};
use crate::pool::WorkerId;

/// Probes of workers that fell idle together are spread over this share of the interval.
const PROBE_JITTER: f64 = 0.25;

impl<D: Discipline> Engine<D> {
    /// Starts what is wanted and missing, as far as start permits reach.
    pub(super) fn reconcile(&mut self, now: Moment) {
        // As after nearly every event.
        if self.crew.vacant().is_empty() {
            return;
        }
        self.crew.rest(now);
        while self.crew.starting() < self.terms.max_starting {
            let Some(slot) = self.next_start(now) else { return };
            self.timers.clear(Due::Slot(slot));
            self.first_start.get_or_insert(now);
            let worker = self.crew.start(now, slot);
            self.actions.push_back(Action::Start(worker));
        }
    }

    /// The first slot that is to get a worker now: its first one, or one in a lost one's place.
    fn next_start(&self, now: Moment) -> Option<u32> {
        if self.is_draining() && self.discipline.waiting() == 0 {
            return None;
        }
        if let Some(probe_at) = self.breaker.probe_at() {
            // R6: one by itself, whether or not a call waits: those that would are refused.
            let tries = probe_at <= now && self.crew.starting() == 0;
            return self.crew.vacant().first_shared(self.crew.wanted()).filter(|_| tries);
        }
        let missing = self.crew.missing();
        let first = missing.first_shared(self.crew.untried());
        let lost = if D::REPLACES_AT_ONCE {
            missing.first()
        } else {
            // A worker that a shadow cost is replaced before anybody needs it.
            let called = self.discipline.first_called(missing);
            called.into_iter().chain(missing.first_shared(&self.lent)).min()
        };
        first.into_iter().chain(lost).min()
    }

    pub(super) fn worker_ready(&mut self, now: Moment, worker: WorkerId) {
        if !self.is_in(worker, SlotState::Starting) {
            return;
        }
        self.crew.mark_tried(worker.slot);
        let slot = self.crew.tally(worker.slot);
        (slot.failures, slot.life.ready) = (0, now);
        if self.breaker.ready() {
            self.forgive(now);
        }
        self.grow_old(worker);
        self.release(now, worker.slot);
        self.relieve(now, worker.slot);
        if self.startup.is_none() && self.crew.serving() >= self.terms.size {
            self.startup = self.first_start.map(|first| now.since(first));
        }
    }

    pub(super) fn start_failed(&mut self, now: Moment, worker: WorkerId) {
        if !self.is_in(worker, SlotState::Starting) {
            self.worker_exited(now, worker);
            return;
        }
        self.start_failures += 1;
        self.crew.mark_tried(worker.slot);
        let slot = self.crew.tally(worker.slot);
        slot.failures += 1;
        let delay = self.terms.backoff.delay(worker.slot, slot.failures);
        if let Some(probe_at) = self.breaker.failed(now) {
            self.timers.set(Due::Breaker, probe_at);
        }
        self.vacate(worker.slot, now + delay);
    }

    /// R6: a worker became ready after all, so the other slots need not wait out what was not
    /// their fault.
    fn forgive(&mut self, now: Moment) {
        self.timers.clear(Due::Breaker);
        let resting: Vec<u32> = self.crew.resting().collect();
        for slot in resting {
            self.vacate(slot, now);
        }
    }

    pub(super) fn worker_exited(&mut self, now: Moment, worker: WorkerId) {
        let Some(slot) = self.crew.present(worker) else { return };
        // R6: only a worker that never answered waits, and only failed starts wait longer.
        let delay = if slot.life.calls > 0 || slot.state == SlotState::Stopping {
            Duration::ZERO
        } else {
            self.terms.backoff.delay(worker.slot, slot.failures.max(1))
        };
        let served = slot.state.is_serving();
        if matches!(slot.state, SlotState::Abandoned { .. }) {
            self.quarantine.died(now, slot.abandoned, worker);
        }
        self.crew.mark_tried(worker.slot);
        self.vacate(worker.slot, now + delay);
        if served {
            self.deaths += 1;
            self.lose_sessions(now, worker.slot);
        }
    }

    fn vacate(&mut self, slot: u32, retry_at: Moment) {
        self.depart(slot);
        self.crew.set(slot, SlotState::Vacant { retry_at });
        self.timers.set(Due::Slot(slot), retry_at);
    }

    /// Takes a worker out of service for good; its exit will be reported.
    pub(super) fn retire(&mut self, now: Moment, slot: u32, how: Stop) {
        let served = self.crew.slot(slot).state.is_serving();
        self.timers.clear(Due::Slot(slot));
        self.timers.clear(Due::Age(slot));
        self.crew.set(slot, SlotState::Stopping);
        self.actions.push_back(Action::Stop { worker: self.crew.worker(slot), how });
        if served {
            self.lose_sessions(now, slot);
        }
    }

    fn lose_sessions(&mut self, now: Moment, slot: u32) {
        let session = |call| self.calls[&call].session.as_ref();
        for call in self.discipline.slot_lost(slot, session) {
            self.finish(now, call, End::SessionLost);
        }
    }

    /// An abandoned worker's late reply never came; a vacant slot's backoff needs no more than
    /// the reconciling that follows each event.
    pub(super) fn slot_overdue(&mut self, now: Moment, slot: u32) {
        if matches!(self.crew.slot(slot).state, SlotState::Abandoned { .. }) {
            self.retire(now, slot, Stop::Kill);
        }
    }

    /// R8: probes workers that have been idle for the interval, spread by jitter, and never all
    /// idle workers at once. A pool of one worker is probed all the same, else it never would be.
    /// Looks at every idle worker, but only once a tick.
    pub(super) fn probe_idle(&mut self, now: Moment) {
        let Some(interval) = self.terms.probe_after else { return };
        let seed = self.terms.backoff.seed;
        let due: Vec<u32> = self
            .crew
            .idle()
            .filter(|index| {
                let slot = self.crew.slot(*index);
                let spread = PROBE_JITTER * unit(seed, *index, slot.generation);
                slot.last_used + interval + interval.mul_f64(spread) <= now
            })
            .collect();
        let spare = self.crew.idle().count().saturating_sub(usize::from(self.terms.size > 1));
        for slot in due.into_iter().take(spare) {
            self.crew.set(slot, SlotState::Probing);
            self.actions.push_back(Action::Probe(self.crew.worker(slot)));
        }
    }

    pub(super) fn probed(&mut self, now: Moment, worker: WorkerId, healthy: bool) {
        if !self.is_in(worker, SlotState::Probing) {
            return;
        }
        if healthy {
            self.release(now, worker.slot);
        } else {
            self.retire(now, worker.slot, Stop::Kill);
        }
    }

    /// Looks at every worker, as do a drain and its end: an operator's doing, not a call's.
    pub(super) fn resize(&mut self, now: Moment, size: usize) {
        assert!(D::INTERCHANGEABLE, "a pool whose sessions are bound to its slots is not resized");
        self.terms.size = size;
        self.want(size);
        let surplus = |slot: &u32| self.crew.slot(*slot).standing == Standing::Surplus;
        let surplus: Vec<u32> = self.crew.live().filter(surplus).collect();
        for slot in surplus {
            match self.crew.slot(slot).state {
                SlotState::Idle { .. } => self.retire(now, slot, Stop::Politely),
                SlotState::Starting => self.retire(now, slot, Stop::Kill),
                // It leaves when it has done what it is doing.
                _ => {}
            }
        }
    }

    /// R7: a second drain may only shorten the first.
    pub(super) fn drain(&mut self, now: Moment, until: Moment) {
        let until = self.drain_until.map_or(until, |earlier| earlier.min(until));
        self.drain_until = Some(until);
        self.timers.set(Due::Drain, until);
        let live: Vec<u32> = self.crew.live().collect();
        for slot in live {
            match self.crew.slot(slot).state {
                SlotState::Idle { .. } => self.retire(now, slot, Stop::Politely),
                SlotState::Starting if self.discipline.waiting() == 0 => {
                    self.retire(now, slot, Stop::Kill);
                }
                _ => {}
            }
        }
    }

    /// R7: once all calls are over, a drain does not wait for workers that are still starting.
    pub(super) fn call_off_starts(&mut self, now: Moment) {
        if !self.is_draining() || self.crew.starting() == 0 || !self.calls.is_empty() {
            return;
        }
        let starting = |slot: &u32| self.crew.slot(*slot).state == SlotState::Starting;
        let starting: Vec<u32> = self.crew.live().filter(starting).collect();
        for slot in starting {
            self.retire(now, slot, Stop::Kill);
        }
    }

    pub(super) fn retire_all(&mut self, now: Moment) {
        let live: Vec<u32> = self.crew.live().collect();
        for slot in live {
            if self.crew.slot(slot).state != SlotState::Stopping {
                self.retire(now, slot, Stop::Kill);
            }
        }
    }

    fn is_in(&self, worker: WorkerId, state: SlotState) -> bool {
        self.crew.present(worker).is_some_and(|slot| slot.state == state)
    }
}
