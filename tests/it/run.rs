//! `poolshift run` and `poolshift demo` on real Python workers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::tool::{Tool, ledgers};

fn create(id: &str, program: &str) -> Value {
    let signature = json!({"inputs": [{"name": "question"}], "outputs": [{"name": "answer"}]});
    json!({"id": id, "command": "create_program", "args": {"id": program, "signature": signature}})
}

fn execute(id: &str, program: &str, question: &str) -> Value {
    let args = json!({"program_id": program, "inputs": {"question": question}});
    json!({"id": id, "command": "execute_program", "args": args})
}

fn in_session(mut line: Value, session: &str) -> String {
    line["session"] = json!(session);
    line.to_string()
}

/// One input line in ten is of a kind; what its output must hold is a function of its number.
fn line(n: usize) -> String {
    let (id, session) = (n.to_string(), format!("session-{}", n / 10 % 200));
    match n % 10 {
        0 => in_session(create(&id, &format!("p{n}")), &session),
        1 | 2 => {
            let program = format!("p{}", n - n % 10);
            in_session(execute(&id, &program, &format!("q{n}")), &session)
        }
        3 => {
            let args = json!({"message": format!("told to {n}")});
            json!({"id": id, "command": "fail", "args": args}).to_string()
        }
        4 => in_session(execute(&id, "none", ""), &session),
        5 if n % 1000 == 5 => "{\"command\": nonsense".to_owned(),
        5 if n % 1000 == 15 => r#"{"command":"echo","args":[1]}"#.to_owned(),
        _ => {
            let args = json!({"expression": format!("{n} * 2")});
            json!({"id": id, "command": "calculate", "args": args}).to_string()
        }
    }
}

fn check(n: usize, got: &Value) {
    let place = format!("line {n}: {got}");
    match n % 10 {
        0 => assert_eq!(got["result"]["program_id"], json!(format!("p{n}")), "{place}"),
        1 | 2 => {
            let answer = json!(format!("answer for question=q{n}"));
            assert_eq!(got["result"]["outputs"]["answer"], answer, "{place}");
        }
        3 => {
            assert_eq!(got["outcome"], json!("raised"), "{place}");
            assert_eq!(got["error"], json!(format!("told to {n}")), "{place}");
        }
        4 => assert_eq!(got["error"], json!("Program not found: none"), "{place}"),
        5 if matches!(n % 1000, 5 | 15) => {
            assert_eq!(got["outcome"], json!("rejected"), "{place}");
            let error = got["error"].as_str().unwrap();
            assert!(error.contains(&format!(":{}: ", n + 1)), "{place}");
            return;
        }
        _ => assert_eq!(got["result"], json!({"result": n * 2}), "{place}"),
    }
    assert_eq!(got["id"], json!(n.to_string()), "{place}");
    assert_eq!(got["ran"], json!("yes"), "{place}");
}

#[test]
fn ten_thousand_lines_at_half_and_half_are_each_right() {
    let tool = Tool::new();
    let mut text = String::new();
    for n in 0..10_000 {
        writeln!(text, "{}", line(n)).unwrap();
    }
    tool.write("calls.jsonl", &text);
    let ran = tool.run(&[
        "run",
        "calls.jsonl",
        "--percent",
        "50",
        "--json",
        "--ledger",
        "ledger",
        "--hlog",
        "a.hlog",
    ]);
    let mut lines = ran.json_lines();
    let summary = lines.pop().unwrap()["summary"].take();
    assert_eq!(lines.len(), 10_000);
    let mut lanes_of_session: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (n, got) in lines.iter().enumerate() {
        check(n, got);
        if let (Some(session), Some(lane)) = (got["session"].as_str(), got["lane"].as_str()) {
            lanes_of_session.entry(session.to_owned()).or_default().insert(lane.to_owned());
        }
    }
    assert_eq!(lanes_of_session.len(), 200);
    assert!(lanes_of_session.values().all(|lanes| lanes.len() == 1), "each keeps its lane");
    let in_v3 = lanes_of_session.values().filter(|lanes| lanes.contains("v3")).count();
    // 200 draws at one half: 5 sigma are 35.
    assert!((65..=135).contains(&in_v3), "{in_v3} of 200 sessions");
    assert_eq!(summary["submitted"], json!(10_000));
    let outcomes = json!({"ok": 7980, "raised": 2000, "rejected": 20});
    assert_eq!(summary["outcomes"], outcomes);
    assert_eq!((&summary["lost"], &summary["duplicated"]), (&json!(0), &json!(0)));
    let hlog = std::fs::read_to_string(tool.path("a.hlog")).unwrap();
    assert!(hlog.contains("Tag=v2") && hlog.contains("Tag=v3"), "{hlog}");
    both_lanes_are_in(&tool, 9_980);
}

