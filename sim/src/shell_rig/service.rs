//! The service under test: both pools, the router and the session rules, around fake workers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use poolshift::clock::Clock;
use poolshift::config::{ShadowConfig, WorkerConfig};
use poolshift::machine::backoff::Backoff;
use poolshift::machine::engine::{Lifecycle, Terms};
use poolshift::machine::recycling::Recycling;
use poolshift::machine::retry::Share;
use poolshift::meter::MeterSnapshot;
use poolshift::router::compare::rule::RuleBook;
use poolshift::router::policy::Policy;
use poolshift::router::shadow::ShadowTerms;
use poolshift::router::{PinLimits, Router};
use poolshift::session::Sessions;
use poolshift::session::commands::Commands;
use poolshift::session::memory::MemoryStore;
use poolshift::shadow::Store;
use poolshift::shadow::recorder::Recorder;
use poolshift::v2_session_pool::V2SessionPool;
use poolshift::v2_session_pool::config::V2Config;
use poolshift::v3_pool::V3Pool;
use poolshift::v3_pool::config::V3Config;
use poolshift::{Lane, Pool, PoolStatus, StartError};

use crate::options::PerMillion;
use crate::rng::Seed;
use crate::shell_rig::handoff::Yields;
use crate::shell_rig::journal::Journal;
use crate::shell_rig::plan::{Plan, RigOptions};
use crate::shell_rig::planted::Planted;
use crate::shell_rig::spawner::FakeSpawner;
use crate::shell_rig::store::UnhurriedStore;
use crate::trace::{Closing, Ground, LaneClosing, LaneGround};

/// How long a call may wait, and how long it may run.
const WAIT: Duration = Duration::from_millis(150);
const RUN: Duration = Duration::from_millis(150);
const STARTUP: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_millis(30);
const HEALTH: Duration = Duration::from_millis(30);
const PROBE_AFTER: Duration = Duration::from_millis(60);
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(80));
/// Small, so that S18 is put to the test.
const MAX_FRAME: usize = 64 * 1024;
/// What the host may have ready for one read: a frame, or the rest of one and a read's worth.
pub(super) const MAX_ROOM: usize = MAX_FRAME + 16 * 1024;
/// Sessions outlive every run: what ends them here is a command or an operator.
const SESSION: Duration = Duration::from_secs(3600);

pub(super) type FakeRouter =
    Router<Planted<V2SessionPool<FakeSpawner>>, Planted<V3Pool<FakeSpawner>>>;

/// Everything of one run but its callers.
pub(super) struct Service {
    pub(super) router: Arc<FakeRouter>,
    pub(super) spawners: [FakeSpawner; 2],
    pub(super) commands: Arc<Commands>,
    _store: tempfile::TempDir,
}

impl Service {
    /// Both pools, each with its first worker ready.
    pub(super) async fn start(
        seed: Seed,
        options: &RigOptions,
        plan: &Plan,
        journal: &Arc<Journal>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let yields = Yields::of(seed, options.most_yields);
        let commands = Arc::new(Commands::default());
        let store = MemoryStore::new(SESSION, 10_000);
        let store = UnhurriedStore::new(store, Arc::clone(journal), yields);
        let sessions = Arc::new(Sessions::new(Arc::new(store), Arc::clone(&commands)));
        let spawners = [Lane::V2, Lane::V3].map(|lane| {
            let spawner = FakeSpawner::of(lane, Arc::clone(journal), yields);
            plan.births[lane as usize].iter().for_each(|birth| spawner.bear(birth.clone()));
            spawner
        });
        let worker = WorkerConfig {
            max_frame_bytes: MAX_FRAME,
            health_timeout: HEALTH,
            stop_grace: GRACE,
            kill_grace: GRACE,
            ..WorkerConfig::default()
        };
        let [ours, theirs] = spawners.clone();
        let (v2, v3) = (v2_config(options), v3_config(seed, options));
        let legacy = V2SessionPool::start(&v2, &worker, ours, Arc::clone(&sessions), clock).await?;
        let next = V3Pool::start(&v3, &worker, theirs, Arc::clone(&sessions), clock).await?;
        let pins = PinLimits { ttl: SESSION, max_pins: 200_000 };
        // Where nothing is shadowed, nothing can be wrong with it.
        let bug = options.bug.filter(|_| options.shadows[0] > 0);
        let spill = Arc::default();
        let legacy = Arc::new(Planted::new(legacy, &sessions, bug, &spill));
        let next = Arc::new(Planted::new(next, &sessions, bug, &spill));
        let policy = Policy::initial("shell-rig", false);
        let mut router = Router::new(legacy, next, policy, pins, sessions, clock);
        let store = tempfile::tempdir().expect("tests may write temporary files");
        if options.shadows[0] > 0 {
            router = router.with_shadow(shadow_terms(options), recorder(store.path(), clock));
        }
        Ok(Self { router: Arc::new(router), spawners, commands, _store: store })
    }

