//! `poolshift rollout`: look at the rollout, and change it in running processes.

mod bucket;
mod change;
pub(crate) mod course;
mod drill;
mod explain;
mod history;
mod ramp;
mod show;
mod wait;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use poolshift::Class;
use poolshift::config::{Config, Survey};
use poolshift::router::draft::Action;
use poolshift::router::edit::EditError;
use poolshift::router::paths::RolloutPaths;
use poolshift::router::policy::Percents;

use crate::cli::failure::Failure;
use crate::cli::rollout::change::{ChangeArgs, SetArgs};
use crate::cli::stdout;

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// What the rollout file says, and which running processes follow it
    Show,
    /// Set V3's share, in percent, to three decimals
    Set(SetArgs),
    /// Everything to V2, live sessions too, from the next call on
    Kill(ChangeArgs),
    /// Take the kill switch back: the shares of before hold again for new sessions
    Unkill(ChangeArgs),
    /// V3's share to 0, for live sessions too; calls that wait in V3 finish there
    Rollback(ChangeArgs),
    /// Move classes from stage to stage
    Stage(ramp::StageArgs),
    /// A plan that raises V3's share by itself, step by step, on evidence
    #[command(subcommand)]
    Ramp(ramp::RampCommand),
    /// Try the kill switch on a canary that no caller meets, and time it
    Drill(drill::DrillArgs),
    /// The audited changes, oldest first
    History(history::HistoryArgs),
    /// Where a call would go, and why
    Explain(explain::ExplainArgs),
    /// The bucket of a session, from 0 to 99999: it is in V3 if that is below percent x 1000
    Bucket(bucket::BucketArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RolloutArgs {
    #[command(flatten)]
    pub(crate) which: RolloutFileArg,
    #[command(subcommand)]
    command: RolloutCommand,
}

/// The rollout file, for those whose config does not say.
#[derive(Debug, Args)]
pub(crate) struct RolloutFileArg {
    /// The rollout file [default: the config's `[rollout] file`]
    #[arg(long, global = true, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl RolloutFileArg {
    /// The config with the rollout file that is meant. A mistake elsewhere in the config must not
    /// keep anybody from the kill switch, so all that is asked of it is where the file is.
    pub(crate) fn config(self, survey: Survey) -> Result<Config, Failure> {
        let Survey { config, rollout_file, .. } = survey;
        let mut config = match (config, self.file.clone().or(rollout_file)) {
            (Ok(config), _) => config,
            (Err(error), None) => {
                stdout::aside("name the rollout file with --file to do without the config");
                return Err(error.into());
            }
            (Err(error), Some(file)) => {
                let shown = file.display();
                stdout::aside(&format!("note: the config is wrong, going by {shown}:\n{error}"));
                let mut config = Config::default();
                config.rollout.file = file;
                config
            }
        };
        if let Some(file) = self.file {
            config.rollout.file = file;
        }
        Ok(config)
    }
}

pub(crate) async fn rollout(survey: Survey, args: RolloutArgs, json: bool) -> Result<(), Failure> {
    let config = args.which.config(survey)?;
    let paths = RolloutPaths::of(&config.rollout.file);
    match args.command {
        RolloutCommand::Show => show::show(&config, &paths, json),
        RolloutCommand::Set(args) => {
            let SetArgs { percent, class, all, change } = args;
            let action = Action::Set { percent, class, all };
            change::change(&paths, action, change, json).await
        }
        RolloutCommand::Kill(args) => change::change(&paths, Action::Kill, args, json).await,
        RolloutCommand::Unkill(args) => change::change(&paths, Action::Unkill, args, json).await,
        RolloutCommand::Rollback(args) => {
            change::change(&paths, Action::Rollback, args, json).await
        }
        RolloutCommand::Stage(args) => ramp::stage(&paths, args, json).await,
        RolloutCommand::Ramp(command) => ramp::ramp(&config, &paths, command, json).await,
        RolloutCommand::Drill(args) => drill::drill(&paths, args, json).await,
        RolloutCommand::History(args) => history::history(&paths, args, json),
        RolloutCommand::Explain(args) => explain::explain(&config, &paths, args, json),
        RolloutCommand::Bucket(args) => bucket::bucket(args, json),
    }
}

/// "read 10 %, write 10 %, critical 0 %", or one share if all are alike.
pub(crate) fn shares(percents: &Percents) -> String {
    let of = Class::ALL.map(|class| (class.as_str(), percents.of(class)));
    if of.iter().all(|(_, percent)| *percent == of[0].1) {
        return format!("{} %", of[0].1);
    }
    of.map(|(name, percent)| format!("{name} {percent} %")).join(", ")
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        Self::failed(error)
    }
}
