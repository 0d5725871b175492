//! Guards: is V3 worse than V2, beside each other, on the same traffic?
//!
//! [`Guards`] hears of calls and keeps books; [`Evidence`] is what verdicts are made from. A good
//! call changes nothing but counts of units; a bad one costs a few dozen logarithms. Nothing
//! here reads a clock: the state is data, and is the same after it was stored and read again.

pub mod arms;
pub mod comparison;
pub mod evidence;
pub mod fuse;
pub mod limit;
pub mod metric;
pub mod mixture;
pub mod risk;
pub mod sample_ratio;
pub mod settings;
pub mod slow;
pub mod strata;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::router::guard::arms::{Arm, Arms, Shares};
pub use crate::router::guard::evidence::Evidence;
pub use crate::router::guard::metric::{Metric, Metrics};
pub use crate::router::guard::risk::{Marks, Unit};
pub use crate::router::guard::settings::{Bounds, Settings};

use crate::call::Class;
use crate::clock::Wall;
use crate::error::Outcome;
use crate::router::guard::evidence::Tally;
use crate::router::guard::risk::RiskSets;
use crate::router::guard::slow::Thresholds;
use crate::router::guard::strata::Strata;
use crate::router::percent::Percent;
use crate::router::policy::Percents;

/// The percentages by which units are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// V3's share of each class; where the lowest share governs whole sessions, that one for all.
    pub calls: Percents,
    /// The share of shadow comparisons that are of V3 with V2; the others are of V2 with itself.
    pub comparisons: Percent,
}

/// The books of one process about one build of V3.
///
/// Told of first attempts only (R15), and not of calls whose lane was forced. A session is
/// judged if it has [`Guards::mark`]s from its first call, so only those count that began since
/// the ramp did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guards {
    settings: Settings,
    strata: Strata,
    slow: Thresholds,
    routed: RiskSets,
    compared: RiskSets,
    /// The classes whose V3 share the step under way raised.
    proving: Vec<Class>,
    evidence: Evidence,
}

impl Guards {
    /// No evidence yet about this build; `slow` was frozen before.
    #[must_use]
    pub fn new(build: &str, settings: Settings, strata: Strata, slow: Thresholds) -> Self {
        let evidence = Evidence::new(build, &settings, strata.count());
        let (routed, compared) = (RiskSets::new(strata.clone()), RiskSets::new(strata.clone()));
        Self { settings, strata, slow, routed, compared, proving: Vec::new(), evidence }
    }

    /// The books as another build of V3 finds them: empty, unless it is the same build. Nothing
    /// else clears evidence of harm.
    #[must_use]
    pub fn for_build(self, build: &str) -> Self {
        if self.evidence.build() == build {
            return self;
        }
        Self::new(build, self.settings, self.strata, self.slow)
    }

    /// A step of the ramp is in force, which raised these classes. `step` numbers it, the same
    /// in each process.
    pub fn begin_step(&mut self, step: u64, drawn: Drawn, proving: &[Class]) {
        self.proving = proving.to_vec();
        self.evidence.begin_step(step, &self.settings);
        self.begin_cohort(drawn);
    }

    /// Other percentages are in force, or this process began anew: it has lost its pins.
    pub fn begin_cohort(&mut self, drawn: Drawn) {
        self.routed.begin_cohort(drawn.calls);
        self.compared.begin_cohort(Percents::all(drawn.comparisons));
        self.evidence.intend(&drawn.calls);
    }

    /// Marks for a session that is drawn now; none before the first step.
    #[must_use]
    pub fn mark(&self) -> Option<Marks> {
        self.routed.mark()
    }

    /// The stratum of a command, to ask [`Marks::has_used`] with.
    #[must_use]
    pub fn stratum(&self, command: &str) -> usize {
        self.strata.of(command)
    }

    /// A call ended. A good call of a session that [`Marks::has_used`] the command may be left
    /// out.
    pub fn called(
        &mut self,
        unit: &mut Unit<'_>,
        command: &str,
        arm: Arm,
        outcome: Outcome,
        total: Duration,
    ) {
        if let Some(bad) = Metrics::of(outcome, command, total, &self.slow) {
            self.note(true, unit, command, arm, bad);
        }
    }

    /// V3 answered a call as V2 did. Told of each pair, whether or not its session is judged.
    pub fn matched(&mut self, command: &str) {
        let stratum = self.strata.of(command);
        self.evidence.matched(self.strata.name(stratum));
    }

    /// A shadow comparison ended: of V3 with V2, or of V2 with itself (the control).
    pub fn compared(&mut self, unit: &mut Unit<'_>, command: &str, arm: Arm, differs: bool) {
        let bad = if differs { Metrics::only(Metric::Mismatches) } else { Metrics::NONE };
        self.note(false, unit, command, arm, bad);
    }

    fn note(&mut self, routed: bool, unit: &mut Unit<'_>, command: &str, arm: Arm, bad: Metrics) {
        let stratum = self.strata.of(command);
        let risk = if routed { &mut self.routed } else { &mut self.compared };
        // Before it enters: a unit's own lane must not move the share that it is judged by.
        let arrived = risk.arrived(unit, stratum).filter(|_| !routed);
        let shares = bad.iter().map(|metric| {
            let shares = risk.shares(unit, stratum, metric);
            (metric, shares.map(|shares| Shares { arrived, ..shares }))
        });
        let shares: Vec<_> = shares.collect();
        risk.enter(unit, stratum, arm);
        for (metric, shares) in shares {
            let Some(bounds) = self.settings.bounds.get(&metric) else { continue };
            if bounds.ignore.iter().any(|ignored| ignored == command) {
                continue;
            }
            let (Some(latest), Some(shares)) = (risk.bad(unit, metric), shares) else { continue };
            let raised = !routed || self.proving.contains(&self.strata.class(stratum));
            self.evidence.bad(metric, stratum, shares, arm, latest && raised);
        }
    }

    /// V3 failed a first attempt, after `good` good answers in all. A session counts once: one
    /// that fails at each call is one fault, and alone in V3 it would burn the fuse by itself.
    pub fn v3_failed(&mut self, unit: &mut Unit<'_>, good: u64) {
        let again = match unit {
            Unit::Session(marks) => marks.failed_again(),
            Unit::Anonymous => false,
        };
        if !again {
            self.evidence.in_a_row.failed(good);
        }
    }

    /// One of V3's workers died that had been ready.
    pub fn v3_worker_died(&mut self, now: Wall) {
        self.evidence.crash_loop.died(now);
    }

    /// Draws of a class since the last look: first calls of sessions, and anonymous calls.
    pub fn drew(&mut self, class: Class, draws: Arms) {
        self.evidence.drew(class, draws);
    }

    /// What can be said now.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let mut evidence = self.evidence.clone();
        evidence.routed = Tally::of(&self.routed, &self.proving);
        evidence.compared = Tally::of(&self.compared, &Class::ALL);
        evidence
    }

    /// What the guards were set to.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The commands that they tell apart.
    #[must_use]
    pub const fn strata(&self) -> &Strata {
        &self.strata
    }
}
