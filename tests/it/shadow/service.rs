//! Shadows and records of a running service, with real Python workers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::tool::{Tool, ledgers};

const APP: &str = r#"
import os, signal, time
from poolshift_worker import command

@command("look")
def look(args, context):
    if context.shadow and args["n"] == 13:
        time.sleep(60)
    if context.shadow and args["n"] == 17:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"n": args["n"], "shadow": context.shadow, "session": context.session_id}

@command("put")
def put(args, context):
    return {"n": args["n"], "shadow": context.shadow}
"#;

const CONFIG: &str = r#"
[worker]
app = "app"
env = { PYTHONPATH = "." }
[v2]
size = 2
startup_timeout = "60s"
[v3]
size = 4
min_ready = 4
startup_timeout = "60s"
[commands.look]
class = "read"
[commands.put]
class = "write"
[debug]
trace_requests = true
"#;

fn tool(shadow: &str) -> Tool {
    let tool = Tool::new();
    tool.write("app.py", APP);
    tool.write("poolshift.toml", &format!("{CONFIG}{shadow}"));
    let line = |n: u64| {
        let command = if n % 4 == 3 { "put" } else { "look" };
        let args = json!({"n": n, "api_key": format!("s3cr3t-{n}"), "note": "the s3cr3t-7 key"});
        let line = json!({"id": format!("call-{n}"), "session": format!("s{}", n % 10),
                          "command": command, "args": args, "attrs": {"auth_token": "s3cr3t-7"}});
        format!("{line}\n")
    };
    tool.write("calls.jsonl", &(0..200).map(line).collect::<String>());
    tool
}

/// What callers were told, without times.
fn told(tool: &Tool, more: &[&str]) -> Vec<Value> {
    let args = ["run", "calls.jsonl", "--json", "--percent", "0", "--concurrency", "1"];
    let mut lines = tool.run(&[&args[..], more].concat()).json_lines();
    let summary = lines.pop().unwrap();
    assert_eq!(
        (&summary["summary"]["lost"], &summary["summary"]["duplicated"]),
        (&json!(0), &json!(0))
    );
    let kept = ["id", "outcome", "result", "error", "lane", "ran", "reason"];
    lines.iter().map(|line| kept.iter().map(|key| line[key].clone()).collect()).collect()
}

