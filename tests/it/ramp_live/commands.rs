//! What people may ask of a ramp, and what is refused with the reason and changes nothing.

use std::fs;

use serde_json::Value;

use crate::ramp_live::{PLAN, Service};

#[test]
fn a_bad_plan_is_refused_with_every_reason_and_nothing_is_left() {
    let service = Service::new();
    let path = service.path("plan.toml");
    let refused = |args: &[&str], reason: &str| {
        let error = service.refused(args);
        assert!(error.contains(reason), "{reason}: {error}");
        assert_eq!(service.rollout(args).status.code(), Some(4), "as a bad config: {error}");
    };
    for (plan, reason) in [
        (PLAN.replace("percent = 100", "percent = 40"), "steps only go up"),
        (PLAN.replace("percent = 100", "percent = 101"), "is not a percentage"),
        (PLAN.replace("min_units = 1\n", ""), "no min_units"),
        (PLAN.replace("errors", "erors"), "no metric erors"),
        (PLAN.replace("percent = 50", "class = \"reed\"\npercent = 50"), "no class reed"),
        (PLAN.replace("0.9", "0.9\nignore = [\"no\"]"), "no command no in the config"),
        (format!("on_verdict = []\n{PLAN}"), "on_verdict names no program"),
    ] {
        fs::write(&path, plan).unwrap();
        refused(&["ramp", "start", path.to_str().unwrap()], reason);
    }
    refused(&["ramp", "start", "none.toml"], "cannot read none.toml");
    refused(&["ramp", "forecast", "--history", "none", "--plan", "plan.toml"], "on_verdict");
    assert!(!service.config.rollout.file.exists() && !service.paths().folder().exists());
}

