//! What `poolshift run` has written, read again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use poolshift::config::Config;
use poolshift::router::ramp::{Plan, Recorded};
use poolshift::{Class, Lane, Outcome, SessionId};
use serde::Deserialize;

use crate::cli::failure::Failure;
use crate::cli::rollout::ramp::plan;

/// The record and the plan, which both commands look at.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// Lines that `poolshift run` has written, of calls in V2 and, to learn of it, in V3
    #[arg(long, value_name = "FILE.jsonl")]
    history: PathBuf,
    /// The plan [default: the standard one]
    #[arg(long, value_name = "FILE.toml")]
    plan: Option<PathBuf>,
}

/// The calls of a record, and what could not be taken for one.
pub(super) struct Record {
    pub(super) calls: Vec<Recorded>,
    /// Lines of input that were no calls when they were run.
    pub(super) skipped: u64,
}

/// A line of `run`; the last one with `--json` is its summary.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Call {
        id: String,
        command: String,
        session: Option<String>,
        class: Class,
        outcome: Outcome,
        lane: Lane,
        submitted_ms: f64,
        total_ms: f64,
    },
    NoCall {
        #[serde(rename = "lane")]
        _lane: (),
        #[serde(rename = "outcome")]
        _outcome: Outcome,
    },
    Summary {
        #[serde(rename = "summary")]
        _summary: serde_json::Map<String, serde_json::Value>,
    },
}

impl RecordArgs {
    pub(super) fn plan(&self, config: &Config) -> Result<Plan, Failure> {
        match &self.plan {
            Some(path) => plan::read(path, config),
            None => plan::standard(config),
        }
    }

    pub(super) fn record(&self) -> Result<Record, Failure> {
        let mut record = Record { calls: Vec::new(), skipped: 0 };
        for (number, line) in (1..).zip(text_of(&self.history)?.lines()) {
            if line.trim().is_empty() {
                continue;
            }
            let place = || format!("{}:{number}", self.history.display());
            let known = serde_json::from_str(line).ok();
            let line: Line = known.ok_or_else(|| {
                Failure::Failed(format!("{}: no line that `poolshift run` writes", place()))
            })?;
            match line.recorded() {
                Some(Ok(call)) => record.calls.push(call),
                Some(Err(error)) => return Err(Failure::Failed(format!("{}: {error}", place()))),
                None => record.skipped += u64::from(matches!(line, Line::NoCall { .. })),
            }
        }
        if record.calls.is_empty() {
            let name = self.history.display();
            return Err(Failure::Failed(format!(
                "{name} has no calls; `poolshift run` makes some"
            )));
        }
        Ok(record)
    }
}

impl Line {
    fn recorded(&self) -> Option<Result<Recorded, String>> {
        let Self::Call { id, command, session, class, outcome, lane, submitted_ms, total_ms } =
            self
        else {
            return None;
        };
        let span = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).map_err(|e| e.to_string());
        let session = session.as_deref().map(SessionId::new).transpose();
        Some(session.map_err(|error| error.to_string()).and_then(|session| {
            Ok(Recorded {
                submitted: span(*submitted_ms)?,
                total: span(*total_ms)?,
                id: id.clone(),
                command: command.clone(),
                class: *class,
                session,
                lane: *lane,
                outcome: *outcome,
            })
        }))
    }
}

fn text_of(path: &Path) -> Result<String, Failure> {
    let read = std::fs::read_to_string(path);
    read.map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))
}
