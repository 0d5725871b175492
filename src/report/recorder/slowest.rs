//! The calls that took longest.

use std::time::Duration;

use crate::clock::Moment;
use crate::report::record::{MOST_SLOWEST, SlowCall};
use crate::report::recorder::{Past, millis};

/// What of a call is told beside its times.
#[derive(Clone, Debug)]
pub struct Story {
    /// Its id.
    pub id: String,
    /// Its command.
    pub command: String,
    /// Its session.
    pub session: Option<String>,
    /// Why the router sent it to its lane.
    pub reason: Option<String>,
    /// What its caller was told, if it was an error.
    pub error: Option<String>,
}

/// A longer error, as one with Python stacks is, is cut: the run's own output has it whole.
const MOST_ERROR: usize = 300;

/// The longest first; of two equals, the one that ended first.
#[derive(Clone, Debug, Default)]
pub(super) struct Slowest(Vec<(Duration, SlowCall)>);

impl Slowest {
    pub(super) fn offer(&mut self, past: &Past, began: Moment, story: impl FnOnce() -> Story) {
        let Past { kind, timing, lag, worker } = *past;
        let response = timing.total();
        let place = self.0.partition_point(|(other, _)| *other >= response);
        if place >= MOST_SLOWEST {
            return;
        }
        let Story { id, command, session, reason, error } = story();
        let call = SlowCall {
            id,
            command,
            session,
            kind: kind.to_string(),
            worker,
            reason,
            planned_ms: millis(timing.planned.since(began)),
            response_ms: millis(response),
            wait_ms: millis(timing.queued().saturating_sub(lag)),
            service_ms: millis(timing.service()),
            lag_ms: millis(lag),
            error: error.map(|error| error.chars().take(MOST_ERROR).collect()),
        };
        self.0.insert(place, (response, call));
        self.0.truncate(MOST_SLOWEST);
    }

    pub(super) fn told(self) -> Vec<SlowCall> {
        self.0.into_iter().map(|(_, call)| call).collect()
    }
}