/// R18: every executed call is in the ledger of one worker, of either lane.
fn both_lanes_are_in(tool: &Tool, executed: usize) {
    let ledgers = ledgers(&tool.path("ledger"));
    let lane = |lane: &str| ledgers.iter().filter(|(name, _)| name.starts_with(lane)).count();
    assert!(lane("v2-") > 0 && lane("v3-") > 0, "{ledgers:?}");
    let lines: Vec<&String> = ledgers.iter().flat_map(|(_, lines)| lines).collect();
    assert_eq!(lines.len(), executed);
    let pids: BTreeSet<u64> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["pid"].as_u64().unwrap())
        .collect();
    assert_eq!(pids.len(), ledgers.len(), "a file is one process");
}

#[test]
fn lines_of_one_session_run_one_after_another_in_the_order_of_the_file() {
    let tool = Tool::new();
    let mut text = String::new();
    for n in 0..60 {
        let ms = if n % 3 == 0 { 20 } else { 0 };
        let session = n % 2;
        writeln!(
            text,
            r#"{{"id":"{n}","session":"s{session}","command":"sleep","args":{{"ms":{ms}}}}}"#
        )
        .unwrap();
    }
    tool.write("calls.jsonl", &text);
    for pace in [["--concurrency", "16"], ["--rate", "2000"]] {
        let args = ["run", "calls.jsonl", "--percent", "100", pace[0], pace[1]];
        let lines = tool.run(&args).json_lines();
        for session in 0..2 {
            let own = lines.iter().skip(session).step_by(2);
            let spans: Vec<(f64, f64)> = own
                .map(|line| {
                    let submitted = line["submitted_ms"].as_f64().unwrap();
                    // From the plan on; the call itself began when it was submitted.
                    (submitted, line["total_ms"].as_f64().unwrap())
                })
                .collect();
            assert!(spans.windows(2).all(|pair| pair[0].0 < pair[1].0), "{pace:?}: {spans:?}");
        }
        if pace[0] == "--rate" {
            let last = lines.last().unwrap()["total_ms"].as_f64().unwrap();
            // Ten sleeps of 20 ms went before it in its session, and its plan was at 30 ms.
            assert!(last > 100.0, "a held back line is measured from its plan: {last} ms");
        }
    }
}

#[test]
fn anonymous_programs_are_executed_by_a_second_file() {
    let tool = Tool::new();
    let (mut made, mut executed) = (String::new(), String::new());
    for n in 0..50 {
        let program = format!("p{n}");
        writeln!(made, "{}", create(&format!("c{n}"), &program)).unwrap();
        writeln!(executed, "{}", execute(&format!("e{n}"), &program, &format!("q{n}"))).unwrap();
    }
    tool.write("create.jsonl", &made);
    tool.write("execute.jsonl", &executed);
    let lines = tool.run(&["run", "create.jsonl", "execute.jsonl", "--percent", "50"]).json_lines();
    assert_eq!(lines.len(), 100);
    for (n, got) in lines[50..].iter().enumerate() {
        assert_eq!(got["result"]["outputs"]["answer"], json!(format!("answer for question=q{n}")));
    }
    let crossed = (0..50).filter(|n| lines[*n]["lane"] != lines[n + 50]["lane"]).count();
    assert!(crossed > 0, "some were made in one lane and executed in the other");
}

