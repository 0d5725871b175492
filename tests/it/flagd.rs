//! The exported flagd definition, read by an evaluator that knows nothing of ours.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use poolshift::router::file::RolloutFile;
use poolshift::router::flagd::definition;
use poolshift::router::policy::Policy;
use poolshift::{Args, Call, CallId, Class, Lane};
use serde_json::{Value, json};

/// What the evaluator says of each context.
fn evaluated(definition: &Value, contexts: &[Value]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flags.json");
    std::fs::write(&path, definition.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flagd_evaluator.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    let mut stdin = python.stdin.take().unwrap();
    let lines: String = contexts.iter().map(|context| format!("{context}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The evaluator against the vectors of flagd's own test bed, for its third way of hashing.
#[test]
fn the_evaluator_gives_flagds_own_vectors() {
    let flag = |name: &str, variants: &[&str], fractional: Value| {
        let variants: serde_json::Map<String, Value> =
            variants.iter().map(|name| ((*name).to_owned(), json!(name))).collect();
        json!({ "flags": { name: {
            "variants": variants, "defaultVariant": "none",
            "targeting": { "fractional": fractional },
        } } })
    };
    let suits = ["clubs", "diamonds", "hearts", "spades"];
    let mut fractional = vec![json!({ "cat": ["fractional-flag", { "var": "name" }] })];
    fractional.extend(suits.map(|suit| json!([suit, 25])));
    let names = ["jack", "queen", "ten", "nine", "3"];
    let contexts = names.map(|name| json!({ "targetingKey": "", "name": name }));
    let drawn = evaluated(&flag("fractional-flag", &suits, json!(fractional)), &contexts);
    assert_eq!(drawn, ["diamonds", "diamonds", "clubs", "clubs", "spades"]);
    let sides =
        flag("fractional-flag-shorthand", &["heads", "tails"], json!([["heads"], ["tails", 1]]));
    let people = ["jon@company.com", "jane@company.com"];
    let drawn = evaluated(&sides, &people.map(|key| json!({ "targetingKey": key })));
    assert_eq!(drawn, ["tails", "tails"]);
}

fn policy(text: &str) -> Policy {
    RolloutFile::parse(text).unwrap().policy(&Policy::initial("v3-rollout", false))
}

/// A call, and the context that flagd would be given for it.
fn context(n: usize) -> (Call, Value) {
    let (class, id) = (Class::ALL[n % 3], format!("id-{n}"));
    let command = ["echo", "predict", "store"][n / 3 % 3];
    let mut call = Call::new(command, Args::default()).with_id(&id).unwrap();
    call.class = class;
    // Some without a session, some with long names, some beyond ASCII.
    let session = match n % 10 {
        0 => None,
        1 => Some(format!("sitzung-ü-{n}")),
        2 => Some(format!("{n}-{}", "x".repeat(n % 300).get(..240).unwrap_or("y"))),
        _ => Some(format!("session-{n}")),
    };
    if let Some(session) = &session {
        call = call.with_session(session).unwrap();
    }
    for (attr, words) in [("tenant", ["acme", "globex", "hooli"]), ("x-lane", ["v2", "v3", "no"])] {
        if !(n / 7).is_multiple_of(4) {
            call.attrs.insert(attr.to_owned(), words[n / 11 % 3].to_owned());
        }
    }
    let json = json!({
        "targetingKey": session.as_ref().unwrap_or(&id), "session": session,
        "command": command, "class": class, "attrs": call.attrs,
    });
    (call, json)
}

fn lane(policy: &Policy, call: &Call) -> Lane {
    let CallId::Given(id) = &call.id else { panic!("these ids are given") };
    let key = call.session.as_ref().map_or(id.as_ref(), |session| session.as_str());
    let drawn = || policy.decide_anonymous(key, call.class);
    policy.directed(call).unwrap_or_else(drawn).lane
}

fn assert_agreement(policy: &Policy, calls: usize) -> [usize; 2] {
    let (calls, contexts): (Vec<Call>, Vec<Value>) = (0..calls).map(context).unzip();
    let theirs = evaluated(&definition(policy).unwrap(), &contexts);
    assert_eq!(theirs.len(), calls.len());
    let mut counts = [0, 0];
    for (call, theirs) in calls.iter().zip(&theirs) {
        let ours = lane(policy, call);
        assert_eq!(ours.as_str(), theirs, "{call:?}");
        counts[ours as usize] += 1;
    }
    counts
}

#[test]
fn flagd_gives_a_hundred_thousand_sessions_the_lane_that_they_get_here() {
    let policy = policy("percent = 33.333\n");
    let [v2, v3] = assert_agreement(&policy, 100_000);
    assert!((32_000..35_000).contains(&v3), "{v2} {v3}");
}

#[test]
fn flagd_follows_classes_rules_forced_lanes_and_the_kill_switch() {
    let classes = "percent = 40.5\n[classes]\nread = 90\ncritical = 0.001\n";
    let rules = "force_attrs = [\"x-lane\"]\npercent = 50\n\
                 [[rules]]\ncommands = \"store\"\nlane = \"draw\"\n\
                 [[rules]]\nsessions = [\"session-4\", \"session-5\"]\nlane = \"v3\"\n\
                 [[rules]]\nattrs = { tenant = [\"acme\", \"hooli\"] }\nclasses = \"write\"\n\
                 lane = \"v2\"\n";
    for text in [classes, rules, &format!("rules_suspended = true\n{rules}")] {
        let [v2, v3] = assert_agreement(&policy(text), 3000);
        assert!(v2 > 300 && v3 > 300, "{text}");
    }
    let whole = Policy { whole_sessions: true, ..policy(classes) };
    assert_agreement(&whole, 300);
    assert_eq!(assert_agreement(&policy(&format!("killed = true\n{rules}")), 300), [300, 0]);
    assert_eq!(assert_agreement(&policy("percent = 0"), 300), [300, 0]);
    assert_eq!(assert_agreement(&policy("percent = 100"), 300), [0, 300]);
    let dotted = policy("percent = 1\n[[rules]]\nattrs = { \"a.b\" = \"x\" }\nlane = \"v2\"\n");
    assert!(definition(&dotted).unwrap_err().to_string().contains("a.b"));
}

#[test]
fn the_tool_prints_what_the_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rollout.toml");
    std::fs::write(&file, "version = 7\npercent = 12.5\nflag = \"ours\"\n").unwrap();
    let mut tool = Command::new(env!("CARGO_BIN_EXE_poolshift"));
    tool.args(["rollout", "ramp", "export", "--flagd", "--file"]).arg(&file);
    let output = tool.output().unwrap();
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let flag = &printed["flags"]["ours"];
    assert_eq!(flag["targeting"]["fractional"], json!([["v3", 12_500], ["v2", 87_500]]));
    assert_eq!(printed["metadata"]["version"], "7");
}
