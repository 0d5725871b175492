//! Things by number, where those that are kept are close to each other.

/// A map from call numbers that only grow, as a ring: a look-up is an index and a comparison,
/// and nothing is allocated for an entry.
///
/// The ring doubles until no two kept entries meet, so its size is bounded by how far apart the
/// oldest and the newest are: for unfinished calls, by what arrives during the longest budget.
#[derive(Clone, Debug)]
pub struct Window<T> {
    /// A power of two; each entry is at its number's remainder.
    ring: Vec<Option<(u64, T)>>,
    count: usize,
}

impl<T> Window<T> {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self { ring: empty(256), count: 0 }
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline]
    const fn place(&self, number: u64) -> usize {
        number as usize & (self.ring.len() - 1)
    }

    /// Puts an entry in; returned is the one that had the number before.
    pub fn insert(&mut self, number: u64, entry: T) -> Option<T> {
        while self.ring[self.place(number)].as_ref().is_some_and(|(other, _)| *other != number) {
            let double = self.ring.len() * 2;
            let old = std::mem::replace(&mut self.ring, empty(double));
            for kept in old.into_iter().flatten() {
                let place = self.place(kept.0);
                self.ring[place] = Some(kept);
            }
        }
        let place = self.place(number);
        let before = self.ring[place].replace((number, entry));
        self.count += usize::from(before.is_none());
        before.map(|(_, entry)| entry)
    }

    /// The entry of this number.
    #[must_use]
    #[inline]
    pub fn get(&self, number: u64) -> Option<&T> {
        match &self.ring[self.place(number)] {
            Some((kept, entry)) if *kept == number => Some(entry),
            _ => None,
        }
    }

    /// The entry of this number, to change it.
    #[inline]
    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let place = self.place(number);
        match &mut self.ring[place] {
            Some((kept, entry)) if *kept == number => Some(entry),
            _ => None,
        }
    }

    /// Takes the entry of this number out.
    #[inline]
    pub fn remove(&mut self, number: u64) -> Option<T> {
        let place = self.place(number);
        let (_, entry) = self.ring[place].take_if(|(kept, _)| *kept == number)?;
        self.count -= 1;
        Some(entry)
    }

    /// All entries, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.ring.iter().flatten().map(|(number, entry)| (*number, entry))
    }
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn empty<T>(size: usize) -> Vec<Option<(u64, T)>> {
    std::iter::repeat_with(|| None).take(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_until_old_and_new_fit() {
        let mut window = Window::new();
        for number in 0..10_000 {
            assert_eq!(window.insert(number, number * 2), None);
            if number % 100 != 0 {
                assert_eq!(window.remove(number), Some(number * 2));
            }
        }
        assert_eq!(window.len(), 100);
        assert_eq!(window.get(500), Some(&1000));
        assert_eq!(window.get(501), None);
        assert_eq!(window.remove(501), None);
        assert_eq!(window.insert(500, 7), Some(1000));
        assert_eq!(window.iter().count(), 100);
    }
}
