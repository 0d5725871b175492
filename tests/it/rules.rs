//! Rules: what the file may say, which one matches, and what the router makes of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Output};

use poolshift::router::file::RolloutFile;
use poolshift::router::policy::Reason;
use poolshift::router::{Directed, Draws};
use poolshift::{Args, Call, Class, Lane};
use proptest::prelude::*;

use crate::router::{TestRouter, all, call, lane, router};

fn file(text: &str) -> RolloutFile {
    RolloutFile::parse(text).unwrap()
}

fn apply(router: &TestRouter, text: &str) {
    router.apply(&file(text), None).unwrap();
}

fn with_attr(mut call: Call, name: &str, value: &str) -> Call {
    call.attrs.insert(name.to_owned(), value.to_owned());
    call
}

const RULES: &str = r#"
force_attrs = ["x-lane"]
[[rules]]
name = "pings are drawn"
commands = "ping"
lane = "draw"
[[rules]]
name = "exports stay"
commands = ["echo", "calculate"]
sessions = ["alice", "bob"]
lane = "v2"
[[rules]]
name = "our own people first"
attrs = { tenant = ["acme", "initech"] }
lane = "v3"
[[rules]]
classes = "critical"
attrs = { tenant = "globex", plan = ["free", "trial"] }
lane = "v3"
"#;

#[test]
fn r12_killed_beats_forced_beats_rule_beats_pin_beats_percent() {
    let router = router("0");
    apply(&router, &format!("version = 1\npercent = 100\n{RULES}"));
    let acme = |call| with_attr(call, "tenant", "acme");
    assert_eq!(lane(&router, call("sleep", "alice")), (Lane::V3, Reason::Percent));
    assert_eq!(lane(&router, call("echo", "alice")), (Lane::V2, Reason::Rule), "pinned to V3");
    assert_eq!(lane(&router, call("sleep", "alice")), (Lane::V3, Reason::Pinned));
    let forced = with_attr(call("echo", "alice"), "x-lane", "v3");
    assert_eq!(lane(&router, forced.clone()), (Lane::V3, Reason::Forced));
    let by_code = Call { forced: Some(Lane::V2), ..forced.clone() };
    assert_eq!(lane(&router, by_code), (Lane::V2, Reason::Forced), "the host's own code first");
    let odd = with_attr(call("echo", "alice"), "x-lane", "v4");
    assert_eq!(lane(&router, odd), (Lane::V2, Reason::Rule), "no lane, so it forces none");

    // The first that matches counts, also if it says that the percentage does.
    apply(&router, &format!("version = 2\npercent = 0\n{RULES}"));
    assert_eq!(lane(&router, acme(call("ping", "carol"))), (Lane::V2, Reason::Percent));
    assert_eq!(lane(&router, acme(call("echo", "alice"))), (Lane::V2, Reason::Rule));
    assert_eq!(lane(&router, acme(call("echo", "carol"))), (Lane::V3, Reason::Rule));
    let globex = |call| with_attr(with_attr(call, "tenant", "globex"), "plan", "trial");
    assert_eq!(lane(&router, globex(call("unheard of", "x"))), (Lane::V3, Reason::Rule));
    assert_eq!(lane(&router, globex(call("echo", "x"))), (Lane::V2, Reason::Percent), "a read");
    let half = with_attr(call("unheard of", "y"), "tenant", "globex");
    assert_eq!(lane(&router, half), (Lane::V2, Reason::Percent), "all conditions must be met");

    router.kill();
    assert_eq!(lane(&router, acme(call("echo", "carol"))), (Lane::V2, Reason::Killed));
    assert_eq!(lane(&router, forced), (Lane::V2, Reason::Killed));
}

