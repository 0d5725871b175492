//! A plan's file, checked against the config of the service that it is for. What is wrong with it
//! is exit 4, as with the config itself.

use std::path::Path;

use poolshift::config::{Config, SessionLane};
use poolshift::machine::retry::Share;
use poolshift::router::guard::Metric;
use poolshift::router::ramp::{BadPlan, Plan};

use crate::cli::failure::Failure;

/// Reads a plan that goes on in a service of this config.
pub(super) fn read(path: &Path, config: &Config) -> Result<Plan, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Config(format!("cannot read {shown}: {error}")))?;
    let commands: Vec<&str> = config.commands.by_name().into_keys().collect();
    let plan = Plan::parse(&text, &commands).and_then(|plan| fitting(plan, config));
    plan.map_err(|error| Failure::Config(format!("{shown} is refused: {error}")))
}

/// The standard plan, if it goes on in such a service.
pub(super) fn standard(config: &Config) -> Result<Plan, Failure> {
    let plan = fitting(Plan::standard(), config);
    plan.map_err(|error| Failure::Config(format!("the standard plan is refused: {error}")))
}

fn fitting(plan: Plan, config: &Config) -> Result<Plan, BadPlan> {
    match config.rollout.session_lane {
        SessionLane::Whole => plan.for_whole_sessions(),
        SessionLane::PerClass => Ok(plan),
    }
}

/// Whether what the plan asks of shadows can ever be shown where they are sampled so.
pub(super) fn check_shadows(plan: &Plan, config: &Config) -> Result<(), Failure> {
    if !plan.guards.bounds.contains_key(&Metric::Mismatches) {
        return Ok(());
    }
    let problem = match config.shadow.noise == Share::NONE {
        _ if !config.samples_shadows() => "sample = 0 in [shadow], so there is nothing to compare",
        true => "noise = 0 in [shadow], so nothing shows how V2 differs from itself",
        false => return Ok(()),
    };
    Err(Failure::Config(format!("the plan has [guards.mismatches], but the config {problem}")))
}
