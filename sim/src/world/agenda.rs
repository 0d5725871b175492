//! What is due, and when.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use poolshift::clock::Moment;

use crate::rng::Lots;

/// A queue of things that are due, earliest first.
///
/// Things of one moment come in an order that is drawn by what they are, so that any of them can
/// be first: with enough seeds all interleavings occur. Equal things come in the order in which
/// they were put in.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    entries: BinaryHeap<Entry<T>>,
    order: Lots,
    put: u64,
}

/// Ordered by moment, then lot, then number; the last never decides but for a tie of lots.
#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    /// The moment's nanoseconds, 24 bits of lot, 40 bits of number.
    key: u128,
    due: T,
}

/// Numbers wrap after this many entries; no two entries of one moment are so far apart.
const NUMBER_BITS: u32 = 40;

impl<T> Agenda<T> {
    /// Nothing is due; lots are drawn from `order`.
    pub(crate) const fn new(order: Lots) -> Self {
        Self { entries: BinaryHeap::new(), order, put: 0 }
    }

    /// Something will be due at this moment; `code` is what it is, as a number.
    #[inline]
    pub(crate) fn put(&mut self, at: Moment, code: u64, due: T) {
        let lot = u128::from(self.order.draw(code, at.as_nanos()) >> 40) << NUMBER_BITS;
        let number = u128::from(self.put & ((1 << NUMBER_BITS) - 1));
        let key = u128::from(at.as_nanos()) << 64 | lot | number;
        self.put += 1;
        self.entries.push(Entry { key, due });
    }

    /// Takes what is due next.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<(Moment, T)> {
        let entry = self.entries.pop()?;
        Some((Moment::from_nanos((entry.key >> 64) as u64), entry.due))
    }
}

impl<T> Ord for Entry<T> {
    /// The heap gives its greatest: that is the earliest.
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key)
    }
}

impl<T> PartialOrd for Entry<T> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Domain, Seed};

    fn agenda(seed: u64) -> Agenda<char> {
        Agenda::new(Seed(seed).lots(Domain::Order))
    }

    #[test]
    fn time_decides_first_and_then_the_seed() {
        let mut orders = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut agenda = agenda(seed);
            for (at, due) in [(9, 'z'), (5, 'a'), (5, 'b'), (5, 'c'), (1, 'y')] {
                agenda.put(Moment::from_nanos(at), due.into(), due);
            }
            let order: String = std::iter::from_fn(|| agenda.take()).map(|(_, due)| due).collect();
            assert!(order.starts_with('y') && order.ends_with('z'), "{order}");
            orders.insert(order);
        }
        assert_eq!(orders.len(), 6, "every order of the three that are due at once");
    }

    #[test]
    fn who_is_first_does_not_depend_on_what_else_is_due() {
        for seed in 0..50 {
            let order = |dues: &[char]| {
                let mut agenda = agenda(seed);
                let at = Moment::from_nanos(5);
                dues.iter().for_each(|due| agenda.put(at, (*due).into(), *due));
                let all = std::iter::from_fn(|| agenda.take());
                all.map(|(_, due)| due).filter(|due| *due != 'x').collect::<String>()
            };
            assert_eq!(order(&['a', 'x', 'b', 'c']), order(&['c', 'a', 'b']));
        }
    }
}
