//! Sets of slots that can be compared at once.

/// A set of slot numbers, a bit for each: 16 words at the largest size that config allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotSet {
    words: Vec<u64>,
    len: usize,
}

impl SlotSet {
    /// How many slots are in it.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a slot; whether it was not there.
    pub fn insert(&mut self, slot: u32) -> bool {
        let (word, bit) = place(slot);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += usize::from(new);
        new
    }

    /// Takes a slot out; whether it was there.
    pub fn remove(&mut self, slot: u32) -> bool {
        let (word, bit) = place(slot);
        let Some(word) = self.words.get_mut(word) else { return false };
        let known = *word & bit != 0;
        *word &= !bit;
        self.len -= usize::from(known);
        known
    }

    /// Whether a slot is in it.
    #[must_use]
    pub fn contains(&self, slot: u32) -> bool {
        let (word, bit) = place(slot);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The lowest slot.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.first_shared(self)
    }

    /// The highest slot.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        let (word, bits) = (0..).zip(&self.words).filter(|(_, bits)| **bits != 0).last()?;
        Some(word * u64::BITS + bits.ilog2())
    }

    /// The lowest slot that is not in the other.
    #[must_use]
    pub fn first_beyond(&self, other: &Self) -> Option<u32> {
        let others = other.words.iter().chain(std::iter::repeat(&0));
        let beyond = self.words.iter().zip(others).map(|(one, two)| one & !two);
        let (word, bits) = (0..).zip(beyond).find(|(_, bits)| *bits != 0)?;
        Some(word * u64::BITS + bits.trailing_zeros())
    }

    /// The lowest slot that is in both.
    #[must_use]
    pub fn first_shared(&self, other: &Self) -> Option<u32> {
        if self.is_empty() || other.is_empty() {
            return None;
        }
        let shared = self.words.iter().zip(&other.words).map(|(one, two)| one & two);
        let (word, bits) = (0..).zip(shared).find(|(_, bits)| *bits != 0)?;
        Some(word * u64::BITS + bits.trailing_zeros())
    }
}

fn place(slot: u32) -> (usize, u64) {
    ((slot / u64::BITS) as usize, 1 << (slot % u64::BITS))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn two_sets_share_what_plain_sets_share(
            changes in prop::collection::vec((0_usize..2, 0_u32..200, any::<bool>()), 1..300),
        ) {
            let mut sets = [SlotSet::default(), SlotSet::default()];
            let mut plain = [BTreeSet::new(), BTreeSet::new()];
            for (which, slot, insert) in changes {
                let (set, plain_set) = (&mut sets[which], &mut plain[which]);
                if insert {
                    prop_assert_eq!(set.insert(slot), plain_set.insert(slot));
                } else {
                    prop_assert_eq!(set.remove(slot), plain_set.remove(&slot));
                }
                prop_assert_eq!(set.len(), plain_set.len());
                prop_assert_eq!(set.first(), plain_set.first().copied());
                prop_assert_eq!(set.last(), plain_set.last().copied());
                let shared = plain[0].intersection(&plain[1]).next().copied();
                prop_assert_eq!(sets[0].first_shared(&sets[1]), shared);
                let beyond = plain[0].difference(&plain[1]).next().copied();
                prop_assert_eq!(sets[0].first_beyond(&sets[1]), beyond);
            }
        }
    }
}
