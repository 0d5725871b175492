//! A verdict, with everything that it was made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::router::policy::Percents;
use crate::router::ramp::machine::Position;

/// What is to be done, weakest first: each one beats those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// The next step may come.
    Advance,
    /// Everything stays as it is. Also the answer to no data.
    Hold,
    /// Everything back to V2.
    Rollback,
    /// The kill switch is on.
    Kill,
}

impl Says {
    /// The name used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Advance => "advance",
            Self::Hold => "hold",
            Self::Rollback => "rollback",
            Self::Kill => "kill",
        }
    }
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The kill switch.
    KillSwitch,
    /// Whether a class was rolled back, or a human paused the ramp.
    Stage,
    /// V3 beside V2.
    Harm,
    /// V3 against its limit.
    Limit,
    /// Failures one after the other.
    InARow,
    /// Deaths of workers.
    CrashLoop,
    /// The share that was served.
    SampleRatio,
    /// Whether V2 could take everything back.
    Capacity,
    /// Whether the kill switch was tried of late.
    Drill,
    /// Whether the evidence is of this step.
    Step,
    /// How long the step has been in force.
    Time,
    /// How many units it has seen.
    Units,
    /// Whether V3 is proven to be no worse.
    Proof,
    /// Whether a command has been answered alike often enough.
    Gauntlet,
}

impl Check {
    /// Whether a human may go on without it: patience and proof, never safety.
    #[must_use]
    pub const fn may_be_waived(self) -> bool {
        matches!(self, Self::Time | Self::Units | Self::Proof | Self::Gauntlet)
    }
}

/// One thing that was looked at: what it says, and how that can be computed again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// The metric or class that it is about, if it is about one.
    pub about: Option<String>,
    /// What it says.
    pub says: Says,
    /// How `value` and what it says follow from the inputs.
    pub formula: String,
    /// What went in, by the names in the formula.
    pub inputs: BTreeMap<String, f64>,
    /// What came out.
    pub value: f64,
    /// What it is held against.
    pub bound: f64,
    /// In words.
    pub reason: String,
}

/// What is to be done about the ramp.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The strongest of what the findings say.
    pub verdict: Says,
    /// When it was made.
    pub at: Wall,
    /// Where the ramp stood.
    pub position: Position,
    /// The number of its step; what was said about one says nothing about another.
    pub step: u64,
    /// The shares in force.
    pub percents: Percents,
    /// The build of V3 that was judged, if there was evidence.
    pub build: Option<String>,
    /// All that was looked at.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// The strongest word among the findings; without any, hold.
    #[must_use]
    pub fn strongest(findings: &[Finding]) -> Says {
        findings.iter().map(|finding| finding.says).max().unwrap_or(Says::Hold)
    }

    /// The same verdict, but for what speaks against going on.
    #[must_use]
    pub fn held_by(mut self, reason: String) -> Self {
        self.findings.push(Finding {
            check: Check::Step,
            about: None,
            says: Says::Hold,
            formula: "hold while processes do not agree".to_owned(),
            inputs: BTreeMap::new(),
            value: 0.0,
            bound: 0.0,
            reason,
        });
        self.verdict = Self::strongest(&self.findings);
        self
    }

    /// The evidence of harm at its strongest: the e-value of one guard, and what it is about.
    #[must_use]
    pub fn e_value(&self) -> Option<f64> {
        let harm = self.findings.iter().filter(|finding| finding.check == Check::Harm);
        let most = harm.map(|finding| finding.value).reduce(f64::max)?;
        Some(libm::exp(most).min(f64::MAX))
    }

    /// Why, in words: what decided it. Of a step that is taken, what it has shown; that nothing
    /// stood against it is said by each of the other findings.
    #[must_use]
    pub fn reason(&self) -> Vec<&str> {
        let shown =
            |finding: &&Finding| self.verdict != Says::Advance || finding.check.may_be_waived();
        self.reasons().filter(shown).map(|finding| finding.reason.as_str()).collect()
    }

    /// The findings that decided it.
    pub fn reasons(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.says == self.verdict)
    }
}
