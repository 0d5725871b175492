//! The examples, run as they stand.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::tool::Tool;

/// Runs an example, which `cargo test` has built unless it was asked for this binary alone.
fn run(example: &str, args: &[&str]) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let folder = Path::new(env!("CARGO_BIN_EXE_poolshift")).parent().unwrap().join("examples");
    if !folder.join(example).exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--example", example]).status();
        assert!(built.unwrap().success());
    }
    let output = Command::new(folder.join(example)).args(args).current_dir(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The README's first line is `cargo run -- demo`. What that runs is what the default members name;
/// cargo asks for `--bin` if they name two programs, or none.
#[test]
fn cargo_run_runs_the_tool() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = told["packages"].as_array().unwrap().iter();
    let named: Vec<&str> = packages.filter_map(|it| it["default_run"].as_str()).collect();
    assert_eq!(named, ["poolshift"]);
}

#[test]
fn a_service_embeds_both_pools() {
    let told = run("embed", &[]);
    assert!(told.contains("V3 at 0 %: {V2: 200}") && told.contains("V3 at 100 %: {V3: 200}"));
    assert!(told.contains("killed: v2 because killed"), "{told}");
}

#[test]
fn a_team_brings_its_own_legacy_pool() {
    let note = r#"{"topic":"tea","text":"green"}"#;
    let spaced = r#"{"topic": "tea", "text": "green"}"#;
    assert_eq!(run("own_legacy_pool", &[]), format!("v2: {spaced}\nv3: {note}\n"));
}

#[test]
fn an_app_of_ones_own_keeps_its_sessions_in_both_lanes() {
    let root = env!("CARGO_MANIFEST_DIR");
    for percent in ["0", "50", "100"] {
        let args = ["--config", "examples/my_app.toml", "run", "examples/my_calls.jsonl"];
        let mut command = Tool::new().command(&args);
        let output = command.current_dir(root).args(["--percent", percent]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 6, "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(lines[1]["result"], json!({"topic": "tea", "text": "green"}));
        assert_eq!(lines[3]["result"], json!({"topic": "tea", "text": "black"}));
        assert_eq!(lines[4]["error"], json!("'nothing is known about coffee'"));
        assert_eq!(lines[5]["result"]["greeting"], json!("Bonjour, Cem!"));
    }
}

/// What the example prints of its last line, and of the steps that it has taken.
fn ramp(args: &[&str]) -> (String, String) {
    let told = run("ramp", args);
    assert!(told.contains("the audit holds"), "{told}");
    let last = told.lines().last().unwrap().to_owned();
    assert!(last.contains("none was lost, and ") && last.contains("kept their notes"), "{told}");
    (told, last)
}

#[test]
fn a_ramp_takes_a_good_v3_to_the_end_by_itself() {
    let (told, last) = ramp(&[]);
    assert!(last.starts_with("complete: "), "{told}");
    let shares = ["[0 % -> 1 %]", "[1 % -> 5 %]", "[5 % -> 25 %]", "[25 % -> 50 %]"];
    for shares in shares.into_iter().chain(["[50 % -> 100 %]"]) {
        assert!(told.contains(shares), "{shares}: {told}");
    }
}

#[test]
fn a_ramp_takes_back_a_v3_that_fails_in_one_command_by_itself() {
    let (told, last) = ramp(&["--planted"]);
    assert!(last.starts_with("rolled_back: "), "{told}");
    let line = told.lines().find(|line| line.contains("ramp rollback by ramp (process ")).unwrap();
    assert!(line.contains("V3 has more errors than V2: ln E = "), "{line}");
    assert!(line.contains("percentage points more, most evidence in look_up"), "{line}");
    assert!(line.ends_with(" -> 0 %]"), "{line}");
}
