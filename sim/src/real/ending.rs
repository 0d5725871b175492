//! How each call ends, in either world.

use std::collections::BTreeMap;

use poolshift::{Outcome, Ran};
use serde::Serialize;

use crate::trace::{CallNo, Event, Stamp, Watcher};

/// An outcome's class: its kind, and what its caller is told of `ran`. Whoever leaves is told
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// The kind.
    pub outcome: Outcome,
    /// Whether the call can have run.
    pub ran: Option<Ran>,
}

/// Notes how each call ends; the first end counts.
#[derive(Clone, Debug, Default)]
pub struct Endings(BTreeMap<CallNo, Ending>);

impl Endings {
    /// How this call ended, if it did.
    #[must_use]
    pub fn of(&self, call: CallNo) -> Option<Ending> {
        self.0.get(&call).copied()
    }
}

impl Watcher for Endings {
    fn event(&mut self, _: Stamp, event: &Event) {
        let (call, ending) = match *event {
            Event::Cancel { call } => (call, Ending { outcome: Outcome::Cancelled, ran: None }),
            Event::Done { call, outcome, ran, .. } => (call, Ending { outcome, ran: Some(ran) }),
            _ => return,
        };
        self.0.entry(call).or_insert(ending);
    }
}
