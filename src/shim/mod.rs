//! Both pools and the router behind one door, for programs that embed the library.
//!
//! [`Shim::start`] serves a team whose legacy pool is ours; [`Shim::with_legacy`] one that brings
//! its own. Both follow the rollout file, and tell in its folder how they are (`status`).

pub mod board;
mod capacity;
mod controller;
pub mod drain;
mod herald;
mod hook;
pub mod private; // legacy
mod shadow;
pub mod status;
pub mod testimony;
mod warden;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::call::{Call, Lane, SessionId};
use crate::clock::Clock;
use crate::config::{Config, SessionLane, StartMethod, WorkerConfig, WorkerProgram};
use crate::error::StartError;
use crate::pool::Pool;
use crate::router::guard::strata::Strata;
use crate::router::paths::RolloutPaths;
use crate::router::policy::{Percents, Policy};
use crate::router::source::FlagSource;
use crate::router::source::environment::Environment;
use crate::router::source::file::WatchedFile;
use crate::router::watch::{RolloutWatch, watch};
use crate::router::{PinLimits, Routed, Router};
use crate::session::Sessions;
use crate::session::memory::MemoryStore;
use crate::v2_session_pool::V2SessionPool; // legacy
use crate::v3_pool::V3Pool;
use crate::worker::command::{Program, WorkerCommand};
use crate::worker::process::ProcessSpawner;
use crate::worker::runtime::{UnpackError, caches, unpack};
use crate::worker::zygote::Warmth;

use crate::shim::board::StatusBoard;
use crate::shim::controller::Controller;
use crate::shim::herald::{Heard, Herald};
use crate::shim::warden::Warden;

/// The pool behind lane V2, unless a team brings its own.
pub type Legacy = V2SessionPool;

/// Both pools and the router. Dropping it without a drain kills every worker.
///
/// One for each process and rollout file: its status file is named by the process.
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
pub struct Shim<L = Legacy> {
    router: Arc<Router<L, V3Pool>>,
    clock: Clock,
    drain_timeout: Duration,
    _follower: Option<Follower>,
}

/// What keeps the policy and the rollout file together, and tells of it.
#[derive(Debug)]
struct Follower {
    _controller: Controller,
    _herald: Herald,
    _watch: RolloutWatch,
}

/// What differs from one run to the next.
#[derive(Clone, Debug, Default)]
pub struct ShimOptions {
    /// V3's shares, fixed for the life of the process; `None` follows the config's rollout file.
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
        let ground = Ground::new(config);
        let legacy = start_legacy(config, &options, &ground); // legacy
        let next = start_next(config, &options, &ground);
        // Dropped here: pools that are starting are dropped too, and end their workers.
        let (legacy, next) = tokio::join!(legacy, next);
        let next = Arc::new(next?);
        let legacy = Arc::new(legacy?); // legacy
        Ok(Self::assemble(config, options, ground, legacy, next))
    }
}

impl<L: Pool> Shim<L> {
    /// As [`Shim::start`], with a legacy pool of the team's own in lane V2.
    ///
    /// `legacy` starts it, beside V3. It is given the clock on which the timing of its answers
    /// must be, and the session store, which V3 uses too: what it loads and saves there by the
    /// rules of the command table is what sessions keep when they move.
    ///
    /// # Errors
    /// As [`Shim::start`]; a pool of the team's own says why in [`StartError::Own`].
    pub async fn with_legacy<F>(
        config: &Config,
        options: ShimOptions,
        legacy: impl FnOnce(Clock, Arc<Sessions>) -> F,
    ) -> Result<Self, ShimError>
    where
        F: Future<Output = Result<L, StartError>>,
    {
        let ground = Ground::new(config);
        let legacy = legacy(ground.clock, Arc::clone(&ground.sessions));
        // Dropped here: as in `start`.
        let (legacy, next) = tokio::join!(legacy, start_next(config, &options, &ground));
        let next = Arc::new(next?);
        let legacy = legacy.map_err(|error| ShimError::Pool { lane: Lane::V2, error })?;
        Ok(Self::assemble(config, options, ground, Arc::new(legacy), next))
    }

    fn assemble(
        config: &Config,
        options: ShimOptions,
        ground: Ground,
        legacy: Arc<L>,
        next: Arc<V3Pool>,
    ) -> Self {
        let Ground { clock, sessions } = ground;
        let whole = config.rollout.session_lane == SessionLane::Whole;
        let policy = Policy::initial(&config.rollout.flag, whole);
        let pins = PinLimits { ttl: config.pin_ttl(), max_pins: config.rollout.max_pins };
        let router = Router::new(legacy, next, policy, pins, sessions, clock);
        let router = Arc::new(match shadow::shadowing(config, clock) {
            Some((terms, recorder)) => router.with_shadow(terms, recorder),
            None => router,
        });
        let follower = match options.percents {
            Some(percents) => {
                router.set_percents(percents);
                None
            }
            None => Some(follow(config, &router, clock)),
        };
        let drain_timeout = config.worker.drain_timeout;
        Self { router, clock, drain_timeout, _follower: follower }
    }

