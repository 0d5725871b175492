//! `poolshift rollout history`.

use std::num::NonZeroUsize;

use clap::Args;
use poolshift::report::markup::printable;
use poolshift::router::audit::{Audit, AuditLine};
use poolshift::router::edit::{read_audit, read_bytes};
use poolshift::router::file::{RolloutFile, Standing};
use poolshift::router::paths::RolloutPaths;
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::rollout::shares;
use crate::cli::stdout;

/// Each change is a line of FILE.d/audit.jsonl that carries the SHA-256 of the line before; the
/// rollout file holds that of the last.
#[derive(Debug, Args)]
#[command(after_help = LIMITS)]
pub(crate) struct HistoryArgs {
    /// Check the chain: a changed byte, a cut tail and a change by hand are found (exit 3)
    #[arg(long)]
    verify: bool,
    /// Only the last so many
    #[arg(long, value_name = "COUNT")]
    last: Option<NonZeroUsize>,
}

const LIMITS: &str = "What --verify cannot find: a chain that was computed anew by somebody who \
                      may write both the audit and the rollout file. Ship the lines elsewhere if \
                      that matters.";

pub(super) fn history(
    paths: &RolloutPaths,
    args: HistoryArgs,
    as_json: bool,
) -> Result<(), Failure> {
    let mut audit = read_audit(paths)?;
    let bytes = read_bytes(paths.file())?;
    let file = bytes.as_deref().map(RolloutFile::read).and_then(Result::ok);
    audit.compare(file.as_ref());
    let skipped = args.last.map_or(0, |last| audit.lines.len().saturating_sub(last.get()));
    let told = tell(paths, &audit, &audit.lines[skipped..], as_json);
    // The audit first: it is judged for a reader who has gone, too.
    if args.verify { verdict(&audit, as_json).and(told) } else { told }
}

fn tell(
    paths: &RolloutPaths,
    audit: &Audit,
    lines: &[AuditLine],
    as_json: bool,
) -> Result<(), Failure> {
    if as_json {
        let faults: Vec<String> = audit.faults.iter().map(ToString::to_string).collect();
        stdout::json(&json!({
            "file": paths.file(), "audit": paths.audit(), "lines": lines,
            "sound": audit.is_sound(), "faults": faults,
        }))?;
    } else {
        for line in lines {
            stdout::line(&describe(line))?;
        }
        if lines.is_empty() {
            let what =
                if audit.next_number() > 1 { "no line can be read" } else { "no audited changes" };
            stdout::aside(&format!("{what} in {}", paths.audit().display()));
        }
    }
    Ok(())
}

fn describe(line: &AuditLine) -> String {
    let AuditLine { line: number, at, action, actor, reason, before, after, .. } = line;
    let version = after.as_ref().and_then(|after| after.version).unwrap_or(0);
    let (action, actor) = (printable(action), printable(actor));
    let reason = reason.as_ref().map_or(String::new(), |why| format!(": {}", printable(why)));
    let (was, is) = (standing(before.as_ref()), standing(after.as_ref()));
    format!("{number:>4}  {at}  v{version:<4} {action} by {actor}{reason}  [{was} -> {is}]")
}

fn standing(standing: Option<&Standing>) -> String {
    let Some(standing) = standing else { return "nothing".to_owned() };
    let shares = standing.percents.map_or("shares as they were".to_owned(), |of| shares(&of));
    format!("{shares}{}", if standing.killed { ", killed" } else { "" })
}

fn verdict(audit: &Audit, as_json: bool) -> Result<(), Failure> {
    let faults: Vec<String> = audit.faults.iter().map(ToString::to_string).collect();
    if !audit.is_sound() {
        return Err(Failure::Gate(format!("the audit does not hold: {}", faults.join("; "))));
    }
    for fault in faults {
        stdout::aside(&format!("note: {fault}"));
    }
    if as_json {
        return Ok(());
    }
    stdout::line(&format!("the audit holds: {} lines", audit.lines.len()))
}
