//! What a run is found guilty of.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::checkers::{Checkers, Law, Tally};

/// A broken law.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
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
    /// How often each law was checked and put to the test.
    pub laws: BTreeMap<Law, Tally>,
    /// What was broken, in order.
    pub broken: Vec<Broken>,
}

impl Verdict {
    /// What the checkers say at the end of a run.
    #[must_use]
    pub fn of(checkers: &Checkers) -> Self {
        let broken = checkers.violations().iter().map(|violation| Broken {
            law: violation.law.as_str(),
            at_ns: violation.at.as_nanos(),
            seq: violation.seq,
            what: violation.to_string(),
        });
        Self { laws: checkers.laws(), broken: broken.collect() }
    }

    /// Takes what was found beside the run, too.
    pub fn add(&mut self, beside: Self) {
        for (law, Tally { checked, sometimes }) in beside.laws {
            let tally = self.laws.entry(law).or_default();
            tally.checked += checked;
            tally.sometimes += sometimes;
        }
        self.broken.extend(beside.broken);
    }

    /// The laws that were not put to the test.
    #[must_use]
    pub fn untested(&self) -> Vec<Law> {
        let idle = |tally: &Tally| tally.checked == 0 || tally.sometimes == 0;
        let untested = self.laws.iter().filter(|(_, tally)| idle(tally));
        untested.map(|(law, _)| *law).collect()
    }
}
