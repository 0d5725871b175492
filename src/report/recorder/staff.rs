//! Which processes each slot had, as their callers saw it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::call::Lane;
use crate::meter::Slices;
use crate::pool::WorkerId;
use crate::report::record::{LeftOut, Life, MOST_LIVES, MOST_WORKERS, WorkerRow};
use crate::report::recorder::{Tick, millis};

/// The slots, by lane and index. Pools have as many as they were ever resized to.
#[derive(Clone, Debug, Default)]
pub(super) struct Staff(BTreeMap<(Lane, u32), Slot>);

#[derive(Clone, Debug, Default)]
struct Slot {
    /// By generation: when it was given its first call, and done with its last.
    lives: BTreeMap<u32, (Duration, Duration)>,
    /// Processes beyond [`MOST_LIVES`], and the newest of them.
    unkept: (u64, u32),
    calls: u64,
}

impl Staff {
    pub(super) fn served(&mut self, lane: Lane, worker: WorkerId, from: Duration, until: Duration) {
        let slot = self.0.entry((lane, worker.slot)).or_default();
        slot.calls += 1;
        let kept = slot.lives.len();
        match slot.lives.get_mut(&worker.generation) {
            Some((first, last)) => {
                *first = (*first).min(from);
                *last = (*last).max(until);
            }
            None if kept < MOST_LIVES => drop(slot.lives.insert(worker.generation, (from, until))),
            None if worker.generation > slot.unkept.1 => {
                slot.unkept = (slot.unkept.0 + 1, worker.generation);
            }
            None => {}
        }
    }

    /// When the slot of a killed worker was given its next call.
    pub(super) fn back_after(&self, lane: Lane, worker: WorkerId) -> Option<Duration> {
        let mut later = self.0.get(&(lane, worker.slot))?.lives.range(worker.generation + 1..);
        later.next().map(|(_, (from, _))| *from)
    }

    pub(super) fn rows(self, slices: &Slices<Tick>, left_out: &mut LeftOut) -> Vec<WorkerRow> {
        let width = slices.width().as_secs_f32();
        let mut rows = Vec::new();
        for ((lane, slot), staff) in self.0 {
            if rows.len() == MOST_WORKERS {
                left_out.workers += 1;
                continue;
            }
            left_out.lives += staff.unkept.0;
            let share = |tick: &Tick| {
                let busy = tick.busy.get(&(lane, slot)).map_or(0.0, Duration::as_secs_f32);
                (busy / width).min(1.0)
            };
            let lives = staff.lives.into_iter().map(|(generation, (from, until))| Life {
                generation,
                from_ms: millis(from),
                until_ms: millis(until),
            });
            rows.push(WorkerRow {
                lane,
                slot,
                busy: slices.iter().map(share).collect(),
                lives: lives.collect(),
                calls: staff.calls,
            });
        }
        rows
    }
}
