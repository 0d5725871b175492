//! Both pools and the router, for programs that embed the library.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::call::{Call, Lane, SessionId};
use crate::clock::Clock;
use crate::config::{Config, SessionLane, WorkerConfig, WorkerProgram};
use crate::error::StartError;
use crate::pool::Pool;
use crate::router::policy::{Percents, Policy};
use crate::router::watch::{RolloutWatch, watch};
use crate::router::{PinLimits, Routed, Router};
use crate::session::Sessions;
use crate::session::memory::MemoryStore;
use crate::v2_session_pool::V2SessionPool; // legacy
use crate::v3_pool::V3Pool;
use crate::worker::command::{Program, WorkerCommand};
use crate::worker::process::ProcessSpawner;
use crate::worker::runtime::{UnpackError, caches, unpack};

/// The pool behind lane V2.
pub type Legacy = V2SessionPool;

/// Both pools and the router. Dropping it without a drain kills every worker.
///
/// ```
/// use poolshift::{Args, Call, Shim, ShimOptions};
/// use poolshift::config::Config;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let mut config = Config::default();
/// (config.v2.size, config.v3.size) = (1, 1);
/// let shim = Shim::start(&config, ShimOptions::default()).await?;
/// let call = Call::new("calculate", Args::parse(r#"{"expression": "6 * 7"}"#)?);
/// let routed = shim.call(call).await;
/// assert_eq!(routed.answer.result?.get(), r#"{"result":42}"#);
/// shim.drain().await;
/// # Ok(()) })
/// # }
/// ```
#[derive(Debug)]
pub struct Shim {
    router: Arc<Router<Legacy, V3Pool>>,
    clock: Clock,
    drain_timeout: Duration,
    _watch: Option<RolloutWatch>,
}

/// What differs from one run to the next.
#[derive(Clone, Debug, Default)]
pub struct ShimOptions {
    /// V3's shares; `None` watches the config's rollout file.
    pub percents: Option<Percents>,
    /// Where workers note each call that they execute (R18).
    pub ledger: Option<PathBuf>,
}

/// Why the shim could not start.
#[derive(Debug, Error)]
pub enum ShimError {
    /// A pool has no ready worker.
    #[error("{lane} did not start: {error}")]
    Pool {
        /// The pool's lane.
        lane: Lane,
        /// What happened to its workers.
        error: StartError,
    },
    /// The Python runtime could not be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

impl Shim {
    /// Starts both pools side by side and returns once each has a ready worker (V3: `min_ready`).
    ///
    /// # Errors
    /// With the real cause if a pool did not come up within its `startup_timeout`; whatever did
    /// start is ended.
    pub async fn start(config: &Config, options: ShimOptions) -> Result<Self, ShimError> {
        let clock = Clock::start();
        let sessions = sessions(config);
        let spawner = |lane| spawner(config, lane, options.ledger.clone());
        let legacy = start_legacy(config, spawner(Lane::V2)?, &sessions, clock); // legacy
        let next = V3Pool::start(
            &config.v3,
            &config.worker,
            spawner(Lane::V3)?,
            Arc::clone(&sessions),
            clock,
        );
        // Dropped here: pools that are starting are dropped too, and end their workers.
        let (legacy, next) = tokio::join!(legacy, next);
        let named = |lane| move |error| ShimError::Pool { lane, error };
        let legacy = Arc::new(legacy.map_err(named(Lane::V2))?); // legacy
        let next = Arc::new(next.map_err(named(Lane::V3))?);
        let whole = config.rollout.session_lane == SessionLane::Whole;
        let policy = Policy::initial(&config.rollout.flag, whole);
        let pins = PinLimits { ttl: config.pin_ttl(), max_pins: config.rollout.max_pins };
        let router = Arc::new(Router::new(legacy, next, policy, pins, sessions, clock));
        let watch = match options.percents {
            Some(percents) => {
                router.set_percents(percents);
                None
            }
            None => Some(watch_rollout(config, &router)),
        };
        let drain_timeout = config.worker.drain_timeout;
        Ok(Self { router, clock, drain_timeout, _watch: watch })
    }

    /// Runs one call in the lane that the policy gives it. Dropping the future cancels it.
    pub async fn call(&self, call: Call) -> Routed {
        self.router.call(call).await
    }

    /// The session is over: its pin, its bindings and its record are forgotten.
    pub async fn end_session(&self, session: &SessionId) {
        self.router.end_session(session).await;
    }

    /// The router, to change the policy and to look at the pools.
    #[must_use]
    pub fn router(&self) -> &Arc<Router<Legacy, V3Pool>> {
        &self.router
    }

    /// The clock that all moments of this shim are on.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Refuses new calls, serves those that wait for at most `drain_timeout`, ends all workers.
    pub async fn drain(&self) {
        let limit = self.drain_timeout;
        // Dropped here: the drain goes on in the pools' own tasks.
        tokio::join!(self.router.legacy().drain(limit), self.router.next().drain(limit));
    }
}

// legacy begin
async fn start_legacy(
    config: &Config,
    spawner: ProcessSpawner,
    sessions: &Arc<Sessions>,
    clock: Clock,
) -> Result<Legacy, StartError> {
    Legacy::start(&config.v2, &config.worker, spawner, Arc::clone(sessions), clock).await
}
// legacy end

/// The session store and its rules, as the config has them.
#[must_use]
pub fn sessions(config: &Config) -> Arc<Sessions> {
    let store = MemoryStore::new(config.session.ttl, config.session.max_sessions);
    Arc::new(Sessions::new(Arc::new(store), Arc::clone(&config.commands)))
}

/// What starts a lane's workers, as the config has it.
///
/// # Errors
/// If the Python runtime cannot be unpacked anywhere.
pub fn spawner(
    config: &Config,
    lane: Lane,
    ledger: Option<PathBuf>,
) -> Result<ProcessSpawner, UnpackError> {
    let WorkerConfig { python_path, python_args, program, env, .. } = config.worker.clone();
    let program = match program {
        WorkerProgram::App(app) => {
            let runtime = unpack(&caches(|name| std::env::var(name).ok()))?;
            Program::App { app, runtime }
        }
        WorkerProgram::Script(script, args) => Program::Script { script, args },
    };
    Ok(ProcessSpawner::new(WorkerCommand { lane, python_path, python_args, program, env, ledger }))
}

fn watch_rollout(config: &Config, router: &Arc<Router<Legacy, V3Pool>>) -> RolloutWatch {
    let router = Arc::downgrade(router);
    watch(&config.rollout.file, move |file| {
        let router = router.upgrade().ok_or("the shim is gone")?;
        let policy = router.apply(file).map_err(|error| error.to_string())?;
        Ok(format!("version {} (epoch {})", policy.version, policy.epoch))
    })
}
