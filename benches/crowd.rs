//! What a call costs in a crowd: through each pool, and through the router before both, with few
//! and many callers, few and many workers. Workers live in this process and take one turn of the
//! scheduler for an answer, so that all of them are busy and all other callers wait. Wall time and
//! CPU time a call, medians of rounds that alternate. A call of the largest crowd may cost
//! `AT_MOST` times one of the smallest.

#![expect(clippy::print_stdout, reason = "a table is what it is for")]
#![expect(clippy::unwrap_used, reason = "a benchmark that meets the unexpected is over")]

mod fake_worker;

use std::future::Future;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use poolshift::clock::{Clock, Moment};
use poolshift::config::Config;
use poolshift::router::policy::{Percents, Policy};
use poolshift::router::{PinLimits, Router};
use poolshift::session::Sessions;
use poolshift::v2_session_pool::V2SessionPool;
use poolshift::v3_pool::V3Pool;
use poolshift::{Answer, Args, Call, Pool, SessionId, shim};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::fake_worker::{Answers, InProcess};

type V2 = V2SessionPool<InProcess>;
type V3 = V3Pool<InProcess>;

const THREADS: usize = 2;

/// How much more a call may cost in the last crowd than in the first.
const AT_MOST: f64 = 3.0;

/// Callers and workers.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    callers: usize,
    workers: usize,
}

const CROWDS: [Crowd; 4] = [
    Crowd { callers: 10, workers: 8 },
    Crowd { callers: 10, workers: 1000 },
    Crowd { callers: 10_000, workers: 8 },
    Crowd { callers: 10_000, workers: 1000 },
];

const MOST_CALLERS: usize = 10_000;

/// Calls of a round, and rounds; but `cargo test --benches` only looks whether it still runs.
fn effort() -> (usize, usize) {
    if is_bench() { (100_000, 5) } else { (100, 1) }
}

fn is_bench() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// What calls go through.
trait Service: Sized + Send + Sync + 'static {
    const NAME: &str;

    fn start(config: &Config, sessions: Arc<Sessions>) -> impl Future<Output = Self>;
    fn call(&self, call: Call) -> impl Future<Output = Answer> + Send;
    fn waiting(&self) -> usize;
    fn end(&self) -> impl Future<Output = ()>;
}

impl Service for V2 {
    const NAME: &str = "v2";

    async fn start(config: &Config, sessions: Arc<Sessions>) -> Self {
        let (worker, clock) = (InProcess(Answers::InTurn), Clock::start());
        let pool = Self::start(&config.v2, &config.worker, worker, sessions, clock).await.unwrap();
        pool.ready(config.v2.size).await.unwrap();
        pool
    }

    async fn call(&self, call: Call) -> Answer {
        Pool::call(self, call).await
    }

    fn waiting(&self) -> usize {
        self.gauges().queue_size
    }

    async fn end(&self) {
        self.drain(Duration::ZERO).await;
    }
}

impl Service for V3 {
    const NAME: &str = "v3";

    async fn start(config: &Config, sessions: Arc<Sessions>) -> Self {
        let (worker, clock) = (InProcess(Answers::InTurn), Clock::start());
        Self::start(&config.v3, &config.worker, worker, sessions, clock).await.unwrap()
    }

    async fn call(&self, call: Call) -> Answer {
        Pool::call(self, call).await
    }

    fn waiting(&self) -> usize {
        self.gauges().queue_size
    }

    async fn end(&self) {
        self.drain(Duration::ZERO).await;
    }
}

/// Half of the workers, and about half of the sessions, are in each lane.
impl Service for Router<V2, V3> {
    const NAME: &str = "router";

    async fn start(config: &Config, sessions: Arc<Sessions>) -> Self {
        let half = config_of(config.v3.size / 2);
        let legacy = <V2 as Service>::start(&half, Arc::clone(&sessions)).await;
        let next = <V3 as Service>::start(&half, Arc::clone(&sessions)).await;
        let pins = PinLimits { ttl: config.pin_ttl(), max_pins: config.rollout.max_pins };
        let policy = Policy::initial(&config.rollout.flag, false);
        let (legacy, next) = (Arc::new(legacy), Arc::new(next));
        let router = Self::new(legacy, next, policy, pins, sessions, Clock::start());
        router.set_percents(Percents::all("50".parse().unwrap()));
        router
    }

    async fn call(&self, call: Call) -> Answer {
        Self::call(self, call).await.answer
    }

    fn waiting(&self) -> usize {
        self.legacy().waiting() + self.next().waiting()
    }

    async fn end(&self) {
        self.legacy().end().await;
        self.next().end().await;
    }
}

/// As anybody's, but for the sizes: the largest crowd may wait, and have a session each.
fn config_of(workers: usize) -> Config {
    let mut config = Config::default();
    config.v2.size = workers;
    (config.v3.size, config.v3.min_ready) = (workers, workers);
    config.v3.max_queue_size = MOST_CALLERS;
    config.session.max_sessions = MOST_CALLERS;
    config
}

/// What has been used so far.
#[derive(Clone, Copy, Debug)]
struct Spent {
    wall: Moment,
    cpu: Duration,
}

