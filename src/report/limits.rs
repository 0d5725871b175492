//! What the numbers of a record can be. One that no run can have had was changed by somebody, and
//! nothing that is made of it would be right or readable.

use serde_json::{Number, Value};
use thiserror::Error;

use crate::report::record::RunRecord;

/// A number of a record that no run can have.
#[derive(Debug, PartialEq, Error)]
#[error("{field} is {value}; it can be {}", limit.words)]
pub(super) struct Beyond {
    field: String,
    value: Number,
    limit: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Limit {
    least: f64,
    most: f64,
    words: &'static str,
}

const COUNT: Limit = Limit { least: 0.0, most: 1e15, words: "0 to 1e15" };
/// Our clocks count nanoseconds in 64 bits.
const SECONDS: Limit = Limit { least: 0.0, most: 1.8e10, words: "0 to 1.8e10, 570 years" };
const MILLIS: Limit = Limit { least: 0.0, most: 1.8e13, words: "0 to 1.8e13, 570 years" };
/// One a nanosecond.
const RATE: Limit = Limit { least: 0.0, most: 1e9, words: "0 to 1e9" };
const SHARE: Limit = Limit { least: 0.0, most: 1.0, words: "0 to 1" };
/// Of any unit.
const FIGURE: Limit = Limit { least: -1e15, most: 1e15, words: "-1e15 to 1e15" };
/// 64 bits that stand for nothing.
const ANY: Limit = Limit { least: 0.0, most: u64::MAX as f64, words: "any" };

impl Limit {
    /// That of what has this name; nothing if the name says nothing, as that of an outcome.
    fn of(name: &str) -> Option<Self> {
        match name {
            "seed" => Some(ANY),
            "busy" => Some(SHARE),
            "measured" | "expected" => Some(FIGURE),
            _ if name.ends_with("_per_s") => Some(RATE),
            _ if name.ends_with("_ms") => Some(MILLIS),
            _ if name.ends_with("_s") => Some(SECONDS),
            _ => None,
        }
    }
}

/// Looks at every number of a record.
///
/// # Errors
/// At the first that is beyond its limit.
pub(super) fn check(record: &RunRecord) -> Result<(), Beyond> {
    let value = serde_json::to_value(record).expect("a record is plain data");
    walk("", &value, COUNT)
}

/// What has no limit of its own has that of what it is in.
fn walk(field: &str, value: &Value, limit: Limit) -> Result<(), Beyond> {
    match value {
        Value::Number(value) => {
            let number = value.as_f64().expect("every number of ours is one of 64 bits");
            if (limit.least..=limit.most).contains(&number) {
                return Ok(());
            }
            Err(Beyond { field: field.to_owned(), value: value.clone(), limit })
        }
        Value::Array(values) => values
            .iter()
            .enumerate()
            .try_for_each(|(n, value)| walk(&format!("{field}[{n}]"), value, limit)),
        Value::Object(values) => values.iter().try_for_each(|(name, value)| {
            let dot = if field.is_empty() { "" } else { "." };
            walk(&format!("{field}{dot}{name}"), value, Limit::of(name).unwrap_or(limit))
        }),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}
