//! The walk of two values: where they differ, as far as the rules ask.

use std::ops::Range;

use serde_json::Value;

use crate::router::compare::glob::{Segment, push_key};
use crate::router::compare::quantity::Quantity;
use crate::router::compare::rule::{Effect, Place, Rule, Rules};
use crate::router::compare::tree::{Members, Tree};
use crate::router::compare::{Difference, Found, Kind};

/// How many values may be looked at while it is tried which elements of two arrays belong
/// together. Arrays in arrays would else make that exponential; an array for which there is no
/// fuel left counts as changed. About 10 ms of work.
const FUEL: usize = 100_000;

/// Where two values differ. Recursive: values must be no deeper than serde_json reads them (128).
///
/// A rule that ignores or tolerates never adds a difference: each one that is left stands where
/// one stood before, or above it.
#[must_use]
pub fn differences(rules: &Rules, v2: &Value, v3: &Value) -> Found {
    walk(rules, &v2.into(), &v3.into())
}

pub(super) fn walk<'a>(rules: &'a Rules, v2: &'a Tree<'a>, v3: &'a Tree<'a>) -> Found {
    let mut walk = Walk::new(&rules.rules);
    let root = walk.root();
    walk.values(v2, v3, &root);
    walk.found
}

/// A key or an index.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token<'a> {
    Key(&'a str),
    Index(usize),
}

/// A rule of which so many segments lie behind us.
type State = (u16, u8);

/// The states of one place, on the walk's stack.
pub(super) type Here = Range<usize>;

pub(super) struct Walk<'a> {
    rules: &'a [Rule],
    states: Vec<State>,
    tokens: Vec<Token<'a>>,
    found: Found,
    /// While above zero, only whether there is a difference is asked.
    probes: usize,
    fuel: usize,
}

impl<'a> Walk<'a> {
    fn new(rules: &'a [Rule]) -> Self {
        let (states, tokens) = (Vec::new(), Vec::new());
        Self { rules, states, tokens, found: Found::default(), probes: 0, fuel: FUEL }
    }

    fn root(&mut self) -> Here {
        for (index, rule) in self.rules.iter().enumerate() {
            if let Place::Value(_) = rule.at {
                let rule = u16::try_from(index).expect("the config admits few rules");
                self.reach(0, (rule, 0));
            }
        }
        0..self.states.len()
    }