#[test]
fn a_plan_that_would_hold_for_ever_in_this_service_is_refused() {
    let mismatches = "[guards.mismatches]\nlimit = 0.1\n\
                      [shadow]\nmin_time = \"1s\"\nmin_units = 1\n";
    for (settings, plan, reason) in [
        (
            "session_lane = \"whole\"\n",
            PLAN.replace("percent = 50", "class = \"read\"\npercent = 50"),
            "step 1 leaves critical at 0 %",
        ),
        ("", format!("{PLAN}{mismatches}"), "sample = 0 in [shadow]"),
        (
            "[shadow]\nsample = 1\nnoise = 0\n",
            format!("{PLAN}{mismatches}"),
            "noise = 0 in [shadow]",
        ),
        ("", format!("{PLAN}[gauntlet]\nlook = 0\n"), "look = 0 is no gauntlet"),
        ("", format!("{PLAN}[gauntlet]\nno = 1\n"), "no command no in the config"),
    ] {
        let service = Service::of(&format!("{settings}[commands.look]\nclass = \"read\"\n"), "");
        fs::write(service.path("plan.toml"), plan).unwrap();
        let output = service.rollout(&["ramp", "start", "plan.toml"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(4) && error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn one_ramp_at_a_time_and_no_hand_beside_it() {
    let service = Service::new();
    service.begin(PLAN);
    let plan = service.path("plan.toml");
    let start = ["ramp", "start", plan.to_str().unwrap()];
    assert!(service.refused(&start).contains("a ramp is under way already"));
    assert!(service.refused(&["set", "10"]).contains("a ramp sets the shares"));
    assert!(service.refused(&["stage", "ramp"]).contains("a ramp sets the shares"));
    assert!(service.refused(&["ramp", "pause"]).contains("read is shadow and cannot hold"));
    let stopped = service.good(&["ramp", "stop"]);
    assert_eq!((&stopped["stage"], &stopped["ramp"]), (&"off".into(), &Value::Null));
    service.good(&["set", "10"]);
    assert!(service.refused(&start).contains("is ramp, and a ramp begins with every class off"));
    for command in ["pause", "resume", "promote", "stop"] {
        assert!(service.refused(&["ramp", command]).contains("no ramp is under way"), "{command}");
    }
}

#[test]
fn only_one_of_two_who_saw_the_same_version_may_start() {
    let service = Service::new();
    service.good(&["set", "0"]);
    fs::write(service.path("plan.toml"), PLAN).unwrap();
    let plan = service.path("plan.toml");
    let start = ["ramp", "start", plan.to_str().unwrap(), "--if-version", "1"];
    service.good(&start);
    service.good(&["ramp", "stop"]);
    assert!(service.refused(&start).contains("is at version 3, not 1"));
    let newer = "format = 2\nversion = 9\npercent = 0\n";
    fs::write(&service.config.rollout.file, newer).unwrap();
    assert!(service.refused(&start).contains("newer than 1"));
}

#[test]
fn stages_move_by_their_machine_and_say_why_they_do_not() {
    let service = Service::new();
    let stage = |args: &[&str]| service.good(&[&["stage"], args].concat())["stages"].clone();
    assert!(service.refused(&["stage", "hold"]).contains("read is off and cannot hold"));
    assert!(service.refused(&["stage", "ramp", "--class", "write"]).contains("while read is off"));
    assert!(service.refused(&["stage", "killed"]).contains("rollout kill"));
    assert_eq!(stage(&["shadow"])["read"], "shadow");
    assert!(service.refused(&["set", "5"]).contains("read is shadow, in which its share stays"));
    assert_eq!(stage(&["ramp", "--class", "read"])["read"], "ramp");
    service.good(&["set", "5", "--class", "read"]);
    assert!(service.refused(&["stage", "complete"]).contains("complete at 100 %"));
    assert_eq!(stage(&["hold"])["read"], "hold");
    assert!(service.refused(&["set", "6", "--class", "read"]).contains("read is hold"));
    assert_eq!(stage(&["ramp", "--class", "read"])["read"], "ramp");
    assert_eq!(stage(&["rolled_back"])["read"], "rolled_back");
    assert_eq!(service.good(&["show"])["classes"]["read"], 0.0);
    assert!(service.refused(&["set", "5"]).contains("`rollout stage off` clears it"));
    // A human's word, after which everything is as before the first move.
    assert_eq!(stage(&["off"])["read"], "off");
    service.good(&["set", "5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rolled_back_stays_so_until_a_human_clears_it() {
    let service = Service::new();
    let _shim = service.at_step_one(PLAN).await;
    service.good(&["rollback"]);
    let shown = service.next_verdict().await;
    assert_eq!((&shown["stage"], &shown["verdict"]), (&"rolled_back".into(), &"hold".into()));
    let plan = service.path("plan.toml");
    let start = ["ramp", "start", plan.to_str().unwrap()];
    assert!(service.refused(&start).contains("`rollout stage off` clears it"));
    assert!(service.refused(&["ramp", "resume"]).contains("rolled_back"));
    assert!(service.refused(&["ramp", "stop"]).contains("clears it"));
    let cleared = service.good(&["stage", "off"]);
    assert_eq!((&cleared["stage"], &cleared["ramp"]), (&"off".into(), &Value::Null));
    service.good(&start);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_human_may_waive_proof_but_not_a_drill() {
    let service = Service::new();
    let _shim = service.start().await;
    let nobody = "no running process judges the ramp";
    service.begin(PLAN);
    let held = |shown: &Value| shown["reasons"].to_string().contains("never tried");
    service.until("the drill is asked for", held).await;
    assert!(service.refused(&["ramp", "promote"]).contains("never tried"));
    let drilled = service.good(&["ramp", "drill"]);
    assert_eq!((&drilled["processes"], &drilled["heard"]), (&1.into(), &true.into()));
    service.until("the first step", |shown| shown["step"] == 1).await;
    service.until("its verdict", |shown| shown["reasons"].to_string().contains("0 units")).await;
    assert_eq!(service.good(&["ramp", "promote", "--reason", "seen enough"])["step"], 2);
    drop(_shim);
    assert!(service.refused(&["ramp", "promote"]).contains(nobody));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_drill_or_a_slow_one_holds_the_ramp() {
    let service = Service::new();
    let _shim = service.start().await;
    service.good(&["ramp", "drill"]);
    let plan = PLAN.replace("max_drill_time = \"10s\"", "max_drill_time = \"1ms\"");
    service.begin(&plan);
    let held = |shown: &Value| shown["reasons"].to_string().contains("drill again");
    assert_eq!(service.until("the slow drill is told", held).await["step"], 0);
    assert!(service.actions().starts_with(&["drill".to_owned(), "drill over".to_owned()]));
}
