//! `poolshift bench`: small runs of what the big ones measure, and what they refuse.

use serde_json::Value;

use crate::tool::Tool;

/// A run's figures, each of which must be there and a number of zero or more.
fn figures<const N: usize>(args: &str, names: [&str; N]) -> [f64; N] {
    let args: Vec<&str> = args.split(' ').chain(["--json"]).collect();
    let told = Tool::new().run(&args).json();
    let figure = |name: &str| told.get(name).and_then(Value::as_f64).filter(|it| *it >= 0.0);
    names.map(|name| figure(name).unwrap_or_else(|| panic!("no {name} in {told}")))
}

#[test]
fn startup_measures_both_pools_and_both_ways_to_start() {
    let names = ["one_worker_s", "v2_s", "v3_spawn_s", "v3_fork_s"];
    let [one, v2, spawn, fork] = figures("bench startup --workers 3 --sleep 0.4", names);
    assert!([one, spawn, fork].iter().all(|time| *time >= 0.4), "{one} {spawn} {fork}");
    assert!(v2 >= 1.2, "V2 started three, one after the other, in {v2} s");
}

#[test]
fn recovery_loses_no_call_but_those_on_killed_workers() {
    for method in ["spawn", "fork"] {
        let args = format!("bench recovery --workers 2 --kills 6 --start-method {method}");
        let names = ["runs", "p50_ms", "p90_ms", "p99_ms", "lost_calls", "answered_calls"];
        let [runs, p50, p90, p99, lost, answered] = figures(&args, names);
        assert_eq!((runs, lost), (6.0, 0.0), "{method}");
        assert!(answered >= 6.0, "{method}: each successor answered one of {answered}");
        // A call takes two milliseconds.
        assert!(2.0 <= p50 && p50 <= p90 && p90 <= p99, "{method}: {p50} {p90} {p99}");
    }
}

#[test]
fn memory_counts_the_warm_parent_and_shared_pages_in_shares() {
    let names = ["spawn_pss_mb", "fork_pss_mb", "ratio"];
    let args = "bench memory --workers 6 --import email.mime.multipart";
    let [spawn, fork, ratio] = figures(args, names);
    assert!((ratio - fork / spawn).abs() < 1e-9);
    assert!(0.05 < ratio && ratio < 0.7, "{spawn} MB spawned, {fork} MB forked");
}

#[test]
fn payload_tells_rates_and_memory_of_raw_pipes_and_the_router() {
    let args = "bench payload --size 2MB --workers 4 --callers 6 --rounds 1 --json";
    let told = Tool::new().run(&args.split(' ').collect::<Vec<_>>()).json();
    assert_eq!(told["calls_in_flight"], 4, "as many as workers: {told}");
    let of = |path: &str| {
        let figure = told.pointer(path).and_then(Value::as_f64);
        figure.unwrap_or_else(|| panic!("no {path} in {told}"))
    };
    assert_eq!(of("/sizes/0/payload_bytes"), 2e6);
    for kind in ["raw", "router"] {
        assert!(of(&format!("/sizes/0/{kind}_calls_per_s")) > 0.0, "{told}");
        assert!(of(&format!("/sizes/0/host_cpu_us_per_call/{kind}")) > 0.0, "{told}");
        let multiple = of(&format!("/sizes/0/peak_rss_per_payload_in_flight/{kind}"));
        assert!(0.5 < multiple && multiple <= 3.5, "{kind}: {told}");
    }
}

#[test]
fn an_app_without_the_command_that_is_measured_is_told_which_one() {
    let tool = Tool::new();
    let app = "from poolshift_worker import command\n\n@command(\"greet\")\n\
               def greet(args, context):\n    return 1\n";
    tool.write("tiny_app.py", app);
    tool.write("a.toml", "[worker]\napp = \"tiny_app\"\nenv = { PYTHONPATH = \".\" }\n");
    for bench in ["dispatch", "payload"] {
        let ran = tool.run(&["--config", "a.toml", "bench", bench, "--workers", "1"]);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        for told in ["calls the command echo", "Unknown command: echo", "the demo app"] {
            assert!(ran.stderr.contains(told), "{bench}: {}", ran.stderr);
        }
    }
}

#[test]
fn an_interpreter_that_is_missing_is_named() {
    let tool = Tool::new().with_env("POOLSHIFT__WORKER__PYTHON_PATH", "/no/such/python");
    for bench in ["memory --import json", "startup --sleep 0", "recovery", "payload", "dispatch"] {
        let ran = tool.run(&format!("bench {bench}").split(' ').collect::<Vec<_>>());
        assert_eq!(ran.code, Some(1), "{bench}: {}", ran.stderr);
        let last = ran.stderr.lines().last().unwrap_or_default();
        assert!(last.contains("cannot start `/no/such/python"), "{bench}: {last}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    for (args, code, told) in [
        ("bench startup --workers 2", 2, "--sleep <S>|--import <MODULE>"),
        ("bench startup --sleep 1 --import json", 2, "cannot be used with"),
        ("bench startup --sleep -1", 2, "unexpected argument"),
        ("bench startup --sleep 61", 2, "a number of seconds from 0 to 60"),
        ("bench recovery --start-method forkserver", 2, "it is spawn, fork or auto"),
        ("bench recovery --kills 0", 2, "invalid value"),
        ("bench memory --workers 2", 2, "--import <MODULE>"),
        ("bench payload --size 0", 2, "a size such as 64KB, 1MB or 1MiB"),
        ("bench payload --size 1MB,2TB", 2, "a size such as 64KB, 1MB or 1MiB"),
        ("bench memory --workers 1 --import no_such_module", 1, "No module named"),
        ("bench recovery --workers 1 --import no_such_module", 1, "No module named"),
    ] {
        let ran = Tool::new().run(&args.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.code, Some(code), "{args}: {}", ran.stderr);
        assert!(ran.stderr.contains(told), "{args}: {}", ran.stderr);
    }
}