    /// Runs one call in the lane that the policy gives it. Dropping the future cancels it.
    pub fn call(&self, call: Call) -> impl Future<Output = Routed> {
        self.router.call(call)
    }

    /// The session is over: its pin, its bindings and its record are forgotten.
    pub async fn end_session(&self, session: &SessionId) {
        self.router.end_session(session).await;
    }

    /// The router, to change the policy and to look at the pools.
    #[must_use]
    pub fn router(&self) -> &Arc<Router<L, V3Pool>> {
        &self.router
    }

    /// The clock that all moments of this shim are on.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Refuses new calls, serves those that wait for at most `drain_timeout`, ends all workers.
    pub async fn drain(&self) {
        // Dropped here: as below.
        self.drain_within(self.drain_timeout).await;
    }

    /// Drains with a limit of its own. A second drain may only shorten the first.
    pub async fn drain_within(&self, limit: Duration) {
        let (legacy, next) = (self.router.legacy(), self.router.next());
        // Dropped here: the drain goes on in the pools' own tasks.
        tokio::join!(self.router.close_shadow(), legacy.drain(limit), next.drain(limit));
    }
}

/// What both pools stand on.
struct Ground {
    clock: Clock,
    sessions: Arc<Sessions>,
}

impl Ground {
    fn new(config: &Config) -> Self {
        Self::on(config, Clock::start())
    }

    fn on(config: &Config, clock: Clock) -> Self {
        Self { clock, sessions: sessions(config) }
    }
}

// legacy begin
async fn start_legacy(
    config: &Config,
    options: &ShimOptions,
    ground: &Ground,
) -> Result<Legacy, ShimError> {
    let spawner = spawner(config, Lane::V2, options.ledger.clone())?;
    let sessions = Arc::clone(&ground.sessions);
    let pool = Legacy::start(&config.v2, &config.worker, spawner, sessions, ground.clock).await;
    pool.map_err(|error| ShimError::Pool { lane: Lane::V2, error })
}
// legacy end

async fn start_next(
    config: &Config,
    options: &ShimOptions,
    ground: &Ground,
) -> Result<V3Pool, ShimError> {
    let spawner = spawner(config, Lane::V3, options.ledger.clone())?;
    let sessions = Arc::clone(&ground.sessions);
    let pool = V3Pool::start(&config.v3, &config.worker, spawner, sessions, ground.clock).await;
    pool.map_err(|error| ShimError::Pool { lane: Lane::V3, error })
}

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
    let WorkerConfig {
        python_path, python_args, program, start_method, preload, env, debug, ..
    } = config.worker.clone();
    let program = match program {
        WorkerProgram::App(app) => {
            let runtime = unpack(&caches(|name| std::env::var(name).ok()))?;
            Program::App { app, runtime }
        }
        WorkerProgram::Script(script, args) => Program::Script { script, args },
    };
    let command = WorkerCommand { lane, python_path, python_args, program, env, ledger };
    let spawner = ProcessSpawner::new(command).passing_stderr_through(debug.debug);
    let limit = match lane {
        Lane::V2 => config.v2.startup_timeout, // legacy
        _ => config.v3.startup_timeout,
    };
    let warmth = |or_spawn| Warmth { preload, limit, or_spawn };
    Ok(match start_method {
        StartMethod::Spawn => spawner,
        StartMethod::Fork => spawner.warmed(warmth(false)),
        StartMethod::Auto => spawner.warmed(warmth(true)),
    })
}

fn follow<L: Pool>(config: &Config, router: &Arc<Router<L, V3Pool>>, clock: Clock) -> Follower {
    let file = &config.rollout.file;
    let paths = RolloutPaths::of(file);
    let commands = config.commands.by_name();
    let strata = commands.iter().map(|(name, command)| ((*name).to_owned(), command.class));
    let strata = Strata::new(strata);
    let comparisons = shadow::of_v3(&config.shadow);
    let warden = Arc::new(Warden::new(paths.clone(), strata.clone(), comparisons));
    let (followed, guards) = (Arc::downgrade(router), Arc::clone(&warden));
    let environment = Environment::of(std::env::var(Environment::VARIABLE).ok());
    let environment = environment.map(|source| Box::new(source) as Box<dyn FlagSource>);
    let mut sources: Vec<_> = environment.into_iter().collect();
    sources.push(Box::new(WatchedFile::at(file)));
    let watch = watch(sources, move |file| {
        let router = followed.upgrade().ok_or("the shim is gone")?;
        let watch = file.ramp.as_ref().map(|mark| guards.watch(mark, router.baseline()));
        // Whatever is wrong with a plan, what the file says of shares is in force; that this
        // process does not judge holds the ramp.
        let watch = watch.transpose().unwrap_or_else(|error| {
            tracing::error!(%error, "no guards watch the ramp in this process");
            None
        });
        let policy = router.apply(file, watch).map_err(|error| error.to_string())?;
        Ok(format!("version {} (epoch {})", policy.version, policy.epoch))
    });
    let (controller, verdicts) = Controller::start(paths, strata, router);
    let heard = Heard { sources: watch.sources(), verdicts };
    let herald = Herald::start(StatusBoard::beside(file), router, heard, warden, clock);
    Follower { _controller: controller, _herald: herald, _watch: watch }
}