#[test]
fn what_was_not_drawn_is_counted_apart_and_pins_nothing() {
    let router = router("0");
    apply(&router, &format!("percent = 50\n{RULES}"));
    let acme = |call| with_attr(call, "tenant", "acme");
    let anonymous = || Call::new("echo", Args::default());
    for n in 0..10 {
        lane(&router, acme(call("echo", &format!("s{n}"))));
        lane(&router, acme(anonymous()));
        lane(&router, with_attr(call("echo", &format!("t{n}")), "x-lane", "v2"));
    }
    assert_eq!(router.directed(), Directed { forced: 10, ruled: 20 });
    assert_eq!(router.draws(), Draws { v2: 0, v3: 0 });
    assert_eq!(router.pins(Lane::V2).count + router.pins(Lane::V3).count, 0);
    for _ in 0..10 {
        lane(&router, anonymous());
    }
    assert_eq!(router.draws().v2 + router.draws().v3, 10);
    assert!(router.decide(&anonymous()).is_by_chance());
    assert!(!router.decide(&acme(anonymous())).is_by_chance());
}

/// Seen by the number of draws: a pin that went would be drawn again.
#[tokio::test(start_paused = true)]
async fn r14_calls_that_a_rule_sends_keep_the_sessions_pin_alive() {
    let router = router("100");
    router.decide(&call("echo", "a"));
    apply(&router, "percent = 100\n[[rules]]\ncommands = \"ping\"\nlane = \"v2\"\n");
    for _ in 0..5 {
        tokio::time::advance(std::time::Duration::from_secs(50)).await; // paused clock
        assert_eq!(router.decide(&call("ping", "a")).reason, Reason::Rule);
    }
    assert_eq!(router.decide(&call("echo", "a")).reason, Reason::Pinned);
    tokio::time::advance(std::time::Duration::from_secs(61)).await; // paused clock
    assert_eq!(router.decide(&call("echo", "a")).reason, Reason::Percent);
}

#[test]
fn r13_a_rule_for_an_unknown_command_is_refused_and_the_last_good_policy_stays() {
    let router = router("0");
    apply(&router, &format!("version = 1\npercent = 5\n{RULES}"));
    let bad = "version = 2\npercent = 100\n[[rules]]\ncommands = [\"ping\", \"pingg\"]\n\
               lane = \"v3\"\n";
    let error = router.apply(&file(bad), None).unwrap_err().to_string();
    assert!(error.starts_with("rule 1 asks for command \"pingg\""), "{error}");
    assert_eq!((router.policy().version, router.policy().percents), (1, all("5")));
    assert_eq!(router.policy().rules.list().len(), 4);
    let killed = format!("killed = true\n{bad}");
    assert!(router.apply(&file(&killed), None).is_err() && router.policy().killed);
    // A rollback suspends the rules, so that one of them is no reason to refuse it.
    apply(&router, &format!("rules_suspended = true\n{}", bad.replace("100", "0")));
    let acme = with_attr(call("echo", "carol"), "tenant", "acme");
    assert_eq!(lane(&router, acme), (Lane::V2, Reason::Percent));
}

#[test]
fn a_kill_switch_alone_leaves_the_rules_as_they_are() {
    let router = router("0");
    apply(&router, &format!("percent = 5\n{RULES}"));
    router.apply(&RolloutFile::kill_switch(), None).unwrap();
    assert_eq!(router.policy().rules.list().len(), 4);
}

#[test]
fn what_is_wrong_with_a_rule_is_told_with_its_line() {
    for (rules, problem) in [
        ("[[rules]]\nlane = \"v2\"", "line 2: a rule without a condition"),
        ("[[rules]]\ncommands = \"a\"", "line 2: a rule without a lane"),
        ("[[rules]]\ncommands = \"a\"\nlane = \"v4\"", "line 4: lane = \"v4\" is not"),
        ("[[rules]]\ncommand = \"a\"\nlane = \"v2\"", "line 3: no key command; known are name"),
        ("[[rules]]\nclasses = [\"reads\"]\nlane = \"v2\"", "line 3: classes = [\"reads\"]"),
        ("[[rules]]\nsessions = []\nlane = \"v2\"", "line 3: sessions = [] is not a text"),
        ("[[rules]]\ncommands = [\"a\", 1]\nlane = \"v2\"", "line 3: commands ="),
        ("[[rules]]\nattrs = \"x\"\nlane = \"v2\"", "line 3: attrs = \"x\" is not a table"),
        ("[[rules]]\nattrs = {}\nlane = \"v2\"", "line 3: attrs = {} is not"),
        ("[[rules]]\nattrs = { a = 1 }\nlane = \"v2\"", "line 3: a = 1 is not a text"),
        ("rules = 3", "line 2: rules = 3 is not a list"),
        ("rules = [3]", "line 2: a rule is a table"),
        ("force_attrs = 1", "line 2: force_attrs = 1 is not"),
        ("rules_suspended = 1", "line 2: rules_suspended = 1 is not"),
    ] {
        let error = RolloutFile::parse(&format!("percent = 1\n{rules}\n")).unwrap_err();
        assert!(error.problems.iter().any(|said| said.starts_with(problem)), "{rules}: {error}");
    }
    let session = "s".repeat(257);
    let long = format!("percent = 1\n[[rules]]\nsessions = \"{session}\"\nlane = \"v2\"\n");
    assert!(RolloutFile::parse(&long).is_err());
}

