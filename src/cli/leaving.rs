//! What a run leaves behind: the table at its end, and the files that were asked for.

use std::path::PathBuf;

use clap::Args;
use poolshift::report::compare;
use poolshift::report::files::FileError;
use poolshift::report::html;
use poolshift::report::outputs::Outputs;
use poolshift::report::record::{ClockKind, Origin};
use poolshift::report::run::Run;
use poolshift::report::text;
use poolshift::report::verdict::{Finding, Verdict};
use serde::Serialize;

use crate::cli::failure::Failure;

/// Where a run's report goes.
#[derive(Clone, Debug, Args)]
pub(crate) struct LeavingArgs {
    /// Write the latencies as an HdrHistogram log, and what happened beside it, as OUT.run.json
    #[arg(long, value_name = "OUT")]
    hlog: Option<PathBuf>,
    /// Write the whole report as one page
    #[arg(long, value_name = "OUT")]
    html: Option<PathBuf>,
}

impl LeavingArgs {
    /// Opens the files, before the run.
    pub(crate) fn open(&self) -> Result<Outputs, Failure> {
        Ok(Outputs::create(self.hlog.as_deref(), self.html.as_deref())?)
    }
}

/// What is told of a run at its end.
#[derive(Debug, Serialize)]
pub(crate) struct Left {
    /// Whether the times are those of the service.
    valid: bool,
    findings: Vec<Finding>,
    files: Vec<String>,
    /// Why one could not be written.
    #[serde(skip)]
    unwritten: Option<FileError>,
    #[serde(skip)]
    text: String,
}

impl Left {
    /// Writes the files. One that cannot be written is told of by [`Left::written`], when all else
    /// has been told.
    pub(crate) fn behind(run: &Run, outputs: Outputs) -> Self {
        let verdict = Verdict::of(run);
        let lanes = compare::lanes(run);
        let written = outputs.write(run, || html::page(run, &verdict, lanes.as_ref()));
        let (files, unwritten) = match written {
            Ok(files) => (files, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut text = text::head(run, &verdict);
        text.push('\n');
        text.push_str(&text::tables(run));
        if !files.is_empty() {
            text.push_str(&format!("\nwritten: {}", files.join(", ")));
        } else if unwritten.is_none() {
            text.push_str("\n--html FILE keeps this as a page, --hlog FILE for poolshift report");
        }
        let valid = verdict.is_valid();
        Self { valid, findings: verdict.findings, files, unwritten, text }
    }

    /// # Errors
    /// If a file could not be written.
    pub(crate) fn written(self) -> Result<(), Failure> {
        self.unwritten.map_or(Ok(()), |error| Err(error.into()))
    }

    /// The same for people.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// How this very process was called.
pub(crate) fn origin(title: String, seed: Option<u64>) -> Origin {
    let args = std::env::args_os().skip(1);
    let args = args.map(|arg| quoted(&arg.to_string_lossy())).collect::<Vec<_>>();
    Origin {
        title,
        command: format!("poolshift {}", args.join(" ")),
        tool: format!("poolshift {}", env!("CARGO_PKG_VERSION")),
        seed,
        clock: ClockKind::Real,
    }
}

/// As a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+%@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Twice { .. } => Self::Usage(error.to_string()),
            _ => Self::failed(error),
        }
    }
}
