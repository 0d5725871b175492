//! `poolshift rollout ramp` and `poolshift rollout stage`.

mod export;
mod forecast;
mod plan;
mod record;
mod simulate;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use poolshift::Class;
use poolshift::clock::Clock;
use poolshift::config::Config;
use poolshift::router::draft::Action;
use poolshift::router::file::RolloutFile;
use poolshift::router::paths::RolloutPaths;
use poolshift::router::ramp::{Ramp, RampMark};
use poolshift::router::shelf;
use poolshift::router::stage::Stage;
use poolshift::router::steer::{Steer, Unsteered, may_begin};
use poolshift::shim::board::StatusBoard;

use crate::cli::failure::Failure;
use crate::cli::rollout::change::{ChangeArgs, change, class};
use crate::cli::rollout::course::{last_verdict, text};
use crate::cli::rollout::drill::{DrillArgs, drill};
use crate::cli::rollout::show;

/// A verdict older than this was made by a process that steers no more.
const FRESH: Duration = Duration::from_secs(10);

#[derive(Debug, Subcommand)]
pub(crate) enum RampCommand {
    /// Begin a plan; running processes judge it each second and take its steps by themselves
    Start(StartArgs),
    /// Stop raising; shares stay, and a rollback is still made
    Pause(ChangeArgs),
    /// Go on raising
    Resume(ChangeArgs),
    /// To the next step without waiting for time, units and proof; nothing else can be waived
    Promote(ChangeArgs),
    /// End the ramp; the shares stay, and are set by hand from now on
    Stop(ChangeArgs),
    /// Try the kill switch on a canary that no caller meets, and time it
    Drill(DrillArgs),
    /// Replay recorded calls through the plan and its guards: where it would have rolled back
    Simulate(simulate::SimulateArgs),
    /// How long until a regression of 2, 5 and 10 times is seen, for each command
    Forecast(forecast::ForecastArgs),
    /// Print the rollout for services that are not ours
    Export(export::ExportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// The plan (TOML)
    plan: PathBuf,
    /// What V3 is called as it is now. Evidence about it is kept as long as it is called so
    /// [default: the moment of the start]
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    build: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StageArgs {
    /// off (also clears rolled_back), shadow, ramp, hold, complete, rolled_back
    #[arg(value_parser = stage_name)]
    stage: Stage,
    /// Only this class; without it every class that can make the move
    #[arg(long, value_parser = class, value_name = "read|write|critical")]
    class: Option<Class>,
    #[command(flatten)]
    change: ChangeArgs,
}

fn stage_name(text: &str) -> Result<Stage, String> {
    let known = Stage::ALL.into_iter().find(|stage| stage.as_str() == text);
    known.ok_or_else(|| format!("must be one of {}", Stage::ALL.map(Stage::as_str).join(", ")))
}

pub(super) async fn ramp(
    config: &Config,
    paths: &RolloutPaths,
    command: RampCommand,
    json: bool,
) -> Result<(), Failure> {
    match command {
        RampCommand::Start(args) => start(config, paths, args, json).await,
        RampCommand::Pause(args) => pause(paths, true, args, json).await,
        RampCommand::Resume(args) => pause(paths, false, args, json).await,
        RampCommand::Promote(args) => promote(paths, args, json).await,
        RampCommand::Stop(args) => {
            let file = show::file(paths)?.unwrap_or_default();
            steer(paths, &file, Steer::stop(&file)?, args, json).await
        }
        RampCommand::Drill(args) => drill(paths, args, json).await,
        RampCommand::Simulate(args) => simulate::simulate(config, args, json),
        RampCommand::Forecast(args) => forecast::forecast(config, paths, args, json),
        RampCommand::Export(args) => export::export(config, paths, &args),
    }
}

pub(super) async fn stage(
    paths: &RolloutPaths,
    args: StageArgs,
    json: bool,
) -> Result<(), Failure> {
    let file = show::file(paths)?.unwrap_or_default();
    let moved = Steer::stage(&file, args.stage, args.class)?;
    steer(paths, &file, moved, args.change, json).await
}

async fn start(
    config: &Config,
    paths: &RolloutPaths,
    args: StartArgs,
    json: bool,
) -> Result<(), Failure> {
    let StartArgs { plan, build, change } = args;
    let plan = plan::read(&plan, config)?;
    plan::check_shadows(&plan, config)?;
    let file = show::file(paths)?.unwrap_or_default();
    may_begin(&file)?;
    let now = Clock::wall();
    let name = shelf::plan_name(&plan);
    if !change.is_dry_run() {
        shelf::keep_plan(paths, &plan).map_err(|error| {
            let folder = paths.folder().display();
            Failure::Failed(format!("cannot keep the plan in {folder}: {error}"))
        })?;
    }
    let ramp = Ramp::start(plan, now);
    let mark = RampMark {
        plan: name,
        build: build.unwrap_or_else(|| format!("V3 of {}", text(now))).into(),
        position: ramp.position(),
        number: ramp.number(),
        since_ms: now,
    };
    let begin = Steer::ramp("ramp start", &ramp, &mark);
    let is_dry_run = change.is_dry_run();
    steer(paths, &file, begin, change, json).await?;
    if !is_dry_run {
        shelf::forget_others(paths, &mark).map_err(Failure::failed)?;
    }
    Ok(())
}

async fn pause(
    paths: &RolloutPaths,
    paused: bool,
    args: ChangeArgs,
    json: bool,
) -> Result<(), Failure> {
    let file = show::file(paths)?.unwrap_or_default();
    steer(paths, &file, Steer::pause(&file, paused)?, args, json).await
}

async fn promote(paths: &RolloutPaths, args: ChangeArgs, json: bool) -> Result<(), Failure> {
    let file = show::file(paths)?.unwrap_or_default();
    let mark = file.ramp.clone().ok_or(Unsteered::NoRamp)?;
    let plan = shelf::plan(paths, &mark.plan).map_err(Failure::Failed)?;
    let stages = file.stages(&file.percents.unwrap_or_default());
    let ramp = Ramp::of(plan, &mark, stages.with_kill_switch(file.killed));
    let mut ramp = ramp.ok_or_else(|| {
        Failure::failed("the rollout file names a step that its plan does not have")
    })?;
    let board = StatusBoard::beside(paths.file()).read().map_err(Failure::failed)?;
    let now = Clock::wall();
    let fresh = last_verdict(&board).filter(|verdict| now.since(verdict.at) < FRESH);
    let verdict = fresh.ok_or_else(|| {
        Failure::Unreachable("no running process judges the ramp, so nobody may go on".to_owned())
    })?;
    ramp.promote(verdict, now).map_err(|error| Failure::Gate(error.to_string()))?;
    steer(paths, &file, Steer::ramp("ramp promote", &ramp, &mark), args, json).await
}

/// Writes it, unless somebody has changed what it was made from.
async fn steer(
    paths: &RolloutPaths,
    file: &RolloutFile,
    steer: Steer,
    mut args: ChangeArgs,
    json: bool,
) -> Result<(), Failure> {
    args.expect_version(file.version.unwrap_or(0));
    change(paths, Action::Steer(Box::new(steer)), args, json).await
}

impl From<Unsteered> for Failure {
    fn from(error: Unsteered) -> Self {
        Self::failed(error)
    }
}
