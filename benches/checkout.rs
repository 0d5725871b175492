//! What the V3 pool adds to a call: its queue, lease, books and sessions, on workers that live in
//! this process and answer at once. Beside it a checkout and checkin of deadpool, a pool of the
//! same kind that runs no calls. Nanoseconds of wall time a call, medians of rounds that alternate.
//! Fails if it adds more than [`AT_MOST_NS`] or [`AT_MOST_BY_DEADPOOL`] says.

#![expect(clippy::print_stdout, reason = "a table is what it is for")]
#![expect(clippy::unwrap_used, reason = "a benchmark that meets the unexpected is over")]

mod fake_worker;

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Pool as Deadpool, RecycleResult};
use poolshift::clock::Clock;
use poolshift::config::Config;
use poolshift::v3_pool::V3Pool;
use poolshift::worker::link::{Link, Progress};
use poolshift::worker::wire::Outgoing;
use poolshift::{Args, Call, Pool, shim};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::fake_worker::{Answers, InProcess, Said};

const WORKERS: usize = 8;
const THREADS: usize = 2;
const TASKS: [usize; 2] = [1, 64];

/// What the pool may add to a call, in nanoseconds, and by how much more than deadpool does.
const AT_MOST_NS: f64 = 1000.0;
const AT_MOST_BY_DEADPOOL: f64 = 4.0;

fn is_bench() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Calls of a round, and rounds; but `cargo test --benches` only looks whether it still runs.
fn effort() -> (usize, usize) {
    if is_bench() { (256_000, 9) } else { (64, 1) }
}

#[derive(Debug)]
struct Nothing;

impl Manager for Nothing {
    type Type = ();
    type Error = ();

    async fn create(&self) -> Result<(), ()> {
        Ok(())
    }

    async fn recycle(&self, (): &mut (), _: &Metrics) -> RecycleResult<()> {
        Ok(())
    }
}

/// Nanoseconds of one of `calls`, made by so many tasks.
async fn timed<F: Future<Output = ()> + Send + 'static>(
    tasks: usize,
    calls: usize,
    one: impl Fn() -> F + Clone + Send + 'static,
) -> f64 {
    let clock = Clock::start();
    let mut all = JoinSet::new();
    for _ in 0..tasks {
        let one = one.clone();
        all.spawn(async move {
            for _ in 0..calls / tasks {
                one().await;
            }
        });
    }
    all.join_all().await;
    clock.now().since(poolshift::clock::Moment::ZERO).as_nanos() as f64 / calls as f64
}

/// A link alone, used by one who owns it: so many requests written and their replies read.
async fn linked(calls: usize, args: Args) {
    let said = Said::nothing(Answers::AtOnce);
    let mut link = Link::new(said.clone(), said, 1 << 20);
    for _ in 0..calls {
        link.prepare(Outgoing::own("echo", &args)).unwrap();
        link.send(&Progress::default()).await.unwrap();
        link.receive().await.unwrap().result.unwrap();
    }
}

/// Links alone, on as many threads as the calls of so many tasks have.
async fn all_linked(tasks: usize, calls: usize, args: &Args) -> f64 {
    let at_once = tasks.min(THREADS);
    let clock = Clock::start();
    let mut all = JoinSet::new();
    for _ in 0..at_once {
        all.spawn(linked(calls / at_once, args.clone()));
    }
    all.join_all().await;
    clock.now().since(poolshift::clock::Moment::ZERO).as_nanos() as f64 / calls as f64
}

async fn pool() -> Arc<V3Pool<InProcess>> {
    let mut config = Config::default();
    (config.v3.size, config.v3.min_ready) = (WORKERS, WORKERS);
    let (sessions, at_once) = (shim::sessions(&config), InProcess(Answers::AtOnce));
    let started = V3Pool::start(&config.v3, &config.worker, at_once, sessions, Clock::start());
    Arc::new(started.await.unwrap())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(runtime: &Runtime, tasks: usize) -> [f64; 3] {
    let (calls, rounds) = effort();
    let args = Args::parse("{\"x\":1}").unwrap();
    let pool = runtime.block_on(pool());
    let peer = Deadpool::<Nothing>::builder(Nothing).max_size(WORKERS).build().unwrap();
    let mut times: [Vec<f64>; 3] = Default::default();
    for _ in 0..rounds {
        let (pool, peer, of) = (Arc::clone(&pool), peer.clone(), args.clone());
        let call = move || {
            let (pool, call) = (Arc::clone(&pool), Call::new("echo", of.clone()));
            async move { drop(pool.call(call).await.result.unwrap()) }
        };
        let checkout = move || {
            let peer = peer.clone();
            async move { drop(peer.get().await.unwrap()) }
        };
        times[0].push(runtime.block_on(all_linked(tasks, calls, &args)));
        times[1].push(runtime.block_on(timed(tasks, calls, call)));
        times[2].push(runtime.block_on(timed(tasks, calls, checkout)));
    }
    runtime.block_on(pool.drain(Duration::ZERO));
    times.map(median)
}

fn main() -> ExitCode {
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap();
    println!(
        "{:>6}{:>12}{:>12}{:>12}{:>12}{:>9}",
        "tasks", "call", "link alone", "the rest", "deadpool", "ratio"
    );
    let mut holds = true;
    for tasks in TASKS {
        let [link, call, peer] = measure(&runtime, tasks);
        let rest = call - link;
        let ratio = rest / peer;
        println!("{tasks:>6}{call:>9.0} ns{link:>9.0} ns{rest:>9.0} ns{peer:>9.0} ns{ratio:>9.2}");
        holds &= rest <= AT_MOST_NS && ratio <= AT_MOST_BY_DEADPOOL;
    }
    println!("at most {AT_MOST_NS:.0} ns, and {AT_MOST_BY_DEADPOOL} times deadpool");
    if holds || !is_bench() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
