//! Bytes that may be held at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that somebody holds out of a total. Dropping it gives them back.
#[derive(Debug)]
pub struct Room {
    bytes: usize,
    of: Arc<AtomicUsize>,
}

impl Room {
    /// Takes bytes, if there are then no more than `max` in all.
    #[must_use]
    pub fn of(total: &Arc<AtomicUsize>, bytes: usize, max: usize) -> Option<Self> {
        let before = total.fetch_add(bytes, Ordering::Relaxed);
        let room = Self { bytes, of: Arc::clone(total) };
        (before + bytes <= max).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_or_dropped_takes_no_room() {
        let total = Arc::default();
        let room = Room::of(&total, 60, 100);
        assert!(room.is_some() && Room::of(&total, 41, 100).is_none());
        assert_eq!(total.load(Ordering::Relaxed), 60);
        assert!(Room::of(&total, 40, 100).is_some());
        drop(room);
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }
}
