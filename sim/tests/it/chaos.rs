//! `poolshift-sim chaos`: real workers under real faults, and the proof that it sees what is wrong.

use std::process::{Command, Output};

use serde_json::Value;

fn chaos(args: &[&str], traces: &std::path::Path) -> Output {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_poolshift-sim"));
    sim.arg("chaos").args(args).arg("--trace-dir").arg(traces).output().unwrap()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Laws that a real run can put to the test.
const LAWS: [&str; 9] = ["L1", "S1", "S10", "S14", "S17", "S19", "S2", "S23", "S24"];

/// Three seconds of what `scripts/soak` does for ten minutes.
#[test]
fn r18_nothing_is_lost_doubled_crossed_or_left_behind_while_everything_goes_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let rough = ["--for", "3s", "--kill-every", "250ms", "--workers", "2", "--seed", "7"];
    let output = chaos(&[&rough[..], &["--json"]].concat(), folder.path());
    let told = report(&output);
    assert_eq!(output.status.code(), Some(0), "{told:#}");
    assert!(output.stderr.is_empty(), "progress is for terminals: {output:?}");
    for figure in ["lost", "duplicated", "cross_talk", "leaked_processes"] {
        assert_eq!(told[figure], 0, "{told:#}");
    }
    for figure in ["fd_delta", "thread_delta"] {
        assert_eq!(told[figure], 0, "{told:#}");
    }
    let outcomes = told["outcomes"].as_object().unwrap();
    let ended: u64 = outcomes.values().filter_map(Value::as_u64).sum();
    assert_eq!(told["submitted"], ended, "{told:#}");
    // It was rough, as far as a machine with other work lets it be.
    for happened in [&told["outcomes"]["ok"], &told["restarts"], &told["policies"]] {
        assert!(happened.as_u64() > Some(0), "{told:#}");
    }
    assert!(told["faults"]["kill"].as_u64() >= Some(3), "{told:#}");
    for law in LAWS {
        assert!(told["laws"][law]["checked"].as_u64() > Some(0), "{law}: {told:#}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing to show");
}

/// A planted bug, the figure that shows it, and the law.
const PLANTED: [(&str, &str, &str); 6] = [
    ("answers_swapped", "cross_talk", "S3"),
    ("call_lost", "lost", "S1"),
    ("call_repeated", "duplicated", "S14"),
    ("process_left", "leaked_processes", "S17"),
    ("descriptor_left", "fd_delta", "S17"),
    ("thread_left", "thread_delta", "S17"),
];

#[test]
fn each_planted_bug_shows_in_its_figure_and_breaks_its_law() {
    // Three at once: each has two workers to start.
    for bugs in PLANTED.chunks(3) {
        std::thread::scope(|scope| {
            bugs.iter()
                .for_each(|(bug, figure, law)| drop(scope.spawn(|| shows(bug, figure, law))));
        });
    }
}

fn shows(bug: &str, figure: &str, law: &str) {
    let folder = tempfile::tempdir().unwrap();
    // Nothing is killed: each answer of V2 is one more chance for the bug.
    let quiet = ["--for", "3s", "--kill-every", "1h", "--workers", "1", "--json"];
    let output = chaos(&[&quiet[..], &["--planted", bug]].concat(), folder.path());
    let told = report(&output);
    assert_eq!(output.status.code(), Some(3), "{bug}: {told:#}");
    assert!(told[figure].as_i64() > Some(0), "{bug}: {told:#}");
    let violations = told["violations"].as_array().unwrap();
    let broken = violations.iter().any(|broken| broken["law"] == law);
    assert!(broken, "{bug}: {told:#}");
    let again = told["again"].as_str().unwrap();
    assert!(again.contains("chaos --for 3s --kill-every 1h --workers 1"), "{again}");
    let trace = folder.path().join("poolshift-sim-chaos-seed-1.txt");
    let trace = std::fs::read_to_string(trace).unwrap();
    assert!(trace.contains(&format!(">>> {law}")), "{bug}: {trace}");
}

#[test]
fn what_cannot_be_is_a_usage_error_that_says_what_can() {
    let folder = tempfile::tempdir().unwrap();
    for (args, says) in [
        (&["--for", "0s"][..], "--for is 0ns: 1s to 86400s are possible"),
        (&["--for", "2days"], "1s to 86400s are possible"),
        (&["--kill-every", "1ms"], "--kill-every is 1ms: 10ms to 86400s are possible"),
        (&["--workers", "0"], "--workers is 0: 1 to 64 are possible"),
        (&["--workers", "65"], "--workers is 65: 1 to 64 are possible"),
        (&["--for", "soon"], "expected number"),
        (&["--start-method", "teleport"], "\"teleport\""),
        (&["--planted", "gold"], "use answers_swapped, call_lost"),
    ] {
        let output = chaos(args, folder.path());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
