//! `poolshift rollout`: look at the rollout, and change it in running processes.

mod bucket;
mod change;
mod explain;
mod history;
mod show;
mod wait;

use clap::Subcommand;
use poolshift::Lane;
use poolshift::config::Config;
use poolshift::router::edit::EditError;
use poolshift::router::paths::RolloutPaths;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;

use crate::cli::failure::Failure;
use crate::cli::rollout::change::{ChangeArgs, SetArgs};

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
    /// The audited changes, oldest first
    History(history::HistoryArgs),
    /// Where a call would go, and why
    Explain(explain::ExplainArgs),
    /// The bucket of a session, from 0 to 99999: it is in V3 if that is below percent x 1000
    Bucket(bucket::BucketArgs),
}

pub(crate) async fn rollout(
    config: Config,
    command: RolloutCommand,
    json: bool,
) -> Result<(), Failure> {
    use poolshift::router::draft::Action;
    let paths = RolloutPaths::of(&config.rollout.file);
    match command {
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
        RolloutCommand::History(args) => history::history(&paths, args, json),
        RolloutCommand::Explain(args) => explain::explain(&config, &paths, args, json),
        RolloutCommand::Bucket(args) => bucket::bucket(args, json),
    }
}

/// "read 10 %, write 10 %, critical 0 %", or one share if all are alike.
pub(crate) fn shares(percents: &Percents) -> String {
    use poolshift::Class;
    let of = Class::ALL.map(|class| (class.as_str(), percents.of(class)));
    if of.iter().all(|(_, percent)| *percent == of[0].1) {
        return format!("{} %", of[0].1);
    }
    of.map(|(name, percent)| format!("{name} {percent} %")).join(", ")
}

/// The command line's word for a lane that a percentage gives.
fn lane(percent: Percent, bucket: u32) -> Lane {
    if bucket < percent.buckets() { Lane::V3 } else { Lane::V2 }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        Self::failed(error)
    }
}
