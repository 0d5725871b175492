//! What the comparison of two answers of 100 KB costs, text to verdict: milliseconds, medians of
//! rounds on one core. Fails if one costs more than [`LIMIT`].

#![expect(clippy::print_stdout, reason = "a table is what it is for")]
#![expect(clippy::unwrap_used, reason = "a benchmark that meets the unexpected is over")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use poolshift::clock::Clock;
use poolshift::router::compare::compare;
use poolshift::router::compare::rule::{Effect, Pattern, Place, Rule, Rules};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_millis(2);

/// Rounds; but `cargo test --benches` only looks whether it still runs.
fn rounds() -> usize {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    if is_bench { 501 } else { 1 }
}

fn answer(shift: i64) -> Value {
    let item = |n: i64| {
        json!({
            "id": n, "name": format!("item number {n}"), "score": n as f64 / 7.0,
            "tags": ["a", "b", "c"], "at": n + shift, "nested": {"x": n, "y": [n, n + 1]},
        })
    };
    json!({ "items": (0..800).map(item).collect::<Value>() })
}

fn rules() -> Rules {
    let rule = |at: &str, effect| Rule { at: Place::Value(at.parse().unwrap()), effect };
    let digits = Pattern(r"\d+".parse().unwrap());
    let rules = vec![
        rule("/**/at", Effect::Ignore),
        rule("/items/*/score", Effect::Tolerance { abs: 1e-9, rel: 1e-9 }),
        rule("/items/*/tags", Effect::Unordered),
        rule("/**/note", Effect::Normalise { regex: digits, with: "N".to_owned() }),
        rule("/meta", Effect::Ignore),
    ];
    Rules { rules, ..Rules::default() }
}

fn cost(rules: &Rules, v2: &RawValue, v3: &RawValue) -> Duration {
    let clock = Clock::start();
    let mut took: Vec<Duration> = (0..rounds())
        .map(|_| {
            let began = clock.now();
            black_box(compare(rules, Ok(black_box(v2)), Ok(black_box(v3))));
            clock.now().since(began)
        })
        .collect();
    took.sort_unstable();
    took[took.len() / 2]
}

fn main() -> ExitCode {
    let raw = |value: &Value| to_raw_value(value).unwrap();
    let one_changed = {
        let mut value = answer(1);
        value["items"][799]["score"] = json!(-1);
        value
    };
    let (v2, near, far) = (raw(&answer(0)), raw(&answer(1)), raw(&one_changed));
    let (some, none) = (rules(), Rules::default());
    let mut dearest = Duration::ZERO;
    println!("two answers of {} bytes: ms, at most {}", v2.get().len(), LIMIT.as_millis());
    for (name, rules, other) in [
        ("identical", &some, &v2),
        ("800 places ignored", &some, &near),
        ("800 places ignored, one changed", &some, &far),
        ("800 places changed, no rules", &none, &near),
    ] {
        let cost = cost(rules, &v2, other);
        println!("{name:>36}{:>10.3}", cost.as_secs_f64() * 1e3);
        dearest = dearest.max(cost);
    }
    if dearest <= LIMIT || cfg!(debug_assertions) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
