//! `poolshift report`, and what `run` and `demo` leave behind.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use poolshift::report::record::{Load, RunRecord};
use poolshift::{Lane, Outcome};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::files::write;
use super::{MS, Sketch, close, jitter, recorder, steady};
use crate::tool::{Tool, ledgers, until};

#[test]
fn a_report_tells_the_verdict_first_and_shows_only_what_it_can_know() {
    let tool = Tool::new();
    write(&steady(jitter), &tool.path("a.hlog"));
    let text = tool.run(&["report", "a.hlog"]).stdout;
    assert!(text.starts_with("valid: a.hlog, 3.00 s"), "{text}");
    let v3 = text.lines().find(|line| line.starts_with("v3 ")).unwrap();
    let words: Vec<&str> = v3.split_whitespace().collect();
    // calls, p50, p90, p99, p99.9 of 1500 calls, max, mean
    assert_eq!((words.len(), words[1], words[5]), (8, "1500", "-"), "{v3}");
    assert!(text.contains("3000 submitted = 3000 ok; lost 0, duplicated 0"), "{text}");
    assert!(text.contains("again: poolshift run 'a file'"), "{text}");
    let told = tool.run(&["report", "a.hlog", "--json"]).json();
    assert_eq!(told["grade"], json!("good"));
    let tag = &told["tags"]["v3.read.ok.response"];
    let quantiles = tag["quantiles"].as_array().unwrap();
    let names: Vec<&Value> = quantiles.iter().map(|quantile| &quantile["quantile"]).collect();
    assert_eq!(names, ["p50", "p90", "p99", "p99.9", "p99.99"]);
    // Of 1500 calls too few lie beyond p99.9.
    assert_eq!((&tag["calls"], &quantiles[3]["ms"]), (&json!(1500), &Value::Null));
    assert!(quantiles[2]["ms"].as_f64().unwrap() > quantiles[0]["ms"].as_f64().unwrap());
    assert_eq!(told["v3_over_v2"]["quantiles"].as_array().unwrap().len(), 3);
}

