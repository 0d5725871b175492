//! What a routing decision costs: the bucket of a key, and a pinned session's lane.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use poolshift::clock::Moment;
use poolshift::router::bucket::draw;
use poolshift::router::percent::Percent;
use poolshift::router::pins::PinShard;
use poolshift::router::policy::{Percents, Policy};
use poolshift::{Class, SessionId};

const SESSIONS: usize = 10_000;

fn router(criterion: &mut Criterion) {
    criterion.bench_function("router/bucket", |bencher| {
        bencher.iter(|| draw(black_box("v3-rollout"), black_box("session-12345")));
    });
    let sessions: Vec<SessionId> = (0..SESSIONS)
        .map(|n| SessionId::new(&format!("session-{n}")).expect("it is short"))
        .collect();
    let percents = Percents::all("50".parse::<Percent>().expect("it is one"));
    let policy = Policy { percents, ..Policy::initial("v3-rollout", false) };
    let mut shard = PinShard::new(Duration::from_secs(3600), SESSIONS);
    let (mut now, mut next) = (Moment::ZERO, 0);
    criterion.bench_function("router/pinned", |bencher| {
        bencher.iter(|| {
            now = now + Duration::from_micros(1);
            next = (next + 7919) % SESSIONS;
            shard.decide(now, &sessions[next], Class::Read, &policy)
        });
    });
}

criterion_group!(benches, router);
criterion_main!(benches);
