//! What the tool says when it is given what cannot work: exit codes, and messages that name
//! what was tried.

use serde_json::json;

use crate::tool::{Ran, Tool};

fn told(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!(ran.code, Some(code), "{}", ran.stderr);
    assert_eq!(ran.stdout, "", "results only on stdout");
    for part in parts {
        assert!(ran.stderr.contains(part), "{part:?} is not in:\n{}", ran.stderr);
    }
}

const CALL: [&str; 3] = ["call", "ping", "--pool"];

fn call(tool: &Tool) -> [Ran; 2] {
    ["v2", "v3"].map(|lane| tool.run(&[CALL[0], CALL[1], CALL[2], lane]))
}

#[test]
fn a_bad_config_is_exit_4_with_every_problem() {
    let tool = Tool::new();
    tool.write("poolshift.toml", "[v3]\nsize = 0\n[worker]\nappp = \"x\"\n");
    let ran = tool.run(&["call", "ping"]);
    told(&ran, 4, &["poolshift.toml:2: [v3] size", "poolshift.toml:4: [worker] appp"]);
    told(&tool.run(&["call", "ping", "--config", "none.toml"]), 4, &["none.toml: cannot be read"]);
    told(&tool.run(&["call"]), 2, &["<COMMAND>"]);
    told(&tool.run(&["call", "ping", "--nonsense"]), 2, &["--nonsense"]);
}

#[test]
fn no_python_names_the_command_line_tried() {
    let tool = Tool::new().with_env("POOLSHIFT__WORKER__PYTHON_PATH", "/no/such/python3");
    for ran in call(&tool) {
        told(&ran, 1, &["`/no/such/python3 -u -m poolshift_worker", "No such file or directory"]);
    }
    let tool = Tool::new().with_env("POOLSHIFT__WORKER__PYTHON_PATH", "/etc/passwd");
    for ran in call(&tool) {
        told(&ran, 1, &["`/etc/passwd -u", "Permission denied", "may not be executed"]);
    }
}

#[test]
fn an_app_that_does_not_import_shows_its_traceback() {
    let tool = Tool::new().with_env("POOLSHIFT__WORKER__APP", "no_such.app");
    for ran in call(&tool) {
        let parts = ["--app no_such.app`", "exit status 1", "ModuleNotFoundError", "no_such"];
        told(&ran, 1, &parts);
    }
}

/// Scripts that are no workers: what they do, and what must be told of it.
const IMPOSTORS: [(&str, &str); 8] = [
    ("print('hello, I am a script')", "is not a worker"),
    ("import sys; sys.stdout.write('x' * 100000)", "is not a worker"),
    (
        "import sys; sys.stdin.read()",
        "did not answer its start ping within startup_timeout = 1s; it was ",
    ),
    ("while True: pass", "startup_timeout = 1s; it was running"),
    ("pass", "exit status 0"),
    ("import sys; sys.exit('no key')", "no key"),
    ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
    (
        "import sys; sys.stdin.buffer.read(4); \
         sys.stdout.buffer.write(b'\\0\\0\\0\\2{}'); sys.stdout.flush(); sys.stdin.read()",
        "is not a worker",
    ),
];

#[test]
fn a_script_that_is_no_worker_is_told_apart_within_the_startup_timeout() {
    for (script, part) in IMPOSTORS {
        // Where nothing but the limit ends a start; elsewhere, even a slow machine is no reason.
        let limit = if part.contains("startup_timeout = 1s") { "1s" } else { "60s" };
        let tool = Tool::new()
            .with_env("POOLSHIFT__WORKER__SCRIPT", "impostor.py")
            .with_env("POOLSHIFT__V2__STARTUP_TIMEOUT", limit)
            .with_env("POOLSHIFT__V3__STARTUP_TIMEOUT", limit);
        tool.write("impostor.py", script);
        for ran in call(&tool) {
            told(&ran, 1, &["`python3 -u impostor.py`", part]);
        }
    }
}

