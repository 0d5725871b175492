//! Counts and latencies of a pool's calls.

mod ledger;
mod series;
mod slices;
mod sparse;

use std::collections::BTreeMap;

use crate::call::{Class, Timing};
use crate::clock::millis;
use crate::error::Outcome;
pub use crate::meter::ledger::OutcomeLedger;
pub use crate::meter::series::Series;
pub use crate::meter::slices::{Merge, Slices};
pub use crate::meter::sparse::SparseSeries;
use crate::pool::{RequestTimes, Spread};

/// The books of one pool. Written under the pool's lock, so the counts agree to the unit.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    books: MeterSnapshot,
}

/// What a meter had counted at one moment.
#[derive(Clone, Debug, Default)]
pub struct MeterSnapshot {
    /// Calls that were begun.
    pub submitted: u64,
    /// Latencies of calls that were finished, by class and outcome.
    pub latencies: BTreeMap<(Class, Outcome), Latencies>,
}

/// The three times of calls with one class and outcome.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// From planned arrival until a worker was assigned, or until the end.
    pub queued: Series,
    /// From assignment to outcome.
    pub service: Series,
    /// From planned arrival to outcome.
    pub total: Series,
}

/// The times of finished calls, whatever their class and outcome.
#[derive(Clone, Debug, Default)]
pub struct FinishedTimes {
    queued: Series,
    total: Series,
}

impl FinishedTimes {
    /// How they were spread, for a pool's status.
    #[must_use]
    pub fn spread(&self) -> RequestTimes {
        let spread = |series: &Series| {
            let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|q| millis(series.quantile(q)));
            Spread { p50, p90, p99, max: millis(series.max()) }
        };
        let (queued_time_ms, total_time_ms) = (spread(&self.queued), spread(&self.total));
        RequestTimes { queued_time_ms, total_time_ms }
    }
}

impl Meter {
    /// Empty books.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A call begins.
    pub fn submit(&mut self) {
        self.books.submitted += 1;
    }

    /// A call has come to its one outcome.
    pub fn record(&mut self, class: Class, outcome: Outcome, timing: &Timing) {
        let latencies = self.books.latencies.entry((class, outcome)).or_default();
        latencies.queued.record(timing.queued());
        latencies.service.record(timing.service());
        latencies.total.record(timing.total());
    }

    /// Finished calls by outcome.
    #[must_use]
    pub fn outcomes(&self) -> BTreeMap<Outcome, u64> {
        self.books.outcomes()
    }

    /// Adds the times of all finished calls, whatever their class and outcome.
    pub fn add_to(&self, times: &mut FinishedTimes) {
        for latencies in self.books.latencies.values() {
            times.queued.merge(&latencies.queued);
            times.total.merge(&latencies.total);
        }
    }

    /// The books themselves, when nothing more will be recorded.
    #[must_use]
    pub fn into_snapshot(self) -> MeterSnapshot {
        self.books
    }

    /// A copy of the books.
    #[must_use]
    pub fn snapshot(&self) -> MeterSnapshot {
        self.books.clone()
    }
}

impl MeterSnapshot {
    /// Finished calls by outcome.
    #[must_use]
    pub fn outcomes(&self) -> BTreeMap<Outcome, u64> {
        let mut outcomes = BTreeMap::new();
        for ((_, outcome), latencies) in &self.latencies {
            *outcomes.entry(*outcome).or_default() += latencies.total.count();
        }
        outcomes
    }

    /// Total times of all calls, whatever their class and outcome.
    #[must_use]
    pub fn total(&self) -> Series {
        let mut total = Series::default();
        self.latencies.values().for_each(|latencies| total.merge(&latencies.total));
        total
    }

    /// Calls that were finished with anything but a good answer.
    #[must_use]
    pub fn errors(&self) -> u64 {
        let outcomes = self.outcomes();
        let failed = outcomes.iter().filter(|(outcome, _)| **outcome != Outcome::Ok);
        failed.map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Moment;

    fn timing(planned_ms: u64, dispatched_ms: Option<u64>, finished_ms: u64) -> Timing {
        let at = |ms| Moment::ZERO + Duration::from_millis(ms);
        let (planned, finished) = (at(planned_ms), at(finished_ms));
        Timing { planned, submitted: planned, dispatched: dispatched_ms.map(at), finished }
    }

    #[test]
    fn counts_agree_to_the_unit() {
        let mut meter = Meter::new();
        for n in 0..100 {
            meter.submit();
            let outcome = if n % 10 == 0 { Outcome::Raised } else { Outcome::Ok };
            meter.record(Class::Read, outcome, &timing(0, Some(1), 3 + n));
        }
        let books = meter.snapshot();
        assert_eq!(books.outcomes(), [(Outcome::Ok, 90), (Outcome::Raised, 10)].into());
        assert_eq!((books.submitted, books.errors(), books.total().count()), (100, 10, 100));
        assert_eq!(books.total().max(), Duration::from_millis(102));
    }

    #[test]
    fn latency_is_measured_from_the_planned_arrival() {
        let mut meter = Meter::new();
        meter.record(Class::Read, Outcome::Ok, &timing(10, Some(40), 50));
        let books = meter.snapshot();
        let latencies = &books.latencies[&(Class::Read, Outcome::Ok)];
        assert_eq!(latencies.queued.max(), Duration::from_millis(30));
        assert_eq!(latencies.service.max(), Duration::from_millis(10));
        assert_eq!(latencies.total.max(), Duration::from_millis(40));
    }
}
