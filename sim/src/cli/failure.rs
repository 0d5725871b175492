//! How a command fails: a message for a person, a code for a script.

use std::io::{self, Write};
use std::process::ExitCode;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A law was broken, and the report says which: exit 1.
    Broken,
    /// A law was broken among real processes, and the report says which: exit 3.
    Gate,
    /// There was no run: exit 1.
    Failed(String),
    /// A run that must put every law to the test left some out: exit 1.
    Untested(String),
    /// It was asked wrongly: exit 2.
    Usage(String),
    /// A file that it was given cannot be used: exit 4.
    Input(String),
    /// It was told to stop, and has said what there was to say: exit 130.
    Interrupted,
    /// The report could not be written: exit 1.
    Output(io::Error),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Broken | Self::Untested(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Gate => ExitCode::from(3),
            Self::Input(_) => ExitCode::from(4),
            Self::Interrupted => ExitCode::from(130),
            Self::Output(_) | Self::Failed(_) => ExitCode::from(1),
        }
    }

    /// Writes the message to stderr; if that is gone too, the exit code has to do.
    pub(crate) fn explain(&self) {
        let text = match self {
            Self::Broken | Self::Gate => return,
            Self::Interrupted => "interrupted".to_owned(),
            Self::Usage(text) | Self::Input(text) | Self::Failed(text) => text.clone(),
            Self::Untested(laws) => format!(
                "{laws} were not put to the test: raise --calls, a full run takes some 50000"
            ),
            Self::Output(error) => format!("cannot write the report: {error}"),
        };
        let _ = writeln!(io::stderr(), "poolshift-sim: {text}");
    }
}

/// Prints a report, and gives the verdict back. A reader that has gone has seen what it wanted, and
/// the exit code still tells the verdict.
pub(crate) fn print(report: &str, verdict: Result<(), Failure>) -> Result<(), Failure> {
    match io::stdout().write_all(report.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => verdict,
    }
}
