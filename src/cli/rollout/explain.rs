//! `poolshift rollout explain`.

use clap::{ArgGroup, Args};
use poolshift::config::{Config, SessionLane};
use poolshift::router::bucket::draw;
use poolshift::router::paths::RolloutPaths;
use poolshift::router::policy::{Policy, Reason};
use poolshift::shim::board::StatusBoard;
use poolshift::{Class, Lane};
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::rollout::{lane, shares, show};
use crate::cli::run::pool::PoolArg;
use crate::cli::stdout;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("key").required(true).args(["session", "id"]))]
pub(crate) struct ExplainArgs {
    /// The call's session
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    session: Option<String>,
    /// The id of a call without a session
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    id: Option<String>,
    /// The call's command, which has a class [default: one that is critical]
    #[arg(long)]
    command: Option<String>,
    /// As if the caller forced this lane
    #[arg(long)]
    pool: Option<PoolArg>,
}

/// By the file, not by a running process: what a session that begins now would meet.
pub(super) fn explain(
    config: &Config,
    paths: &RolloutPaths,
    args: ExplainArgs,
    as_json: bool,
) -> Result<(), Failure> {
    let whole = config.rollout.session_lane == SessionLane::Whole;
    let initial = Policy::initial(&config.rollout.flag, whole);
    let policy = show::file(paths)?.map_or(initial.clone(), |file| file.policy(&initial));
    let command = args.command.as_deref().unwrap_or("(unknown)");
    let class = config.commands.get(command).class;
    let key = args.session.as_deref().or(args.id.as_deref()).expect("clap asks for one of them");
    let draw = draw(&policy.flag, key);
    let governing = if policy.whole_sessions { Class::Critical } else { class };
    let percent = policy.percents.of(governing);
    let (lane, reason) = match args.pool {
        _ if policy.killed => (Lane::V2, Reason::Killed),
        Some(pool) => (pool.lane(), Reason::Forced),
        None => (lane(percent, draw.bucket), Reason::Percent),
    };
    if as_json {
        return stdout::json(&json!({
            "session": args.session, "id": args.id, "command": args.command, "class": class,
            "flag": policy.flag, "hash": draw.hash, "bucket": draw.bucket, "percent": percent,
            "killed": policy.killed, "version": policy.version, "lane": lane, "reason": reason,
        }));
    }
    let (bucket, hash, flag) = (draw.bucket, draw.hash, &policy.flag);
    let (class, governing) = (class.as_str(), governing.as_str());
    let limit = percent.buckets();
    stdout::line(&format!("{key:?} has bucket {bucket} (hash {hash}, flag {flag:?})"))?;
    stdout::line(&format!("{command:?} is of class {class}; {governing} is at {percent} %"))?;
    stdout::line(&match reason {
        Reason::Killed => "lane v2: the kill switch is on".to_owned(),
        Reason::Forced => format!("lane {lane}: forced by the caller"),
        _ if lane == Lane::V3 => format!("lane v3: {bucket} is below {limit}"),
        _ => format!("lane v2: {bucket} is not below {limit}"),
    })?;
    for status in StatusBoard::beside(paths.file()).read().map_err(Failure::failed)?.live {
        let rollout = &status.rollout;
        if rollout.version != policy.version || rollout.refused.is_some() {
            stdout::line(&format!(
                "but process {} has version {} in force: {}",
                status.pid,
                rollout.version,
                shares(&rollout.percents)
            ))?;
        }
    }
    if args.session.is_some() && reason == Reason::Percent {
        stdout::line("a session that lives already keeps the shares of its first call")?;
    }
    Ok(())
}
