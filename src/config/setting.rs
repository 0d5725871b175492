//! How a TOML value becomes a typed setting.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use toml::Value;

use crate::call::Class;
use crate::config::SessionLane;
use crate::machine::OnCancel;

/// A type that a setting can have.
pub(super) trait Setting: Sized {
    /// What is expected, for messages.
    const EXPECTED: &'static str;

    /// The value as this type, if it is one.
    fn read(value: &Value) -> Option<Self>;
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Setting for usize {
    const EXPECTED: &'static str = "a whole number from 0";

    fn read(value: &Value) -> Option<Self> {
        value.as_integer().and_then(|number| Self::try_from(number).ok())
    }
}

impl Setting for String {
    const EXPECTED: &'static str = "a text in quotes";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().filter(|path| !path.is_empty()).map(Self::from)
    }
}

impl Setting for Duration {
    const EXPECTED: &'static str = "a time in quotes, such as \"5s\" or \"500ms\"";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().and_then(|text| humantime::parse_duration(text).ok())
    }
}

impl Setting for (Duration, Duration) {
    const EXPECTED: &'static str = "two times, such as [\"100ms\", \"30s\"]";

    fn read(value: &Value) -> Option<Self> {
        match value.as_array()?.as_slice() {
            [first, last] => Some((Duration::read(first)?, Duration::read(last)?)),
            _ => None,
        }
    }
}

impl Setting for Vec<String> {
    const EXPECTED: &'static str = "a list of texts, such as [\"-u\"]";

    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(String::read).collect()
    }
}

impl Setting for BTreeMap<String, String> {
    const EXPECTED: &'static str = "a table of texts, such as { NAME = \"value\" }";

    fn read(value: &Value) -> Option<Self> {
        let entries = value.as_table()?.iter();
        entries.map(|(name, value)| Some((name.clone(), String::read(value)?))).collect()
    }
}

impl Setting for Class {
    const EXPECTED: &'static str = "\"read\", \"write\" or \"critical\"";

    fn read(value: &Value) -> Option<Self> {
        let name = value.as_str()?;
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }
}

impl Setting for OnCancel {
    const EXPECTED: &'static str = "\"drain\" or \"kill\"";

    fn read(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "drain" => Some(Self::Drain),
            "kill" => Some(Self::Kill),
            _ => None,
        }
    }
}

impl Setting for SessionLane {
    const EXPECTED: &'static str = "\"per_class\" or \"whole\"";

    fn read(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "per_class" => Some(Self::PerClass),
            "whole" => Some(Self::Whole),
            _ => None,
        }
    }
}

impl Setting for Value {
    const EXPECTED: &'static str = "a value";

    fn read(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}
