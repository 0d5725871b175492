//! `[debug]`: what is logged of frames and of workers' stderr, and what is not.

use serde_json::{Value, json};

use crate::tool::{Ran, Tool};

/// The log lines of one target.
fn lines(ran: &Ran, target: &str) -> Vec<Value> {
    let lines = ran.stderr.lines().filter(|line| line.starts_with('{'));
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["target"] == target).collect()
}

const CONFIGURE: &str = r#"{"model":"gemini-x","api_key":"s3cret","note":"seen"}"#;

#[test]
fn each_frame_is_logged_with_its_call_and_without_secrets() {
    let tool = Tool::new();
    tool.write("poolshift.toml", "[debug]\ntrace_requests = true\n");
    let ran = tool.run(&["call", "configure_lm", CONFIGURE, "--pool", "v3"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
    let frames = lines(&ran, "poolshift::frame");
    let of_call: Vec<&Value> = frames.iter().filter(|frame| frame["call_id"] != "-").collect();
    assert_eq!(of_call.len(), 2, "{frames:?}");
    let [request, reply] = [of_call[0], of_call[1]];
    assert_eq!((&request["direction"], &reply["direction"]), (&json!("request"), &json!("reply")));
    assert_eq!(request["call_id"], reply["call_id"]);
    assert_eq!(request["call_id"].as_str().unwrap().len(), 32);
    for frame in of_call {
        assert_eq!(frame["worker"], json!("v3-0.1"), "{frame}");
        assert!(frame["bytes"].as_u64().unwrap() > 50, "{frame}");
        assert!(frame["frame"].as_str().unwrap().len() <= 256, "{frame}");
    }
    let shown = request["frame"].as_str().unwrap();
    assert!(shown.contains(r#""api_key":"***","note":"seen""#), "{shown}");
    let pings = frames.iter().filter(|frame| frame["call_id"] == "-");
    assert!(pings.count() >= 2, "the host's own frames are logged too: {frames:?}");
}

#[test]
fn what_is_left_out_can_be_chosen_and_nothing_is_logged_unasked() {
    let tool = Tool::new();
    tool.write("poolshift.toml", "[debug]\ntrace_requests = true\nredact = [\"NOTE\"]\n");
    let ran = tool.run(&["call", "configure_lm", CONFIGURE, "--pool", "v3"]);
    assert!(ran.stderr.contains(r#"\"api_key\":\"s3cret\",\"note\":\"***\""#), "{}", ran.stderr);
    let quiet = tool.write("quiet.toml", "");
    let quiet = ["--config", quiet.to_str().unwrap()];
    let ran = tool.run(&[&quiet[..], &["call", "echo", "--pool", "v3"]].concat());
    assert_eq!(ran.stderr, "");
    tool.write("poolshift.toml", "[debug]\nredact = [\"\"]\n");
    let ran = tool.run(&["call", "echo"]);
    assert!(ran.code == Some(4) && ran.stderr.contains("part of every key"), "{}", ran.stderr);
}

/// Answers its start ping, and then with something that is no reply.
const LIAR: &str = r#"
import json, sys
while True:
    length = int.from_bytes(sys.stdin.buffer.read(4), "big")
    request = json.loads(sys.stdin.buffer.read(length))
    good = {"id": request["id"], "success": True, "result": {"status": "ok"}}
    body = json.dumps(good if request["command"] == "ping" else ["no reply"]).encode()
    sys.stdout.buffer.write(len(body).to_bytes(4, "big") + body)
    sys.stdout.buffer.flush()
"#;

#[test]
fn a_frame_that_is_no_reply_is_logged_too() {
    let tool = Tool::new();
    tool.write("liar.py", LIAR);
    tool.write(
        "poolshift.toml",
        "[worker]\nscript = \"liar.py\"\n[debug]\ntrace_requests = true\n",
    );
    let ran = tool.run(&["call", "lie", "--pool", "v3"]);
    assert_eq!(ran.code, Some(1));
    let frames = lines(&ran, "poolshift::frame");
    let lie = frames.iter().find(|frame| frame["frame"] == r#"["no reply"]"#);
    assert!(lie.is_some_and(|lie| lie["direction"] == "reply"), "{}", ran.stderr);
}

#[test]
fn debug_passes_every_line_of_a_workers_stderr_through() {
    for debug in [true, false] {
        let tool = Tool::new();
        let config = format!("[worker]\napp = \"chatty\"\n[debug]\ndebug = {debug}\n");
        tool.write("poolshift.toml", &config);
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
        let tool = tool.with_env("PYTHONPATH", fixtures);
        let ran = tool.run(&["call", "chat", r#"{"lines":500}"#, "--pool", "v3"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let said = lines(&ran, "poolshift::worker::stderr");
        if !debug {
            // Floods are told by their size.
            assert_eq!((said.len(), &said[0]["unlogged"]), (1, &json!(400)));
            continue;
        }
        assert_eq!(said.len(), 500);
        for (n, line) in said.iter().enumerate() {
            assert_eq!(line["message"], json!(format!("chat {n}")));
            assert!(line["worker"].is_string() && line["pid"].is_number(), "{line}");
        }
    }
}

#[test]
fn logs_are_json_lines_away_from_a_terminal_or_text_by_the_flag_and_rust_log_wins() {
    let tool = Tool::new();
    let config = "[debug]\ntrace_requests = true\n";
    tool.write("poolshift.toml", config);
    let text = tool.run(&["--log-format", "text", "call", "echo", "--pool", "v3"]);
    assert!(text.stderr.contains(" INFO poolshift::frame: "), "{}", text.stderr);
    assert!(!text.stderr.contains('\x1b'), "no colours away from a terminal");
    let tool = tool.with_env("RUST_LOG", "off");
    assert_eq!(tool.run(&["-vv", "call", "echo", "--pool", "v3"]).stderr, "");
}
