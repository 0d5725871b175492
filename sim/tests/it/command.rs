//! `poolshift-sim` as a user calls it.

use std::process::{Command, Output};

use serde_json::Value;

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_poolshift-sim")).args(args).output().unwrap()
}

/// What a run prints, without the figures that depend on the machine.
fn summary(args: &[&str]) -> Value {
    let output = sim(args);
    assert!(output.status.success(), "{output:?}");
    let mut summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let members = summary.as_object_mut().unwrap();
    for timed in ["wall_s", "compression", "calls_per_wall_s", "calls_per_cpu_s"] {
        assert!(members.remove(timed).unwrap().as_f64().unwrap() > 0.0, "{timed}");
    }
    summary
}

#[test]
fn s26_two_processes_print_the_same() {
    let args = ["run", "--seed", "7", "--calls", "60000", "--scenario", "full", "--json"];
    let first = summary(&args);
    assert_eq!(first, summary(&args));
    assert_eq!(first["calls"], 60_000);
    let outcomes = first["outcomes"].as_object().unwrap();
    let finished: u64 = outcomes.values().filter_map(Value::as_u64).sum();
    assert_eq!(finished, 60_000);
    for lane in ["v2", "v3"] {
        assert!(first["lanes"][lane]["calls"].as_u64() > Some(500), "{lane}");
    }
    let laws = first["laws"].as_object().unwrap();
    assert_eq!(laws.len(), 35);
    for (law, tally) in laws {
        assert!(tally["checked"].as_u64() > Some(0), "{law}");
        assert!(tally["sometimes"].as_u64() > Some(0), "{law}");
    }
}

#[test]
fn people_get_a_verdict_first_and_a_table_last() {
    let output = sim(&["run", "--seed", "1", "--calls", "2000"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("no law broken: seed 1, scenario plain, 2000 calls"), "{text}");
    assert!(text.contains("v2 waiting") && text.contains("v3 running"), "{text}");
}

#[test]
fn bad_arguments_are_usage_errors_that_say_what_to_write() {
    for (args, says) in [
        (&["run", "--seed", "1", "--scenario", "calm"][..], "use plain, full, swarm"),
        (&["run", "--seed", "1", "--calls", "0"], "0 is not in 1.."),
        (&["run", "--seed", "minus"], "invalid digit"),
        (&["run"], "--seed"),
    ] {
        let output = sim(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    }
}

#[test]
fn arrivals_come_from_a_file_and_a_bad_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("arrivals.txt");
    let file = path.to_str().unwrap();
    let lines: Vec<String> = (0..700).map(|n| (n * 4000).to_string()).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    let run = ["run", "--seed", "1", "--arrivals", file];
    let replaced = sim(&[&run[..], &["--html", file]].concat());
    assert_eq!(replaced.status.code(), Some(2), "the page would be written there: {replaced:?}");
    let output = sim(&run);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("no law broken: seed 1, scenario plain, 700 calls"), "{text}");
    std::fs::write(&path, "10\n9\n").unwrap();
    let output = sim(&run);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("arrivals.txt: line 2: 9 us is before"), "{stderr}");
}

#[test]
fn a_full_run_that_left_a_law_untested_is_no_good() {
    let args = ["run", "--seed", "7", "--calls", "300", "--scenario", "full", "--json"];
    let output = sim(&args);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("were not put to the test: raise --calls"), "{error}");
}

#[test]
fn a_swarm_counts_its_runs_and_finds_nothing() {
    let args = ["swarm", "--runs", "20", "--calls", "2000", "--from-seed", "5", "--json"];
    let output = sim(&args);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert_eq!((&told["runs"], &told["failures"]), (&20.into(), &serde_json::json!([])));
}

/// Seeds that once made the checkers cry wolf: a second stall while replies went first after
/// the first one.
#[test]
fn stalls_that_follow_each_other_are_one_stall() {
    for seed in ["194", "1589", "2244", "3586", "4141"] {
        summary(&["run", "--seed", seed, "--calls", "4000", "--scenario", "swarm", "--json"]);
    }
}

/// A reader that goes early, as `head` does, changes nothing in the verdict.
#[test]
fn a_reader_that_has_gone_does_not_make_a_broken_law_good() {
    let gone = |args: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut sim = Command::new(env!("CARGO_BIN_EXE_poolshift-sim"));
        sim.args(args).stdout(writer).status().unwrap().code()
    };
    let plan = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plans/cancelled_idle.json");
    assert_eq!(gone(&["replay", plan, "--planted", "cancelled_idle"]), Some(1));
    assert_eq!(gone(&["replay", plan]), Some(0));
    assert_eq!(gone(&["run", "--seed", "7", "--calls", "300", "--scenario", "full"]), Some(1));
    assert_eq!(gone(&["planted", "--seeds", "1", "--calls", "5"]), Some(1));
}

#[test]
fn a_swarm_with_a_time_takes_that_time_and_one_run_at_least() {
    let runs = |args: &[&str]| {
        let output = sim(&[&["swarm", "--calls", "1", "--json"], args].concat());
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        told["runs"].as_u64().unwrap()
    };
    assert_eq!(runs(&["--for", "0s"]), 1);
    assert!(runs(&["--for", "2s"]) > 1000, "a run takes a fraction of a millisecond");
    assert_eq!(runs(&["--runs", "3", "--for", "60s"]), 3);
}