#[test]
fn an_id_that_is_used_twice_is_refused_and_the_ledger_of_an_earlier_run_is_not_read() {
    let tool = Tool::new();
    let twice = r#"{"id":"a","command":"sleep","args":{"ms":0}}"#;
    tool.write("calls.jsonl", &format!("{twice}\n{twice}\n"));
    for _ in 0..2 {
        let ran = tool.run(&["run", "calls.jsonl", "--json", "--ledger", "ledger"]);
        let lines = ran.json_lines();
        let error = lines[1]["error"].as_str().unwrap();
        assert!(error.contains("calls.jsonl:2: the id \"a\" was used at calls.jsonl:1"), "{error}");
        let summary = &lines[2]["summary"];
        assert_eq!((&summary["lost"], &summary["duplicated"]), (&json!(0), &json!(0)));
        assert_eq!(summary["outcomes"], json!({"ok": 1, "rejected": 1}));
    }
}

#[test]
fn the_demo_conserves_calls_survives_kills_and_meets_each_share() {
    let tool = Tool::new();
    let args = ["demo", "--json", "--workers", "2", "--calls", "4000", "--rate", "1500"];
    let told = tool.run(&args).json();
    assert_eq!(told["conserved"], json!(true), "{told}");
    for (figure, value) in [("lost", 0), ("duplicated", 0), ("kills", 2), ("kills_survived", 2)] {
        assert_eq!(told[figure], json!(value), "{figure} in {told}");
    }
    let finished: u64 =
        told["outcomes"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(told["submitted"], json!(finished));
    let steps = told["steps"].as_array().unwrap();
    let percents: Vec<f64> = steps.iter().map(|step| step["percent"].as_f64().unwrap()).collect();
    assert_eq!(percents, [0.0, 10.0, 50.0, 100.0, 0.0]);
    for step in steps {
        let of = |name: &str| step[name].as_f64().unwrap();
        let (share, draws) = (of("percent") / 100.0, of("draws"));
        assert!(draws >= 400.0, "{step}");
        let five_sigma = 5.0 * (share * (1.0 - share) / draws).sqrt();
        assert!((of("v3_share") - share).abs() <= five_sigma, "{step}");
    }
    for lane in ["v2", "v3"] {
        let lane = &told["lanes"][lane];
        assert!(lane["calls"].as_u64().unwrap() > 1000, "{told}");
        for figure in ["p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"] {
            assert!(lane[figure].as_f64().unwrap() > 0.0, "{figure} in {lane}");
        }
    }
    assert!(told["restarts"].as_u64().unwrap() >= 2);
}

#[test]
fn a_reader_who_leaves_stops_no_call_and_hides_nothing_of_the_run() {
    let tool = Tool::new();
    tool.write("calls.jsonl", &"{\"command\":\"echo\"}\n".repeat(300));
    for (ledger, json) in [("people", &[][..]), ("json", &["--json"])] {
        let args = [&["run", "calls.jsonl", "--ledger", ledger], json].concat();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = tool.command(&args).stdout(writer).stderr(Stdio::piped()).spawn();
        let output = output.unwrap().wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("300 calls in ") && said.contains(": 300 ok; lost 0"), "{said}");
        let noted = ledgers(&tool.path(ledger)).into_iter().map(|(_, lines)| lines.len());
        assert!(noted.sum::<usize>() >= 300, "a worker notes each call");
    }
    // What went wrong is told by the code, also to one who reads nothing.
    let full = ["run", "calls.jsonl", "--html", "/dev/full", "--json"];
    assert_eq!([&full[..4], &full].map(|args| tool.code_unread(args)), [Some(1); 2]);
}

