//! `poolshift rollout show`.

use std::time::Duration;

use poolshift::config::Config;
use poolshift::router::edit::{EditError, read_bytes};
use poolshift::router::file::RolloutFile;
use poolshift::router::paths::RolloutPaths;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::router::rules::Rules;
use poolshift::router::source::SourceStatus;
use poolshift::shim::board::{Board, StatusBoard};
use poolshift::shim::drain::Drain;
use poolshift::shim::status::{PinStatus, ProcessStatus};
use poolshift::{Class, Lane};
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::rollout::course::Course;
use crate::cli::rollout::explain::SUSPENDED;
use crate::cli::rollout::shares;
use crate::cli::stdout;

/// The rollout file, if there is one; a bad one is an error that says what is wrong with it.
pub(super) fn file(paths: &RolloutPaths) -> Result<Option<RolloutFile>, Failure> {
    let Some(bytes) = read_bytes(paths.file())? else { return Ok(None) };
    let parsed = RolloutFile::read(&bytes);
    let bad = |error| EditError::Bad { file: paths.file().to_owned(), error };
    Ok(Some(parsed.map_err(bad)?))
}

pub(super) fn show(config: &Config, paths: &RolloutPaths, as_json: bool) -> Result<(), Failure> {
    let board = StatusBoard::beside(paths.file()).read().map_err(Failure::failed)?;
    let found = match file(paths) {
        // When the file is no good, what goes on is asked for most.
        Err(bad) if !as_json => return tell_processes(&board).and(Err(bad)),
        found => found?,
    };
    let says = found.clone().unwrap_or_default();
    let percents = says.percents.unwrap_or_default();
    let stages = says.stages(&percents).with_kill_switch(says.killed);
    let stage = stages.overall();
    let flag = says.flag.as_deref().unwrap_or(&config.rollout.flag);
    let live = &board.live;
    let rules = says.rules.list();
    let course = Course::of(paths, found.as_ref(), &board);
    if as_json {
        let processes: Vec<_> = live.iter().map(process).collect();
        let mut shown = json!({
            "file": paths.file(),
            "exists": found.is_some(),
            "version": says.version.unwrap_or(0),
            "stage": stage,
            "stages": stages,
            "percent": says.percent.unwrap_or_default(),
            "classes": percents,
            "flag": flag,
            "killed": says.killed,
            "rules": rules.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "rules_suspended": says.rules.are_suspended(),
            "force_attrs": says.rules.force_attrs(),
            "processes": processes,
            "drain": Drain::of(live),
        });
        let course = serde_json::to_value(&course).map_err(Failure::failed)?;
        let course = course.as_object().cloned().unwrap_or_default();
        shown.as_object_mut().expect("it is an object above").extend(course);
        return stdout::json(&shown);
    }
    let name = paths.file().display();
    match &found {
        None => stdout::line(&format!(
            "{name}: no file; a process that starts now goes by what was in force last, else sends \
             everything to V2; running ones go on as below"
        ))?,
        Some(file) => {
            let version = file.version.map_or("no version".to_owned(), |n| format!("version {n}"));
            stdout::line(&format!("{name}: {version}, {}", stage.as_str()))?;
        }
    }
    stdout::line(&format!("V3's share: {}", shares(&percents)))?;
    if says.killed {
        stdout::line("KILLED: everything goes to V2 until `poolshift rollout unkill`")?;
    }
    stdout::line(&format!("flag: {flag}"))?;
    tell_rules(config, &says.rules)?;
    course.lines().iter().try_for_each(|line| stdout::line(line))?;
    tell_processes(&board)?;
    if live.is_empty() { Ok(()) } else { tell_drain(&Drain::of(live), &percents) }
}

fn tell_processes(board: &Board) -> Result<(), Failure> {
    for (pid, why) in &board.unreadable {
        stdout::aside(&format!("process {pid} cannot be understood: {why}"));
    }
    if board.is_empty() {
        stdout::line("no running process follows it")?;
    }
    for status in &board.live {
        stdout::line(&in_force(status))?;
        // One that goes by the file alone, as all do by default, needs no list.
        for source in status.rollout.sources.iter().filter(|_| status.rollout.sources.len() > 1) {
            stdout::line(&format!("    {}", precedence(source)))?;
        }
    }
    Ok(())
}

fn tell_drain(drain: &Drain, percents: &Percents) -> Result<(), Failure> {
    let time = |seconds: f64| humantime::format_duration(Duration::from_secs(seconds as u64));
    let sessions = |pins: PinStatus, lane: Lane| {
        let (oldest, mean) = (time(pins.oldest_s), time(pins.mean_age_s));
        format!("{} in {lane} (oldest {oldest}, on average {mean})", pins.count)
    };
    let (v2, v3) = (sessions(drain.v2, Lane::V2), sessions(drain.v3, Lane::V3));
    stdout::line(&format!("live sessions: {v2}, {v3}"))?;
    let when = match *percents == Percents::all(Percent::HUNDRED) {
        true => "as none is drawn to it any more",
        false => "after the share of all classes came to 100 %",
    };
    let empty = time(drain.v2_empty_s);
    stdout::line(&format!("V2's would be gone in about {empty}, {when}"))?;
    let (moves, leaves) = (drain.rollback_moves, drain.rollback_leaves);
    stdout::line(&format!(
        "a rollback now would move {moves} sessions, each at its next call; {leaves} calls that \
         wait or run in V3 would finish there"
    ))
}

fn precedence(source: &SourceStatus) -> String {
    let counts = if source.in_force { "in force" } else { "not in force, one before it is" };
    let killed = if source.killed { "; its KILL SWITCH counts" } else { "" };
    format!("{}: {counts}{killed}", source.name)
}

fn tell_rules(config: &Config, rules: &Rules) -> Result<(), Failure> {
    for (number, rule) in (1..).zip(rules.list()) {
        stdout::line(&format!("rule {number}: {rule}"))?;
    }
    if rules.are_suspended() {
        stdout::line(SUSPENDED)?;
    }
    let knows = |command: &str| config.commands.knows(command);
    if let Some((number, command)) = rules.unknown_command(knows) {
        stdout::line(&format!(
            "rule {} asks for command {command:?}, which the config does not know: processes \
             refuse the file",
            number + 1
        ))?;
    }
    if !rules.force_attrs().is_empty() {
        let attrs = rules.force_attrs().join(", ");
        stdout::line(&format!("callers may force a lane by attr {attrs}"))?;
    }
    Ok(())
}

fn process(status: &ProcessStatus) -> serde_json::Value {
    let ProcessStatus { pid, rollout, .. } = status;
    json!({
        "pid": pid, "version": rollout.version, "stage": rollout.stage,
        "killed": rollout.killed, "refused": rollout.refused, "sources": rollout.sources,
    })
}

fn in_force(status: &ProcessStatus) -> String {
    let ProcessStatus { pid, rollout, .. } = status;
    let shares = Class::ALL.map(|class| format!("{} {} %", class.as_str(), rollout.percent(class)));
    let refused =
        rollout.refused.as_ref().map_or(String::new(), |why| format!("; REFUSES it: {why}"));
    let (version, stage) = (rollout.version, rollout.stage.as_str());
    format!("process {pid}: version {version} in force, {stage}, {}{refused}", shares.join(", "))
}
