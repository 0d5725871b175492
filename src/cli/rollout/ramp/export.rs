//! `poolshift rollout ramp export --flagd`.

use clap::{ArgGroup, Args};
use poolshift::config::{Config, SessionLane};
use poolshift::router::flagd::definition;
use poolshift::router::paths::RolloutPaths;
use poolshift::router::policy::Policy;

use crate::cli::failure::Failure;
use crate::cli::rollout::show;
use crate::cli::stdout;

/// The rollout file as it is; running processes may be behind.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("format").required(true).args(["flagd"]))]
pub(crate) struct ExportArgs {
    /// As a flagd definition, whose `fractional` gives each session the lane that it gets here;
    /// its context is targetingKey (the session, else the call's id), session, command, class,
    /// and an object attrs
    #[arg(long)]
    flagd: bool,
}

/// A definition is JSON with or without `--json`.
pub(super) fn export(
    config: &Config,
    paths: &RolloutPaths,
    args: &ExportArgs,
) -> Result<(), Failure> {
    assert!(args.flagd, "clap asks for a format, and there is one");
    let whole = config.rollout.session_lane == SessionLane::Whole;
    let initial = Policy::initial(&config.rollout.flag, whole);
    let policy = show::file(paths)?.map_or(initial.clone(), |file| file.policy(&initial));
    stdout::json(&definition(&policy).map_err(Failure::failed)?)
}
