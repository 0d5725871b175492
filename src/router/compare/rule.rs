//! What does not count as a difference, and where.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use regex::Regex;
use serde_json::Value;

use crate::router::compare::Kind;
use crate::router::compare::glob::Glob;

/// A command's rules are at most so many, since each is looked at on each level of an answer.
pub const MAX_RULES: usize = 256;

/// The name under which rules stand for every command.
pub const EVERY_COMMAND: &str = "*";

/// The name of the place where error messages are compared.
pub const ERROR: &str = "error";

/// One rule: what is forgiven, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Where it holds.
    pub at: Place,
    /// What it forgives there.
    pub effect: Effect,
}

/// Where a rule holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At these paths of the answer.
    Value(Glob),
    /// In the messages of errors of one class.
    Error,
}

/// What a rule forgives.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Every difference there and below.
    Ignore,
    /// Differences of these kinds at the very place.
    IgnoreKinds(Vec<Kind>),
    /// Numbers that are no further apart than `abs`, or than `rel` of the larger one.
    Tolerance {
        /// In the number's own unit, from 0.
        abs: f64,
        /// As a share, from 0.
        rel: f64,
    },
    /// The array's order.
    Unordered,
    /// The array's order, where elements are told apart by this member; a pointer.
    Keyed(String),
    /// Parts of texts: what the pattern finds is replaced before texts are compared.
    Normalise {
        /// What is found.
        regex: Pattern,
        /// What stands in its place; `$1` is the first group.
        with: String,
    },
    /// How a number is written: 1, 1.0 and "1" are one.
    Loose,
}

/// A regular expression; two are equal if their texts are.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// The rules of one command.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// In the order in which they were written; those for every command come first.
    pub rules: Vec<Rule>,
    /// Answers larger than this are not compared, in bytes of JSON.
    pub max_bytes: usize,
}

/// Larger answers than this are skipped unless set otherwise.
pub const MAX_BYTES: usize = 1024 * 1024;

impl Default for Rules {
    fn default() -> Self {
        Self { rules: Vec::new(), max_bytes: MAX_BYTES }
    }
}

/// The rules of every command.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleBook {
    every: Arc<Rules>,
    by_command: BTreeMap<String, Arc<Rules>>,
}

impl RuleBook {
    /// From each command's own rules; those of [`EVERY_COMMAND`] hold for all.
    #[must_use]
    pub fn new(mut lists: BTreeMap<String, Vec<Rule>>, max_bytes: usize) -> Self {
        let every = lists.remove(EVERY_COMMAND).unwrap_or_default();
        let with = |own: Vec<Rule>| {
            let rules = every.iter().cloned().chain(own).collect();
            Arc::new(Rules { rules, max_bytes })
        };
        let by_command = lists.into_iter().map(|(name, own)| (name, with(own))).collect();
        Self { every: with(Vec::new()), by_command }
    }

    /// Answers larger than this are not compared, in bytes of JSON.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        self.every.max_bytes
    }

    /// The rules that hold for a command.
    #[must_use]
    pub fn of(&self, command: &str) -> &Arc<Rules> {
        self.by_command.get(command).unwrap_or(&self.every)
    }
}

impl Rule {
    /// The rule as it stands in the config.
    #[must_use]
    pub fn to_toml(&self, command: &str) -> String {
        let at = match &self.at {
            Place::Value(glob) => glob.as_str(),
            Place::Error => ERROR,
        };
        let bare = |char: char| char.is_ascii_alphanumeric() || "_-".contains(char);
        let name = match !command.is_empty() && command.chars().all(bare) {
            true => command.to_owned(),
            false => quoted(command),
        };
        let mut text = format!("[[compare.{name}]]\nat = {}\n", quoted(at));
        let effect = match &self.effect {
            Effect::Ignore => "ignore = true".to_owned(),
            Effect::IgnoreKinds(kinds) => {
                let kinds: Vec<String> = kinds.iter().map(|kind| quoted(kind.as_str())).collect();
                format!("ignore = [{}]", kinds.join(", "))
            }
            Effect::Tolerance { abs, rel } => format!("abs = {abs:?}\nrel = {rel:?}"),
            Effect::Unordered => "unordered = true".to_owned(),
            Effect::Keyed(key) => format!("key = {}", quoted(key)),
            Effect::Normalise { regex, with } => {
                format!("regex = {}\nwith = {}", quoted(regex.0.as_str()), quoted(with))
            }
            Effect::Loose => "loose_numbers = true".to_owned(),
        };
        let _ = writeln!(text, "{effect}");
        text
    }
}

/// JSON's quotes are TOML's basic ones, but for DEL, which TOML wants escaped.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// Where an object lives in a worker's memory, which Python likes to tell.
static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b0x[0-9a-fA-F]{6,}\b").expect("it is a pattern"));

/// An error's message as it is compared: without addresses and outer blanks, then by the rules.
pub(super) fn normalised_message(rules: &Rules, message: &str) -> String {
    let message = ADDRESS.replace_all(message.trim(), "0x").into_owned();
    let at_error = rules.rules.iter().filter(|rule| rule.at == Place::Error);
    at_error.fold(message, |text, rule| match &rule.effect {
        Effect::Normalise { regex, with } => regex.0.replace_all(&text, with).into_owned(),
        _ => text,
    })
}
