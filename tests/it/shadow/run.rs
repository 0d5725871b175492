//! `poolshift shadow run` on real Python workers.

use std::process::Output;

use poolshift::config::Config;
use poolshift::shim::private::PrivateLanes;
use poolshift::{Args, Call, Outcome};
use serde_json::{Value, json};

use crate::tool::{Ran, Tool};

/// Runs the tool in the project's folder, as the example's first line says.
fn in_project(tool: &Tool, args: &[&str]) -> Ran {
    let mut command = tool.command(args);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

fn demo(tool: &Tool, more: &[&str]) -> Ran {
    let args = ["--config", "examples/shadow.toml", "shadow", "run", "examples/shadow_calls.jsonl"];
    in_project(tool, &[&args, more].concat())
}

/// Command, path, kind, count and noise of every path that stands so.
fn standing(told: &Value, standing: &str) -> Vec<String> {
    let paths = told["by_path"].as_array().unwrap().iter();
    let of_this = paths.filter(|path| path["standing"] == standing);
    let shown = of_this.map(|path| {
        let [command, at, kind] = ["command", "path", "kind"].map(|key| path[key].as_str());
        let counts = (path["count"].as_u64().unwrap(), path["noise_count"].as_u64().unwrap());
        format!("{} {} {} {counts:?}", command.unwrap(), at.unwrap(), kind.unwrap())
    });
    shown.collect()
}

#[test]
fn the_demo_names_the_three_faults_and_proposes_rules_for_the_two_that_are_none() {
    let tool = Tool::new();
    let page = tool.path("shadow.html").display().to_string();
    let ran = demo(&tool, &["--json", "--html", &page]);
    let told = ran.json();
    let faults = [
        "price /total changed (20, 0)",
        "greet /discount missing (10, 0)",
        "price error error (10, 0)",
    ];
    assert_eq!(standing(&told, "mismatch"), faults, "{}", ran.stdout);
    let harmless = standing(&told, "noise");
    // Two answers of one quarter of a microsecond are alike: a clock in 64 bits tells no more.
    let counts = harmless[0].strip_prefix("price /at changed ").unwrap().split(['(', ',', ')']);
    let counts = counts.filter_map(|count| count.trim().parse::<u64>().ok());
    assert!(harmless.len() == 2 && counts.filter(|n| (140..=150).contains(n)).count() == 2);
    assert!(harmless[1].starts_with("price /tags order "), "{harmless:?}");
    assert_eq!(standing(&told, "undecided").len(), 0);
    let count = |key: &str| told[key].as_u64().unwrap();
    assert_eq!((count("compared"), count("mismatched"), count("noise_pairs")), (240, 40, 240));
    assert_eq!(count("compared"), count("matched") + count("mismatched") + count("noise"));
    let first = told["by_path"][1]["first"].as_str().unwrap();
    assert!(first.starts_with("examples/shadow_calls.jsonl:"), "{first}");
    assert!(std::fs::read_to_string(page).unwrap().contains("40 of 240 pairs are mismatched"));

    // With the proposed rules, nothing but the faults is left.
    let rules = tool.path("rules.toml");
    let own = std::fs::read_to_string("examples/shadow.toml").unwrap();
    std::fs::write(&rules, format!("{own}\n{}", told["proposals"].as_str().unwrap())).unwrap();
    let rules = rules.display().to_string();
    let args = ["--config", &rules, "shadow", "run", "examples/shadow_calls.jsonl"];
    let told = in_project(&tool, &[&args[..], &["--json", "--concurrency", "3"]].concat()).json();
    assert_eq!(standing(&told, "mismatch"), faults);
    assert_eq!((told["noise"].as_u64(), told["matched"].as_u64()), (Some(0), Some(200)), "{told}");
    assert_eq!((told["ignored"].as_u64(), told["proposals"].as_str()), (Some(130), Some("")));
}

#[test]
fn a_gate_holds_and_a_store_is_one_runs() {
    let tool = Tool::new();
    let store = tool.path("evidence").display().to_string();
    let ran = demo(&tool, &["--store", &store, "--max-mismatch", "16.6", "--rate", "2000"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stderr.contains("16.667 % of the pairs are mismatched"), "{}", ran.stderr);
    assert!(ran.stdout.contains("price /total changed: 20 of 160"), "{}", ran.stdout);
    let told = tool.run(&["shadow", "report", &store, "--max-mismatch", "16.7"]);
    assert!(told.code == Some(0) && told.stdout == ran.stdout, "{} {}", told.stdout, ran.stdout);
    let again = demo(&tool, &["--store", &store]);
    assert_eq!(again.code, Some(2), "{}", again.stderr);
    assert!(again.stderr.contains("holds compared answers already"), "{}", again.stderr);
}

#[test]
fn without_a_second_v2_every_difference_counts() {
    let told = demo(&Tool::new(), &["--json", "--noise", "0"]).json();
    assert_eq!((standing(&told, "mismatch").len(), standing(&told, "noise").len()), (5, 0));
    assert_eq!((told["noise_pairs"].as_u64(), told["proposals"].as_str()), (Some(0), Some("")));
    // Sessions are drawn whole, by their names: the same each time.
    let some = || demo(&Tool::new(), &["--json", "--noise", "50"]).json();
    let (one, other) = (some(), some());
    let pairs = one["noise_pairs"].as_u64().unwrap();
    assert!((60..180).contains(&pairs) && pairs % 6 == 0, "{pairs}");
    assert_eq!(one["noise_pairs"], other["noise_pairs"]);
}

#[test]
fn a_line_that_is_no_call_is_named_and_nothing_is_half_run() {
    let tool = Tool::new();
    let lines = "{\"command\":\"echo\"}\n\n{\"command\":\"echo\",\"args\":[1]}\nnonsense\n";
    tool.write("calls.jsonl", lines);
    // A worker would leave a trace here.
    tool.write("app.py", "import pathlib\npathlib.Path(\"ran\").touch()\nraise SystemExit(1)\n");
    tool.write("poolshift.toml", "[worker]\napp = \"app\"\nenv = { PYTHONPATH = \".\" }\n");
    let ran = tool.run(&["shadow", "run", "calls.jsonl"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for told in ["calls.jsonl:3: args must be", "calls.jsonl:4: ", "nothing was run"] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    assert!(!tool.path("ran").exists(), "a worker was started");
    tool.write("poolshift.toml", "");
    let ran = tool.run(&["shadow", "run", "calls.jsonl", "--keep-going", "--json"]);
    let told = ran.json();
    assert_eq!((told["compared"].as_u64(), told["matched"].as_u64()), (Some(1), Some(1)));
    assert_eq!(told["skipped"], json!({"not_a_call": 2}));
    assert!(ran.stderr.contains("calls.jsonl:4: "), "{}", ran.stderr);
    let ran = tool.run(&["shadow", "run", "none.jsonl"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("none.jsonl"), "{}", ran.stderr);
}

#[test]
fn what_changes_more_than_its_session_runs_only_if_that_is_allowed() {
    let tool = Tool::new();
    let app = "from poolshift_worker import command\n\
               def note(name):\n    \
               return lambda args, ctx: open(f'{ctx.worker_id[:2]}-{name}', 'a').write('x')\n\
               for name in ['look', 'put', 'set', 'pay', 'wipe']:\n    \
               command(name)(note(name))\n";
    tool.write("app.py", app);
    let config = "[worker]\napp = \"app\"\nenv = { PYTHONPATH = \".\" }\n\
        [commands.look]\nclass = \"read\"\n[commands.pay]\nclass = \"write\"\n\
        [commands.set]\nclass = \"write\"\nidempotent = true\n\
        [commands.put]\nclass = \"write\"\n\
        saves = { table = \"t\", key = \"args.k\", remove = true }\n";
    tool.write("poolshift.toml", config);
    let commands = ["look", "put", "set", "pay", "wipe"];
    let lines = commands.map(|name| format!("{{\"command\":\"{name}\",\"args\":{{\"k\":1}}}}\n"));
    tool.write("calls.jsonl", &lines.concat());
    let count = |lane: &str, name: &str| {
        std::fs::read_to_string(tool.path(&format!("{lane}-{name}"))).map_or(0, |text| text.len())
    };
    let told = tool.run(&["shadow", "run", "calls.jsonl", "--json", "--noise", "0"]).json();
    assert_eq!(told["skipped"], json!({"write": 1, "critical": 1}));
    assert_eq!(told["compared"], json!(3));
    for lane in ["v2", "v3"] {
        assert_eq!(commands.map(|name| count(lane, name)), [1, 1, 1, 0, 0], "{lane}");
    }
    let args = ["shadow", "run", "calls.jsonl", "--json", "--noise", "0", "--allow-writes"];
    let told = tool.run(&args).json();
    assert_eq!((&told["skipped"], &told["compared"]), (&json!({}), &json!(5)));
    for lane in ["v2", "v3"] {
        assert_eq!(commands.map(|name| count(lane, name)), [2, 2, 2, 1, 1], "{lane}");
    }
}

/// Whether or not anybody asked for a gate: a run that compares nothing has shown nothing.
#[test]
fn a_run_that_compares_nothing_says_so_and_is_no_pass() {
    let tool = Tool::new();
    let lines = ["create_thing", "create_thing", "reset_state"];
    let lines = lines.map(|command| format!("{{\"command\":\"{command}\"}}\n"));
    tool.write("calls.jsonl", &lines.concat());
    tool.write("poolshift.toml", "[commands.create_thing]\nclass = \"write\"\n");
    for more in [&[][..], &["--max-mismatch", "100"]] {
        let ran = tool.run(&[&["shadow", "run", "calls.jsonl", "--noise", "0"], more].concat());
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        let told = "nothing was compared, which is no pass: skipped 1 critical, 2 write; both \
                    lanes timed out in 0; --allow-writes runs those that change something";
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
        assert!(ran.stdout.contains("0 compared"), "{}", ran.stdout);
    }
}

#[test]
fn no_call_is_made_before_every_worker_of_both_lanes_is_ready() {
    let tool = Tool::new();
    // V3's later workers take longer than all of V2's.
    let app = "import sys, time\n\
               from poolshift_worker import command\n\
               me = sys.argv[sys.argv.index('--worker-id') + 1]\n\
               time.sleep(0 if me.startswith(('v2', 'v3-0')) else 1.5)\n\
               open('ready', 'a').write(f'{me}\\n')\n\
               @command('look')\n\
               def look(args, context):\n    \
               open('seen', 'a').write(f'{len(open(\"ready\").readlines())}\\n')\n";
    tool.write("app.py", app);
    let config = "[worker]\napp = \"app\"\nenv = { PYTHONPATH = \".\" }\n[v2]\nsize = 2\n\
                  [v3]\nsize = 3\n[commands.look]\nclass = \"read\"\n";
    tool.write("poolshift.toml", config);
    tool.write("calls.jsonl", &"{\"command\":\"look\"}\n".repeat(4));
    let told = tool.run(&["shadow", "run", "calls.jsonl", "--json", "--noise", "0"]).json();
    assert_eq!((&told["compared"], &told["matched"]), (&json!(4), &json!(4)), "{told}");
    let seen = std::fs::read_to_string(tool.path("seen")).unwrap();
    assert_eq!(seen, "5\n".repeat(8));
}

#[test]
fn a_session_that_a_call_has_ended_has_ended_in_both_lanes() {
    let tool = Tool::new();
    let app = "from poolshift_worker import command\n\
               @command('note')\n\
               def note(args, context):\n    return {'text': 'x'}\n\
               @command('leave')\n\
               def leave(args, context):\n    return 1 / args['doors']\n\
               @command('look')\n\
               def look(args, context):\n    \
               open(context.worker_id[:2], 'a').write(f'{\"row\" in args} ')\n";
    tool.write("app.py", app);
    let config = "[worker]\napp = \"app\"\nenv = { PYTHONPATH = \".\" }\n\
        [v2]\nsize = 1\nstartup_timeout = \"60s\"\n\
        [v3]\nsize = 1\nstartup_timeout = \"60s\"\n\
        [commands.note]\nclass = \"write\"\n\
        saves = { table = \"t\", key = \"args.k\", row = { text = \"result.text\" } }\n\
        [commands.look]\nclass = \"read\"\n\
        loads = { table = \"t\", key = \"args.k\", into = \"row\" }\n\
        [commands.leave]\nclass = \"read\"\nends_session = true\n";
    tool.write("poolshift.toml", config);
    // Who finds no door stays.
    let steps = [("note", 0), ("look", 0), ("leave", 0), ("look", 0), ("leave", 2), ("look", 0)];
    let lines = steps.map(|(command, doors)| {
        let args = json!({"k": 1, "doors": doors});
        format!("{}\n", json!({"session": "ann", "command": command, "args": args}))
    });
    tool.write("calls.jsonl", &lines.concat());
    let told = tool.run(&["shadow", "run", "calls.jsonl", "--json", "--noise", "0"]).json();
    assert_eq!(told["matched"], json!(6), "{told}");
    for lane in ["v2", "v3"] {
        let seen = std::fs::read_to_string(tool.path(lane)).unwrap();
        assert_eq!(seen, "True True False ", "{lane}");
    }
}

/// V2's binding ends with the session, so its worker's death is none of its business any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_ended_is_not_lost_with_its_worker() {
    use Outcome::{Ok, SessionLost, WorkerLost};
    let text = "[v2]\nsize = 1\nstartup_timeout = \"60s\"\n\
                [v3]\nsize = 1\nstartup_timeout = \"60s\"\n";
    let config = Config::parse("poolshift.toml", text, []).unwrap();
    let lanes = PrivateLanes::start(&config, false).await.unwrap();
    let mut told = [Vec::new(), Vec::new()];
    for (command, session) in [
        ("echo", "ann"),
        ("cleanup_session", "ann"),
        ("crash", "bob"),
        ("echo", "ann"),
        ("echo", "bob"),
    ] {
        let call = Call::new(command, Args::default()).with_session(session).unwrap();
        let answers = lanes.call(&call, false).await;
        told[0].push(answers.v2.outcome());
        told[1].push(answers.v3.outcome());
    }
    assert_eq!(told[0], [Ok, Ok, WorkerLost, Ok, SessionLost]);
    assert_eq!(told[1], [Ok, Ok, WorkerLost, Ok, Ok]);
    lanes.drain(config.worker.drain_timeout).await;
}
