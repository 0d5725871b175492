//! What verdicts are made from.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::call::Class;
use crate::router::guard::arms::{Arm, Arms, Shares};
use crate::router::guard::comparison::Comparison;
use crate::router::guard::fuse::{CrashLoop, InARow};
use crate::router::guard::metric::Metric;
use crate::router::guard::risk::RiskSets;
use crate::router::guard::sample_ratio::SampleRatio;
use crate::router::guard::settings::Settings;
use crate::router::policy::Percents;

/// Everything that is known about a build of V3, from one process or from several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    build: String,
    step: u64,
    comparisons: BTreeMap<Metric, Comparison>,
    /// How often V3 answered as V2 did, by command: each pair, also of sessions that are not
    /// judged. As many names as there are strata.
    #[serde(default)]
    matches: BTreeMap<String, u64>,
    /// The units that were routed.
    pub routed: Tally,
    /// The units that were compared in shadow.
    pub compared: Tally,
    /// Failures one after the other.
    pub in_a_row: InARow,
    /// Deaths of workers.
    pub crash_loop: CrashLoop,
    /// Draws of each class, in the order of [`Class::ALL`].
    ratios: [SampleRatio; 3],
}

/// How many units there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// The weight of all strata in a difference of shares.
    pub weight: f64,
    /// Since the build came.
    pub units: Arms,
    /// Sessions, each once, and anonymous calls: drawn in this step, of the classes that it
    /// raised.
    pub step: Arms,
}

/// Evidence that cannot be added up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "one process judges build {ours} of V3, another {theirs}, or their plans differ: let every \
     process run the same build and plan before the ramp goes on"
)]
pub struct Disagreement {
    ours: String,
    theirs: String,
}

impl Evidence {
    pub(super) fn new(build: &str, settings: &Settings, strata: usize) -> Self {
        let compare = |metric: &Metric| {
            let bounds = &settings.bounds[metric];
            (*metric, Comparison::new(bounds.tolerated, bounds.unacceptable, strata))
        };
        let within = Duration::from_millis(settings.crash_loop_within_ms);
        Self {
            build: build.to_owned(),
            step: 0,
            comparisons: settings.bounds.keys().map(compare).collect(),
            matches: BTreeMap::new(),
            routed: Tally::default(),
            compared: Tally::default(),
            in_a_row: InARow::new(settings.in_a_row),
            crash_loop: CrashLoop::new(settings.crash_loop, within),
            ratios: Default::default(),
        }
    }

    pub(super) fn begin_step(&mut self, step: u64, settings: &Settings) {
        self.step = step;
        for (metric, comparison) in &mut self.comparisons {
            comparison.begin_step(settings.bounds[metric].unacceptable);
        }
    }

    pub(super) fn intend(&mut self, percents: &Percents) {
        for (ratio, class) in self.ratios.iter_mut().zip(Class::ALL) {
            ratio.intend(percents.of(class));
        }
    }

    pub(super) fn bad(
        &mut self,
        metric: Metric,
        stratum: usize,
        shares: Shares,
        arm: Arm,
        proving: bool,
    ) {
        if let Some(comparison) = self.comparisons.get_mut(&metric) {
            comparison.bad(stratum, shares, arm, proving);
        }
    }

    pub(super) fn matched(&mut self, command: &str) {
        match self.matches.get_mut(command) {
            Some(matches) => *matches += 1,
            None => drop(self.matches.insert(command.to_owned(), 1)),
        }
    }

    pub(super) fn drew(&mut self, class: Class, draws: Arms) {
        self.ratios[class as usize].drew(draws);
    }

    /// The build of V3 that it is about.
    #[must_use]
    pub fn build(&self) -> &str {
        &self.build
    }

    /// The step that proofs are about.
    #[must_use]
    pub const fn step(&self) -> u64 {
        self.step
    }

    /// The evidence of each guard.
    pub fn comparisons(&self) -> impl Iterator<Item = (Metric, &Comparison)> {
        self.comparisons.iter().map(|(metric, comparison)| (*metric, comparison))
    }

    /// How often V3 answered a command as V2 did, in shadows of live calls.
    #[must_use]
    pub fn matches(&self, command: &str) -> u64 {
        self.matches.get(command).copied().unwrap_or(0)
    }

    /// The units that a metric is about.
    #[must_use]
    pub const fn tally(&self, metric: Metric) -> Tally {
        match metric {
            Metric::Mismatches => self.compared,
            _ => self.routed,
        }
    }

    /// The draws of each class.
    pub fn ratios(&self) -> impl Iterator<Item = (Class, &SampleRatio)> {
        Class::ALL.into_iter().zip(&self.ratios)
    }

    /// Adds what another process knows. Its sessions are others, and are strata of their own, so
    /// e-values multiply and counts add up. What it says of another step proves nothing here.
    ///
    /// # Errors
    /// If it is about another build, or was gathered by another plan; nothing is added then.
    pub fn absorb(&mut self, other: &Self) -> Result<(), Disagreement> {
        let disagreement =
            || Disagreement { ours: self.build.clone(), theirs: other.build.clone() };
        let alike = self.comparisons.len() == other.comparisons.len()
            && self.comparisons().all(|(metric, ours)| {
                other.comparisons.get(&metric).is_some_and(|theirs| ours.is_like(theirs))
            });
        if self.build != other.build || !alike {
            return Err(disagreement());
        }
        let same_step = self.step == other.step;
        for (metric, comparison) in &mut self.comparisons {
            comparison.absorb(&other.comparisons[metric], same_step);
        }
        for (command, more) in &other.matches {
            *self.matches.entry(command.clone()).or_default() += more;
        }
        self.routed.absorb(other.routed, same_step);
        self.compared.absorb(other.compared, same_step);
        self.in_a_row.absorb(&other.in_a_row);
        self.crash_loop.absorb(&other.crash_loop);
        for (ours, theirs) in self.ratios.iter_mut().zip(&other.ratios) {
            ours.absorb(theirs);
        }
        Ok(())
    }
}

impl Tally {
    pub(super) fn of(risk: &RiskSets, raised: &[Class]) -> Self {
        Self { weight: risk.weight(), units: risk.units(), step: risk.latest(raised) }
    }

    fn absorb(&mut self, other: Self, same_step: bool) {
        self.weight += other.weight;
        self.units = self.units.plus(other.units);
        if same_step {
            self.step = self.step.plus(other.step);
        }
    }
}
