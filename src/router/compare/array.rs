//! Arrays: in order, in any order, or by a key.

use std::collections::HashMap;

use crate::router::compare::Kind;
use crate::router::compare::rule::Effect;
use crate::router::compare::tree::Tree;
use crate::router::compare::walk::{Here, Token, Walk};

/// So many elements without an identical twin on the other side are tried against each other;
/// the work grows with the square. With more, an array counts as changed.
const MAX_LEFT_OVER: usize = 128;

impl<'a> Walk<'a> {
    pub(super) fn arrays(&mut self, v2: &'a [Tree<'a>], v3: &'a [Tree<'a>], here: &Here) {
        let key = self.effects(here).find_map(|effect| match effect {
            Effect::Keyed(key) => Some(key.as_str()),
            _ => None,
        });
        let unordered = self.effects(here).any(|effect| matches!(effect, Effect::Unordered));
        match key {
            Some(key) => self.by_key(v2, v3, key, here),
            None if unordered => self.in_any_order(v2, v3, here),
            None => self.in_order(v2, v3, here),
        }
    }

    fn in_order(&mut self, v2: &'a [Tree<'a>], v3: &'a [Tree<'a>], here: &Here) {
        if v2.len() != v3.len() {
            return self.of_different_lengths(v2, v3, here);
        }
        let before = self.counts();
        let Some(astray) = self.elements(v2, v3, 0, here) else { return };
        if v2.len() > 1 && self.is_permutation(v2, v3, astray, here) {
            self.retract(before);
            self.report(Kind::Order, here);
        }
    }

    /// An element that was put in or left out shifts what comes after it, so what the arrays
    /// have in common at both ends is left out of the comparison.
    fn of_different_lengths(&mut self, v2: &'a [Tree<'a>], v3: &'a [Tree<'a>], here: &Here) {
        self.report(Kind::Length, here);
        let short = v2.len().min(v3.len());
        let mut front = 0;
        while front < short && self.same_elements(v2, v3, (front, front), here) {
            front += 1;
        }
        let mut back = 0;
        while back < short - front {
            let ends = (v2.len() - 1 - back, v3.len() - 1 - back);
            if !self.same_elements(v2, v3, ends, here) {
                break;
            }
            back += 1;
        }
        self.elements(&v2[..short - back], &v3[..short - back], front, here);
    }

    /// Compares by index; the first one in which there is a difference.
    fn elements(
        &mut self,
        v2: &'a [Tree<'a>],
        v3: &'a [Tree<'a>],
        from: usize,
        here: &Here,
    ) -> Option<usize> {
        let mut astray = None;
        for (index, (left, right)) in v2.iter().zip(v3).enumerate().skip(from) {
            if self.are_twins(left, right) {
                continue;
            }
            let before = self.counts();
            let there = self.enter(here, Token::Index(index));
            self.values(left, right, &there);
            self.leave(&there);
            if self.counts() != before {
                astray = astray.or(Some(index));
            }
            if self.is_settled() {
                break;
            }
        }
        astray
    }

    fn same_elements(
        &mut self,
        v2: &'a [Tree<'a>],
        v3: &'a [Tree<'a>],
        (left, right): (usize, usize),
        here: &Here,
    ) -> bool {
        let there = self.enter(here, Token::Index(left));
        let same = self.same(&v2[left], &v3[right], &there);
        self.leave(&there);
        same
    }

    fn in_any_order(&mut self, v2: &'a [Tree<'a>], v3: &'a [Tree<'a>], here: &Here) {
        if v2.len() != v3.len() {
            self.report(Kind::Length, here);
        }
        if v2 != v3 && self.paired(v2, v3, here) < v2.len().min(v3.len()) {
            self.report(Kind::Changed, here);
        }
    }

    /// Most often the answer is no, and the first element that went astray says so at once: it
    /// fits nowhere.
    fn is_permutation(
        &mut self,
        v2: &'a [Tree<'a>],
        v3: &'a [Tree<'a>],
        astray: usize,
        here: &Here,
    ) -> bool {
        let fits = (0..v3.len()).any(|index| self.same_elements(v2, v3, (astray, index), here));
        fits && self.paired(v2, v3, here) == v2.len()
    }

    /// How many elements find a partner, each its own: identical ones first, which no rule can
    /// change; then the largest matching of what is left, which a rule more can only enlarge.
    fn paired(&mut self, v2: &'a [Tree<'a>], v3: &'a [Tree<'a>], here: &Here) -> usize {
        let (left, right) = left_over(v2, v3);
        let twins = v2.len() - left.len();
        if left.len().max(right.len()) > MAX_LEFT_OVER {
            return twins;
        }
        let mut known = HashMap::new();
        let mut partners: Vec<Option<usize>> = vec![None; right.len()];
        let mut pairs = 0;
        for from in 0..left.len() {
            let mut tried = vec![false; right.len()];
            let mut fits = |l: usize, r: usize| {
                let known = known.entry((l, r));
                *known.or_insert_with(|| self.same_elements(v2, v3, (left[l], right[r]), here))
            };
            if find_partner(from, &mut partners, &mut tried, &mut fits) {
                pairs += 1;
            } else if twins + pairs + left.len() - 1 - from < v2.len().min(v3.len()) {
                // Not all can be paired any more, and that is all that is asked.
                break;
            }
        }
        twins + pairs
    }

    fn by_key(&mut self, v2: &'a [Tree<'a>], v3: &'a [Tree<'a>], key: &str, here: &Here) {
        let mut waiting: HashMap<Option<&Tree<'_>>, Vec<usize>> = HashMap::new();
        for (index, element) in v3.iter().enumerate().rev() {
            waiting.entry(element.at(key)).or_default().push(index);
        }
        let mut alone = vec![true; v3.len()];
        for (index, left) in v2.iter().enumerate() {
            let partner = waiting.get_mut(&left.at(key)).and_then(Vec::pop);
            let there = self.enter(here, Token::Index(index));
            match partner {
                Some(partner) => {
                    alone[partner] = false;
                    self.values(left, &v3[partner], &there);
                }
                None => self.report(Kind::Missing, &there),
            }
            self.leave(&there);
        }
        for index in (0..v3.len()).filter(|index| alone[*index]) {
            let there = self.enter(here, Token::Index(index));
            self.report(Kind::Extra, &there);
            self.leave(&there);
        }
    }
}

