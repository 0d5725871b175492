//! From evidence and conditions to a verdict: kill > rollback > hold > advance.

mod findings;
mod proof;

use std::collections::BTreeMap;

use crate::call::Class;
use crate::clock::Wall;
use crate::router::guard::strata::Strata;
use crate::router::guard::{Evidence, Metric};
use crate::router::ramp::assessment::findings::Note;
use crate::router::ramp::conditions::{Capacity, Drill};
use crate::router::ramp::machine::{Position, Ramp};
use crate::router::ramp::verdict::{Check, Finding, Says, Verdict};
use crate::router::stage::Stage;

/// What is known besides the ramp itself.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The present.
    pub now: Wall,
    /// What the guards of all processes know together; none before they have told.
    pub evidence: Option<&'a Evidence>,
    /// The commands by their strata, to name the one that is worst.
    pub strata: &'a Strata,
    /// Whether the kill switch is on.
    pub killed: bool,
    /// What V2 could take; none if nobody knows.
    pub capacity: Option<Capacity>,
    /// The last drill; none if there was none.
    pub drill: Option<Drill>,
    /// How often each command was answered alike in runs of recorded calls; none if there were
    /// no such runs of this build.
    pub corpora: Option<&'a BTreeMap<String, u64>>,
}

/// Judges a ramp. In every state: a paused ramp is rolled back like any other.
#[must_use]
pub fn assess(ramp: &Ramp, situation: &Situation<'_>) -> Verdict {
    let mut findings = standing(ramp, situation);
    match situation.evidence {
        Some(evidence) => {
            findings.extend(findings::safety(ramp, evidence, situation.strata));
        }
        None => findings.push(
            Note::new(Check::Step, "no data = hold")
                .says(Says::Hold, "the guards have told nothing yet".to_owned()),
        ),
    }
    if ramp.position() != Position::Done {
        findings.extend(findings::conditions(ramp, situation));
        findings.extend(proof::findings(ramp, situation));
    } else {
        let done = "every step of the plan is done".to_owned();
        findings.push(Note::new(Check::Step, "steps left = 0").says(Says::Hold, done));
    }
    Verdict {
        verdict: Verdict::strongest(&findings),
        at: situation.now,
        position: ramp.position(),
        step: ramp.number(),
        percents: ramp.percents(),
        build: situation.evidence.map(|evidence| evidence.build().to_owned()),
        findings,
    }
}

/// The kill switch, and what humans and earlier verdicts said.
fn standing(ramp: &Ramp, situation: &Situation<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if situation.killed || ramp.stages().are_killed() {
        let note = Note::new(Check::KillSwitch, "killed = 1").value(1.0, 1.0);
        findings.push(note.says(Says::Kill, "the kill switch is on".to_owned()));
    }
    for class in Class::ALL {
        let stage = ramp.stages().beneath(class);
        let waits_for = match stage {
            Stage::Hold => "resumes it",
            Stage::RolledBack => "clears it",
            _ => continue,
        };
        let reason = format!("{} is {} until a human {waits_for}", class.as_str(), stage.as_str());
        let note = Note::new(Check::Stage, "only a human ends hold and rolled_back");
        findings.push(note.about(class.as_str()).says(Says::Hold, reason));
    }
    findings
}

/// The metrics that the position must prove: shadows before the first step, calls after it.
fn is_to_prove(position: Position, metric: Metric) -> bool {
    (position == Position::Shadow) == (metric == Metric::Mismatches)
}
