//! The last events of a run, for the one that cannot be made again.

use std::collections::VecDeque;

use crate::timeline::{Opening, timeline};
use crate::trace::{Event, Stamp, Watcher};
use crate::verdict::Broken;

/// Some seconds of a run: what led to a broken law is in the last moments before it.
const KEPT: usize = 4_000;

/// Keeps the last events, until a law is broken.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    events: VecDeque<(Stamp, Event)>,
    is_closed: bool,
}

impl Evidence {
    /// A law is broken: what follows is of no interest.
    pub(super) const fn close(&mut self) {
        self.is_closed = true;
    }

    /// Line by line, with what was broken at them.
    pub(super) fn text(&self, broken: &[Broken]) -> String {
        let mut opening = Opening::default();
        self.events.iter().for_each(|(stamp, event)| opening.event(*stamp, event));
        timeline(&opening, broken)
    }
}

impl Watcher for Evidence {
    fn event(&mut self, stamp: Stamp, event: &Event) {
        if self.is_closed {
            return;
        }
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back((stamp, *event));
    }
}
