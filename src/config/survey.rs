//! What is in force, key by key, and where it comes from.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use serde_json::Value as Schema;
use toml::{Table, Value};

use crate::config::about::about;
use crate::config::reader::Reader;
use crate::config::{Config, ConfigError, DEFAULT_FILE};
use crate::worker::redaction::Redaction;

/// A config together with the origin of each of its values.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The file that was read; none if there was none to read.
    pub file: Option<String>,
    /// The config, or everything that is wrong with it.
    pub config: Result<Config, ConfigError>,
    /// Every key, in the order of the sections; as far as they can be read, if some cannot.
    pub settings: Vec<Shown>,
    /// Where the rollout file is, if that much of the config can be read.
    pub rollout_file: Option<PathBuf>,
}

/// One key with its value in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// The key with its section, such as `v3.size`.
    pub key: String,
    /// Its value, as it would stand in the file; values of secret variables are left out. None
    /// for a key that nobody sets and that has no default.
    pub value: Option<String>,
    /// Who set it.
    pub origin: Origin,
    /// What it is for, in a line.
    pub about: &'static str,
}

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// The file: `FILE:LINE`.
    File(String),
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => f.write_str(place),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A key that was asked for while a config was read.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) path: String,
    pub(super) value: Option<Value>,
    pub(super) origin: Origin,
    pub(super) default: Option<Value>,
    pub(super) schema: Schema,
}

impl Taken {
    /// A value that comes from a table in the code.
    pub(super) fn built_in(path: String, value: Value) -> Self {
        let (origin, default) = (Origin::Default, Some(value));
        Self { path, value: None, origin, default, schema: Schema::Null }
    }
}

impl Survey {
    /// Reads the file (or [`DEFAULT_FILE`] if it is there), then the environment over it.
    #[must_use]
    pub fn of(file: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Self {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self { file: Some(name.clone()), ..Self::parse(&name, &text, env) },
            Err(error) if file.is_none() && error.kind() == ErrorKind::NotFound => {
                Self::parse(&name, "", env)
            }
            Err(error) => {
                let config = Err(ConfigError::unreadable(&name, &error));
                Self { file: None, config, settings: Vec::new(), rollout_file: None }
            }
        }
    }

    /// Reads a file's text, then the environment over it. `name` is for messages.
    #[must_use]
    pub fn parse(name: &str, text: &str, env: impl IntoIterator<Item = (String, String)>) -> Self {
        let (config, taken) = take(name, text, env);
        let rollout_file = taken.iter().find(|taken| taken.path == "rollout.file");
        let rollout_file = rollout_file.and_then(|taken| match taken.origin {
            Origin::Default => taken.default.as_ref(),
            _ => taken.value.as_ref(),
        });
        let rollout_file = rollout_file.and_then(Value::as_str).map(PathBuf::from);
        let settings = taken.into_iter().map(Shown::of).collect();
        Self { file: None, config, settings, rollout_file }
    }
}

pub(super) fn take(
    name: &str,
    text: &str,
    env: impl IntoIterator<Item = (String, String)>,
) -> (Result<Config, ConfigError>, Vec<Taken>) {
    let mut reader = match Reader::new(name, text, env) {
        Ok(reader) => reader,
        Err(error) => return (Err(error), Vec::new()),
    };
    let config = Config::read(&mut reader);
    let (taken, verdict) = reader.finish();
    (verdict.map(|()| config), taken)
}

impl Shown {
    fn of(taken: Taken) -> Self {
        let about = about(&taken.path);
        let value = taken.value.or(taken.default).map(|value| match value {
            Value::Table(table) => Value::Table(without_secrets(table)).to_string(),
            other => other.to_string(),
        });
        Self { key: taken.path, value, origin: taken.origin, about }
    }
}

/// Variables for workers are where people put their keys.
fn without_secrets(table: Table) -> Table {
    let redaction = Redaction::default();
    let hide = |(name, value): (String, Value)| match redaction.hides_key(&name) {
        true => (name, Value::from("***")),
        false => (name, value),
    };
    table.into_iter().map(hide).collect()
}