#[test]
fn v3_wants_status_ok_and_v2_takes_any_object() {
    let tool = Tool::new().with_env("POOLSHIFT__WORKER__SCRIPT", "warm.py");
    tool.write("warm.py", include_str!("../fixtures/warm.py"));
    let [v2, v3] = call(&tool);
    assert_eq!((v2.code, v2.stdout.trim()), (Some(0), r#"{"status": "warm"}"#), "{}", v2.stderr);
    told(&v3, 1, &["its start ping said status \"warm\", not \"ok\""]);
}

#[test]
fn args_that_are_no_object_are_refused_before_anything_is_started() {
    let tool = Tool::new().with_env("POOLSHIFT__WORKER__PYTHON_PATH", "/no/such/python3");
    for (args, part) in [("[1]", "not an array"), ("{\"x\": NaN}", "not JSON"), ("{", "not JSON")] {
        told(&tool.run(&["call", "echo", args]), 2, &[part]);
    }
    told(&tool.run(&["call", "echo", "{}", "--session", ""]), 2, &["session is empty"]);
}

#[test]
fn bad_lines_are_reported_with_their_number_and_the_rest_runs() {
    let tool = Tool::new();
    let lines = [
        r#"{"command":"echo","args":{"n":1}}"#,
        "",
        "{",
        r#"{"command":"echo","args":"text"}"#,
        r#"{"command":"echo","args":{"n":Infinity}}"#,
        r#"{"args":{}}"#,
        r#"{"command":"echo","argz":{}}"#,
        r#"{"command":"echo","session":""}"#,
        r#"{"command":"echo","args":{"n":2}}"#,
    ];
    tool.write("calls.jsonl", &lines.join("\n"));
    let ran = tool.run(&["run", "calls.jsonl", "--json"]);
    let mut out = ran.json_lines();
    let summary = out.pop().unwrap();
    assert_eq!(summary["summary"]["submitted"], json!(8));
    assert_eq!(summary["summary"]["outcomes"], json!({"ok": 2, "rejected": 6}));
    let numbers: Vec<usize> = out
        .iter()
        .filter_map(|line| line["error"].as_str())
        .map(|error| error.split(':').nth(1).unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, [3, 4, 5, 6, 7, 8]);
    assert_eq!(out[7]["result"], json!({"n": 2}));
    told(&tool.run(&["run", "none.jsonl"]), 1, &["cannot read none.jsonl"]);
}

#[test]
fn a_failed_call_is_exit_1_and_says_whether_it_can_have_run() {
    let tool = Tool::new();
    let ran = tool.run(&["call", "fail", r#"{"message": "as told"}"#, "--pool", "v3"]);
    told(&ran, 1, &["raised in v3 (ran: yes): as told"]);
    let ran = tool.run(&["call", "crash", "--pool", "v2"]);
    told(&ran, 1, &["worker_lost in v2 (ran: maybe)", "exit status"]);
}

#[test]
fn what_cannot_be_written_is_told_before_the_first_call() {
    let tool = Tool::new().with_env("POOLSHIFT__WORKER__PYTHON_PATH", "/no/such/python3");
    tool.write("calls.jsonl", r#"{"command":"echo"}"#);
    let run = |option: &str| tool.run(&["run", "calls.jsonl", option, "/proc/nope/out"]);
    told(&run("--hlog"), 1, &["cannot write /proc/nope/out"]);
    told(&run("--ledger"), 1, &["cannot keep ledgers in /proc/nope/out"]);
    for rate in ["0", "-1", "1e-300", "inf", "NaN"] {
        told(&tool.run(&["run", "calls.jsonl", &format!("--rate={rate}")]), 2, &["must be 0.001"]);
    }
}

#[test]
fn a_line_that_is_no_text_is_refused_alone() {
    let tool = Tool::new();
    let good = r#"{"command":"echo","args":{"x":"gr\u00fc\u00df"}}"#;
    let bytes = [good.as_bytes(), b"\r\n{\"command\":\"echo\",\"session\":\"\xfe\"}\n"].concat();
    std::fs::write(tool.path("calls.jsonl"), bytes).unwrap();
    let lines = tool.run(&["run", "calls.jsonl"]).json_lines();
    assert_eq!(lines[0]["ok"], json!(true));
    assert!(lines[1]["error"].as_str().unwrap().contains("calls.jsonl:2: not UTF-8"), "{lines:?}");
}
