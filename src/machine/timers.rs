//! Deadlines in order: each key has at most one.

use std::collections::BTreeSet;
use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::clock::Moment;

/// A set of deadlines, one for each key, taken in order of (moment, key).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timers<K: Eq + Hash> {
    queue: BTreeSet<(Moment, K)>,
    /// Looked up only, and by our own keys.
    due: FxHashMap<K, Moment>,
}

impl<K: Copy + Ord + Hash> Timers<K> {
    /// No deadlines.
    #[must_use]
    pub fn new() -> Self {
        Self { queue: BTreeSet::new(), due: FxHashMap::default() }
    }

    /// Sets the key's deadline, in place of any earlier one.
    pub fn set(&mut self, key: K, at: Moment) {
        self.clear(key);
        self.due.insert(key, at);
        self.queue.insert((at, key));
    }

    /// Forgets the key's deadline.
    pub fn clear(&mut self, key: K) {
        if let Some(at) = self.due.remove(&key) {
            self.queue.remove(&(at, key));
        }
    }

    /// As [`Self::set`] for a key whose deadline is kept elsewhere, in `due`: not looked up, since
    /// there may be many such keys. One key's deadline is kept in one place only.
    pub fn move_to(&mut self, key: K, due: &mut Option<Moment>, at: Moment) {
        self.forget(key, due.replace(at));
        self.queue.insert((at, key));
    }

    /// Forgets the deadline of a key that is kept elsewhere; one that was taken must not be.
    pub fn forget(&mut self, key: K, due: Option<Moment>) {
        if let Some(at) = due {
            let known = self.queue.remove(&(at, key));
            assert!(known, "a deadline that is kept elsewhere is forgotten there once it is taken");
        }
    }

    /// The earliest deadline.
    #[must_use]
    pub fn earliest(&self) -> Option<Moment> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes the first key whose deadline is not after `now`.
    pub fn pop_due(&mut self, now: Moment) -> Option<K> {
        let (at, key) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.due.remove(&key);
        Some(key)
    }
}

impl<K: Copy + Ord + Hash> Default for Timers<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_out_in_order_and_once() {
        let at = Moment::from_nanos;
        let mut timers = Timers::new();
        timers.set('b', at(5));
        timers.set('a', at(9));
        timers.set('a', at(3));
        assert_eq!(timers.earliest(), Some(at(3)));
        assert_eq!(timers.pop_due(at(2)), None);
        assert_eq!(timers.pop_due(at(7)), Some('a'));
        assert_eq!(timers.pop_due(at(7)), Some('b'));
        assert_eq!(timers.pop_due(Moment::NEVER), None);
    }
}
