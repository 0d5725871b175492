//! What the legacy pool promises, checked.

use std::time::Duration;

use crate::machine::{Flaw, MAX_SIZE, OnCancel};

/// The `[v2]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V2Config {
    /// How many workers the pool is meant to have.
    pub size: usize,
    /// From spawn to an answer to the start ping.
    pub startup_timeout: Duration,
    /// How long a call may wait for its worker.
    pub checkout_timeout: Duration,
    /// How long a call may run.
    pub operation_timeout: Duration,
    /// How long a session without calls stays bound to its worker.
    pub session_idle: Duration,
    /// How many calls may wait; 0 is no limit, as in the legacy pool.
    pub max_queue_size: usize,
    /// What happens to a worker whose caller went away.
    pub on_cancel: OnCancel,
}

impl Default for V2Config {
    fn default() -> Self {
        Self {
            size: 4,
            startup_timeout: Duration::from_secs(10),
            checkout_timeout: Duration::from_secs(75),
            operation_timeout: Duration::from_secs(60),
            session_idle: Duration::from_secs(3600),
            max_queue_size: 0,
            on_cancel: OnCancel::Drain,
        }
    }
}

impl V2Config {
    /// Every combination that cannot work.
    #[must_use]
    pub fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if !(1..=MAX_SIZE).contains(&self.size) {
            let message = format!("{} is not 1 to {MAX_SIZE}", self.size);
            flaws.push(Flaw { key: "size", message });
        }
        for (key, span) in [
            ("startup_timeout", self.startup_timeout),
            ("checkout_timeout", self.checkout_timeout),
            ("operation_timeout", self.operation_timeout),
            ("session_idle", self.session_idle),
        ] {
            if span.is_zero() {
                flaws.push(Flaw { key, message: "0s leaves no time at all".to_owned() });
            }
        }
        flaws
    }
}
