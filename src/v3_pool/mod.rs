//! V3: workers started all at once, stateless, served from one fair queue.

pub mod config;
pub mod machine;

use std::sync::Arc;
use std::time::Duration;

use crate::call::{Answer, Call, Lane, SessionId};
use crate::clock::Clock;
use crate::config::WorkerConfig;
use crate::error::StartError;
use crate::machine::backoff::Backoff;
use crate::machine::breaker::BreakerTerms;
use crate::machine::engine::{Lifecycle, Terms};
use crate::machine::recycling::Recycling;
use crate::meter::MeterSnapshot;
use crate::pool::{Pool, PoolStatus};
use crate::session::Sessions;
use crate::shell::{Readiness, Retry, Settings, Shell};
use crate::tape::ShadowCall;
use crate::v3_pool::config::V3Config;
use crate::v3_pool::machine::{QueueMachine, SharedQueue};
use crate::worker::Spawner;
use crate::worker::process::ProcessSpawner;

/// The new pool. Dropping it without a drain kills its workers.
#[derive(Debug)]
pub struct V3Pool<S: Spawner = ProcessSpawner> {
    shell: Arc<Shell<QueueMachine, S>>,
}

impl<S: Spawner> V3Pool<S> {
    /// Starts all workers at once and waits until `min_ready` of them are ready. The others
    /// follow; what failed is tried again by itself.
    ///
    /// # Errors
    /// If fewer than `min_ready` workers came up; the rest are ended before this returns.
    pub async fn start(
        config: &V3Config,
        worker: &WorkerConfig,
        spawner: S,
        sessions: Arc<Sessions>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let machine =
            QueueMachine::new(terms(config, worker), SharedQueue::new(config.max_queue_size));
        let settings = Settings {
            lane: Lane::V3,
            startup_timeout: config.startup_timeout,
            health_timeout: worker.health_timeout,
            stop_grace: worker.stop_grace,
            kill_grace: worker.kill_grace,
            max_frame_bytes: worker.max_frame_bytes,
            readiness: Readiness::StatusOk,
            budget: config.timeout,
            quarantine: worker.quarantine.is_some(),
            retry: worker.retry.map(|terms| Retry { terms, in_sessions: true }),
            ledger: spawner.keeps_ledger(),
            trace: worker.debug.trace(),
        };
        let pool = Self { shell: Shell::start(machine, spawner, sessions, settings, clock) };
        let rounds = match config.max_starting {
            0 => 1,
            at_once => u32::try_from(config.min_ready.div_ceil(at_once)).unwrap_or(u32::MAX),
        };
        if let Err(error) = pool.shell.wait_ready(config.min_ready, rounds).await {
            pool.drain(Duration::ZERO).await;
            return Err(error);
        }
        Ok(pool)
    }

    /// The pool is meant to have `size` workers from now on. Growing starts them at once;
    /// shrinking lets busy ones finish, and loses no call.
    ///
    /// # Panics
    /// If `size` is 0: a pool without workers answers nothing.
    pub fn resize(&self, size: usize) {
        assert!(size > 0, "a pool needs at least one worker");
        self.shell.resize(size);
    }

    /// The status but for `request`, the spread of calls' times: for who looks often.
    #[must_use]
    pub fn gauges(&self) -> PoolStatus {
        self.shell.gauges()
    }

    /// Counts and latencies of all calls so far.
    #[must_use]
    pub fn meter(&self) -> MeterSnapshot {
        self.shell.meter()
    }
}

fn lifecycle(config: &V3Config, worker: &WorkerConfig) -> Lifecycle {
    let failures = u32::try_from(config.breaker_failures).unwrap_or(u32::MAX);
    let probe = config.breaker_probe;
    Lifecycle {
        breaker: (failures > 0).then_some(BreakerTerms { failures, probe }),
        recycling: Some(Recycling {
            max_requests: config.max_requests as u64,
            max_age: config.max_age,
            max_memory_growth: config.max_memory_growth as u64,
            max_recycling: config.max_recycling,
            seed: config.seed,
        }),
        quarantine: worker.quarantine,
    }
}

fn terms(config: &V3Config, worker: &WorkerConfig) -> Terms {
    let (base, cap) = config.restart_backoff;
    Terms {
        size: config.size,
        max_starting: if config.max_starting == 0 { usize::MAX } else { config.max_starting },
        budget: config.timeout,
        queue_timeout: config.queue_timeout,
        run_timeout: config.timeout,
        on_cancel: config.on_cancel,
        backoff: Backoff { base, cap, seed: config.seed },
        probe_after: (!config.health_check_interval.is_zero())
            .then_some(config.health_check_interval),
        lifecycle: lifecycle(config, worker),
    }
}

impl<S: Spawner> Pool for V3Pool<S> {
    #[expect(clippy::manual_async_fn, reason = "an async function would keep its call twice")]
    fn call(&self, call: Call) -> impl Future<Output = Answer> {
        // Dropped here: the shell cancels the call.
        async move { self.shell.call(&call).await }
    }

    async fn shadow(&self, copy: ShadowCall) -> Option<Answer> {
        self.shell.shadow(&copy).await
    }

    fn end_session(&self, session: &SessionId) {
        self.shell.end_session(session);
    }

    async fn drain(&self, limit: Duration) {
        self.shell.drain(limit).await;
    }

    fn status(&self) -> PoolStatus {
        self.shell.status()
    }
}

impl<S: Spawner> Drop for V3Pool<S> {
    fn drop(&mut self) {
        self.shell.abort();
    }
}
