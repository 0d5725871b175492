//! `poolshift rollout ramp simulate`.

use clap::Args;
use poolshift::config::{Config, SessionLane};
use poolshift::router::ramp::{Position, Replayed, Says, Terms, replay};
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::rollout::ramp::record::{Record, RecordArgs};
use crate::cli::rollout::shares;
use crate::cli::stdout;

/// Sends each recorded call where the plan would have sent it; one that goes to the other lane
/// takes the outcome of some recorded call of its command there. Takes for granted that V2 could
/// take everything back and that the kill switch works. Exits with 3 if the ramp rolls back.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    record: RecordArgs,
}

pub(super) fn simulate(config: &Config, args: SimulateArgs, as_json: bool) -> Result<(), Failure> {
    let plan = args.record.plan(config)?;
    let Record { calls, skipped } = args.record.record()?;
    let terms = Terms {
        flag: config.rollout.flag.clone(),
        whole_sessions: config.rollout.session_lane == SessionLane::Whole,
        pin_ttl: config.pin_ttl(),
        max_pins: config.rollout.max_pins,
    };
    let replayed = replay(&calls, plan, &terms);
    let reasons: Vec<&str> =
        replayed.verdict.reasons().map(|finding| finding.reason.as_str()).collect();
    let e_value = replayed.verdict.reasons().map(|finding| finding.value.exp()).reduce(f64::max);
    let told = if as_json {
        let verdict =
            if replayed.completed { "complete" } else { replayed.verdict.verdict.as_str() };
        stdout::json(&json!({
            "verdict": verdict,
            "step": step(replayed.verdict.position),
            "at_s": replayed.at_s,
            "percents": replayed.verdict.percents,
            "reasons": reasons,
            "e_value": e_value.filter(|_| replayed.verdict.verdict == Says::Rollback),
            "steps": replayed.positions.iter().map(|reached| json!({
                "step": step(reached.position), "at_s": reached.at_s, "percents": reached.percents,
            })).collect::<Vec<_>>(),
            "calls": { "own": replayed.own, "borrowed": replayed.borrowed,
                       "unknown": replayed.unknown, "skipped": skipped },
            "findings": replayed.verdict.findings,
        }))
    } else {
        tell(&replayed, &reasons, skipped)
    };
    // The gate first: it holds for a reader who has gone, too.
    if replayed.verdict.verdict == Says::Rollback {
        let (step, at) = (name(replayed.verdict.position), replayed.at_s);
        return Err(Failure::Gate(format!("it would have rolled back at {step}, {at:.0} s in")));
    }
    told
}

fn tell(replayed: &Replayed, reasons: &[&str], skipped: u64) -> Result<(), Failure> {
    for reached in &replayed.positions {
        let (at, name) = (reached.at_s, name(reached.position));
        stdout::line(&format!("{at:>9.0} s  {name}: {}", shares(&reached.percents)))?;
    }
    let at = replayed.at_s;
    let what = match replayed.verdict.verdict {
        _ if replayed.completed => "every step of the plan is done",
        Says::Rollback => "ROLLED BACK",
        _ => "the record ends here; what it waits for",
    };
    stdout::line(&format!("{at:>9.0} s  {what}"))?;
    for reason in reasons.iter().filter(|_| !replayed.completed) {
        stdout::line(&format!("             {reason}"))?;
    }
    let Replayed { own, borrowed, unknown, .. } = replayed;
    stdout::aside(&format!(
        "{own} calls kept their outcome, {borrowed} took one of the same command in the other \
         lane, of {unknown} nothing is known there, {skipped} lines were no calls"
    ));
    Ok(())
}

/// From 1, as people count; 0 is before the first, and none after the last.
fn step(position: Position) -> Option<usize> {
    match position {
        Position::Shadow => Some(0),
        Position::Step(index) => Some(index + 1),
        Position::Done => None,
    }
}

fn name(position: Position) -> String {
    match step(position) {
        Some(0) => "before the first step".to_owned(),
        Some(number) => format!("step {number}"),
        None => "after the last step".to_owned(),
    }
}
