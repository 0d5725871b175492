//! Which samples of one path are kept: the first ones, the newest, and a fair draw of the rest.

use serde::{Deserialize, Serialize};

/// How many samples of each sort are kept for a command, path and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The first ever.
    pub first: u64,
    /// The last ones.
    pub newest: u64,
    /// Of those between.
    pub reservoir: u64,
}

impl Default for Quota {
    /// Enough to see what was, what is, and whether they are alike.
    fn default() -> Self {
        Self { first: 2, newest: 3, reservoir: 3 }
    }
}

/// A sample's place; a later one in the same place takes it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// Never given up.
    First(u64),
    /// A ring.
    Newest(u64),
    /// Each that left the ring is in here with the same chance (Vitter's algorithm R).
    Reservoir(u64),
}

/// What a new sample brings about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where it goes.
    pub to: Slot,
    /// Where the one that it pushes out of the ring goes, if that is kept.
    pub pushed: Option<Slot>,
}

impl Quota {
    /// Places the `n`th sample of a path, counted from 0; `draw` is any random number.
    #[must_use]
    pub fn place(self, n: u64, draw: u64) -> Placed {
        let Some(later) = n.checked_sub(self.first) else {
            return Placed { to: Slot::First(n), pushed: None };
        };
        let to = Slot::Newest(later % self.newest);
        let Some(left) = later.checked_sub(self.newest) else {
            return Placed { to, pushed: None };
        };
        let drawn = if left < self.reservoir { left } else { draw % (left + 1) };
        let pushed = (drawn < self.reservoir).then_some(Slot::Reservoir(drawn));
        Placed { to, pushed }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn kept(total: u64, mut draw: impl FnMut() -> u64) -> BTreeMap<Slot, u64> {
        let mut kept = BTreeMap::new();
        for n in 0..total {
            let placed = Quota::default().place(n, draw());
            let pushed = kept.get(&placed.to).copied();
            if let (Some(slot), Some(pushed)) = (placed.pushed, pushed) {
                kept.insert(slot, pushed);
            }
            kept.insert(placed.to, n);
        }
        kept
    }

    #[test]
    fn first_and_newest_are_kept_and_the_rest_has_a_fair_chance() {
        let few = kept(4, || 0);
        assert_eq!(few.into_values().collect::<Vec<_>>(), [0, 1, 2, 3]);
        // A fixed sequence of good numbers: what is asked is the law, not the generator.
        let mut state = 1_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        let mut hits = [0_u32; 25];
        for _ in 0..4000 {
            let kept = kept(30, &mut draw);
            assert_eq!((kept[&Slot::First(0)], kept[&Slot::First(1)]), (0, 1));
            let mut newest: Vec<u64> = (0..3).map(|slot| kept[&Slot::Newest(slot)]).collect();
            newest.sort_unstable();
            assert_eq!(newest, [27, 28, 29]);
            for slot in 0..3 {
                hits[usize::try_from(kept[&Slot::Reservoir(slot)]).unwrap() - 2] += 1;
            }
        }
        // Three of 25 in 4000 runs: 480 each, give or take five standard deviations.
        assert!(hits.iter().all(|hits| hits.abs_diff(480) < 105), "{hits:?}");
    }
}
