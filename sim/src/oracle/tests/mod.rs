//! The oracles against print, against each other, and against queues too simple to be wrong.

mod agreement;
mod draws;
mod paths;
mod published;
mod refusals;
mod sampling;

use super::birth_death::BirthDeath;
use super::{Load, Measures, Queue};

fn load(servers: u32, arrival_rate: f64, service_rate: f64) -> Load {
    Load::new(servers, arrival_rate, service_rate).unwrap()
}

/// The solver's measures.
fn solved(load: Load, capacity: Option<u32>, abandon_rate: Option<f64>) -> Measures {
    let queue = Queue::new(load, capacity, abandon_rate).unwrap();
    BirthDeath::solve(&queue).unwrap().measures()
}

/// The largest relative difference of two sets of measures, and where. Below 1e-290, where an
/// `f64` runs out of digits, numbers are taken as equal.
fn gap(left: Measures, right: Measures) -> (f64, &'static str) {
    let pairs = left.named().into_iter().zip(right.named());
    let gaps = pairs.map(|((name, left), (_, right))| (relative_gap(left, right), name));
    gaps.max_by(|left, right| left.0.total_cmp(&right.0)).unwrap()
}

fn relative_gap(left: f64, right: f64) -> f64 {
    if left.abs().max(right.abs()) < 1e-290 {
        return 0.0;
    }
    (left - right).abs() / left.abs().max(right.abs())
}
