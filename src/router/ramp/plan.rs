//! A ramp plan: which share of which class, for how long and on what evidence.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::call::Class;
use crate::router::guard::Settings;
use crate::router::percent::Percent;
use crate::router::policy::Percents;
use crate::router::ramp::reader;

/// Steps of one plan; more of them are a loop, not a plan.
pub const MAX_STEPS: usize = 32;

/// A plan that was read and checked: its steps only go up, no class is ahead of a safer one,
/// and each asks for evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The guards, and the errors that they may make.
    pub guards: Settings,
    /// V2 must be able to take everything back at this share (0-1) of its workers.
    pub max_v2_load: f64,
    /// The kill switch must have been tried within so many milliseconds before a step.
    pub max_drill_age_ms: u64,
    /// It must have been heard within so many milliseconds.
    pub max_drill_time_ms: u64,
    /// What is told of verdicts, if anybody is.
    #[serde(default)]
    pub on_verdict: Option<Hook>,
    /// What the shadow stage must show before the first step, if anything.
    pub shadow: Option<Proof>,
    /// The gauntlet: so many times V3 must have answered each of these commands as V2 did, live
    /// or in runs of recorded calls, before the first step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gauntlet: BTreeMap<String, u64>,
    /// The steps, at least one and at most [`MAX_STEPS`].
    pub steps: Vec<Step>,
}

/// A command that is run when the verdict has changed, with the verdict on its stdin as JSON.
/// Nothing waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// After so many milliseconds it is killed.
    pub timeout_ms: u64,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The classes that it raises, safest first.
    pub classes: Vec<Class>,
    /// Their share in V3.
    pub percent: Percent,
    /// The share of every class while it is in force.
    pub percents: Percents,
    /// What it must show before the next one.
    pub proof: Proof,
}

/// The least that is asked for before the ramp goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// So many milliseconds have passed.
    pub min_time_ms: u64,
    /// So many units were seen in V3.
    pub min_units: u64,
}

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", problems.join("; "))]
pub struct BadPlan {
    /// Each with its line.
    pub problems: Vec<String>,
}

impl Plan {
    /// Reads a plan's text. `commands` are those that the config knows.
    ///
    /// # Errors
    /// With what is wrong and where. What TOML itself cannot read, and a key that no plan has,
    /// are reported one at a time; all else at once.
    pub fn parse(text: &str, commands: &[&str]) -> Result<Self, BadPlan> {
        reader::read(text, commands).map_err(|problems| BadPlan { problems })
    }

    /// The customer's order: read commands first, then writes, then critical ones.
    ///
    /// # Panics
    /// Never: a test reads it.
    #[must_use]
    pub fn standard() -> Self {
        Self::parse(Self::STANDARD, &[]).expect("the standard plan is a good one")
    }

    /// The text of [`Plan::standard`], to start one's own from.
    pub const STANDARD: &str = include_str!("standard.toml");

    /// The plan, if it goes on where the lowest share governs whole sessions.
    ///
    /// # Errors
    /// With each step that would leave that share where it was: nobody new would be in V3, and
    /// nothing be proven.
    pub fn for_whole_sessions(self) -> Result<Self, BadPlan> {
        let mut before = Percent::ZERO;
        let mut problems = Vec::new();
        for (number, step) in (1..).zip(&self.steps) {
            let lowest = step.percents.of(Class::Critical);
            if lowest <= before {
                problems.push(format!(
                    "step {number} leaves critical at {before} %, and with session_lane = \
                     \"whole\" the lowest share governs every session; raise all classes \
                     together, by steps without class"
                ));
            }
            before = lowest;
        }
        if problems.is_empty() { Ok(self) } else { Err(BadPlan { problems }) }
    }

    /// How old the last drill may be.
    #[must_use]
    pub const fn max_drill_age(&self) -> Duration {
        Duration::from_millis(self.max_drill_age_ms)
    }
}