    fn segments(&self, rule: u16) -> &'a [Segment] {
        match &self.rules[usize::from(rule)].at {
            Place::Value(glob) => glob.segments(),
            Place::Error => &[],
        }
    }

    /// Adds a state once, and those that it reaches without a step: `**` may stand for nothing.
    fn reach(&mut self, start: usize, (rule, mut at): State) {
        let segments = self.segments(rule);
        loop {
            if !self.states[start..].contains(&(rule, at)) {
                self.states.push((rule, at));
            }
            match segments.get(usize::from(at)) {
                Some(Segment::Deep) => at += 1,
                _ => return,
            }
        }
    }

    /// Goes down to a member; [`Self::leave`] comes back.
    pub(super) fn enter(&mut self, here: &Here, token: Token<'a>) -> Here {
        let start = self.states.len();
        let is = |segment: &Segment| match token {
            Token::Key(key) => segment.matches(key),
            Token::Index(index) => segment.matches(&index.to_string()),
        };
        for state in here.clone() {
            let (rule, at) = self.states[state];
            match self.segments(rule).get(usize::from(at)) {
                Some(Segment::Deep) => self.reach(start, (rule, at)),
                Some(Segment::Any) => self.reach(start, (rule, at + 1)),
                Some(segment) if is(segment) => self.reach(start, (rule, at + 1)),
                _ => {}
            }
        }
        self.tokens.push(token);
        start..self.states.len()
    }

    pub(super) fn leave(&mut self, there: &Here) {
        self.states.truncate(there.start);
        self.tokens.pop();
    }

    /// What the rules say of this very place.
    pub(super) fn effects(&self, here: &Here) -> impl Iterator<Item = &'a Effect> {
        let arrived = self.states[here.clone()]
            .iter()
            .filter(|(rule, at)| usize::from(*at) == self.segments(*rule).len());
        let rules = self.rules;
        arrived.map(|(rule, _)| &rules[usize::from(*rule)].effect)
    }

    fn is_ignored(&self, here: &Here) -> bool {
        self.effects(here).any(|effect| matches!(effect, Effect::Ignore))
    }

    /// Whether a probe has its answer already.
    pub(super) fn is_settled(&self) -> bool {
        self.probes > 0 && !self.found.is_empty()
    }

    /// How many differences are listed, and how many there are beyond.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.found.listed.len(), self.found.beyond)
    }

    /// Forgets what was found since there were so many.
    pub(super) fn retract(&mut self, (listed, beyond): (usize, usize)) {
        self.found.listed.truncate(listed);
        self.found.beyond = beyond;
    }

    pub(super) fn report(&mut self, kind: Kind, here: &Here) {
        let ignored = |effect: &Effect| match effect {
            Effect::Ignore => true,
            Effect::IgnoreKinds(kinds) => kinds.contains(&kind),
            _ => false,
        };
        if self.effects(here).any(ignored) {
            return;
        }
        if self.probes > 0 || self.found.listed.len() == Found::LISTED {
            self.found.beyond += 1;
            return;
        }
        let (mut path, mut shape) = (String::new(), String::new());
        for token in &self.tokens {
            match token {
                Token::Key(key) => {
                    push_key(&mut path, key, "*");
                    push_key(&mut shape, key, "~2");
                }
                Token::Index(index) => {
                    push_key(&mut path, &index.to_string(), "*");
                    shape.push_str("/*");
                }
            }
        }
        self.found.listed.push(Difference { path, shape, kind });
    }

    /// Whether two values are the same as far as the rules ask; no, once the fuel is gone.
    pub(super) fn same(&mut self, v2: &'a Tree<'a>, v3: &'a Tree<'a>, here: &Here) -> bool {
        let outer = std::mem::take(&mut self.found);
        self.probes += 1;
        self.values(v2, v3, here);
        self.probes -= 1;
        std::mem::replace(&mut self.found, outer).is_empty() && self.fuel > 0
    }

    /// Whether there is no need to go there: leaves that are equal are so under any rule. Not
    /// while probing, since that is work which fuel must bound.
    pub(super) fn are_twins(&self, v2: &Tree<'_>, v3: &Tree<'_>) -> bool {
        self.probes == 0 && v2.is_leaf() && v2 == v3
    }

    pub(super) fn values(&mut self, v2: &'a Tree<'a>, v3: &'a Tree<'a>, here: &Here) {
        if self.probes > 0 {
            self.fuel = self.fuel.saturating_sub(1);
            if self.fuel == 0 {
                self.found.beyond += 1;
                return;
            }
        }
        if v2.is_leaf() && v2 == v3 || self.is_ignored(here) {
            return;
        }
        match (v2, v3) {
            (Tree::Object(v2), Tree::Object(v3)) => self.objects(v2, v3, here),
            (Tree::Array(v2), Tree::Array(v3)) => self.arrays(v2, v3, here),
            _ if self.numbers_agree(v2, v3, here) => {}
            (Tree::Text(v2), Tree::Text(v3)) => {
                if self.normalised(v2, here) != self.normalised(v3, here) {
                    self.report(Kind::Changed, here);
                }
            }
            (Tree::Number(_), Tree::Number(_)) | (Tree::Bool(_), Tree::Bool(_)) => {
                self.report(Kind::Changed, here);
            }
            _ => self.report(Kind::Type, here),
        }
    }

    fn objects(&mut self, v2: &'a Members<'a>, v3: &'a Members<'a>, here: &Here) {
        // Most often both have the same keys in the same order, and nothing need be looked up.
        let (mut beside, mut shared) = (v3.iter(), 0);
        for (key, left) in v2.iter() {
            if self.is_settled() {
                return;
            }
            let right = match beside.next() {
                Some((same, right)) if same == key => Some(right),
                _ => v3.get(key),
            };
            if right.is_some_and(|right| self.are_twins(left, right)) {
                shared += 1;
                continue;
            }
            let there = self.enter(here, Token::Key(key));
            match right {
                Some(right) => self.values(left, right, &there),
                None => self.report(Kind::Missing, &there),
            }
            shared += usize::from(right.is_some());
            self.leave(&there);
        }
        if shared == v3.len() {
            return;
        }
        for (key, _) in v3.iter().filter(|(key, _)| v2.get(key).is_none()) {
            let there = self.enter(here, Token::Key(key));
            self.report(Kind::Extra, &there);
            self.leave(&there);
        }
    }

    fn numbers_agree(&self, v2: &Tree<'_>, v3: &Tree<'_>, here: &Here) -> bool {
        let loose = self.effects(here).any(|effect| matches!(effect, Effect::Loose));
        let quantity = |value: &Tree<'_>| match value {
            Tree::Number(number) => Quantity::of(number),
            Tree::Text(text) if loose => Quantity::parse(text),
            _ => None,
        };
        let (Some(v2), Some(v3)) = (quantity(v2), quantity(v3)) else { return false };
        let apart = v2.apart(v3);
        let within = |effect: &Effect| match effect {
            Effect::Tolerance { abs, rel } => {
                apart <= *abs || apart <= rel * v2.size().max(v3.size())
            }
            _ => false,
        };
        loose && apart == 0.0 || self.effects(here).any(within)
    }

    fn normalised(&self, text: &str, here: &Here) -> String {
        self.effects(here).fold(text.to_owned(), |text, effect| match effect {
            Effect::Normalise { regex, with } => {
                regex.0.replace_all(&text, with.as_str()).into_owned()
            }
            _ => text,
        })
    }
}
