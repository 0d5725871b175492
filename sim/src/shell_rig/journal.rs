//! What callers, workers and operators of one run see, written down in order.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use poolshift::Lane;
use poolshift::clock::{Clock, Moment};

use crate::checkers::Law;
use crate::trace::{CallNo, Event, Stamp};
use crate::verdict::Broken;

/// More breaches than this are not told: the first ones say what is wrong.
const TOLD: usize = 100;

/// How often pipes may be polled in one moment. A run of some hundred calls needs a thousandth
/// of it; more is a task that spins, and would keep a paused clock from ever moving again (L9).
const POLLS: u64 = 5_000_000;

/// One run's events. Its size is bounded by the plan: a call makes about ten.
#[derive(Debug)]
pub struct Journal {
    clock: Clock,
    /// Whether events are kept; breaches always are.
    keeps: bool,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    trace: Vec<(Stamp, Event)>,
    shadows: Vec<Shadow>,
    saved: BTreeMap<String, u64>,
    breaches: Vec<Broken>,
    seq: u64,
    /// Polls of pipes in this moment.
    polls: (Moment, u64),
}

/// A shadow that a worker began to execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// Where.
    pub lane: Lane,
    /// Of which call.
    pub call: CallNo,
    /// The events with lower numbers came before it.
    pub seq: u64,
}

impl Journal {
    /// Keeps every event, stamped with this clock.
    #[must_use]
    pub fn of(clock: Clock) -> Self {
        Self { clock, keeps: true, pages: Mutex::default() }
    }

    /// Keeps breaches only, for runs that nobody looks at event by event.
    #[must_use]
    pub fn of_breaches() -> Self {
        Self { keeps: false, ..Self::of(Clock::start()) }
    }

    /// Whether events are kept.
    pub(super) const fn keeps(&self) -> bool {
        self.keeps
    }

    /// Something happened, now.
    pub fn tell(&self, lane: Option<Lane>, event: Event) {
        if !self.keeps {
            return;
        }
        let mut pages = self.lock();
        // Read under the lock, so that moments never go back.
        let stamp = Stamp { at: self.clock.now(), seq: pages.seq, lane };
        pages.seq += 1;
        pages.trace.push((stamp, event));
    }

    /// A worker executes a shadow, which is no event: nobody is to notice it.
    pub(super) fn shadow(&self, lane: Lane, call: CallNo) {
        let mut pages = self.lock();
        let seq = pages.seq;
        pages.shadows.push(Shadow { lane, call, seq });
    }

    /// A row of the session store is written, which is no event: callers see it in what follows.
    pub(super) fn saves(&self, row: String) {
        *self.lock().saved.entry(row).or_default() += 1;
    }

    /// How often each row was written so far.
    #[must_use]
    pub fn saved(&self) -> BTreeMap<String, u64> {
        self.lock().saved.clone()
    }

    /// The shadows so far.
    #[must_use]
    pub fn shadows(&self) -> Vec<Shadow> {
        self.lock().shadows.clone()
    }

    /// A law was broken in a way that no event shows: bytes on a pipe.
    pub fn breach(&self, law: Law, what: String) {
        let mut pages = self.lock();
        if pages.breaches.len() < TOLD {
            let at_ns = self.clock.now().as_nanos();
            let seq = pages.seq;
            pages.breaches.push(Broken { law: law.as_str(), at_ns, seq, what });
        }
    }

    /// A pipe is polled.
    ///
    /// # Panics
    /// If time stands still because somebody polls for ever (L9).
    pub(super) fn polled(&self) {
        let now = self.clock.now();
        let mut pages = self.lock();
        let (moment, polls) = pages.polls;
        pages.polls = if moment == now { (moment, polls + 1) } else { (now, 1) };
        let spins = pages.polls.1 > POLLS;
        drop(pages);
        assert!(!spins, "L9: pipes were polled {POLLS} times at {now:?}");
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The events so far.
    #[must_use]
    pub fn trace(&self) -> Vec<(Stamp, Event)> {
        self.lock().trace.clone()
    }

    /// What was broken so far.
    #[must_use]
    pub fn breaches(&self) -> Vec<Broken> {
        self.lock().breaches.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().expect("nothing panics while it writes")
    }
}
