//! How long a chaos run is, and how rough.

use std::time::Duration;

use crate::bounds::{Impossible, count, span};

/// The longest run: what is measured of it is kept in histograms and figures of fixed size, but a
/// day says as much as a week.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Faster, and no worker would become ready.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// Workers of a lane: Python processes, of which a host has room for some dozens.
const MOST_WORKERS: u64 = 64;

/// A chaos run, but for what happens by chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChaosOptions {
    /// Decides what is left to chance: the calls, the faults, the victims. When they meet is up to
    /// the machine, so a second run of a seed is another run of the same plan.
    pub seed: u64,
    /// How long calls are made.
    pub lasts: Duration,
    /// One worker is killed in each of these spans.
    pub kill_every: Duration,
    /// Workers of each lane.
    pub workers: usize,
    /// How workers are started, as `[worker] start_method` has it.
    pub start_method: String,
}

impl ChaosOptions {
    /// Whether a run can have these options.
    ///
    /// # Errors
    /// The first that is impossible, with what would be possible.
    pub fn check(&self) -> Result<(), Impossible> {
        span("--for", self.lasts, Duration::from_secs(1), LONGEST)?;
        span("--kill-every", self.kill_every, SHORTEST_PAUSE, LONGEST)?;
        count("--workers", self.workers as u64, 1, MOST_WORKERS)
    }

    /// The command line that runs the same plan again.
    #[must_use]
    pub fn again(&self) -> String {
        let Self { seed, workers, start_method, .. } = self;
        let text = |span| humantime::format_duration(span).to_string().replace(' ', "");
        let [lasts, kill_every] = [self.lasts, self.kill_every].map(text);
        format!(
            "poolshift-sim chaos --for {lasts} --kill-every {kill_every} --workers {workers} \
             --start-method {start_method} --seed {seed}"
        )
    }

    /// What both pools are told. Spans are short, so that whatever can happen at their ends does.
    pub(crate) fn settings(&self) -> String {
        let Self { workers, .. } = self;
        let start_method = toml_text(&self.start_method);
        format!(
            r#"
[worker]
start_method = {start_method}
health_timeout = "2s"
drain_timeout = "3s"
[v2]
size = {workers}
checkout_timeout = "1s"
operation_timeout = "1s"
session_idle = "5s"
[v3]
size = {workers}
queue_timeout = "1s"
timeout = "1500ms"
health_check_interval = "500ms"
restart_backoff = ["50ms", "1s"]
breaker_probe = "200ms"
max_requests = 500
[session]
ttl = "20s"
{commands}"#,
            commands = crate::real::caller::COMMANDS,
        )
    }
}

/// A text as TOML has it, whatever is in it.
fn toml_text(text: &str) -> String {
    // JSON's escapes are TOML's, but for one that JSON need not make.
    serde_json::to_string(text).expect("a text is a text")
}
