//! What the new pool promises, checked.

use std::time::Duration;

use crate::machine::{Flaw, MAX_SIZE, OnCancel};

/// The `[v3]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V3Config {
    /// How many workers the pool is meant to have.
    pub size: usize,
    /// From spawn to a good answer to the start ping.
    pub startup_timeout: Duration,
    /// How long a worker may be idle before it is probed; zero never probes.
    pub health_check_interval: Duration,
    /// How many calls may wait.
    pub max_queue_size: usize,
    /// How much of a call's time may be spent waiting.
    pub queue_timeout: Duration,
    /// A call's whole time, unless it brings its own.
    pub timeout: Duration,
    /// How many workers may be starting at once; 0 is all.
    pub max_starting: usize,
    /// How many workers must be ready before the pool is.
    pub min_ready: usize,
    /// What happens to a worker whose caller went away.
    pub on_cancel: OnCancel,
    /// The first and the longest delay after failed starts.
    pub restart_backoff: (Duration, Duration),
    /// Failed starts in a row, of whichever slots, after which the breaker opens; 0 is never.
    pub breaker_failures: usize,
    /// How long an open breaker waits after a failed start before it tries the next.
    pub breaker_probe: Duration,
    /// Calls that one worker answers before it is replaced; 0 is any number.
    pub max_requests: usize,
    /// How long one worker serves before it is replaced; zero is for ever.
    pub max_age: Duration,
    /// How many bytes a worker's memory may grow beyond its own baseline before it is replaced;
    /// 0 is any number.
    pub max_memory_growth: usize,
    /// How many workers may be on their way out at once.
    pub max_recycling: usize,
    /// Spreads probes and restarts; two hosts with the same seed do so alike.
    pub seed: u64,
}

impl Default for V3Config {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            size: (cores * 2).min(MAX_SIZE),
            startup_timeout: Duration::from_secs(10),
            health_check_interval: Duration::from_secs(30),
            max_queue_size: 1000,
            queue_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
            max_starting: 0,
            min_ready: 1,
            on_cancel: OnCancel::Drain,
            restart_backoff: (Duration::from_millis(100), Duration::from_secs(30)),
            breaker_failures: 5,
            breaker_probe: Duration::from_secs(1),
            max_requests: 0,
            max_age: Duration::ZERO,
            max_memory_growth: 0,
            max_recycling: 1,
            seed: 0,
        }
    }
}

impl V3Config {
    /// Every combination that cannot work.
    #[must_use]
    pub fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let mut require = |holds: bool, key: &'static str, message: String| {
            if !holds {
                flaws.push(Flaw { key, message });
            }
        };
        let Self { size, min_ready, max_starting, queue_timeout, timeout, .. } = self;
        require((1..=MAX_SIZE).contains(size), "size", format!("{size} is not 1 to {MAX_SIZE}"));
        require(
            (1..=*size).contains(min_ready),
            "min_ready",
            format!("{min_ready} is not 1 to size = {size}: the pool could never be ready"),
        );
        require(
            max_starting <= size,
            "max_starting",
            format!("{max_starting} is above size = {size}; 0 means all at once"),
        );
        require(
            queue_timeout <= timeout,
            "queue_timeout",
            format!("{queue_timeout:?} is above timeout = {timeout:?}, so it could never end"),
        );
        for (key, span) in [
            ("startup_timeout", self.startup_timeout),
            ("queue_timeout", self.queue_timeout),
            ("timeout", self.timeout),
        ] {
            require(!span.is_zero(), key, "0s leaves no time at all".to_owned());
        }
        require(
            self.max_recycling > 0,
            "max_recycling",
            "0 would let no worker be replaced".to_owned(),
        );
        require(
            self.breaker_failures == 0 || !self.breaker_probe.is_zero(),
            "breaker_probe",
            "0s would start one worker after the other without a pause".to_owned(),
        );
        let (base, cap) = self.restart_backoff;
        require(
            base <= cap && !base.is_zero(),
            "restart_backoff",
            format!("the first delay {base:?} must be above zero and at most the last, {cap:?}"),
        );
        flaws
    }
}
