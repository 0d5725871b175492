//! Calls that wait in one queue, oldest first.

use std::collections::{BTreeSet, VecDeque};

use crate::trace::CallNo;

/// A place in a line: the number of the call's submit, then the call.
pub(super) type Ahead = (u64, CallNo);

/// A line in order of submits. Calls leave it from the middle, by timeouts and cancels; those
/// are passed over when they have come to the front, and the line is swept when most are gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    /// Calls that never had a worker: they come in order.
    fresh: VecDeque<Ahead>,
    /// Calls that were taken and came back; few.
    returned: BTreeSet<Ahead>,
    waiting: usize,
}

impl Line {
    /// How many calls wait.
    pub(super) const fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn join(&mut self, call: Ahead, again: bool) {
        self.waiting += 1;
        if again {
            self.returned.insert(call);
        } else {
            self.fresh.push_back(call);
        }
    }

    /// A call leaves; `waits` tells of any other whether it still waits here unleased.
    pub(super) fn leave(&mut self, call: Ahead, mut waits: impl FnMut(CallNo) -> bool) {
        self.waiting = self.waiting.saturating_sub(1);
        self.returned.remove(&call);
        while self.fresh.front().is_some_and(|front| front == &call || !waits(front.1)) {
            self.fresh.pop_front();
        }
        if self.fresh.len() > 2 * self.waiting + 1024 {
            self.fresh.retain(|place| place != &call && waits(place.1));
        }
    }

    /// The call that has waited longest.
    #[inline]
    pub(super) fn oldest(&self) -> Option<Ahead> {
        let (fresh, returned) = (self.fresh.front(), self.returned.first());
        match (fresh, returned) {
            (Some(fresh), Some(returned)) => Some(*fresh.min(returned)),
            (fresh, returned) => fresh.or(returned).copied(),
        }
    }
}
