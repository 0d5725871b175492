//! Laws, checked on the trace from outside.

mod conservation;

use std::collections::BTreeMap;

use poolshift::clock::Moment;
use serde::Serialize;

pub use conservation::Conservation;

use crate::trace::{Stamp, Watcher};

/// A watcher that judges by one law or a few.
pub trait Checker: Watcher {
    /// Adds what it has found.
    fn report(&self, verdict: &mut Verdict);
}

/// How often a law was checked, and how often the run was in the state that makes it hard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exercise {
    /// How often it was checked.
    pub checked: u64,
    /// How often the interesting state was reached: its *sometimes* twin.
    pub sometimes: u64,
}

/// A broken law.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The law, such as `S1`; `panic` if an assertion failed.
    pub law: &'static str,
    /// When, in nanoseconds.
    pub at_ns: u64,
    /// At which event.
    pub seq: u64,
    /// What happened, with numbers.
    pub what: String,
}

/// What all checkers found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Each law by its number.
    pub laws: BTreeMap<&'static str, Exercise>,
    /// What was broken, in the order of the checkers.
    pub violations: Vec<Violation>,
}

/// One law's books, for checkers to keep.
#[derive(Clone, Debug)]
pub struct Law {
    name: &'static str,
    /// How often it was exercised.
    pub exercise: Exercise,
    violations: Vec<Violation>,
}

/// A broken law is usually broken again and again; the first tell most.
const MOST_VIOLATIONS: usize = 10;

impl Law {
    /// A law that has not been checked.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let exercise = Exercise { checked: 0, sometimes: 0 };
        Self { name, exercise, violations: Vec::new() }
    }

    /// Checks it once; `what` is asked only if it is broken.
    #[inline]
    pub fn check(&mut self, holds: bool, stamp: Stamp, what: impl FnOnce() -> String) {
        self.exercise.checked += 1;
        if !holds {
            self.break_at(stamp.at, stamp.seq, what());
        }
    }

    /// The interesting state was reached, if so.
    #[inline]
    pub const fn sometimes(&mut self, reached: bool) {
        self.exercise.sometimes += reached as u64;
    }

    /// It is broken.
    #[cold]
    pub fn break_at(&mut self, at: Moment, seq: u64, what: String) {
        if self.violations.len() < MOST_VIOLATIONS {
            let law = self.name;
            self.violations.push(Violation { law, at_ns: at.as_nanos(), seq, what });
        }
    }

    /// Whether it has been broken.
    #[must_use]
    #[inline]
    pub const fn is_broken(&self) -> bool {
        !self.violations.is_empty()
    }

    /// Adds it to the verdict.
    pub fn report(&self, verdict: &mut Verdict) {
        verdict.laws.insert(self.name, self.exercise);
        verdict.violations.extend(self.violations.iter().cloned());
    }
}

impl<A: Checker, B: Checker> Checker for (A, B) {
    fn report(&self, verdict: &mut Verdict) {
        self.0.report(verdict);
        self.1.report(verdict);
    }
}
