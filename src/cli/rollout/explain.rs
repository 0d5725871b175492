//! `poolshift rollout explain`.

use clap::{ArgGroup, Args};
use poolshift::config::{Config, SessionLane};
use poolshift::router::bucket::{Draw, draw};
use poolshift::router::paths::RolloutPaths;
use poolshift::router::policy::{Decision, Policy, Reason};
use poolshift::shim::board::StatusBoard;
use poolshift::{Call, Class, Lane};
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::rollout::{shares, show};
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
    /// A fact about the caller that rules look at; may be given more than once
    #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = attr)]
    attrs: Vec<(String, String)>,
    /// As if the caller forced this lane
    #[arg(long)]
    pool: Option<PoolArg>,
}

fn attr(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.ok_or_else(|| "write NAME=VALUE".to_owned())
}

/// Where one call goes by the file, and what that follows from.
struct Explained {
    policy: Policy,
    call: Call,
    key: String,
    draw: Draw,
    /// The class whose share counts.
    governing: Class,
    decision: Decision,
}

/// By the file, not by a running process: what a session that begins now would meet.
pub(super) fn explain(
    config: &Config,
    paths: &RolloutPaths,
    args: ExplainArgs,
    as_json: bool,
) -> Result<(), Failure> {
    let explained = Explained::of(config, paths, &args)?;
    let Explained { policy, call, draw, governing, decision, .. } = &explained;
    if as_json {
        let number = policy.rules.first(call);
        let rule = number.map(|number| (number + 1, &policy.rules.list()[usize::from(number)]));
        return stdout::json(&json!({
            "session": args.session, "id": args.id, "command": args.command, "class": call.class,
            "attrs": call.attrs, "flag": policy.flag, "hash": draw.hash, "bucket": draw.bucket,
            "percent": policy.percents.of(*governing), "killed": policy.killed,
            "version": policy.version, "lane": decision.lane, "reason": decision.reason,
            "rule": rule.map(|(number, rule)| json!({
                "number": number, "name": rule.name, "says": rule.to_string(), "lane": rule.lane,
            })),
            "rules": policy.rules.list().len(), "rules_suspended": policy.rules.are_suspended(),
        }));
    }
    explained.tell()?;
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
    if args.session.is_some() && decision.reason == Reason::Percent {
        stdout::line("a session that lives already keeps the shares of its first call")?;
    }
    Ok(())
}

impl Explained {
    fn of(config: &Config, paths: &RolloutPaths, args: &ExplainArgs) -> Result<Self, Failure> {
        let whole = config.rollout.session_lane == SessionLane::Whole;
        let initial = Policy::initial(&config.rollout.flag, whole);
        let file = show::file(paths)?;
        let policy = file.map_or(initial.clone(), |file| file.policy(&initial));
        let command = args.command.as_deref().unwrap_or("(unknown)");
        let mut call = Call::new(command, poolshift::Args::default());
        call.class = config.commands.get(command).class;
        call.attrs = args.attrs.iter().cloned().collect();
        call.forced = args.pool.map(PoolArg::lane);
        let key = match (&args.session, &args.id) {
            (Some(session), _) => {
                call = call.with_session(session)?;
                session
            }
            (None, id) => id.as_ref().expect("clap asks for one of them"),
        };
        let draw = draw(&policy.flag, key);
        let decision = policy.directed(&call);
        let decision = decision.unwrap_or_else(|| policy.decide_anonymous(key, call.class));
        let governing = if policy.whole_sessions { Class::Critical } else { call.class };
        Ok(Self { key: key.clone(), policy, call, draw, governing, decision })
    }

    fn tell(&self) -> Result<(), Failure> {
        let Self { policy, call, key, draw, governing, decision } = self;
        let (bucket, hash, flag) = (draw.bucket, draw.hash, &policy.flag);
        let percent = policy.percents.of(*governing);
        let (class, governing) = (call.class.as_str(), governing.as_str());
        stdout::line(&format!("{key:?} has bucket {bucket} (hash {hash}, flag {flag:?})"))?;
        let command = &call.command;
        stdout::line(&format!("{command:?} is of class {class}; {governing} is at {percent} %"))?;
        let rules = policy.rules.list();
        match policy.rules.first(call) {
            Some(number) => {
                let rule = &rules[usize::from(number)];
                stdout::line(&format!("rule {} of {} matches: {rule}", number + 1, rules.len()))?;
            }
            None if policy.rules.are_suspended() => stdout::line(SUSPENDED)?,
            None if rules.is_empty() => {}
            None => stdout::line(&format!("none of {} rules matches", rules.len()))?,
        }
        let limit = percent.buckets();
        stdout::line(&match (decision.reason, decision.lane) {
            (Reason::Killed, _) => "lane v2: the kill switch is on".to_owned(),
            (Reason::Forced, lane) => format!("lane {lane}: forced by the caller"),
            (Reason::Rule, lane) => format!("lane {lane}: the rule says so"),
            (_, Lane::V3) => format!("lane v3: {bucket} is below {limit}"),
            (_, Lane::V2) => format!("lane v2: {bucket} is not below {limit}"),
        })
    }
}

/// What is said of rules that do not count.
pub(super) const SUSPENDED: &str =
    "no rule counts since the rollback; delete `rules_suspended` from the file to let them";