#[test]
fn r16_callers_are_told_the_same_and_shadows_are_labelled_everywhere() {
    let without = told(&tool(""), &[]);
    let tool = tool(
        "[shadow]\nsample = 1\nnoise = 0\nmax_per_s = 100000\ntimeout = \"400ms\"\n\
         store = \"kept\"\n",
    );
    assert_eq!(told(&tool, &["--ledger", "ledger"]), without);
    // In the worker's context, and so in its answer; and of reads only, all in V3.
    let report = tool.run(&["shadow", "report", "kept", "--json"]).json();
    let compared = report["compared"].as_u64().unwrap();
    assert!(compared > 10, "{compared} of 150: {report}");
    let paths: BTreeMap<&str, u64> = report["by_path"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| (path["path"].as_str().unwrap(), path["count"].as_u64().unwrap()))
        .collect();
    let at = |path: &str| paths.get(path).copied().unwrap_or(0);
    assert_eq!(at("/shadow") + at("error"), compared, "{paths:?}");
    // The session was the same; which shadows of those that fail are over in time is nobody's say.
    let known = |path: &&str| ["/shadow", "error"].contains(path);
    assert!(paths.keys().all(known), "{paths:?}");
    assert_eq!(report["commands"].as_array().unwrap().len(), 1, "{report}");
    // In the workers' ledgers.
    let mut lanes: BTreeMap<(String, bool), u64> = BTreeMap::new();
    for (name, lines) in ledgers(&tool.path("ledger")) {
        for line in lines {
            let line: Value = serde_json::from_str(&line).unwrap();
            let shadow = line["shadow"].as_bool().unwrap();
            assert!(!shadow || line["command"] == "look", "{line}");
            *lanes.entry((name[..2].to_owned(), shadow)).or_default() += 1;
        }
    }
    assert_eq!(lanes[&("v2".to_owned(), false)], 200);
    assert!(lanes[&("v3".to_owned(), true)] >= compared && lanes.len() == 2, "{lanes:?}");
    // In the log and in the trace of frames.
    let ran = tool.run(&["run", "calls.jsonl", "--percent", "0", "-vv", "--concurrency", "1"]);
    let logged = |target: &str, text: &str| {
        let target = format!("\"target\":\"poolshift::{target}\"");
        ran.stderr.lines().any(|line| line.contains(&target) && line.contains(text))
    };
    assert!(logged("request", r#""lane":"v3","command":"look""#), "{}", ran.stderr);
    assert!(logged("request", r#""shadow":true"#) && logged("request", r#""shadow":false"#));
    assert!(logged("frame", r#"\"shadow\":true"#));
}

#[test]
fn a_store_that_cannot_be_used_keeps_no_service_down() {
    let tool = tool("[shadow]\nsample = 1\nstore = \"poolshift.toml/store\"\n");
    let ran = tool.run(&["run", "calls.jsonl", "--json", "--percent", "0"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stderr.contains("nothing is shadowed in this process"), "{}", ran.stderr);
}

#[test]
fn what_is_recorded_is_redacted_whole_by_session_and_can_be_run() {
    let tool = tool("");
    let record = |share: &str, name: &str| {
        let args = ["run", "calls.jsonl", "--percent", "50", "--record", name];
        let ran = tool.run(&[&args[..], &["--record-share", share]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let text = std::fs::read_to_string(tool.path(name)).unwrap();
        assert!(!text.contains("s3cr3t"), "{text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let all = record("100", "all.jsonl");
    assert_eq!(all.len(), 200);
    let of = |lines: &[Value], session: &str| -> Vec<String> {
        let of_this = lines.iter().filter(|line| line["session"] == session);
        of_this.map(|line| line["id"].as_str().unwrap().to_owned()).collect()
    };
    let expected: Vec<String> = (0..20).map(|n| format!("call-{}", 10 * n + 3)).collect();
    assert_eq!(of(&all, "s3"), expected, "in order");
    let some = record("40", "some.jsonl");
    assert!((20..180).contains(&some.len()) && some.len() % 20 == 0, "{}", some.len());
    let line = all.iter().find(|line| line["id"] == "call-7").unwrap();
    assert_eq!(line["args"], json!({"n": 7, "api_key": "***", "note": "the *** key"}));
    assert_eq!(line["attrs"], json!({"auth_token": "***"}));
    let told = tool.run(&["shadow", "run", "all.jsonl", "--json", "--noise", "0"]).json();
    assert_eq!((&told["compared"], &told["matched"]), (&json!(150), &json!(150)), "{told}");
    let ran = tool.run(&["run", "calls.jsonl", "--record", "nowhere/all.jsonl"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("nowhere/all.jsonl"), "{}", ran.stderr);
    assert_eq!(tool.run(&["run", "calls.jsonl", "--record-share", "4"]).code, Some(2));
}

#[test]
fn a_record_tells_no_secret_that_an_id_or_a_session_echoes() {
    let tool = Tool::new();
    let call = json!({"id": "of s3cr3t-7", "session": "s3cr3t-7", "command": "echo",
                      "args": {"token": "s3cr3t-7"}});
    tool.write("calls.jsonl", &format!("{call}\n"));
    assert_eq!(tool.run(&["run", "calls.jsonl", "--record", "record.jsonl"]).code, Some(0));
    let record = std::fs::read_to_string(tool.path("record.jsonl")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let told = json!({"id": "of ***", "session": "***", "command": "echo",
                      "args": {"token": "***"}});
    assert_eq!(record, told);
}