#[test]
fn there_is_room_for_so_many_rules_values_and_attrs() {
    let rules = |count: usize, values: usize, attrs: usize| {
        let mut text = "percent = 1\n".to_owned();
        for rule in 0..count {
            let list: Vec<String> = (0..values).map(|n| format!("\"{n}\"")).collect();
            let list = list.join(", ");
            let attr = rule % attrs;
            let _ = write!(text, "[[rules]]\nattrs = {{ a{attr} = [{list}] }}\nlane = \"v2\"\n");
        }
        RolloutFile::parse(&text).map_err(|error| error.to_string())
    };
    assert_eq!(rules(64, 64, 8).unwrap().rules.list().len(), 64);
    assert!(rules(65, 1, 1).unwrap_err().contains("65 rules are more than 64"));
    assert!(rules(2, 2049, 1).unwrap_err().contains("4098 values"));
    assert!(rules(9, 1, 9).unwrap_err().contains("9 different attrs"));
}

/// One of few words for each condition, or none, so that rules meet and miss.
fn word() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![2 => Just(None), 3 => (0_u8..3).prop_map(Some)]
}

type Facts = (Option<u8>, Option<u8>, Option<u8>, Option<u8>, Option<u8>);

fn facts() -> impl Strategy<Value = Facts> {
    (word(), word(), word(), word(), word())
}

proptest! {
    #[test]
    fn the_first_rule_that_matches_is_the_one_that_a_plain_search_finds(
        rules in prop::collection::vec(facts(), 1..64),
        calls in prop::collection::vec(facts(), 1..20),
    ) {
        let mut text = "percent = 1\n".to_owned();
        for (command, class, session, a, b) in &rules {
            text.push_str("[[rules]]\nlane = \"v2\"\n");
            let mut say = |key: &str, value: &Option<u8>| {
                if let Some(value) = value {
                    let _ = writeln!(text, "{key} = [\"{value}\", \"other\"]");
                }
            };
            say("commands", command);
            say("sessions", session);
            say("attrs.a", a);
            say("attrs.b", b);
            // Some condition must be there; every call has one of all classes.
            let of = |class: u8| vec![Class::ALL[usize::from(class)].as_str()];
            let classes = class.map_or(vec!["read", "write", "critical"], of);
            let _ = writeln!(text, "classes = {classes:?}");
        }
        let file = file(&text);
        for (command, class, session, a, b) in &calls {
            let named = |value: &Option<u8>| value.map_or("none".to_owned(), |n| n.to_string());
            let mut call = Call::new(named(command), Args::default());
            call.class = Class::ALL[usize::from(class.unwrap_or(0))];
            if session.is_some() {
                call = call.with_session(&named(session)).unwrap();
            }
            let attrs = [("a", a), ("b", b)].into_iter().filter(|(_, value)| value.is_some());
            call.attrs = attrs.map(|(k, v)| (k.to_owned(), named(v))).collect::<BTreeMap<_, _>>();
            let met = |asked: &Option<u8>, is: &Option<u8>| asked.is_none() || asked == is;
            let class = &Some(class.unwrap_or(0));
            let plain = rules.iter().position(|rule| {
                met(&rule.0, command) && met(&rule.1, class) && met(&rule.2, session)
                    && met(&rule.3, a) && met(&rule.4, b)
            });
            prop_assert_eq!(file.rules.first(&call).map(usize::from), plain);
        }
    }
}

