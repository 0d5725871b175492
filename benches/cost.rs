//! What a call costs a pool's machine, by how many workers there are and how many calls wait, and
//! what it costs the router, by how many sessions are pinned: nanoseconds of CPU, the best of
//! some rounds. The last table is the dearest cell of each table by its cheapest.

#![expect(clippy::print_stdout, reason = "tables are what it is for")]

use poolshift::Lane;
use poolshift_sim::steady::{Load, Steady};

const WORKERS: [usize; 4] = [8, 64, 512, 4096];
const WAITING: [usize; 4] = [10, 1_000, 10_000, 100_000];

/// Calls of a round, and rounds; but `cargo test --benches` only looks whether it still runs.
fn effort() -> (usize, usize) {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    if is_bench { (20_000, 7) } else { (10, 1) }
}

fn cost(mut steady: Steady) -> f64 {
    let (calls, rounds) = effort();
    steady.calls(calls);
    (0..rounds).map(|_| steady.ns_per_call(calls)).fold(f64::INFINITY, f64::min)
}

fn row(head: &str, cells: &[String]) {
    let cells: String = cells.iter().map(|cell| format!("{cell:>10}")).collect();
    println!("{head:>16}{cells}");
}

fn machine(lane: Lane, load: Load) -> Vec<f64> {
    let mut cells = Vec::new();
    for workers in WORKERS {
        let costs = WAITING.map(|waiting| cost(Steady::machine(lane, load, workers, waiting)));
        row(&workers.to_string(), &costs.map(|cost| format!("{cost:.0}")));
        cells.extend(costs);
    }
    cells
}

fn router(all_new: bool) -> Vec<f64> {
    let costs = WAITING.map(|pins| cost(Steady::router(pins, all_new)));
    row("", &costs.map(|cost| format!("{cost:.0}")));
    costs.to_vec()
}

fn table(name: &str, columns: &str, cells: impl FnOnce() -> Vec<f64>) -> (String, f64) {
    println!("\n{name}: ns a call; columns by {columns}");
    row("", &WAITING.map(|column| column.to_string()));
    let cells = cells();
    let low = cells.iter().copied().fold(f64::INFINITY, f64::min);
    let high = cells.iter().copied().fold(0.0, f64::max);
    (name.to_owned(), high / low)
}

fn main() {
    let mut ratios = Vec::new();
    for lane in [Lane::V2, Lane::V3] {
        for load in Load::of(lane) {
            let name = format!("{lane} {load:?}").to_lowercase();
            ratios.push(table(&name, "waiting calls, rows by workers", || machine(lane, *load)));
        }
    }
    for (name, all_new) in [("router pinned", false), ("router new", true)] {
        ratios.push(table(name, "pins in the shard", || router(all_new)));
    }
    println!("\ndearest cell by cheapest");
    for (name, ratio) in ratios {
        row(&name, &[format!("{ratio:.2}")]);
    }
}
