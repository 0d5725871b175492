//! Whether anything was saved in a session between two moments, in bounded room.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::call::SessionId;

/// Sessions share counters, so a save in one may look like one in another: rarely, and a shadow
/// too few is the price.
const COUNTERS: u64 = 1024;

/// Counters of saves, a session's by its hash.
#[derive(Debug)]
pub(super) struct SaveMarks {
    counters: Vec<AtomicU64>,
}

/// A save that goes on.
#[derive(Debug)]
pub(super) struct Saving<'a>(&'a AtomicU64);

impl SaveMarks {
    pub(super) fn new() -> Self {
        Self { counters: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn of(&self, session: Option<&SessionId>) -> u64 {
        self.counter(session).load(Ordering::SeqCst)
    }

    /// Counts once now and once when it is dropped.
    pub(super) fn save(&self, session: Option<&SessionId>) -> Saving<'_> {
        let counter = self.counter(session);
        counter.fetch_add(1, Ordering::SeqCst);
        Saving(counter)
    }

    fn counter(&self, session: Option<&SessionId>) -> &AtomicU64 {
        let mut hasher = DefaultHasher::new();
        session.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % COUNTERS).expect("it is below 1024");
        &self.counters[index]
    }
}

impl Drop for Saving<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_shows_from_its_beginning_to_its_end() {
        let marks = SaveMarks::new();
        let (ann, bob) = (SessionId::new("ann").unwrap(), SessionId::new("bob").unwrap());
        let of = |session| marks.of(session);
        let before = (of(Some(&ann)), of(Some(&bob)), of(None));
        let saving = marks.save(Some(&ann));
        let during = of(Some(&ann));
        drop(saving);
        assert!(before.0 < during && during < of(Some(&ann)));
        assert_eq!((before.1, before.2), (of(Some(&bob)), of(None)));
        drop(marks.save(None));
        assert!(before.2 < of(None));
    }
}
