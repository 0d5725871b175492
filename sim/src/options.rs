//! What a run is made of: everything but the code is in its seed and these options.

use std::sync::Arc;
use std::time::Duration;

use poolshift::Lane;
use poolshift::machine::OnCancel;
use poolshift::machine::backoff::Backoff;
use poolshift::machine::engine::{Lifecycle, Terms};
use poolshift::router::percent::Percent;

use thiserror::Error;

use crate::fault::{Fault, Strikes};
use crate::rng::Law;
use crate::trace::{Ground, LaneGround};
use crate::workload::percent;

/// Parts of a million.
pub type PerMillion = u32;

/// A whole run, but for its seed.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many calls arrive.
    pub calls: u64,
    /// How they arrive.
    pub arrivals: Arrivals,
    /// Mean time between two arrivals.
    pub mean_gap: Duration,
    /// The shape of service times.
    pub service: Law,
    /// Their mean.
    pub mean_service: Duration,
    /// The share of calls that raise a Python error.
    pub raises: PerMillion,
    /// The share of replies that ask for the worker's replacement.
    pub recycles: PerMillion,
    /// Mean time from spawn to ready.
    pub mean_startup: Duration,
    /// The mix of calls.
    pub mix: Mix,
    /// V2's terms, then V3's.
    pub lanes: [LaneGround; 2],
    /// How long a pin lives without calls.
    pub pin_ttl: Duration,
    /// How many pins are kept in all.
    pub max_pins: usize,
    /// Whether the lowest percentage governs a whole session.
    pub whole_sessions: bool,
    /// What operators do.
    pub operators: Operators,
    /// The share of hand-offs that take the host time, and how long at most. Zero is also a
    /// time: what is due at one moment comes in any order.
    pub lags: PerMillion,
    /// The longest of these times.
    pub host_lag: Duration,
    /// The rate of each kind of fault.
    pub faults: FaultRates,
    /// After this share of the calls, the faults in `healed` happen no more.
    pub heal_after: PerMillion,
    /// These faults heal.
    pub healed: Vec<Fault>,
}

/// How calls arrive: an open loop, planned before the run.
#[derive(Clone, Debug)]
pub enum Arrivals {
    /// Memoryless.
    Poisson,
    /// Evenly.
    Constant,
    /// This many at once, the bursts memoryless.
    Bursts(u32),
    /// At these moments, in nanoseconds and in order; it ends with the last.
    Trace(Arc<[u64]>),
}

/// A trace of arrivals that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadArrivals {
    /// A line is no number.
    #[error("line {line}: {text:?} is not a whole number of microseconds")]
    NotANumber {
        /// The line, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// A line is before the one above it.
    #[error("line {line}: {micros} us is before the arrival above it; arrivals go up")]
    Backwards {
        /// The line, from 1.
        line: usize,
        /// Its moment.
        micros: u64,
    },
    /// There is no arrival at all.
    #[error("it has no arrival; write one a line, in whole microseconds from the start")]
    Empty,
}

impl Arrivals {
    /// Arrivals from a text: one a line, in whole microseconds from the start, going up. Blank
    /// lines and lines that begin with # are skipped.
    ///
    /// # Errors
    /// At the first line that is not so, or if there is none.
    pub fn parse(text: &str) -> Result<Self, BadArrivals> {
        let mut moments: Vec<u64> = Vec::new();
        for (line, text) in (1..).zip(text.lines().map(str::trim)) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let micros = text.parse::<u64>().ok().filter(|micros| *micros < u64::MAX / 4000);
            let bad = || BadArrivals::NotANumber { line, text: text.to_owned() };
            let micros = micros.ok_or_else(bad)?;
            if moments.last().is_some_and(|last| micros * 1000 < *last) {
                return Err(BadArrivals::Backwards { line, micros });
            }
            moments.push(micros * 1000);
        }
        if moments.is_empty() { Err(BadArrivals::Empty) } else { Ok(Self::Trace(moments.into())) }
    }
}

/// The mix of calls.
#[derive(Clone, Debug)]
pub struct Mix {
    /// Calls without a session.
    pub anonymous: PerMillion,
    /// How many sessions live at once.
    pub sessions: usize,
    /// Calls in a session, on average; its length is geometric.
    pub session_calls: u32,
    /// Whether a session's last call ends it; else it is left to expire.
    pub ends_sessions: PerMillion,
    /// Calls that write.
    pub writes: PerMillion,
    /// Critical calls.
    pub criticals: PerMillion,
    /// Writes and critical calls that may run twice.
    pub idempotent: PerMillion,
    /// Calls that bring their own budget, and how long it is at most.
    pub budgets: (PerMillion, Duration),
    /// Calls whose caller goes away, and after how long at most.
    pub cancels: (PerMillion, Duration),
}

/// What operators do, and how often.
#[derive(Clone, Debug)]
pub struct Operators {
    /// V3's first percentage.
    pub percent: Percent,
    /// Mean time between two changes of policy; zero is never.
    pub change_every: Duration,
    /// Mean time between two resizes of V3; zero is never.
    pub resize_every: Duration,
    /// The smallest and the largest size that is set.
    pub sizes: (usize, usize),
    /// How many calls before the last the drain of V2, and of V3, begins.
    pub drain_before: [u64; 2],
    /// How long a drain serves waiting calls.
    pub drain_timeout: Duration,
}

/// A rate for each kind of fault: strikes in a million requests, starts, stops or calls, or
/// strikes an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRates([u32; Fault::ALL.len()]);

