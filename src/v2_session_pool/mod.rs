//! V2: the legacy pool as its guide promised it, a session bound to one worker.

pub mod affinity;
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
use crate::meter::MeterSnapshot;
use crate::pool::{Pool, PoolStatus};
use crate::session::Sessions;
use crate::shell::{Readiness, Retry, Settings, Shell};
use crate::tape::ShadowCall;
use crate::v2_session_pool::config::V2Config;
use crate::v2_session_pool::machine::{SessionMachine, SessionQueues};
use crate::worker::Spawner;
use crate::worker::process::ProcessSpawner;

/// What a slot waits after a failed start. The legacy pool tried again at once, for ever; that
/// helped nobody, so these are V3's defaults.
const RESTART_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// When it gives up on starting workers for now, for the same reason.
const BREAKER: BreakerTerms = BreakerTerms { failures: 5, probe: Duration::from_secs(1) };

/// The legacy pool. Dropping it without a drain kills its workers.
#[derive(Debug)]
pub struct V2SessionPool<S: Spawner = ProcessSpawner> {
    shell: Arc<Shell<SessionMachine, S>>,
}

impl<S: Spawner> V2SessionPool<S> {
    /// Starts the workers one after the other and returns when the first is ready.
    ///
    /// # Errors
    /// If no worker came up; the rest are ended before this returns.
    pub async fn start(
        config: &V2Config,
        worker: &WorkerConfig,
        spawner: S,
        sessions: Arc<Sessions>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let max_waiting = match config.max_queue_size {
            0 => usize::MAX,
            limit => limit,
        };
        let queues = SessionQueues::new(config.size, max_waiting, config.session_idle);
        let machine = SessionMachine::new(terms(config, worker), queues);
        let settings = Settings {
            lane: Lane::V2,
            startup_timeout: config.startup_timeout,
            health_timeout: worker.health_timeout,
            stop_grace: worker.stop_grace,
            kill_grace: worker.kill_grace,
            max_frame_bytes: worker.max_frame_bytes,
            readiness: Readiness::AnyResult,
            budget: config.checkout_timeout.saturating_add(config.operation_timeout),
            quarantine: worker.quarantine.is_some(),
            retry: worker.retry.map(|terms| Retry { terms, in_sessions: false }),
            ledger: spawner.keeps_ledger(),
            trace: worker.debug.trace(),
        };
        let pool = Self { shell: Shell::start(machine, spawner, sessions, settings, clock) };
        if let Err(error) = pool.shell.wait_ready(1, 1).await {
            pool.drain(Duration::ZERO).await;
            return Err(error);
        }
        Ok(pool)
    }

    /// Waits until `workers` of them are ready, which start one after the other.
    ///
    /// # Errors
    /// If that many did not come up within as many times `startup_timeout`.
    pub async fn ready(&self, workers: usize) -> Result<(), StartError> {
        let rounds = u32::try_from(workers).unwrap_or(u32::MAX);
        // Dropped here: the workers go on starting.
        self.shell.wait_ready(workers, rounds).await
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

fn terms(config: &V2Config, worker: &WorkerConfig) -> Terms {
    let (base, cap) = RESTART_BACKOFF;
    Terms {
        size: config.size,
        max_starting: 1,
        budget: config.checkout_timeout.saturating_add(config.operation_timeout),
        queue_timeout: config.checkout_timeout,
        run_timeout: config.operation_timeout,
        on_cancel: config.on_cancel,
        backoff: Backoff { base, cap, seed: 0 },
        probe_after: None,
        // A session's state is in its worker (R10), so only one that asks for it is recycled.
        lifecycle: Lifecycle {
            breaker: Some(BREAKER),
            recycling: None,
            quarantine: worker.quarantine,
        },
    }
}

impl<S: Spawner> Pool for V2SessionPool<S> {
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

impl<S: Spawner> Drop for V2SessionPool<S> {
    fn drop(&mut self) {
        self.shell.abort();
    }
}