    /// S18: what the host made room for in one read, at most, in each lane.
    pub(super) fn most_room(&self) -> [usize; 2] {
        self.spawners.each_ref().map(FakeSpawner::most_room)
    }

    pub(super) fn closing(&self, journal: &Journal) -> Closing {
        let (legacy, next) = (self.router.legacy(), self.router.next());
        let closing = |spawner: &FakeSpawner, status: PoolStatus, meter: MeterSnapshot| {
            LaneClosing { status, meter, processes: spawner.alive() }
        };
        let [ours, theirs] = &self.spawners;
        let v2 = closing(ours, legacy.status(), legacy.pool().meter());
        let v3 = closing(theirs, next.status(), next.pool().meter());
        Closing { at: journal.now(), lanes: [v2, v3] }
    }
}

/// V3's workers are recycled when they ask for it.
const RECYCLING: Recycling = Recycling {
    max_requests: 0,
    max_age: Duration::ZERO,
    max_memory_growth: 0,
    max_recycling: 1,
    seed: 0,
};

fn shadow_terms(options: &RigOptions) -> ShadowTerms {
    let share = |of: PerMillion| Share::new(f64::from(of) / 1e6).expect("it is a share");
    let [sample, noise] = options.shadows.map(share);
    let (flag, timeout) = ("shell-rig".to_owned(), RUN);
    let (reserve, max_per_s, max_bytes) = (1, 1_000_000, MAX_FRAME);
    ShadowTerms { flag, sample, noise, reserve, max_per_s, timeout, max_bytes }
}

/// Compares for real; what it finds changes nothing that the trace shows.
fn recorder(folder: &Path, clock: Clock) -> Recorder {
    let config = ShadowConfig { store: folder.to_owned(), ..ShadowConfig::default() };
    let store = Store::of(&config, 0).expect("a temporary folder can be written");
    Recorder::start(store, RuleBook::default(), clock).expect("there is a thread more")
}

fn v2_config(options: &RigOptions) -> V2Config {
    V2Config {
        size: options.sizes[0],
        startup_timeout: STARTUP,
        checkout_timeout: WAIT,
        operation_timeout: RUN,
        session_idle: SESSION,
        max_queue_size: 0,
        on_cancel: options.on_cancel,
    }
}

fn v3_config(seed: Seed, options: &RigOptions) -> V3Config {
    V3Config {
        size: options.sizes[1],
        startup_timeout: STARTUP,
        health_check_interval: PROBE_AFTER,
        max_queue_size: options.max_waiting,
        queue_timeout: WAIT,
        timeout: WAIT + RUN,
        max_starting: 0,
        min_ready: 1,
        on_cancel: options.on_cancel,
        restart_backoff: BACKOFF,
        breaker_failures: 0,
        seed: seed.0,
        ..V3Config::default()
    }
}

/// What the pools promise.
pub(super) fn ground(seed: Seed, options: &RigOptions) -> Ground {
    let lane = |lane: Lane| {
        let v2 = lane == Lane::V2;
        let (base, cap) = BACKOFF;
        LaneGround {
            terms: Terms {
                size: options.sizes[lane as usize],
                max_starting: if v2 { 1 } else { usize::MAX },
                budget: WAIT + RUN,
                queue_timeout: WAIT,
                run_timeout: if v2 { RUN } else { WAIT + RUN },
                on_cancel: options.on_cancel,
                backoff: Backoff { base, cap, seed: if v2 { 0 } else { seed.0 } },
                probe_after: (!v2).then_some(PROBE_AFTER),
                lifecycle: Lifecycle {
                    recycling: (!v2).then_some(RECYCLING),
                    ..Lifecycle::default()
                },
            },
            max_waiting: if v2 { usize::MAX } else { options.max_waiting },
            session_idle: SESSION,
            startup_timeout: STARTUP,
            health_timeout: HEALTH,
            stop_grace: GRACE,
            kill_grace: GRACE,
        }
    };
    Ground {
        seed: seed.0,
        lanes: [lane(Lane::V2), lane(Lane::V3)],
        pin_ttl: SESSION,
        whole_sessions: false,
        host_lag: Duration::ZERO,
        calls: options.calls,
        mean_gap: Duration::from_micros(2500),
        mean_service: Duration::from_millis(12),
    }
}
