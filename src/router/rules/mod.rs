//! Rules: calls that go to a lane because of what they are, whatever the percentage.
//!
//! ```toml
//! force_attrs = ["x-lane"]      # a call whose attr says "v2" or "v3" goes there
//!
//! [[rules]]                     # the first that matches counts
//! name = "exports stay"
//! commands = ["export"]
//! lane = "v2"
//!
//! [[rules]]
//! name = "our own people first"
//! attrs = { tenant = ["acme", "initech"] }
//! lane = "v3"
//! ```
//!
//! A rule matches a call that meets all its conditions; a condition is met by any one of its
//! values. `lane = "draw"` sends a call to its percentage, past all later rules.
//!
//! A rule's lane is not drawn, so its calls say nothing about V3 beside V2: they are no draws,
//! and guards leave them out, as they do with forced ones.

mod index;
mod reader;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::call::{Call, Class, Lane};
use crate::router::rules::index::Index;

pub(super) use crate::router::rules::reader::read;

/// The rules of one file: each is a bit of one word.
pub const MAX_RULES: usize = 64;

/// The values of all conditions together; each audit line may carry them.
pub const MAX_VALUES: usize = 4096;

/// Different attrs that rules ask for: each is one more look-up for each call.
pub const MAX_ATTRS: usize = 8;

/// The rules in force, first to last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Rules {
    written: Written,
    index: Index,
}

/// Rules as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    rules: Vec<Rule>,
    force_attrs: Vec<String>,
    suspended: bool,
}

/// One rule. A condition without values is met by every call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What people call it.
    pub name: Option<String>,
    /// Commands, one of which it must be.
    pub commands: Vec<String>,
    /// Classes, one of which it must have.
    pub classes: Vec<Class>,
    /// Sessions, one of which it must be in.
    pub sessions: Vec<String>,
    /// Attrs that it must carry, each with one of the values.
    pub attrs: BTreeMap<String, Vec<String>>,
    /// Where such a call goes.
    pub lane: Target,
}

/// Where a rule sends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The legacy pool.
    V2,
    /// The new pool.
    V3,
    /// By its pin or percentage, and past all later rules.
    Draw,
}

impl Target {
    /// The word that is written in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V3 => "v3",
            Self::Draw => "draw",
        }
    }

    /// The lane, unless it is drawn.
    #[must_use]
    pub const fn lane(self) -> Option<Lane> {
        match self {
            Self::V2 => Some(Lane::V2),
            Self::V3 => Some(Lane::V3),
            Self::Draw => None,
        }
    }
}

impl Rules {
    fn new(written: Written) -> Self {
        let index = Index::of(&written.rules);
        Self { written, index }
    }

    /// Whether no call is sent anywhere by them.
    #[must_use]
    pub const fn are_none(&self) -> bool {
        self.written.rules.is_empty() && self.written.force_attrs.is_empty()
    }

    /// The rules, first to last.
    #[must_use]
    pub fn list(&self) -> &[Rule] {
        &self.written.rules
    }

    /// The attrs by which a caller may force a lane.
    #[must_use]
    pub fn force_attrs(&self) -> &[String] {
        &self.written.force_attrs
    }

    /// Whether no rule counts, since somebody rolled back.
    #[must_use]
    pub const fn are_suspended(&self) -> bool {
        self.written.suspended
    }

    /// The number of the first rule that matches, from 0. Allocates nothing.
    #[must_use]
    pub fn first(&self, call: &Call) -> Option<u8> {
        if self.written.suspended || self.written.rules.is_empty() {
            return None;
        }
        self.index.first(call)
    }

    /// The lane that the caller forces by an attr that may do so. Allocates nothing.
    #[must_use]
    pub fn forced(&self, call: &Call) -> Option<Lane> {
        self.written.force_attrs.iter().find_map(|attr| match call.attrs.get(attr)?.as_str() {
            "v2" => Some(Lane::V2),
            "v3" => Some(Lane::V3),
            _ => None,
        })
    }

    /// The first rule that asks for a command which `knows` does not know, and that command: it
    /// would never match. Suspended rules are not looked at, so that a rollback is never refused.
    #[must_use]
    pub fn unknown_command(&self, knows: impl Fn(&str) -> bool) -> Option<(u8, &str)> {
        let rules = self.list().iter().filter(|_| !self.are_suspended());
        (0..).zip(rules).find_map(|(number, rule)| {
            let unknown = rule.commands.iter().find(|command| !knows(command))?;
            Some((number, unknown.as_str()))
        })
    }
}

impl From<Written> for Rules {
    fn from(written: Written) -> Self {
        Self::new(written)
    }
}

impl From<Rules> for Written {
    fn from(rules: Rules) -> Self {
        rules.written
    }
}

/// What it asks for and where it sends: `commands export or import -> v2`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name:?}: ")?;
        }
        let classes: Vec<String> = self.classes.iter().map(|c| c.as_str().to_owned()).collect();
        let named = [("command", &self.commands), ("class", &classes), ("session", &self.sessions)];
        let attrs = self.attrs.iter().map(|(attr, values)| (format!("attr {attr}"), values));
        let named = named.into_iter().map(|(what, values)| (what.to_owned(), values));
        let asked = named.chain(attrs).filter(|(_, values)| !values.is_empty());
        let asked: Vec<String> = asked.map(|(what, values)| condition(&what, values)).collect();
        write!(f, "{} -> {}", asked.join(", "), self.lane.as_str())
    }
}

/// Long lists are cut: what is meant stands in the file.
fn condition(what: &str, values: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = values.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(" or ");
    match values.len().saturating_sub(SHOWN) {
        0 => format!("{what} {shown}"),
        more => format!("{what} {shown} or {more} more"),
    }
}
