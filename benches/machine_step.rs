//! What one pair of events costs a machine: a reply and the next submit, with every worker busy.

mod busy;

use criterion::{Criterion, criterion_group, criterion_main};

fn machine_step(criterion: &mut Criterion) {
    let (mut v2, mut v3) = (busy::v2(), busy::v3());
    criterion.bench_function("machine_step/v2", |bencher| bencher.iter(|| v2.step()));
    criterion.bench_function("machine_step/v3", |bencher| bencher.iter(|| v3.step()));
}

criterion_group!(benches, machine_step);
criterion_main!(benches);