#[test]
fn the_first_second_of_a_large_pool_is_no_livelock() {
    let most = ["run", "--seed", "1", "--calls", "200", "--workers", "65536", "--json"];
    assert_eq!(sim(&most).status.code(), Some(0));
}

#[test]
fn input_without_an_end_is_refused() {
    let output = sim(&["run", "--seed", "1", "--arrivals", "/dev/zero"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{error}");
    assert!(error.contains("/dev/zero: it has 268435456 bytes or more"), "{error}");
}

#[test]
fn rates_beyond_the_clock_are_usage_errors() {
    let queue = ["queue", "--servers", "1", "--service-rate", "1", "--arrival-rate"];
    for more in [&["1e-300"][..], &["0.5", "--abandon-rate", "1e-300"], &["0.5", "--calls", "0"]] {
        assert_eq!(sim(&[&queue[..], more].concat()).status.code(), Some(2), "{more:?}");
    }
    let calls = u64::MAX.to_string();
    assert_eq!(sim(&["planted", "--calls", &calls]).status.code(), Some(2));
}

#[test]
fn a_simulated_run_leaves_the_same_report_as_a_real_one_beside_the_formula() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let args = ["run", "--seed", "3", "--calls", "60000", "--workers", "12", "--percent", "100"];
    let leave = |name: &str| {
        let (hlog, html) = (path(&format!("{name}.hlog")), path(&format!("{name}.html")));
        let output = sim(&[&args[..], &["--hlog", &hlog, "--html", &html]].concat());
        assert!(output.status.success(), "{output:?}");
        let read = |name: &str| std::fs::read_to_string(name).unwrap();
        let record: Value =
            serde_json::from_str(&read(&path(&format!("{name}.run.json")))).unwrap();
        (String::from_utf8(output.stdout).unwrap(), read(&hlog), read(&html), record)
    };
    let (text, hlog, html, record) = leave("a");
    assert!(text.contains("valid: simulated plain") && text.contains("lag 0, in virtual time"));
    assert_eq!(record["books"]["submitted"], 60_000);
    assert_eq!(record["origin"]["clock"], "virtual");
    let predictions = record["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 5, "{record}");
    for it in predictions {
        let (measured, expected) =
            (it["measured"].as_f64().unwrap(), it["expected"].as_f64().unwrap());
        // 54000 calls at a load of two thirds: the standard error of the mean wait is some 4 %.
        assert!((measured / expected - 1.0).abs() < 0.2, "{it}");
    }
    assert!(html.contains("Beside the formula") && html.contains("Erlang C, exact for V3"));
    // Virtual time has no lag and no date: equal runs leave equal files.
    let (_, hlog_again, _, record_again) = leave("b");
    assert_eq!((hlog, record), (hlog_again, record_again));
}

#[test]
fn a_run_with_faults_shades_them_and_says_why_no_formula_fits() {
    let folder = tempfile::tempdir().unwrap();
    let hlog = folder.path().join("a.hlog");
    let args = ["run", "--seed", "7", "--calls", "20000", "--scenario", "swarm", "--hlog"];
    let output = sim(&[&args[..], &[hlog.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("no formula: ") && text.contains("the slowest calls"), "{text}");
    let record = std::fs::read_to_string(hlog.with_extension("run.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let outcomes = record["books"]["outcomes"].as_object().unwrap();
    let told: u64 = outcomes.values().filter_map(Value::as_u64).sum();
    assert_eq!((told, &record["books"]["submitted"]), (20_000, &Value::from(20_000)));
    let marks = record["marks"].as_array().unwrap();
    assert!(marks.iter().any(|mark| mark["what"] != "step"), "{marks:?}");
}

#[test]
fn calls_that_a_bug_leaves_behind_count_as_long_as_the_run_lasted() {
    let folder = tempfile::tempdir().unwrap();
    let hlog = folder.path().join("a.hlog");
    let (hlog_name, plans) = (hlog.to_str().unwrap(), folder.path().to_str().unwrap());
    let args = ["run", "--seed", "1", "--calls", "20000", "--scenario", "full"];
    let more = ["--planted", "cancel_lost", "--plan-dir", plans, "--hlog", hlog_name];
    let output = sim(&[&args[..], &more].concat());
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(" alive at the end") && text.contains("are lower bounds"), "{text}");
    let record = std::fs::read_to_string(hlog.with_extension("run.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let books = &record["books"];
    let told: u64 = books["outcomes"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    let censored = books["censored"].as_u64().unwrap();
    assert!(censored > 0);
    assert_eq!((told + censored, &books["submitted"]), (20_000, &Value::from(20_000)), "{books}");
    // The bug is V3's or V2's, and so are the calls; each waits until the run is given up.
    let longest = record["exact_max_ms"].as_object().unwrap().iter();
    let longest = longest.filter(|(tag, _)| tag.contains(".censored.response"));
    let longest: Vec<f64> = longest.map(|(_, ms)| ms.as_f64().unwrap()).collect();
    assert!(!longest.is_empty() && longest.iter().all(|ms| *ms > 3_600_000.0), "{longest:?}");
}
