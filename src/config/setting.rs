//! How a TOML value becomes a typed setting.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Schema, json};
use toml::Value;

use crate::call::Class;
use crate::config::{SessionLane, StartMethod};
use crate::machine::OnCancel;
use crate::machine::retry::Share;
use crate::session::commands::Sampling;

/// A time as humantime reads it: one or more numbers with units.
const DURATION: &str = "^([0-9]+ ?(ns|us|µs|ms|s|sec|m|min|h|hr|d|days?|w|weeks?) ?)+$";

/// A type that a setting can have.
pub(super) trait Setting: Sized {
    /// What is expected, for messages.
    const EXPECTED: &'static str;

    /// The value as this type, if it is one.
    fn read(value: &Value) -> Option<Self>;

    /// The value as it would stand in the file.
    fn write(&self) -> Value;

    /// The JSON Schema of its values.
    fn schema() -> Schema;
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: &Value) -> Option<Self> {
        value.as_bool()
    }

    fn write(&self) -> Value {
        Value::from(*self)
    }

    fn schema() -> Schema {
        json!({"type": "boolean"})
    }
}

impl Setting for usize {
    const EXPECTED: &'static str = "a whole number from 0";

    fn read(value: &Value) -> Option<Self> {
        value.as_integer().and_then(|number| Self::try_from(number).ok())
    }

    fn write(&self) -> Value {
        Value::from(i64::try_from(*self).unwrap_or(i64::MAX))
    }

    fn schema() -> Schema {
        json!({"type": "integer", "minimum": 0})
    }
}

impl Setting for Share {
    const EXPECTED: &'static str = "a number from 0 to 1";

    fn read(value: &Value) -> Option<Self> {
        let number = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
        Self::new(number?)
    }

    fn write(&self) -> Value {
        Value::from(self.get())
    }

    fn schema() -> Schema {
        json!({"type": "number", "minimum": 0, "maximum": 1})
    }
}

impl Setting for Sampling {
    const EXPECTED: &'static str = "a number from 0 to 1, or \"always\"";

    fn read(value: &Value) -> Option<Self> {
        match value.as_str() {
            Some(text) => (text == "always").then_some(Self::Always),
            None => Share::read(value).map(Self::Share),
        }
    }

    fn write(&self) -> Value {
        match self {
            Self::Share(share) => share.write(),
            Self::Always => Value::from("always"),
        }
    }

    fn schema() -> Schema {
        json!({"oneOf": [Share::schema(), {"const": "always"}]})
    }
}

impl Setting for String {
    const EXPECTED: &'static str = "a text in quotes";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }

    fn write(&self) -> Value {
        Value::from(self.as_str())
    }

    fn schema() -> Schema {
        json!({"type": "string"})
    }
}

impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().filter(|path| !path.is_empty()).map(Self::from)
    }

    fn write(&self) -> Value {
        Value::from(self.display().to_string())
    }

    fn schema() -> Schema {
        json!({"type": "string", "minLength": 1})
    }
}

impl Setting for Duration {
    const EXPECTED: &'static str = "a time in quotes, such as \"5s\" or \"500ms\"";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().and_then(|text| humantime::parse_duration(text).ok())
    }

    fn write(&self) -> Value {
        Value::from(humantime::format_duration(*self).to_string())
    }

    fn schema() -> Schema {
        json!({"type": "string", "pattern": DURATION})
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

    fn write(&self) -> Value {
        Value::from(vec![self.0.write(), self.1.write()])
    }

    fn schema() -> Schema {
        let items = Duration::schema();
        json!({"type": "array", "items": items, "minItems": 2, "maxItems": 2})
    }
}

impl Setting for Vec<String> {
    const EXPECTED: &'static str = "a list of texts, such as [\"-u\"]";

    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(String::read).collect()
    }

    fn write(&self) -> Value {
        self.iter().map(String::write).collect::<Vec<_>>().into()
    }

    fn schema() -> Schema {
        json!({"type": "array", "items": {"type": "string"}})
    }
}

impl Setting for BTreeMap<String, String> {
    const EXPECTED: &'static str = "a table of texts, such as { NAME = \"value\" }";

    fn read(value: &Value) -> Option<Self> {
        let entries = value.as_table()?.iter();
        entries.map(|(name, value)| Some((name.clone(), String::read(value)?))).collect()
    }

    fn write(&self) -> Value {
        Value::Table(self.iter().map(|(name, text)| (name.clone(), text.write())).collect())
    }

    fn schema() -> Schema {
        json!({"type": "object", "additionalProperties": {"type": "string"}})
    }
}

impl Setting for Class {
    const EXPECTED: &'static str = "\"read\", \"write\" or \"critical\"";

    fn read(value: &Value) -> Option<Self> {
        let name = value.as_str()?;
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }

    fn write(&self) -> Value {
        Value::from(self.as_str())
    }

    fn schema() -> Schema {
        json!({"enum": ["read", "write", "critical"]})
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

    fn write(&self) -> Value {
        Value::from(match self {
            Self::Drain => "drain",
            Self::Kill => "kill",
        })
    }

    fn schema() -> Schema {
        json!({"enum": ["drain", "kill"]})
    }
}

impl Setting for StartMethod {
    const EXPECTED: &'static str = "\"spawn\", \"fork\" or \"auto\"";

    fn read(value: &Value) -> Option<Self> {
        Self::ALL.into_iter().find(|method| Some(method.as_str()) == value.as_str())
    }

    fn write(&self) -> Value {
        Value::from(self.as_str())
    }

    fn schema() -> Schema {
        json!({"enum": Self::ALL.map(Self::as_str)})
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

    fn write(&self) -> Value {
        Value::from(match self {
            Self::PerClass => "per_class",
            Self::Whole => "whole",
        })
    }

    fn schema() -> Schema {
        json!({"enum": ["per_class", "whole"]})
    }
}

impl Setting for Value {
    const EXPECTED: &'static str = "a value";

    fn read(value: &Value) -> Option<Self> {
        Some(value.clone())
    }

    fn write(&self) -> Value {
        self.clone()
    }

    fn schema() -> Schema {
        json!({})
    }
}
