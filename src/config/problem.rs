//! What is wrong with a config.

use std::fmt;

/// One wrong setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line in the file, if it is in the file.
    pub line: Option<usize>,
    /// `FILE:LINE`, or the environment variable.
    pub place: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Everything that is wrong with a config, in order of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn unreadable(name: &str, error: &std::io::Error) -> Self {
        let message = format!("cannot be read: {error}; name another with --config");
        Self { problems: vec![Problem { line: None, place: name.to_owned(), message }] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { place, message, .. }) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{place}: {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
