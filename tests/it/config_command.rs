//! `poolshift config`, and what shells and manuals are told.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::tool::Tool;

fn shown<'a>(told: &'a Value, key: &str) -> &'a Value {
    let settings = told["settings"].as_array().unwrap();
    settings.iter().find(|shown| shown["key"] == key).unwrap_or_else(|| panic!("no {key}"))
}

#[test]
fn show_tells_each_value_and_where_it_comes_from() {
    let tool = Tool::new().with_env("POOLSHIFT__V3__TIMEOUT", "90s");
    tool.write(
        "poolshift.toml",
        "[v3]\nsize = 3\ntimeout = \"30s\"\n\n[worker]\n\
         env = { HF_TOKEN = \"s3cret\", LANG = \"C\" }\n[commands.greet]\nclass = \"read\"\n",
    );
    let ran = tool.run(&["config", "show", "--json"]);
    let told = ran.json();
    for (key, value, origin) in [
        ("v3.size", "3", "poolshift.toml:2"),
        ("v3.timeout", "\"1m 30s\"", "POOLSHIFT__V3__TIMEOUT"),
        ("v3.queue_timeout", "\"5s\"", "default"),
        ("worker.app", "\"poolshift_worker.apps.demo\"", "default"),
        ("commands.greet.class", "\"read\"", "poolshift.toml:8"),
        ("commands.ping.class", "\"read\"", "default"),
    ] {
        let shown = shown(&told, key);
        assert_eq!((&shown["value"], &shown["origin"]), (&json!(value), &json!(origin)), "{key}");
    }
    assert_eq!(shown(&told, "worker.script")["value"], Value::Null);
    assert!(!ran.stdout.contains("s3cret") && ran.stdout.contains("***"), "{}", ran.stdout);
    let text = tool.run(&["config", "show"]).stdout;
    let line = text.lines().find(|line| line.starts_with("v3.size ")).unwrap();
    assert!(line.ends_with("poolshift.toml:2"), "{line}");
}

#[test]
fn what_is_shown_can_be_written_into_a_file_and_means_the_same() {
    let tool = Tool::new();
    let told = tool.run(&["config", "show", "--json"]).json();
    let mut file = String::new();
    for shown in told["settings"].as_array().unwrap() {
        let key = shown["key"].as_str().unwrap();
        let Some(value) = shown["value"].as_str() else { continue };
        file.push_str(&format!("{key} = {value}\n"));
    }
    tool.write("poolshift.toml", &file);
    let again = tool.run(&["config", "show", "--json"]).json();
    for before in told["settings"].as_array().unwrap() {
        let key = before["key"].as_str().unwrap();
        assert_eq!(shown(&again, key)["value"], before["value"], "{key}");
    }
}

#[test]
fn check_says_what_is_read_or_all_that_is_wrong() {
    let tool = Tool::new().with_env("POOLSHIFT__V2__SIZE", "2");
    let ran = tool.run(&["config", "check"]);
    assert_eq!(
        ran.stdout,
        "ok: no poolshift.toml, 1 keys set\n  by the environment: POOLSHIFT__V2__SIZE\n"
    );
    tool.write("poolshift.toml", "[v3]\nsize = 0\n[v4]\n");
    for json in [false, true] {
        let args: &[&str] =
            if json { &["config", "check", "--json"] } else { &["config", "check"] };
        let ran = tool.run(args);
        assert_eq!(ran.code, Some(4));
        assert!(ran.stderr.contains("poolshift.toml:2") && ran.stderr.contains("[v4]"));
        assert_eq!(json, ran.stdout.contains("\"ok\":false"));
    }
    // What can be read is shown all the same.
    let ran = tool.run(&["config", "show"]);
    assert!(ran.code == Some(4) && ran.stdout.contains("v2.size"), "{}", ran.stderr);
}

#[test]
fn a_broken_config_does_not_stand_before_the_kill_switch() {
    let tool = Tool::new();
    tool.write("poolshift.toml", "[v3]\nsize = 0\n[rollout]\nfile = \"ours.toml\"\n");
    let ran = tool.run(&["rollout", "kill"]);
    assert!(ran.code == Some(0) && ran.stderr.contains("going by ours.toml"), "{}", ran.stderr);
    assert!(std::fs::read_to_string(tool.path("ours.toml")).unwrap().contains("killed = true"));
    tool.write("poolshift.toml", "[v3\n");
    let ran = tool.run(&["rollout", "kill"]);
    assert!(ran.code == Some(4) && ran.stderr.contains("--file"), "{}", ran.stderr);
    let ran = tool.run(&["rollout", "--file", "other.toml", "kill"]);
    assert!(ran.code == Some(0) && tool.path("other.toml").exists(), "{}", ran.stderr);
}

#[test]
fn the_committed_schema_is_the_codes() {
    let printed = Tool::new().run(&["config", "schema"]).stdout;
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.schema.json");
    let committed = std::fs::read_to_string(committed).unwrap();
    let hint = "run: cargo run -- config schema > docs/config.schema.json";
    assert!(printed == committed, "{hint}");
    let schema: Value = serde_json::from_str(&printed).unwrap();
    let v3 = &schema["properties"]["v3"];
    assert_eq!(v3["additionalProperties"], json!(false));
    assert_eq!(v3["properties"]["queue_timeout"]["default"], json!("5s"));
    assert_eq!(v3["properties"]["size"]["maximum"], json!(1024));
    let command = &schema["properties"]["commands"]["additionalProperties"]["properties"];
    assert_eq!(command["class"]["enum"], json!(["read", "write", "critical"]));
}

#[test]
fn completions_are_scripts_and_the_manual_names_every_command() {
    let tool = Tool::new();
    // Needed most when nothing else works.
    tool.write("poolshift.toml", "[v3\n");
    let script = tool.run(&["completions", "bash"]).stdout;
    assert!(script.contains("rollout") && script.contains("--dry-run"));
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(bash.stdin.as_mut().unwrap(), script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(tool.run(&["completions", shell]).stdout.contains("unkill"), "{shell}");
    }
    let page = tool.run(&["man"]).stdout;
    let commands = [
        "demo",
        "run",
        "call",
        "status",
        "rollout",
        "shadow",
        "doctor",
        "config",
        "bench",
        "completions",
        "man",
    ];
    for command in commands {
        assert!(page.contains(&format!("poolshift\\-{command}(1)")), "{command}: {page}");
    }
    assert_eq!(tool.run(&["man", "--dir", "pages"]).code, Some(0));
    let history = std::fs::read_to_string(tool.path("pages/poolshift-rollout-history.1")).unwrap();
    assert!(history.contains("What \\-\\-verify cannot find"), "{history}");
}
