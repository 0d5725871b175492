//! What a call costs the host, from the router to an in-memory worker and back: no processes,
//! no kernel, so that the code's own share can be seen.

#![expect(clippy::unwrap_used, reason = "a benchmark that meets the unexpected is over")]

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use poolshift::clock::Clock;
use poolshift::config::Config;
use poolshift::router::policy::{Percents, Policy};
use poolshift::router::{PinLimits, Router};
use poolshift::v2_session_pool::V2SessionPool;
use poolshift::v3_pool::V3Pool;
use poolshift::{Args, Call, shim};
use poolshift_sim::shell_rig::spawner::FakeSpawner;
use tokio::runtime::Runtime;

type BenchRouter = Router<V2SessionPool<FakeSpawner>, V3Pool<FakeSpawner>>;

async fn router(percent: &str) -> Arc<BenchRouter> {
    let mut config = Config::default();
    (config.v2.size, config.v3.size) = (4, 4);
    let (sessions, clock) = (shim::sessions(&config), Clock::start());
    let (v2, v3, worker) = (&config.v2, &config.v3, &config.worker);
    let spawner = FakeSpawner::default;
    let legacy = V2SessionPool::start(v2, worker, spawner(), Arc::clone(&sessions), clock);
    let next = V3Pool::start(v3, worker, spawner(), Arc::clone(&sessions), clock);
    let (legacy, next) = (Arc::new(legacy.await.unwrap()), Arc::new(next.await.unwrap()));
    let percents = Percents::all(percent.parse().unwrap());
    let policy = Policy { percents, ..Policy::initial("bench", false) };
    let pins = PinLimits { ttl: Duration::from_secs(3600), max_pins: 200_000 };
    Arc::new(Router::new(legacy, next, policy, pins, sessions, clock))
}

async fn calls(router: &BenchRouter, args: &Args, count: usize) {
    for _ in 0..count {
        let call = Call::new("echo", args.clone()).with_session("caller").unwrap();
        router.call(call).await.answer.result.unwrap();
    }
}

fn dispatch(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let args = Args::parse("{\"x\":1}").unwrap();
    for (lane, percent) in [("v2", "0"), ("v3", "100")] {
        let router = runtime.block_on(router(percent));
        criterion.bench_function(&format!("dispatch/{lane}"), |bencher| {
            bencher.iter(|| runtime.block_on(calls(&router, &args, 1)));
        });
    }
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