/// Not one allocation, whatever the rules and however many attrs; the first call pays for the
/// pin.
#[test]
fn a_decision_for_a_pinned_session_allocates_nothing() {
    let router = router("50");
    apply(&router, &format!("percent = 50\n{RULES}"));
    let mut calls: Vec<Call> = (0..100).map(|n| call("echo", &format!("session-{n}"))).collect();
    calls.push(with_attr(call("sleep", "session-1"), "tenant", "acme"));
    calls.push(with_attr(call("echo", "session-2"), "x-lane", "v3"));
    calls.push(call("echo", "alice"));
    calls.push(Call::new("echo", Args::default()));
    calls.push(Call::new("echo", Args::default()).with_id(&"i".repeat(200)).unwrap());
    let decide_all = || {
        for call in &calls {
            router.decide(call);
        }
    };
    let first = allocation_counter::measure(decide_all);
    assert!(first.count_total > 0, "the counter counts");
    let again = allocation_counter::measure(|| (0..10).for_each(|_| decide_all()));
    assert_eq!(again.count_total, 0, "{again:?}");
}

fn tool(folder: &tempfile::TempDir, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolshift"));
    let file = folder.path().join("rollout.toml");
    command.args(["rollout", "--file"]).arg(file).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn explain_names_the_rule_the_bucket_and_the_percentage() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("version = 1\npercent = 20\n{RULES}");
    fs::write(folder.path().join("rollout.toml"), text).unwrap();
    let session = ["explain", "--session", "session-1"];
    let explain = |more: &[&str]| said(&tool(&folder, &[&session[..], more].concat()));
    let acme = ["--command", "echo", "--attr", "tenant=acme"];
    let text = explain(&acme);
    assert!(text.contains("has bucket 15351") && text.contains("read is at 20 %"), "{text}");
    assert!(text.contains("rule 3 of 4 matches: \"our own people first\": attr tenant"), "{text}");
    assert!(text.contains("lane v3: the rule says so"), "{text}");
    let text = explain(&["--command", "echo"]);
    assert!(text.contains("none of 4 rules matches"), "{text}");
    assert!(text.contains("lane v3: 15351 is below 20000"), "{text}");
    let text = explain(&["--command", "ping", "--attr", "x-lane=v2"]);
    assert!(text.contains("rule 1 of 4") && text.contains("forced by the caller"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&explain(&[&acme[..], &["--json"]].concat())).unwrap();
    assert_eq!((&json["rule"]["number"], &json["reason"]), (&3.into(), &"rule".into()));
}

#[test]
fn a_rollback_suspends_the_rules_and_a_file_that_is_gone_comes_back_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollout.toml");
    fs::write(&path, format!("version = 1\npercent = 20 # ours\n{RULES}")).unwrap();
    assert!(tool(&folder, &["set", "30"]).status.success());
    assert!(fs::read_to_string(&path).unwrap().contains("percent = 30 # ours"));
    let back = tool(&folder, &["rollback"]);
    assert!(String::from_utf8_lossy(&back.stderr).contains("no rule counts"), "{back:?}");
    let before = file(&fs::read_to_string(&path).unwrap());
    assert!(before.rules.are_suspended() && before.rules.list().len() == 4);
    let text = said(&tool(&folder, &["explain", "--session", "s", "--attr", "tenant=acme"]));
    assert!(text.contains("no rule counts since the rollback"), "{text}");
    fs::remove_file(&path).unwrap();
    assert!(tool(&folder, &["kill"]).status.success());
    assert_eq!(file(&fs::read_to_string(&path).unwrap()).rules, before.rules);
    // A change by hand of a rule alone is one that the audit tells.
    let text = fs::read_to_string(&path).unwrap().replace("acme", "umbrella");
    fs::write(&path, text).unwrap();
    assert!(tool(&folder, &["unkill"]).status.success());
    let history = said(&tool(&folder, &["history", "--json"]));
    assert!(history.contains("by hand") && history.contains("umbrella"), "{history}");
}
