//! How a ramp goes, as commands tell it.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use poolshift::clock::Wall;
use poolshift::router::file::RolloutFile;
use poolshift::router::paths::RolloutPaths;
use poolshift::router::ramp::{Check, Finding, Plan, Position, RampMark, Says, Verdict};
use poolshift::router::shelf;
use poolshift::shim::board::Board;
use serde::Serialize;

/// The ramp of a rollout file, and the last verdict about it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Course {
    pub(super) ramp: Option<RampMark>,
    /// The step of the plan, from 1; 0 is before the first.
    pub(super) step: Option<usize>,
    /// How many steps the plan has; none if it cannot be read.
    pub(super) steps: Option<usize>,
    pub(super) verdict: Option<Says>,
    /// When the verdict was made.
    pub(super) at: Option<String>,
    /// The strongest evidence of harm of any guard.
    pub(super) e_value: Option<f64>,
    pub(super) reasons: Vec<String>,
    /// The commands of the gauntlet, before the first step.
    pub(super) gauntlet: BTreeMap<String, Passed>,
}

/// How far a command has come through the gauntlet.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Passed {
    /// How often V3 answered as V2 did, live and in runs of recorded calls.
    pub(super) matches: u64,
    /// How often it must.
    pub(super) wanted: u64,
}

impl Course {
    pub(super) fn of(paths: &RolloutPaths, file: Option<&RolloutFile>, board: &Board) -> Self {
        let Some(mark) = file.and_then(|file| file.ramp.clone()) else { return Self::default() };
        let plan = shelf::plan(paths, &mark.plan).ok();
        let verdict = last_verdict(board);
        let reasons = verdict.map(Verdict::reason).unwrap_or_default();
        let reasons = reasons.into_iter().map(str::to_owned).collect();
        Self {
            step: step(mark.position, plan.as_ref()),
            steps: plan.map(|plan| plan.steps.len()),
            verdict: verdict.map(|verdict| verdict.verdict),
            at: verdict.map(|verdict| text(verdict.at)),
            e_value: verdict.and_then(Verdict::e_value),
            reasons,
            gauntlet: verdict.map(gauntlet).unwrap_or_default(),
            ramp: Some(mark),
        }
    }

    /// For people; nothing while no ramp is under way.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Some(mark) = &self.ramp else { return Vec::new() };
        let of = self.steps.map_or("a plan that cannot be read".to_owned(), |n| format!("{n}"));
        let place = match mark.position {
            Position::Shadow => format!("before step 1 of {of}"),
            Position::Step(index) => format!("step {} of {of}", index + 1),
            Position::Done => format!("all of {of} steps done"),
        };
        let build = &mark.build;
        let mut lines = vec![format!("ramp of {build}: {place}, since {}", text(mark.since_ms))];
        match (self.verdict, &self.at) {
            (Some(says), Some(at)) => {
                lines.push(format!("last verdict: {} (at {at})", says.as_str()));
                lines.extend(self.reasons.iter().map(|reason| format!("  {reason}")));
            }
            _ => lines.push("no running process has judged it yet".to_owned()),
        }
        lines
    }
}

/// What the process that steers has said.
pub(super) fn last_verdict(board: &Board) -> Option<&Verdict> {
    let said = board.live.iter().filter_map(|status| status.last_verdict.as_ref());
    said.max_by_key(|verdict| verdict.at)
}

fn gauntlet(verdict: &Verdict) -> BTreeMap<String, Passed> {
    let findings = verdict.findings.iter().filter(|finding| finding.check == Check::Gauntlet);
    let of = |finding: &Finding| {
        let passed = Passed { matches: finding.value as u64, wanted: finding.bound as u64 };
        Some((finding.about.clone()?, passed))
    };
    findings.filter_map(of).collect()
}

fn step(position: Position, plan: Option<&Plan>) -> Option<usize> {
    match position {
        Position::Shadow => Some(0),
        Position::Step(index) => Some(index + 1),
        Position::Done => plan.map(|plan| plan.steps.len()),
    }
}

pub(super) fn text(at: Wall) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(at.as_millis());
    humantime::format_rfc3339_millis(at).to_string()
}
