//! `poolshift rollout set|kill|unkill|rollback`.

use std::time::Duration;

use clap::Args;
use poolshift::Class;
use poolshift::router::draft::Action;
use poolshift::router::edit::{Change, Changed, edit};
use poolshift::router::file::Standing;
use poolshift::router::paths::RolloutPaths;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::router::stage::{Stage, Stages};
use poolshift::shim::board::{Board, StatusBoard};
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::rollout::course::Course;
use crate::cli::rollout::explain::SUSPENDED;
use crate::cli::rollout::wait::{Waited, wait};
use crate::cli::rollout::{shares, show};
use crate::cli::stdout;

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// V3's share: 0 to 100, at most three decimals
    pub(super) percent: Percent,
    /// Only this class; without it the share of all classes that have none of their own
    #[arg(long, value_parser = class, value_name = "read|write|critical")]
    pub(super) class: Option<Class>,
    /// Drop the shares of single classes: this one then holds for all
    #[arg(long, conflicts_with = "class")]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

/// What every change understands.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Why, for the audit
    #[arg(long)]
    reason: Option<String>,
    /// Who, for the audit [default: the user who runs this]
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    actor: Option<String>,
    /// Refuse unless the file is still at this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    /// Wait at most this long, such as 1s, until every running process has it in force; exits
    /// with 1 if one has not by then, with 5 if none runs
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    wait: Option<Duration>,
    /// Say what would change, and change nothing
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
}

impl ChangeArgs {
    /// Whether nothing is to be changed.
    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// What is to be done was made from this version of the file.
    pub(super) fn expect_version(&mut self, version: u64) {
        self.if_version.get_or_insert(version);
    }
}

pub(super) fn class(text: &str) -> Result<Class, String> {
    let found = Class::ALL.into_iter().find(|class| class.as_str() == text);
    found.ok_or_else(|| "must be read, write or critical".to_owned())
}

/// What is printed of a change.
#[derive(Serialize)]
struct Report {
    action: String,
    version: u64,
    stage: Stage,
    percent: Option<Percent>,
    classes: Option<Percents>,
    flag: Option<String>,
    killed: bool,
    before: Option<Standing>,
    written: bool,
    remarks: Vec<String>,
    waited: Option<Waited>,
    stages: Stages,
    #[serde(flatten)]
    course: Course,
}

pub(super) async fn change(
    paths: &RolloutPaths,
    action: Action,
    args: ChangeArgs,
    json: bool,
) -> Result<(), Failure> {
    let ChangeArgs { reason, actor, if_version, wait: limit, dry_run } = args;
    let board = StatusBoard::beside(paths.file());
    // A file without a version is counted by each process itself: ours must be above theirs.
    // That they cannot be read must not stop a kill switch.
    let told = board.read();
    let running = match told {
        Ok(board) => board,
        Err(error) => {
            stdout::aside(&format!("cannot see running processes: {error}"));
            Board::default()
        }
    };
    let live = &running.live;
    let above = live.iter().map(|status| status.rollout.version).max().unwrap_or(0);
    let killed_anywhere = live.iter().any(|status| status.rollout.killed);
    if running.is_empty() && !json {
        let file = std::path::absolute(paths.file()).unwrap_or_else(|_| paths.file().to_owned());
        stdout::aside(&format!("note: no running process follows {}", file.display()));
    }
    let actor = actor.unwrap_or_else(whoami);
    let reason = reason.filter(|reason| !reason.is_empty());
    let verdict = None;
    let change = Change { action, actor, reason, if_version, above, killed_anywhere, verdict };
    let changed = edit(paths, &change, dry_run).await?;
    let version = changed.after.version.unwrap_or(0);
    if !json {
        tell(paths, &change.action, &changed, dry_run)?;
    }
    let waited = match limit {
        Some(limit) => Some(wait(&board, version, limit).await),
        None => None,
    };
    let failure = waited.as_ref().and_then(|waited| waited.as_ref().err().cloned());
    if json {
        let file = show::file(paths).ok().flatten();
        let course = Course::of(paths, file.as_ref(), &running);
        let waited = waited.and_then(Result::ok);
        stdout::json(&report(&change.action, changed, waited, dry_run, course))?;
    } else if let Some(Ok(waited)) = waited {
        let Waited { processes, waited_ms } = waited;
        stdout::line(&format!("in force in {processes} processes after {waited_ms:.0} ms"))?;
    }
    failure.map_or(Ok(()), |failure| Err(failure.into()))
}

fn tell(
    paths: &RolloutPaths,
    action: &Action,
    changed: &Changed,
    dry_run: bool,
) -> Result<(), Failure> {
    let Changed { before, after, written, remarks, .. } = changed;
    for remark in remarks {
        stdout::aside(&format!("note: {remark}"));
    }
    if matches!(action, Action::Rollback) && after.rules.are_suspended() {
        stdout::aside(&format!("note: {SUSPENDED}"));
    }
    if after.killed && matches!(action, Action::Set { .. }) {
        stdout::aside("note: the kill switch is on; the share counts from `rollout unkill` on");
    }
    let file = paths.file().display();
    let (was, is) = (
        before.as_ref().map_or("missing, or could not be read".to_owned(), standing),
        standing(after),
    );
    stdout::line(&match (dry_run, written) {
        (true, true) => format!("{file} would become {is}; is {was}"),
        (false, true) => format!("{file} is now {is}; was {was}"),
        (_, false) => format!("{file} is still {is}"),
    })
}

fn standing(standing: &Standing) -> String {
    let version = standing.version.map_or("no version".to_owned(), |n| format!("version {n}"));
    let shares = standing.percents.map_or("shares as they are".to_owned(), |of| shares(&of));
    let killed = if standing.killed { ", killed" } else { "" };
    format!("{version}: {shares}{killed}")
}

fn report(
    action: &Action,
    changed: Changed,
    waited: Option<Waited>,
    dry_run: bool,
    course: Course,
) -> Report {
    let Changed { before, after, percent, written, remarks } = changed;
    let percents = after.percents.unwrap_or_default();
    let stages = after.stages.unwrap_or_else(|| Stages::implied_by(&percents));
    Report {
        action: action.to_string(),
        version: after.version.unwrap_or(0),
        stage: stages.with_kill_switch(after.killed).overall(),
        percent,
        classes: after.percents,
        flag: after.flag.as_deref().map(str::to_owned),
        killed: after.killed,
        before,
        written: written && !dry_run,
        remarks,
        waited,
        stages: stages.with_kill_switch(after.killed),
        course,
    }
}

/// Who asks: behind sudo, the person before it.
pub(super) fn whoami() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    named.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
