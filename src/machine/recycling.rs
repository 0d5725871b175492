//! When a worker that did no wrong is to be replaced all the same.

use std::time::Duration;

use crate::clock::Moment;
use crate::machine::backoff::unit;
use crate::pool::{RecycleReason, WorkerId};

/// Each worker's own limits are up to this share below the configured ones, so that workers that
/// started together do not leave together.
const JITTER: f64 = 0.2;

/// A worker's memory is compared with what it was after so many calls: by then it has imported
/// what it imports late, and its caches are there.
pub const FIRST_CALLS: u64 = 10;

/// How often a worker's memory is looked at, at most.
pub const MEASURE_EVERY: Duration = Duration::from_millis(250);

/// A worker is not recycled for its memory before it has lived this many times as long as it
/// took to start: a limit that is too low then costs at most this share of the pool's time.
const MIN_LIFE: u32 = 10;

/// By what workers are recycled. A limit of zero is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recycling {
    /// Calls that one process answers.
    pub max_requests: u64,
    /// How long one process serves.
    pub max_age: Duration,
    /// How much a process's resident memory may grow beyond its own baseline, in bytes.
    pub max_memory_growth: u64,
    /// How many workers may be on their way out at once; at least 1.
    pub max_recycling: usize,
    /// Makes two pools recycle at different times.
    pub seed: u64,
}

/// The life of a slot's present process, as far as recycling goes by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// When it was started.
    pub started: Moment,
    /// When it became ready.
    pub ready: Moment,
    /// Calls that it has answered; probes do not count.
    pub calls: u64,
    /// When its memory may be looked at next; never, while somebody is asked to.
    pub measure_at: Moment,
    /// Its resident memory after its first calls, in bytes.
    pub baseline: Option<u64>,
    /// How much more it had when that was last looked at, in bytes.
    pub growth: u64,
    /// Why it is to be replaced, once it is.
    pub due: Option<RecycleReason>,
}

impl Recycling {
    /// Whether the worker has answered as many calls as it is meant to.
    #[must_use]
    pub fn is_used_up(&self, worker: WorkerId, life: &Life) -> bool {
        let limit = (self.max_requests as f64 * self.own(worker)).ceil() as u64;
        limit > 0 && life.calls >= limit
    }

    /// When the worker will be too old.
    #[must_use]
    pub fn end_of_life(&self, worker: WorkerId, life: &Life) -> Option<Moment> {
        let own = self.max_age.mul_f64(self.own(worker));
        (!self.max_age.is_zero()).then(|| life.ready + own)
    }

    /// Whether the worker's memory is to be looked at when it is next between two calls.
    #[must_use]
    pub fn measures(&self, now: Moment, life: &Life) -> bool {
        self.max_memory_growth > 0 && life.calls >= FIRST_CALLS && now >= life.measure_at
    }

    /// Whether the worker has grown too large, and has lived long enough to be told so.
    #[must_use]
    pub fn is_too_large(&self, now: Moment, worker: WorkerId, life: &Life) -> bool {
        let limit = (self.max_memory_growth as f64 * self.own(worker)) as u64;
        let least = life.ready.since(life.started) * MIN_LIFE;
        limit > 0 && life.growth > limit && now.since(life.ready) >= least
    }

    /// The share of each limit that is this worker's own.
    fn own(&self, worker: WorkerId) -> f64 {
        1.0 - JITTER * unit(self.seed, worker.slot, worker.generation)
    }
}

impl Life {
    /// Of a process that is being started.
    #[must_use]
    pub fn starting(now: Moment) -> Self {
        Self { started: now, ..Self::default() }
    }

    /// Its resident memory between two calls.
    pub fn measured(&mut self, now: Moment, rss: u64) {
        let baseline = *self.baseline.get_or_insert(rss);
        self.growth = rss.saturating_sub(baseline);
        self.measure_at = now + MEASURE_EVERY;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(max_requests: u64, max_age: Duration, max_memory_growth: u64) -> Recycling {
        Recycling { max_requests, max_age, max_memory_growth, max_recycling: 1, seed: 3 }
    }

    fn at(ms: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(ms)
    }

    proptest! {
        #[test]
        fn own_limits_are_at_most_the_configured_ones_and_at_least_four_fifths(
            limit in 1_u64..1_000_000,
            slot in 0_u32..1000,
            generation in 1_u32..1000,
        ) {
            let worker = WorkerId { slot, generation };
            let age = Duration::from_nanos(limit);
            let recycling = limits(limit, age, 0);
            let used = |calls| recycling.is_used_up(worker, &Life { calls, ..Life::default() });
            prop_assert!(used(limit), "never later than asked for");
            prop_assert!(!used((limit * 4 / 5).saturating_sub(1)), "nor much earlier");
            let end = recycling.end_of_life(worker, &Life::default()).expect("there is a limit");
            let lived = end.since(Moment::ZERO);
            prop_assert!(lived <= age && lived >= age * 4 / 5, "{:?}", lived);
        }
    }

    #[test]
    fn zero_is_off_and_jitter_does_not_make_it_one() {
        let off = limits(0, Duration::ZERO, 0);
        let old = Life { calls: u64::MAX, growth: u64::MAX, ..Life::default() };
        let worker = WorkerId { slot: 0, generation: 1 };
        assert!(!off.is_used_up(worker, &old) && !off.is_too_large(Moment::NEVER, worker, &old));
        assert!(off.end_of_life(worker, &old).is_none() && !off.measures(Moment::NEVER, &old));
    }

    #[test]
    fn workers_that_started_together_part() {
        let recycling = limits(0, Duration::from_secs(3600), 0);
        let ends: std::collections::BTreeSet<Moment> = (0..100)
            .filter_map(|slot| {
                recycling.end_of_life(WorkerId { slot, generation: 1 }, &Life::default())
            })
            .collect();
        assert_eq!(ends.len(), 100);
    }

    #[test]
    fn memory_counts_from_the_workers_own_baseline_and_not_before_it_has_paid_its_start() {
        let recycling = limits(0, Duration::ZERO, 1000);
        let worker = WorkerId { slot: 0, generation: 1 };
        let mut life = Life { ready: at(50), ..Life::starting(at(0)) };
        life.measured(at(60), 1_000_000);
        assert_eq!((life.baseline, life.growth), (Some(1_000_000), 0), "however large it is");
        life.measured(at(70), 900_000);
        assert_eq!(life.growth, 0, "it may shrink");
        life.measured(at(80), 1_001_001);
        assert!(!recycling.is_too_large(at(549), worker, &life), "ten times its start of 50 ms");
        assert!(recycling.is_too_large(at(550), worker, &life));
        assert!(!recycling.is_too_large(at(550), worker, &Life { growth: 800, ..life }));
    }
}
