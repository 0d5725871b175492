//! What the laws' checkers have found.

use std::fmt;

use poolshift::clock::Moment;
use poolshift::{Lane, WorkerId};
use serde::Serialize;

use crate::checkers::law::Law;
use crate::trace::{CallNo, Event, Stamp};

/// Violations that are kept. One is enough to condemn a run; a few show its pattern.
const MAX_VIOLATIONS: usize = 64;

/// A law that was broken, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The law.
    pub law: Law,
    /// When.
    pub at: Moment,
    /// The number of the event that broke it, or of the last one before it was noticed.
    pub seq: u64,
    /// The event's lane.
    pub lane: Option<Lane>,
    /// The event's call.
    pub call: Option<CallNo>,
    /// The event's worker.
    pub worker: Option<WorkerId>,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken at {:?}, event {}", self.law, self.at, self.seq)?;
        if let Some(lane) = self.lane {
            write!(f, ", {}", lane.as_str())?;
        }
        if let Some(CallNo(call)) = self.call {
            write!(f, ", call {call}")?;
        }
        if let Some(worker) = self.worker {
            write!(f, ", worker {worker}")?;
        }
        write!(f, ": {} ({})", self.text, self.law.statement())
    }
}

/// How often a law was put to the test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How often it was checked.
    pub checked: u64,
    /// How often the run was in the state that makes it interesting. A law with none here was
    /// not tested, however often it was checked.
    pub sometimes: u64,
}

/// Takes every checker's findings.
#[derive(Clone, Debug)]
pub(super) struct Docket {
    tallies: [Tally; Law::ALL.len()],
    violations: Vec<Violation>,
    /// Where the run is: findings are about this event, or about what led to it.
    stamp: Stamp,
    call: Option<CallNo>,
    worker: Option<WorkerId>,
}

impl Docket {
    pub(super) fn new() -> Self {
        let stamp = Stamp { at: Moment::ZERO, seq: 0, lane: None };
        let tallies = [Tally::default(); Law::ALL.len()];
        Self { tallies, violations: Vec::new(), stamp, call: None, worker: None }
    }

    /// What follows is about this event.
    #[inline]
    pub(super) fn turn_to(&mut self, stamp: Stamp, event: &Event) {
        self.stamp = stamp;
        (self.call, self.worker) = subject(event);
    }

    /// What follows is about the run as a whole.
    pub(super) fn turn_to_the_end(&mut self) {
        (self.stamp.lane, self.call, self.worker) = (None, None, None);
    }

    /// The law was put to the test; if it does not hold, `text` says what is wrong.
    #[inline]
    pub(super) fn check(&mut self, law: Law, holds: bool, text: impl FnOnce() -> String) {
        self.tallies[law as usize].checked += 1;
        if !holds {
            self.broken(law, text());
        }
    }

    /// The run has reached the state that makes the law interesting.
    #[inline]
    pub(super) fn sometimes(&mut self, law: Law, reached: bool) {
        self.tallies[law as usize].sometimes += u64::from(reached);
    }

    #[cold]
    fn broken(&mut self, law: Law, text: String) {
        if self.violations.len() < MAX_VIOLATIONS {
            let Stamp { at, seq, lane } = self.stamp;
            let (call, worker) = (self.call, self.worker);
            self.violations.push(Violation { law, at, seq, lane, call, worker, text });
        }
    }

    pub(super) fn tally(&self, law: Law) -> Tally {
        self.tallies[law as usize]
    }

    pub(super) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    #[inline]
    pub(super) fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

/// The call and the worker that an event is about.
#[inline]
fn subject(event: &Event) -> (Option<CallNo>, Option<WorkerId>) {
    match *event {
        Event::Submit { call, .. }
        | Event::Route { call, .. }
        | Event::Enqueue { call, .. }
        | Event::Cancel { call } => (Some(call), None),
        Event::Lease { call, worker }
        | Event::Dispatch { call, worker, .. }
        | Event::Executes { call, worker }
        | Event::Reply { call, worker, .. }
        | Event::Broke { call, worker, .. }
        | Event::Abandon { call, worker } => (Some(call), Some(worker)),
        Event::Done { call, worker, .. } => (Some(call), worker),
        Event::Writes { worker, .. }
        | Event::Start { worker }
        | Event::Ready { worker }
        | Event::StartFailed { worker, .. }
        | Event::Probe { worker }
        | Event::Probed { worker, .. }
        | Event::Stop { worker, .. }
        | Event::Terminate { worker }
        | Event::Closes { worker }
        | Event::Exit { worker, .. }
        | Event::Reaped { worker } => (None, Some(worker)),
        Event::Fault { worker, .. } => (None, worker),
        Event::EndSession { .. }
        | Event::Config { .. }
        | Event::Resize { .. }
        | Event::Drain { .. }
        | Event::Drained
        | Event::Heal { .. }
        | Event::Stall { .. }
        | Event::Phase { .. } => (None, None),
    }
}