#[test]
fn an_output_that_takes_no_more_costs_neither_calls_nor_books() {
    let tool = Tool::new();
    let lines: Vec<String> = (0..50).map(|n| create(&n.to_string(), "p").to_string()).collect();
    tool.write("calls.jsonl", &lines.join("\n"));
    let mut command = tool.command(&["run", "calls.jsonl", "--pool", "v3", "--hlog", "a.hlog"]);
    command.args(["--record", "record.jsonl"]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ran = command.stdout(full).output().unwrap();
    let stderr = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot write to stdout: "), "{stderr}");
    assert!(stderr.contains("50 calls in ") && stderr.contains("lost 0"), "{stderr}");
    assert!(tool.path("a.hlog").exists());
    let recorded = std::fs::read_to_string(tool.path("record.jsonl")).unwrap();
    assert_eq!(recorded.lines().count(), 50);
}

#[test]
fn a_record_stays_until_the_calls_of_the_next_one_begin() {
    let tool = Tool::new();
    let older = "older\n".repeat(100);
    tool.write("record.jsonl", &older);
    tool.write("calls.jsonl", "{\"command\":\"ping\"}\n");
    let run = ["run", "calls.jsonl", "--pool", "v3", "--record", "record.jsonl"];
    let record = || std::fs::read_to_string(tool.path("record.jsonl")).unwrap();
    let mut unable = tool.command(&run);
    let ran = unable.env("POOLSHIFT__WORKER__PYTHON_PATH", "/bin/false").output().unwrap();
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert_eq!(record(), older);
    assert_eq!(tool.run(&run).code, Some(0));
    assert!(record().lines().count() == 1 && record().contains("ping"), "{}", record());
}

#[test]
fn a_call_that_raises_tells_the_exceptions_class_and_traceback() {
    let tool = Tool::new();
    tool.write(
        "app.py",
        "from poolshift_worker import command\n\n\n\
        @command(\"greet\")\ndef greet(args, context):\n    return args[\"name\"]\n",
    );
    tool.write("poolshift.toml", "[worker]\napp = \"app\"\nenv = { PYTHONPATH = \".\" }\n");
    let ran = tool.run(&["call", "greet", "{}", "--pool", "v3"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("raised in v3 (ran: yes): 'name'\n"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("\n  KeyError: 'name'\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("return args[\"name\"]"), "{}", ran.stderr);
    let told = tool.run(&["call", "greet", "{}", "--pool", "v3", "--json"]).stdout;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["error_type"], "KeyError");
    assert!(told["traceback"].to_string().contains("in greet"), "{told}");
}

/// A span of `Duration::MAX` means none, and config takes nearly as long ones.
#[test]
fn the_longest_times_that_config_takes_are_taken() {
    const LONGEST: &str = "18446744073709551615s";
    let schema = include_str!("../../docs/config.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let mut settings = String::new();
    let mut times = 0;
    for (section, keys) in schema["properties"].as_object().unwrap() {
        let _ = writeln!(settings, "[{section}]");
        for (key, shape) in keys["properties"].as_object().into_iter().flatten() {
            if shape["pattern"].as_str().is_some_and(|pattern| pattern.contains("weeks")) {
                let _ = writeln!(settings, "{key} = \"{LONGEST}\"");
                times += 1;
            }
        }
        settings += match section.as_str() {
            "v2" => "size = 1\n",
            "v3" => "size = 2\nmax_starting = 1\nmin_ready = 2\n",
            _ => "",
        };
    }
    assert!(times > 12, "{settings}");
    let tool = Tool::new();
    tool.write("poolshift.toml", &settings);
    tool.write("calls.jsonl", &"{\"command\":\"ping\"}\n".repeat(60));
    // For longer than the first look at idle workers takes to come.
    let ran = tool.run(&["run", "calls.jsonl", "--percent", "50", "--rate", "30"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains(": 60 ok; lost 0"), "{}", ran.stderr);
}