impl FaultRates {
    /// Nothing goes wrong.
    pub const NONE: Self = Self([0; Fault::ALL.len()]);

    /// The rate of this kind.
    #[must_use]
    pub fn of(&self, fault: Fault) -> u32 {
        self.0[fault.index()]
    }

    /// Sets the rate of this kind.
    pub fn set(&mut self, fault: Fault, rate: u32) {
        self.0[fault.index()] = rate;
    }

    /// The kind that strikes at `lot` out of a million, of those that strike so.
    #[must_use]
    #[inline]
    pub fn drawn(&self, strikes: Strikes, lot: u32) -> Option<Fault> {
        let mut below = 0;
        for fault in Fault::ALL {
            if fault.strikes() == strikes {
                below += self.of(fault);
                if lot < below {
                    return Some(fault);
                }
            }
        }
        None
    }

    /// The chances in a million that any of those strikes.
    #[must_use]
    pub fn total(&self, strikes: Strikes) -> u32 {
        let kinds = Fault::ALL.into_iter().filter(|fault| fault.strikes() == strikes);
        kinds.map(|fault| self.of(fault)).sum()
    }
}

impl Options {
    /// Replaces the arrivals. A trace decides how many calls there are.
    pub fn set_arrivals(&mut self, arrivals: Arrivals) {
        if let Arrivals::Trace(moments) = &arrivals {
            self.calls = moments.len() as u64;
            let last = moments.last().copied().unwrap_or_default();
            self.mean_gap = Duration::from_nanos(last / self.calls.max(1));
            let before = &mut self.operators.drain_before;
            *before = before.map(|calls| calls.min(self.calls / 10));
        }
        self.arrivals = arrivals;
    }

    /// What watchers are told.
    #[must_use]
    pub fn ground(&self, seed: u64) -> Ground {
        Ground {
            seed,
            lanes: self.lanes.clone(),
            pin_ttl: self.pin_ttl,
            whole_sessions: self.whole_sessions,
            host_lag: self.host_lag,
            calls: self.calls,
            mean_gap: self.mean_gap,
            mean_service: self.mean_service,
        }
    }

    /// One lane's terms, to change them.
    pub fn lane_mut(&mut self, lane: Lane) -> &mut LaneGround {
        &mut self.lanes[lane as usize]
    }
}

/// Quiet load on both lanes: no fault, no cancellation, no change but the two drains at the end.
impl Default for Options {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            calls: 100_000,
            arrivals: Arrivals::Poisson,
            mean_gap: Duration::from_millis(5),
            service: Law::Exponential,
            mean_service: Duration::from_millis(40),
            raises: 10_000,
            recycles: 0,
            mean_startup: Duration::from_millis(300),
            mix: Mix {
                anonymous: 300_000,
                sessions: 200,
                session_calls: 20,
                ends_sessions: 500_000,
                writes: 300_000,
                criticals: 100_000,
                idempotent: 200_000,
                budgets: (0, seconds(1)),
                cancels: (0, seconds(1)),
            },
            lanes: [v2(8), v3(8)],
            pin_ttl: seconds(600),
            max_pins: 200_000,
            whole_sessions: false,
            operators: Operators {
                percent: percent("50"),
                change_every: Duration::ZERO,
                resize_every: Duration::ZERO,
                sizes: (4, 12),
                drain_before: [0, 0],
                drain_timeout: seconds(30),
            },
            lags: 0,
            host_lag: Duration::ZERO,
            faults: FaultRates::NONE,
            heal_after: 1_000_000,
            healed: Vec::new(),
        }
    }
}

fn v2(size: usize) -> LaneGround {
    let seconds = Duration::from_secs;
    let terms = Terms {
        size,
        max_starting: 1,
        budget: seconds(20),
        queue_timeout: seconds(10),
        run_timeout: seconds(10),
        on_cancel: OnCancel::Drain,
        backoff: Backoff { base: Duration::from_millis(100), cap: seconds(5), seed: 0 },
        probe_after: None,
        lifecycle: Lifecycle::default(),
    };
    ground(terms, 1000)
}

fn v3(size: usize) -> LaneGround {
    let seconds = Duration::from_secs;
    let terms = Terms {
        size,
        max_starting: usize::MAX,
        budget: seconds(10),
        queue_timeout: seconds(5),
        run_timeout: seconds(10),
        on_cancel: OnCancel::Drain,
        backoff: Backoff { base: Duration::from_millis(100), cap: seconds(5), seed: 1 },
        probe_after: Some(seconds(5)),
        lifecycle: Lifecycle::default(),
    };
    ground(terms, 1000)
}

fn ground(terms: Terms, max_waiting: usize) -> LaneGround {
    LaneGround {
        terms,
        max_waiting,
        session_idle: Duration::from_secs(300),
        startup_timeout: Duration::from_secs(3),
        health_timeout: Duration::from_secs(1),
        stop_grace: Duration::from_millis(500),
        kill_grace: Duration::from_millis(500),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_line_by_line_and_its_faults_by_number() {
        let Ok(Arrivals::Trace(moments)) = Arrivals::parse("# us\n0\n\n 7\n7\n") else { panic!() };
        assert_eq!(*moments, [0, 7000, 7000]);
        let broken = |text| Arrivals::parse(text).unwrap_err().to_string();
        assert!(broken("1\nx\n").starts_with("line 2: \"x\" is not a whole number"));
        assert!(broken("1\n18446744073709551615").starts_with("line 2"));
        assert!(broken("5\n\n4\n").starts_with("line 3: 4 us is before"));
        assert!(broken("# nothing\n").starts_with("it has no arrival"));
    }
}
