//! How a command fails: a message for a person, a code for a script.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use poolshift::config::ConfigError;
use poolshift::{BadCall, ShimError};

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It ran and failed: exit 1.
    Failed(String),
    /// It was asked wrongly: exit 2.
    Usage(String),
    /// A gate or a comparison failed: exit 3.
    Gate(String),
    /// The config, or a file like it, is wrong: exit 4.
    Config(String),
    /// No running process could be reached: exit 5.
    Unreachable(String),
    /// Ctrl-C or SIGTERM: exit 130.
    Interrupted,
    /// The reader of stdout has gone: what could be told has been told.
    ClosedPipe,
}

impl Failure {
    pub(crate) fn failed(error: impl Display) -> Self {
        Self::Failed(error.to_string())
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Gate(_) => ExitCode::from(3),
            Self::Config(_) => ExitCode::from(4),
            Self::Unreachable(_) => ExitCode::from(5),
            Self::Interrupted => ExitCode::from(130),
            Self::ClosedPipe => ExitCode::SUCCESS,
        }
    }

    /// Writes the message to stderr; if that is gone too, the exit code has to do.
    pub(crate) fn explain(&self) {
        let text = match self {
            Self::Failed(text)
            | Self::Usage(text)
            | Self::Gate(text)
            | Self::Config(text)
            | Self::Unreachable(text) => text.clone(),
            Self::Interrupted => "interrupted".to_owned(),
            Self::ClosedPipe => return,
        };
        let _ = writeln!(io::stderr(), "poolshift: {text}");
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<ShimError> for Failure {
    fn from(error: ShimError) -> Self {
        Self::failed(error)
    }
}

impl From<BadCall> for Failure {
    fn from(error: BadCall) -> Self {
        Self::Usage(error.to_string())
    }
}
