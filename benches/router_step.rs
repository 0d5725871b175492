//! What one decision costs the router: for a session with a pin, for one that is new, and for a
//! call without a session. What it costs with rules, and how soon a change is seen, is in `router`.

mod routing;

use criterion::{Criterion, criterion_group, criterion_main};

fn router_step(criterion: &mut Criterion) {
    let (mut pinned, mut new, mut anonymous) =
        (routing::pinned(), routing::new(), routing::pinned());
    criterion.bench_function("router_step/pinned", |bencher| bencher.iter(|| pinned.decide()));
    criterion.bench_function("router_step/new", |bencher| bencher.iter(|| new.decide()));
    criterion.bench_function("router_step/anonymous", |bencher| {
        bencher.iter(|| anonymous.decide_anonymous());
    });
}

criterion_group!(benches, router_step);
criterion_main!(benches);
