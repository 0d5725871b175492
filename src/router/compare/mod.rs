//! Whether two lanes gave the same answer: decided from the answers and the rules alone.

mod array;
mod failure;
pub mod glob;
pub mod interval;
pub mod noise;
mod quantity;
pub mod rule;
mod tree;
mod walk;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::CallError;
use crate::router::compare::rule::Rules;
use crate::router::compare::tree::Tree;
pub use crate::router::compare::walk::differences;
use crate::router::compare::walk::walk;

/// What a lane answered.
pub type Told<'a> = Result<&'a RawValue, &'a CallError>;

/// One place in which two answers differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// A JSON Pointer into the answers, or `error`.
    pub path: String,
    /// The path with `*` for each index of an array; the glob that means this place in every
    /// answer.
    pub shape: String,
    /// How they differ there.
    pub kind: Kind,
}

/// How two answers differ in one place. The first is V2's, the second V3's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Another value of the same type; of an unordered array: other elements.
    Changed,
    /// Only the first has it.
    Missing,
    /// Only the second has it.
    Extra,
    /// Values of different types.
    Type,
    /// The same elements in another order.
    Order,
    /// Arrays of different lengths.
    Length,
    /// An error and a value, or errors of different classes.
    Error,
}

impl Kind {
    /// Every kind, in the order of reports.
    pub const ALL: [Self; 7] = [
        Self::Changed,
        Self::Missing,
        Self::Extra,
        Self::Type,
        Self::Order,
        Self::Length,
        Self::Error,
    ];

    /// The name used in config and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Type => "type",
            Self::Order => "order",
            Self::Length => "length",
            Self::Error => "error",
        }
    }
}

/// Differences of one pair; at most [`Found::LISTED`] are listed, the rest is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// In the order of the walk.
    pub listed: Vec<Difference>,
    /// How many more there are.
    pub beyond: usize,
}

impl Found {
    /// A pair that differs in more places than this differs altogether.
    pub const LISTED: usize = 1000;

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.listed.len() + self.beyond
    }
}

/// What the comparison of one pair came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same answer.
    Same,
    /// The same answer as far as the rules ask.
    Excused,
    /// Another answer; at least one difference.
    Differs(Found),
    /// Neither lane answered in time, so nobody knows.
    Unknown,
    /// Not compared.
    Skipped(Skip),
}

/// Why a pair was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// An answer is larger than the rules' `max_bytes`.
    TooLarge,
    /// An answer is nested deeper than JSON is read (128 levels).
    TooDeep,
    /// An answer holds a number that no float can (above 1.8e308).
    NumberTooLarge,
}

impl Skip {
    /// The name used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::NumberTooLarge => "number_too_large",
        }
    }
}

/// Compares V2's answer with V3's.
///
/// | V2 | V3 | verdict |
/// |---|---|---|
/// | value | value | by the walk of both |
/// | timeout | timeout | unknown |
/// | error | error of the same class with the same normalised message | same |
/// | anything | anything else | differs |
///
/// ```
/// use poolshift::router::compare::{Verdict, compare, rule::Rules};
/// use serde_json::value::to_raw_value;
///
/// let (v2, v3) = (to_raw_value(&[1, 2])?, to_raw_value(&[1, 3])?);
/// let Verdict::Differs(found) = compare(&Rules::default(), Ok(&v2), Ok(&v3)) else { panic!() };
/// assert_eq!(found.listed[0].path, "/1");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn compare(rules: &Rules, v2: Told<'_>, v3: Told<'_>) -> Verdict {
    match (v2, v3) {
        (Ok(v2), Ok(v3)) => texts(rules, v2.get(), v3.get()),
        (Err(v2), Err(v3)) => failure::compare(rules, v2, v3),
        _ => failure::differs(Kind::Error),
    }
}

fn texts(rules: &Rules, v2: &str, v3: &str) -> Verdict {
    if v2 == v3 {
        return Verdict::Same;
    }
    if v2.len().max(v3.len()) > rules.max_bytes {
        return Verdict::Skipped(Skip::TooLarge);
    }
    let parse = serde_json::from_str::<Tree<'_>>;
    let (v2, v3) = match (parse(v2), parse(v3)) {
        (Ok(v2), Ok(v3)) => (v2, v3),
        (Err(error), _) | (_, Err(error)) => return Verdict::Skipped(unreadable(&error)),
    };
    if v2 == v3 {
        return Verdict::Same;
    }
    let found = walk(rules, &v2, &v3);
    if found.is_empty() { Verdict::Excused } else { Verdict::Differs(found) }
}

/// Why what is JSON already cannot be read: of the two reasons, the reader's words alone tell.
fn unreadable(error: &serde_json::Error) -> Skip {
    match error.to_string().starts_with("number out of range") {
        true => Skip::NumberTooLarge,
        false => Skip::TooDeep,
    }
}
