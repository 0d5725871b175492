//! Rules turned around: from what a call is to the rules that it meets.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use crate::call::{Call, Class, SessionId};
use crate::router::rules::Rule;

/// A set of rules: bit `n` is rule `n`, so the lowest one set is the first that matches.
type Set = u64;

/// For each condition, the rules that a call meets by what it is. Their common part is what
/// matches, whatever the number of rules and of their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    classes: [Set; Class::ALL.len()],
    commands: Asked,
    sessions: Asked,
    attrs: Vec<(String, Asked)>,
}

/// One condition over all rules. Looked up for each call, and never walked through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Asked {
    /// The rules that do not ask for it, and so are met by every call.
    not: Set,
    /// By a value that is asked for: the rules that it meets, with those of `not`.
    by_value: HashMap<String, Set, BuildHasherDefault<Fnv>>,
}

/// FNV-1a, quick for short texts. Its keys need no secret: what is in the table comes from the
/// operator's file, and callers only look things up.
#[derive(Clone, Copy, Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Index {
    /// At most 64 rules; the reader sees to it.
    pub(super) fn of(rules: &[Rule]) -> Self {
        let attrs: BTreeSet<&String> = rules.iter().flat_map(|rule| rule.attrs.keys()).collect();
        let by_attr = |attr: &String| {
            let asked = Asked::of(rules, |rule| rule.attrs.get(attr).map_or(&[], Vec::as_slice));
            (attr.clone(), asked)
        };
        Self {
            classes: Class::ALL.map(|class| {
                set(rules, |rule| rule.classes.is_empty() || rule.classes.contains(&class))
            }),
            commands: Asked::of(rules, |rule| &rule.commands),
            sessions: Asked::of(rules, |rule| &rule.sessions),
            attrs: attrs.into_iter().map(by_attr).collect(),
        }
    }

    pub(super) fn first(&self, call: &Call) -> Option<u8> {
        let mut left = self.classes[call.class as usize];
        left &= self.commands.meets(Some(&call.command));
        left &= self.sessions.meets(call.session.as_ref().map(SessionId::as_str));
        for (attr, asked) in &self.attrs {
            if left == 0 {
                break;
            }
            left &= asked.meets(call.attrs.get(attr).map(String::as_str));
        }
        (left != 0).then_some(left.trailing_zeros() as u8)
    }
}

impl Asked {
    fn of<'a>(rules: &'a [Rule], values: impl Fn(&'a Rule) -> &'a [String]) -> Self {
        let not = set(rules, |rule| values(rule).is_empty());
        let mut by_value = HashMap::default();
        for (number, rule) in rules.iter().enumerate() {
            for value in values(rule) {
                *by_value.entry(value.clone()).or_insert(not) |= 1 << number;
            }
        }
        Self { not, by_value }
    }

    fn meets(&self, value: Option<&str>) -> Set {
        if self.by_value.is_empty() {
            return self.not;
        }
        value.and_then(|value| self.by_value.get(value)).copied().unwrap_or(self.not)
    }
}

fn set<'a>(rules: &'a [Rule], holds: impl Fn(&'a Rule) -> bool) -> Set {
    let holding = rules.iter().enumerate().filter(|(_, rule)| holds(rule));
    holding.fold(0, |set, (number, _)| set | 1 << number)
}