/// The elements that have no identical twin in the other array. Those with a twin in the same
/// place are told by one look, without a hash.
fn left_over(v2: &[Tree<'_>], v3: &[Tree<'_>]) -> (Vec<usize>, Vec<usize>) {
    let moved = |index: &usize| v2.get(*index) != v3.get(*index);
    let mut twins: HashMap<&Tree<'_>, Vec<usize>> = HashMap::new();
    for index in (0..v3.len()).filter(moved) {
        twins.entry(&v3[index]).or_default().push(index);
    }
    let alone = |index: &usize| twins.get_mut(&v2[*index]).and_then(Vec::pop).is_none();
    let left: Vec<usize> = (0..v2.len()).filter(moved).filter(alone).collect();
    let mut right: Vec<usize> = twins.into_values().flatten().collect();
    right.sort_unstable();
    (left, right)
}

/// One step of the largest matching (Kuhn's): who has a partner keeps one, perhaps another.
fn find_partner(
    from: usize,
    partners: &mut [Option<usize>],
    tried: &mut [bool],
    fits: &mut impl FnMut(usize, usize) -> bool,
) -> bool {
    for to in 0..partners.len() {
        if tried[to] || !fits(from, to) {
            continue;
        }
        tried[to] = true;
        let free = match partners[to] {
            None => true,
            Some(other) => find_partner(other, partners, tried, fits),
        };
        if free {
            partners[to] = Some(from);
            return true;
        }
    }
    false
}
