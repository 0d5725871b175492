//! The process's environment.

use std::io;

use crate::router::source::FlagSource;

/// What the environment said when the process started: it does not change after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    text: String,
}

impl Environment {
    /// The variable, whose text is that of a rollout file: `percent = 5`.
    pub const VARIABLE: &str = "POOLSHIFT_ROLLOUT";

    /// The source of this text; none if the variable is not set, or is empty.
    #[must_use]
    pub fn of(text: Option<String>) -> Option<Self> {
        text.filter(|text| !text.trim().is_empty()).map(|text| Self { text })
    }
}

impl FlagSource for Environment {
    fn name(&self) -> String {
        format!("environment {}", Self::VARIABLE)
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(Some(self.text.clone().into_bytes()))
    }
}
