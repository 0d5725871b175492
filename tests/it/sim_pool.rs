//! Pools of fake workers, for tests on the paused clock.

use std::sync::Arc;
use std::time::Duration;

use poolshift::clock::Clock;
use poolshift::config::{Config, WorkerConfig};
use poolshift::machine::OnCancel;
use poolshift::meter::MeterSnapshot;
use poolshift::session::Sessions;
use poolshift::shim;
use poolshift::v2_session_pool::V2SessionPool;
use poolshift::v2_session_pool::config::V2Config;
use poolshift::v3_pool::V3Pool;
use poolshift::v3_pool::config::V3Config;
use poolshift::{Answer, Args, Call, Lane, Pool, PoolStatus, SessionId, ShadowCall, StartError};
use poolshift_sim::shell_rig::script::{Act, Script};
use poolshift_sim::shell_rig::spawner::FakeSpawner;

/// Either pool, so that one test can speak of both.
pub(crate) enum SimPool {
    V2(V2SessionPool<FakeSpawner>),
    V3(V3Pool<FakeSpawner>),
}

/// A call's whole time in these tests.
pub(crate) const BUDGET: Duration = Duration::from_secs(1);

pub(crate) fn v2_config(size: usize, on_cancel: OnCancel) -> V2Config {
    V2Config {
        size,
        startup_timeout: Duration::from_secs(1),
        checkout_timeout: BUDGET,
        operation_timeout: BUDGET,
        on_cancel,
        ..V2Config::default()
    }
}

pub(crate) fn v3_config(size: usize, on_cancel: OnCancel) -> V3Config {
    V3Config {
        size,
        startup_timeout: Duration::from_secs(1),
        queue_timeout: BUDGET,
        timeout: BUDGET,
        on_cancel,
        ..V3Config::default()
    }
}

pub(crate) fn sessions() -> Arc<Sessions> {
    shim::sessions(&Config::default())
}

impl SimPool {
    pub(crate) async fn start(
        lane: Lane,
        size: usize,
        on_cancel: OnCancel,
        spawner: &FakeSpawner,
    ) -> Self {
        Self::with_sessions(lane, size, on_cancel, spawner, sessions()).await
    }

    pub(crate) async fn with_sessions(
        lane: Lane,
        size: usize,
        on_cancel: OnCancel,
        spawner: &FakeSpawner,
        sessions: Arc<Sessions>,
    ) -> Self {
        let started = Self::started(lane, size, on_cancel, spawner, sessions).await;
        started.expect("fake workers start")
    }

    /// As [`Self::start`], where starting may fail.
    pub(crate) async fn try_start(
        lane: Lane,
        size: usize,
        spawner: &FakeSpawner,
    ) -> Result<Self, StartError> {
        Self::started(lane, size, OnCancel::Drain, spawner, sessions()).await
    }

    async fn started(
        lane: Lane,
        size: usize,
        on_cancel: OnCancel,
        spawner: &FakeSpawner,
        sessions: Arc<Sessions>,
    ) -> Result<Self, StartError> {
        let worker = WorkerConfig::default();
        let (spawner, clock) = (spawner.clone(), Clock::start());
        match lane {
            Lane::V2 => {
                let config = v2_config(size, on_cancel);
                let pool = V2SessionPool::start(&config, &worker, spawner, sessions, clock).await;
                pool.map(Self::V2)
            }
            Lane::V3 => {
                let config = v3_config(size, on_cancel);
                let pool = V3Pool::start(&config, &worker, spawner, sessions, clock).await;
                pool.map(Self::V3)
            }
        }
    }

    pub(crate) fn meter(&self) -> MeterSnapshot {
        match self {
            Self::V2(pool) => pool.meter(),
            Self::V3(pool) => pool.meter(),
        }
    }

    /// Waits, on the paused clock, until the pool's status is as `wanted`.
    pub(crate) async fn settle(&self, wanted: impl Fn(&PoolStatus) -> bool) {
        for _ in 0..10_000 {
            if wanted(&self.status()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await; // paused clock
        }
        panic!("never settled: {:#?}", self.status());
    }

    /// Submitted = sum of outcomes, always.
    pub(crate) fn assert_conserved(&self, submitted: u64) {
        let books = self.meter();
        let finished: u64 = books.outcomes().values().sum();
        assert_eq!((books.submitted, finished), (submitted, submitted), "{:?}", books.outcomes());
    }
}

impl Pool for SimPool {
    async fn shadow(&self, copy: ShadowCall) -> Option<Answer> {
        match self {
            Self::V2(pool) => pool.shadow(copy).await,
            Self::V3(pool) => pool.shadow(copy).await,
        }
    }

    async fn call(&self, call: Call) -> Answer {
        match self {
            Self::V2(pool) => pool.call(call).await,
            Self::V3(pool) => pool.call(call).await,
        }
    }

    fn end_session(&self, session: &SessionId) {
        match self {
            Self::V2(pool) => pool.end_session(session),
            Self::V3(pool) => pool.end_session(session),
        }
    }

    async fn drain(&self, limit: Duration) {
        match self {
            Self::V2(pool) => pool.drain(limit).await,
            Self::V3(pool) => pool.drain(limit).await,
        }
    }

    fn status(&self) -> PoolStatus {
        match self {
            Self::V2(pool) => pool.status(),
            Self::V3(pool) => pool.status(),
        }
    }
}

/// A call that makes its worker do this.
pub(crate) fn scripted(id: &str, after_ms: u64, act: Act) -> Call {
    let args = Script { after_ms, act, shadow: None }.args();
    Call::new("sleep", Args::parse(&args).unwrap()).with_id(id).unwrap()
}

/// Whether the answer is this call's own.
pub(crate) fn is_own(answer: &Answer, id: &str) -> bool {
    let own = format!("{{\"call_id\":\"{id}\"}}");
    answer.result.as_ref().is_ok_and(|result| result.get() == own)
}