impl Spent {
    fn by(clock: Clock) -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self { wall: clock.now(), cpu: Duration::try_from(cpu).unwrap() }
    }
}

/// Nanoseconds a call.
#[derive(Clone, Copy, Debug)]
struct Cost {
    wall: f64,
    cpu: f64,
}

/// The calls of a round: some once everybody has come, then those that count.
#[derive(Debug)]
struct Round {
    clock: Clock,
    callers: usize,
    came: AtomicUsize,
    uncounted: usize,
    counted: usize,
    made: AtomicUsize,
    /// How many waited as it began.
    waiting: OnceLock<usize>,
    began: OnceLock<Spent>,
    ended: OnceLock<Spent>,
}

impl Round {
    fn new(callers: usize, counted: usize) -> Self {
        let (came, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (waiting, began, ended) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let (clock, uncounted) = (Clock::start(), 2 * callers);
        Self { clock, callers, came, uncounted, counted, made, waiting, began, ended }
    }

    /// A caller makes its first call. The last may have to wait for that until most have made many:
    /// the scheduler turns to newcomers now and then only.
    fn come(&self) {
        self.came.fetch_add(1, Ordering::Relaxed);
    }

    /// A call was made; whether there are to be more.
    fn goes_on(&self, service: &impl Service) -> bool {
        if self.came.load(Ordering::Relaxed) < self.callers {
            return true;
        }
        let made = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        if made == self.uncounted {
            self.waiting.set(service.waiting()).unwrap();
            self.began.set(Spent::by(self.clock)).unwrap();
        } else if made == self.uncounted + self.counted {
            self.ended.set(Spent::by(self.clock)).unwrap();
        }
        made < self.uncounted + self.counted
    }

    fn cost(&self) -> Cost {
        let (began, ended) = (self.began.get().unwrap(), self.ended.get().unwrap());
        let each = |spent: Duration| spent.as_nanos() as f64 / self.counted as f64;
        Cost { wall: each(ended.wall.since(began.wall)), cpu: each(ended.cpu - began.cpu) }
    }
}

/// Each caller has a session of its own, and calls again as soon as it was answered.
async fn cost<S: Service>(service: &Arc<S>, crowd: Crowd, calls: usize) -> Cost {
    let round = Arc::new(Round::new(crowd.callers, calls));
    let mut all = JoinSet::new();
    for caller in 0..crowd.callers {
        let (service, round) = (Arc::clone(service), Arc::clone(&round));
        let session = Some(SessionId::new(&format!("caller-{caller}")).unwrap());
        let args = Args::parse("{\"x\":1}").unwrap();
        all.spawn(async move {
            round.come();
            while {
                let call = Call::new("echo", args.clone());
                let call = Call { session: session.clone(), ..call };
                service.call(call).await.result.unwrap();
                round.goes_on(&*service)
            } {}
        });
    }
    all.join_all().await;
    let waiting = *round.waiting.get().unwrap();
    assert!(waiting + crowd.workers >= crowd.callers / 2, "{waiting} waited: that is no crowd");
    round.cost()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The table of one service; how much more the last crowd costs than the first.
fn table<S: Service>(runtime: &Runtime) -> f64 {
    let (calls, rounds) = effort();
    let services = CROWDS.map(|crowd| {
        let config = config_of(crowd.workers);
        Arc::new(runtime.block_on(S::start(&config, shim::sessions(&config))))
    });
    let mut costs: [Vec<Cost>; CROWDS.len()] = Default::default();
    for _ in 0..rounds {
        for ((crowd, service), costs) in CROWDS.iter().zip(&services).zip(&mut costs) {
            costs.push(runtime.block_on(cost(service, *crowd, calls)));
        }
    }
    for service in services {
        runtime.block_on(service.end());
    }
    let costs = costs.map(|costs| Cost {
        wall: median(costs.iter().map(|cost| cost.wall).collect()),
        cpu: median(costs.iter().map(|cost| cost.cpu).collect()),
    });
    let ratio = |cost: Cost| (cost.wall / costs[0].wall).max(cost.cpu / costs[0].cpu);
    for (Crowd { callers, workers }, cost) in CROWDS.iter().zip(costs) {
        let Cost { wall, cpu } = cost;
        let (name, ratio) = (S::NAME, ratio(cost));
        println!("{name:>8}{callers:>9}{workers:>9}{wall:>9.0} ns{cpu:>9.0} ns{ratio:>9.2}");
    }
    ratio(costs[CROWDS.len() - 1])
}

fn main() -> ExitCode {
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap();
    println!("{:>8}{:>9}{:>9}{:>12}{:>12}{:>9}", "", "callers", "workers", "wall", "cpu", "ratio");
    let ratios = [table::<V2>(&runtime), table::<V3>(&runtime), table::<Router<V2, V3>>(&runtime)];
    let worst = ratios.into_iter().fold(0.0, f64::max);
    println!("the largest crowd by the smallest: {worst:.2}, at most {AT_MOST:.2}");
    if is_bench() && worst > AT_MOST { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
