//! The ramp: plans, steps, verdicts, and whole ramps over made-up traffic.

mod plan;
mod replay;
mod steps;
mod verdicts;
mod whole;

use poolshift::Class;
use poolshift::clock::Wall;
use poolshift::router::guard::strata::Strata;
use poolshift::router::ramp::{Capacity, Drill, Plan};

/// Two steps for reads, one for all.
const PLAN: &str = r#"
[guards.errors]
limit = 0.2

[[steps]]
class = "read"
percent = 5
min_time = "10s"
min_units = 20

[[steps]]
class = "read"
percent = 50
min_time = "10s"
min_units = 50

[[steps]]
percent = 100
min_time = "10s"
min_units = 50
"#;

fn plan() -> Plan {
    Plan::parse(PLAN, &[]).unwrap()
}

fn strata() -> Strata {
    Strata::new([("a".to_owned(), Class::Read), ("w".to_owned(), Class::Write)])
}

fn at(seconds: u64) -> Wall {
    Wall::from_millis(seconds * 1000)
}

const ROOM: Option<Capacity> = Some(Capacity { v2_workers: 8, busy_workers: 2.0 });

fn drilled(now: Wall) -> Option<Drill> {
    Some(Drill { at: now, took_ms: 3 })
}
