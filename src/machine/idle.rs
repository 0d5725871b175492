//! Maps that forget the longest idle first.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use crate::clock::Moment;

/// A map that knows when each key was last used.
///
/// A use is one look-up: the order of keys is put right only for the key at its front, when
/// somebody asks for one to forget. A key that must not be forgotten, because it is in use,
/// is touched at [`Moment::NEVER`].
///
/// Keys are hashed: comparing them one by one down a tree costs a cache miss for each.
#[derive(Clone, Debug)]
pub struct IdleMap<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Each key once, at its entry's `noted`.
    order: BTreeSet<(Moment, K)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry<V> {
    value: V,
    last_used: Moment,
    /// Where the key stands in the order: never later than `last_used`.
    noted: Moment,
}

impl<K: Clone + Ord + Hash, V> IdleMap<K, V> {
    /// No keys.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: HashMap::new(), order: BTreeSet::new() }
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When the key was last used, and its value.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<(Moment, &V)> {
        self.entries.get(key).map(|entry| (entry.last_used, &entry.value))
    }

    /// The key's value, to change it without using it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Uses the key at this moment.
    pub fn touch(&mut self, key: &K, at: Moment) -> Option<&mut V> {
        self.touch_again(key, at).map(|(_, value)| value)
    }

    /// Uses the key at this moment, and says when it was used before.
    pub fn touch_again(&mut self, key: &K, at: Moment) -> Option<(Moment, &mut V)> {
        self.touch_as(key, |_| at)
    }

    /// Changes the key's value and uses it at the moment that the change gives; says when it was
    /// used before.
    pub fn touch_as(
        &mut self,
        key: &K,
        change: impl FnOnce(&mut V) -> Moment,
    ) -> Option<(Moment, &mut V)> {
        let entry = self.entries.get_mut(key)?;
        let at = change(&mut entry.value);
        let before = std::mem::replace(&mut entry.last_used, at);
        if at < entry.noted {
            self.order.remove(&(entry.noted, key.clone()));
            self.order.insert((at, key.clone()));
            entry.noted = at;
        }
        Some((before, &mut entry.value))
    }

    /// Adds a key that is not there, used at this moment.
    pub fn insert(&mut self, key: K, at: Moment, value: V) -> &mut V {
        self.order.insert((at, key.clone()));
        let entry = Entry { value, last_used: at, noted: at };
        let old = self.entries.insert(key.clone(), entry);
        assert!(old.is_none(), "a key is inserted once");
        self.get_mut(&key).expect("it was inserted above")
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&(entry.noted, key.clone()));
        Some(entry.value)
    }

    /// Takes out the key that was used longest ago, if that is `long_enough` ago: once it is,
    /// every earlier moment must be too.
    pub fn forget_idle(&mut self, long_enough: impl Fn(Moment) -> bool) -> Option<(K, V)> {
        let (_, key) = self.idle(long_enough)?;
        let value = self.remove(&key)?;
        Some((key, value))
    }

    /// The longest idle key, if that is long enough. What the front is noted at is not later
    /// than its last use, so when that is not long enough, nothing needs to be put right.
    fn idle(&mut self, long_enough: impl Fn(Moment) -> bool) -> Option<(Moment, K)> {
        loop {
            let (noted, key) = self.order.first().filter(|(noted, _)| long_enough(*noted))?;
            let last_used = self.entries[key].last_used;
            if last_used == *noted {
                return Some((*noted, key.clone()));
            }
            let (_, key) = self.order.pop_first().expect("it was looked at above");
            self.entries.get_mut(&key).expect("each key is in both").noted = last_used;
            self.order.insert((last_used, key));
        }
    }

    /// When the key that was used longest ago was used, at the earliest. Costs no order.
    #[must_use]
    pub fn earliest(&self) -> Option<Moment> {
        self.order.first().map(|(noted, _)| *noted)
    }

    /// All keys with their last use and their values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, Moment, &V)> {
        self.entries.iter().map(|(key, entry)| (key, entry.last_used, &entry.value))
    }

    /// All values, to change them, in no order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut().map(|entry| &mut entry.value)
    }
}

impl<K: Eq + Hash, V: PartialEq> PartialEq for IdleMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries && self.order == other.order
    }
}

impl<K: Eq + Hash, V: Eq> Eq for IdleMap<K, V> {}

impl<K: Clone + Ord + Hash, V> Default for IdleMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_longest_idle_is_who_a_plain_search_finds(
            uses in prop::collection::vec((0_u8..6, 0_u64..50, any::<bool>()), 1..200),
        ) {
            let mut map = IdleMap::new();
            let mut plain: BTreeMap<u8, Moment> = BTreeMap::new();
            for (key, at, forget) in uses {
                let at = Moment::from_nanos(at);
                if map.touch(&key, at).is_none() {
                    map.insert(key, at, ());
                }
                plain.insert(key, at);
                let idlest = plain.iter().map(|(key, at)| (*at, *key)).min();
                prop_assert_eq!(map.idle(|_| true), idlest);
                if forget {
                    let latest = Moment::from_nanos(25);
                    let expected = idlest.filter(|(used, _)| *used <= latest).map(|(_, key)| key);
                    let forgotten = map.forget_idle(|used| used <= latest);
                    prop_assert_eq!(forgotten.map(|(key, ())| key), expected);
                    expected.map(|key| plain.remove(&key));
                }
                prop_assert_eq!((map.len(), map.order.len()), (plain.len(), plain.len()));
                prop_assert_eq!(map.is_empty(), plain.is_empty());
            }
        }
    }
}
