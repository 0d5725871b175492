//! The real machines beside queueing theory, as `poolshift-sim queue` shows them.

use std::process::Command;

use serde_json::Value;

fn queue(args: &str) -> (Option<i32>, Value, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolshift-sim"));
    let output = command.args(["queue", "--json"]).args(args.split_whitespace()).output().unwrap();
    let told = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), told, String::from_utf8(output.stderr).unwrap())
}

/// Seeds are fixed, so these either always hold or never.
#[test]
fn both_machines_agree_with_the_formulas_and_start_each_call_exactly_when_due() {
    for args in [
        "--servers 1 --arrival-rate 0.5 --service-rate 1 --calls 200000",
        "--servers 4 --arrival-rate 9 --service-rate 5 --calls 400000",
        "--servers 3 --arrival-rate 40 --service-rate 30 --capacity 7 --calls 1000000",
        "--servers 8 --arrival-rate 6 --service-rate 1 --abandon-rate 0.5 --calls 400000",
        "--servers 5 --arrival-rate 4 --service-rate 1 --capacity 5 --service const --calls 200000",
        "--servers 1 --arrival-rate 0.6 --service-rate 1 --service lognormal:1 --calls 400000",
        "--servers 4 --arrival-rate 9 --service-rate 5 --calls 400000 --lane v2",
    ] {
        let (code, told, error) = queue(args);
        assert_eq!(code, Some(0), "{args}: {told} {error}");
        let verdicts = told["verdicts"].as_object().unwrap();
        for (name, verdict) in verdicts {
            // A queue without room has no waits, and one with room hardly blocks.
            assert!(verdict == "agrees" || verdict == "not_judged", "{args}, {name}: {told}");
        }
        let agreed = verdicts.values().filter(|verdict| *verdict == "agrees").count();
        assert!(agreed >= 5, "{args}: {told}");
        assert!(told["exact_starts"].as_u64().unwrap() > 100_000, "{args}: {told}");
    }
}

#[test]
fn what_no_formula_knows_is_measured_and_not_judged() {
    let args = "--servers 4 --arrival-rate 3 --service-rate 1 --service const --calls 20000";
    let (code, told, _) = queue(args);
    assert_eq!((code, &told["expected"]), (Some(0), &Value::Null));
    assert!(told["measured"]["mean_wait"].as_f64().unwrap() > 0.0, "{told}");
}

#[test]
fn what_cannot_be_is_refused() {
    for (args, hint) in [
        ("--servers 2 --arrival-rate 3 --service-rate 1", "2 servers"),
        ("--servers 0 --arrival-rate 3 --service-rate 1", "1 to 1000000"),
        ("--servers 4 --arrival-rate 3 --service-rate 1 --capacity 3", "number of servers"),
        ("--servers 4 --arrival-rate 3 --service-rate 1 --lane v2 --capacity 9", "v2 has neither"),
        ("--servers 4 --arrival-rate -3 --service-rate 1", ""),
        ("--servers 4 --arrival-rate 3 --service-rate 1 --service gamma", "lognormal:CV"),
    ] {
        let (code, _, error) = queue(args);
        assert_eq!(code, Some(2), "{args}: {error}");
        assert!(error.contains(hint), "{args}: {error}");
    }
}