#[test]
fn the_page_is_whole_by_itself_and_no_text_of_the_run_is_markup() {
    let tool = Tool::new();
    let mut run = steady(jitter);
    let record = run.record.as_mut().unwrap();
    record.slowest[0].error = Some("</li><script>alert(1)</script>".to_owned());
    write(&run, &tool.path("a.hlog"));
    tool.run(&["report", "a.hlog", "--html", "a.html"]);
    let page = std::fs::read_to_string(tool.path("a.html")).unwrap();
    for part in [
        "Response times",
        "V3 beside V2",
        "Over time",
        "The queue",
        "The workers",
        "What the time went into",
        "The slowest calls",
        "Again",
        "3000 submitted = 3000 ok",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for loads in ["http:", "https:", "src=", "url(", "@import", "<script", "<link", "echo <b>"] {
        assert!(!page.contains(loads), "{loads}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)"), "what the caller was told is shown as text");
    assert!(page.contains("prefers-color-scheme: dark"));
    for tag in ["div", "svg", "table", "ul", "ol", "p", "rect", "text", "tr", "td"] {
        let count = |opening: String| page.matches(&opening).count();
        let opened = count(format!("<{tag} ")) + count(format!("<{tag}>"));
        assert_eq!(opened, count(format!("</{tag}>")), "{tag}");
    }
}

#[test]
fn the_percentiles_of_each_lane_are_written_for_the_plotter() {
    let tool = Tool::new();
    write(&steady(jitter), &tool.path("a.hlog"));
    tool.run(&["report", "a.hlog", "--hgrm", "out/plots"]);
    for lane in ["v2", "v3"] {
        let text = std::fs::read_to_string(tool.path(&format!("out/plots/{lane}.hgrm"))).unwrap();
        let numbers = |line: &str| line.split_whitespace().all(|word| word.parse::<f64>().is_ok());
        let is_row = |line: &&str| line.split_whitespace().count() == 4 && numbers(line);
        assert!(text.lines().filter(is_row).count() > 30, "{text}");
        assert!(text.contains("Total count    =         1500]"), "{text}");
    }
}

#[test]
fn a_regression_beyond_what_is_allowed_exits_3_and_names_the_quantile() {
    let tool = Tool::new();
    write(&steady(jitter), &tool.path("a.hlog"));
    write(&steady(|n| jitter(n + 7777)), &tool.path("same.hlog"));
    write(&steady(|n| jitter(n) * 13 / 10), &tool.path("slow.hlog"));
    let compare = |second: &str, most: &str| {
        tool.run(&["report", "a.hlog", second, "--max-regression", most, "--html", "two.html"])
    };
    let same = compare("same.hlog", "10");
    assert_eq!(same.code, Some(0), "{}", same.stderr);
    let slow = compare("slow.hlog", "10");
    assert_eq!(slow.code, Some(3), "{}", slow.stdout);
    assert!(slow.stderr.contains("v3 p50 went from"), "{}", slow.stderr);
    assert!(slow.stderr.contains("10.0 % is allowed"), "{}", slow.stderr);
    assert!(slow.stdout.starts_with("WORSE: slow.hlog against a.hlog"), "{}", slow.stdout);
    let page = std::fs::read_to_string(tool.path("two.html")).unwrap();
    let head = page.split("<h2>").next().unwrap();
    assert!(
        head.contains(">WORSE<") && head.contains("10.0 % is allowed"),
        "verdict first: {head}"
    );
    assert_eq!(compare("slow.hlog", "50").code, Some(0));
    let gate = ["report", "a.hlog", "slow.hlog", "--max-regression", "10", "--json"];
    assert_eq!([&gate[..5], &gate].map(|args| tool.code_unread(args)), [Some(3); 2]);
    // The other way round it is faster, which is no regression.
    let faster = tool.run(&["report", "slow.hlog", "a.hlog", "--max-regression", "10"]);
    assert_eq!(faster.code, Some(0), "{}", faster.stderr);
    // Without a gate it is only told.
    let told = tool.run(&["report", "a.hlog", "slow.hlog", "--json"]).json();
    assert_eq!(told["regressions"], json!([]));
    let change = told["comparisons"][1]["quantiles"][0]["change"].as_f64().unwrap();
    assert!((change - 0.3).abs() < 0.02, "{change}");
    let page = std::fs::read_to_string(tool.path("two.html")).unwrap();
    assert!(page.contains("Lane v2") && page.contains("Lane v3"));
    assert_eq!(tool.run(&["report", "a.hlog", "--max-regression", "5"]).code, Some(2));
}

#[test]
fn failing_fast_is_no_improvement_and_an_invalid_run_is_no_measure() {
    let tool = Tool::new();
    write(&steady(jitter), &tool.path("a.hlog"));
    let mut failing = recorder();
    for n in 0..3000 {
        let (lane, times) = if n % 2 == 0 { (Lane::V2, 2) } else { (Lane::V3, 1) };
        let call = Sketch::ok(lane, MS * n, jitter(n) * times);
        let outcome = if n % 20 == 1 { Outcome::WorkerLost } else { Outcome::Ok };
        Sketch { outcome, ..call }.told_to(&mut failing);
    }
    write(&close(failing, 1000.0), &tool.path("failing.hlog"));
    let gate = |second: &str| tool.run(&["report", "a.hlog", second, "--max-regression", "100"]);
    let ran = gate("failing.hlog");
    assert_eq!(ran.code, Some(3), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("v3 calls without a good answer went from 0.0 to 10.0 %"),
        "{}",
        ran.stderr
    );
    let mut lossy = steady(jitter);
    lossy.record.as_mut().unwrap().books.lost = 1;
    write(&lossy, &tool.path("lossy.hlog"));
    assert_eq!(gate("lossy.hlog").code, Some(3));
    let mut slower = steady(jitter);
    slower.record.as_mut().unwrap().load = Load::Open { offered_per_s: 500.0 };
    write(&slower, &tool.path("slower.hlog"));
    let ran = gate("slower.hlog");
    assert_eq!(ran.code, Some(3), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("not the same load: 1000.0 calls a second and 500.0"),
        "{}",
        ran.stderr
    );
}

fn sleeps(calls: u32, ms: u32) -> String {
    let mut text = String::new();
    for n in 0..calls {
        writeln!(text, r#"{{"id":"{n}","command":"sleep","args":{{"ms":{ms}}}}}"#).unwrap();
    }
    text
}

const ONE_WORKER: &str = "[v2]\nsize = 1\n[v3]\nsize = 1\n";

#[test]
fn nobody_waits_for_earlier_calls_and_a_load_that_is_too_much_is_named() {
    let tool = Tool::new();
    tool.write("poolshift.toml", ONE_WORKER);
    tool.write("calls.jsonl", &sleeps(120, 20));
    let args =
        ["run", "calls.jsonl", "--rate", "200", "--pool", "v3", "--hlog", "a.hlog", "--json"];
    let mut lines = tool.run(&args).json_lines();
    let summary = lines.pop().unwrap()["summary"].take();
    // One worker takes 2.4 seconds for all; the last is submitted long before.
    let submitted = lines.last().unwrap()["submitted_ms"].as_f64().unwrap();
    assert!((595.0..1800.0).contains(&submitted), "{submitted}");
    assert!(lines.last().unwrap()["total_ms"].as_f64().unwrap() > 1000.0);
    assert_eq!(summary["valid"], json!(false), "{summary}");
    let found = summary["findings"].as_array().unwrap();
    let is_named = |finding: &Value| finding["text"].as_str().unwrap().starts_with("saturated: ");
    assert!(found.iter().any(is_named), "{summary}");
    let text = tool.run(&["report", "a.hlog"]).stdout;
    assert!(text.starts_with("NOT VALID: a.hlog") && text.contains("! saturated: "), "{text}");
}

#[test]
fn what_its_session_held_back_waited_and_the_generators_lag_is_its_own() {
    let tool = Tool::new();
    tool.write("poolshift.toml", ONE_WORKER);
    let mut calls = String::new();
    for n in 0..6 {
        let args = json!({"ms": 100});
        let line = json!({"id": n.to_string(), "session": "s", "command": "sleep", "args": args});
        writeln!(calls, "{line}").unwrap();
    }
    tool.write("calls.jsonl", &calls);
    let args = ["run", "calls.jsonl", "--rate", "1000", "--pool", "v3", "--hlog", "a.hlog"];
    assert_eq!(tool.run(&args).code, Some(0));
    let slowest = record(&tool, "a").slowest;
    assert_eq!(slowest.len(), 6);
    let last = slowest.iter().find(|call| call.id == "5").unwrap();
    assert!(last.response_ms >= 595.0 && last.wait_ms >= 400.0, "{last:?}");
    // A thread that is woken is late by something, and by less than five calls took.
    for call in &slowest {
        assert!(call.lag_ms > 0.0 && call.lag_ms < 300.0, "{call:?}");
        let sum = call.wait_ms + call.service_ms + call.lag_ms;
        assert!((sum - call.response_ms).abs() < 0.001, "{call:?}");
    }
}

#[test]
fn a_demo_that_is_told_to_stop_drains_and_leaves_a_report() {
    let tool = Tool::new();
    let tmp = tool.path("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let args = ["demo", "--workers", "2", "--rate", "200", "--json", "--hlog", "a.hlog"];
    let mut command = tool.command(&args);
    let command = command.env("TMPDIR", &tmp).stdout(Stdio::piped()).stderr(Stdio::piped());
    let demo = command.spawn().unwrap();
    until("workers have noted some calls", || noted(&tmp) > 20);
    kill_process(Pid::from_child(&demo), Signal::INT).unwrap();
    let output = demo.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (figure, value) in
        [("lost", json!(0)), ("duplicated", json!(0)), ("conserved", json!(true))]
    {
        assert_eq!(told[figure], value, "{told}");
    }
    // Of the first step each call has its outcome; no other step began.
    assert_eq!(told["submitted"], json!(1200), "{told}");
    let books = record(&tool, "a").books;
    assert!(books.is_conserved() && books.audited, "{books:?}");
    assert!(books.undue > 0 && books.outcomes["draining"] >= books.undue, "{books:?}");
    let report = tool.run(&["report", "a.hlog"]);
    assert!(report.stdout.contains("were refused before they were due"), "{}", report.stdout);
}

/// How many calls are noted in the ledgers of a run whose temporary folder is here.
fn noted(tmp: &Path) -> usize {
    let folders = std::fs::read_dir(tmp).unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let is_ledger = |path: &PathBuf| path.to_string_lossy().contains("poolshift-ledgers-");
    let lines = folders
        .filter(is_ledger)
        .map(|folder| ledgers(&folder).into_iter().map(|(_, lines)| lines.len()).sum::<usize>());
    lines.sum()
}

fn record(tool: &Tool, name: &str) -> RunRecord {
    let text = std::fs::read_to_string(tool.path(&format!("{name}.run.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_demo_leaves_steps_kills_and_both_lanes_behind() {
    let tool = Tool::new();
    let args = [
        "demo",
        "--workers",
        "2",
        "--calls",
        "4000",
        "--rate",
        "2000",
        "--hlog",
        "d.hlog",
        "--html",
        "d.html",
        "--json",
    ];
    let told = tool.run(&args).json();
    let record = record(&tool, "d");
    assert_eq!(record.books.submitted, told["submitted"].as_u64().unwrap());
    assert!(record.books.is_conserved() && record.books.audited);
    let marks: Vec<Value> =
        record.marks.iter().map(|mark| serde_json::to_value(mark.what).unwrap()).collect();
    let count = |what: &str| marks.iter().filter(|mark| **mark == json!(what)).count();
    assert_eq!((count("step"), count("kill")), (5, 2));
    assert_eq!(record.slowest.len(), 10);
    let lanes: Vec<String> = record.flows.keys().map(ToString::to_string).collect();
    assert_eq!(lanes, ["v2", "v3"]);
    assert_eq!(told["files"].as_array().unwrap().len(), 3);
    let page = std::fs::read_to_string(tool.path("d.html")).unwrap();
    assert!(page.contains("V3 50 %") && page.contains(" died, its slot served again after "));
    let report = tool.run(&["report", "d.hlog", "--json"]).json();
    let of_lane = |lane: &str| {
        let tags = report["tags"].as_object().unwrap().iter();
        let own = tags.filter(|(tag, _)| tag.starts_with(lane) && tag.ends_with(".response"));
        own.map(|(_, row)| row["calls"].as_u64().unwrap()).sum::<u64>()
    };
    for lane in ["v2", "v3"] {
        let by_the_pool = told["lanes"][lane]["calls"].as_u64().unwrap();
        assert_eq!(of_lane(lane), by_the_pool, "callers and pools count the same in {lane}");
    }
}
