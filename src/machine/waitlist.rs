//! Calls that wait, oldest first.

use std::collections::BTreeSet;

use crate::machine::Ticket;

/// A queue in order of submits. A call that was taken and comes back is ahead of every younger
/// one again, because order is the ticket's, not the moment's at which it was put in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waitlist {
    calls: BTreeSet<Ticket>,
}

impl Waitlist {
    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Adds a call.
    pub fn put(&mut self, call: Ticket) {
        let new = self.calls.insert(call);
        assert!(new, "{call:?} waits already");
    }

    /// The oldest call.
    #[must_use]
    pub fn oldest(&self) -> Option<Ticket> {
        self.calls.first().copied()
    }

    /// The waiting calls, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Ticket> + '_ {
        self.calls.iter().copied()
    }

    /// Takes the oldest call.
    pub fn take(&mut self) -> Option<Ticket> {
        self.calls.pop_first()
    }

    /// Takes this call out; whether it was there.
    pub fn remove(&mut self, call: Ticket) -> bool {
        self.calls.remove(&call)
    }
}
