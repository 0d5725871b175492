//! What a call costs by how many workers there are and how many calls wait: nanoseconds of CPU
//! for each call, the best of some rounds, and the dearest cell of a table by the cheapest.

#![expect(clippy::print_stdout, reason = "tables are what it is for")]

use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::router::percent::Percent;
use poolshift::router::pins::PinShard;
use poolshift::router::policy::{Percents, Policy};
use poolshift::{Class, Lane, SessionId};
use poolshift_sim::steady::{Load, Steady, ns_each};

const WORKERS: [usize; 4] = [8, 64, 512, 4096];
const WAITING: [usize; 4] = [10, 1_000, 10_000, 100_000];

/// Calls of a round: enough that a clock's step does not show.
const CALLS: usize = 20_000;
const ROUNDS: usize = 7;

/// `cargo test --benches` only looks whether it still runs.
fn is_a_test() -> bool {
    !std::env::args().any(|argument| argument == "--bench")
}

fn best(mut round: impl FnMut() -> f64) -> f64 {
    let rounds = if is_a_test() { 1 } else { ROUNDS };
    (0..rounds).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// The cells of a table, and how many times the dearest costs what the cheapest does.
struct Spread {
    name: String,
    cells: Vec<f64>,
}

impl Spread {
    fn ratio(&self) -> f64 {
        let (low, high) = self
            .cells
            .iter()
            .fold((f64::INFINITY, 0.0_f64), |(low, high), cell| (low.min(*cell), high.max(*cell)));
        high / low
    }
}

fn row(head: impl std::fmt::Display, cells: impl IntoIterator<Item = String>) {
    let cells: String = cells.into_iter().map(|cell| format!("{cell:>10}")).collect();
    println!("{head:>16}{cells}");
}

fn machine(lane: Lane, load: Load) -> Spread {
    let name = format!("{lane} {load:?}").to_lowercase();
    println!("\n{name}: ns a call; rows by workers, columns by waiting calls");
    row("", WAITING.map(|waiting| waiting.to_string()));
    let mut cells = Vec::new();
    for workers in WORKERS {
        let costs = WAITING.map(|waiting| {
            let mut steady = Steady::new(lane, load, workers, waiting);
            let calls = if is_a_test() { 10 } else { CALLS };
            steady.calls(calls);
            best(|| steady.ns_per_call(calls))
        });
        row(workers, costs.map(|cost| format!("{cost:.0}")));
        cells.extend(costs);
    }
    Spread { name, cells }
}

/// A shard decides for sessions that are pinned, or that are all new and push out the longest
/// idle one.
fn router(all_new: bool) -> Spread {
    let name = if all_new { "router new" } else { "router pinned" };
    println!("\n{name}: ns a decision; columns by pins in the shard");
    row("", WAITING.map(|pins| pins.to_string()));
    let percents = Percents::all("50".parse::<Percent>().expect("it is one"));
    let policy = Policy { percents, ..Policy::initial("v3-rollout", false) };
    let costs = WAITING.map(|pins| {
        let session = |n| SessionId::new(&format!("session-{n}")).expect("it is short");
        let known = if all_new { 2 * pins } else { pins };
        let sessions: Vec<SessionId> = (0..known).map(session).collect();
        let mut shard = PinShard::new(Duration::from_secs(3600), pins);
        let mut turn = 0_usize;
        let mut decide = |times| {
            for _ in 0..times {
                let now = Moment::ZERO + Duration::from_micros(turn as u64);
                shard.decide(now, &sessions[turn % known], Class::Read, &policy);
                turn += 1;
            }
        };
        decide(known);
        let times = if is_a_test() { 10 } else { CALLS };
        best(|| ns_each(times, || decide(times)))
    });
    row("", costs.map(|cost| format!("{cost:.0}")));
    Spread { name: name.to_owned(), cells: costs.to_vec() }
}

fn main() {
    let mut spreads = Vec::new();
    for lane in [Lane::V2, Lane::V3] {
        spreads.extend(Load::of(lane).iter().map(|load| machine(lane, *load)));
    }
    spreads.extend([false, true].map(router));
    println!("\ndearest cell by cheapest");
    for spread in spreads {
        row(&spread.name, [format!("{:.2}", spread.ratio())]);
    }
}
