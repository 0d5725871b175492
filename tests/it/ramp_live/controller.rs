//! The process that steers: what it does by itself, and what nobody can make it do.

use std::process::{Child, Command, Stdio};

use poolshift::router::policy::Reason;
use poolshift::router::shelf;
use poolshift::shim::board::StatusBoard;
use poolshift::shim::testimony::{Testimonies, Testimony};
use poolshift::{Args, Call};
use serde_json::Value;

use crate::ramp_live::{PLAN, Service};

#[tokio::test(flavor = "multi_thread")]
async fn a_ramp_without_data_holds_and_is_rolled_back_by_what_an_ended_process_saw() {
    let service = Service::new();
    let shim = service.at_step_one(PLAN).await;
    // Nobody calls: no data is no proof, however often it is looked at.
    for _ in 0..2 {
        let shown = service.next_verdict().await;
        assert_eq!((&shown["verdict"], &shown["step"]), (&Value::from("hold"), &Value::from(1)));
    }
    service.plant_harm();
    let shown = service.until("the rollback", |shown| shown["stage"] == "rolled_back").await;
    assert_eq!(
        (&shown["percent"], &shown["classes"]["read"]),
        (&Value::from(0.0), &Value::from(0.0))
    );
    let history = service.good(&["history", "--verify"]);
    let last = history["lines"].as_array().unwrap().last().unwrap();
    assert_eq!(last["action"], "ramp rollback");
    let reason = last["reason"].as_str().unwrap();
    assert!(reason.contains("V3 has more errors than V2: ln E = "), "{reason}");
    let findings = last["verdict"]["findings"].as_array().unwrap();
    let harm = findings.iter().find(|finding| finding["says"] == "rollback").unwrap();
    assert!(harm["formula"].as_str().unwrap().contains("ln(tests / alpha)"), "{harm}");
    assert_eq!(harm["inputs"]["bad_v3"], 80.0);
    assert_eq!(shim.router().policy().percents, Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_ramp_is_rolled_back_too() {
    let service = Service::new();
    let _shim = service.at_step_one(PLAN).await;
    let paused = service.good(&["ramp", "pause"]);
    assert_eq!((&paused["stage"], &paused["stages"]["write"]), (&"hold".into(), &"hold".into()));
    assert_eq!(service.next_verdict().await["percent"], 50.0, "the share stays");
    service.plant_harm();
    service.until("the rollback", |shown| shown["stage"] == "rolled_back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r13_a_paused_ramp_is_killed_like_any_other() {
    let service = Service::new();
    let shim = service.at_step_one(PLAN).await;
    service.good(&["ramp", "pause"]);
    service.good(&["kill", "--wait", "20s"]);
    let decide = || shim.router().decide(&Call::new("echo", Args::default()));
    assert!((0..50).all(|_| decide().reason == Reason::Killed), "{:?}", decide());
    service.until("a verdict that it is on", |shown| shown["verdict"] == "kill").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r13_the_kill_switch_beats_every_verdict_and_leaves_a_paused_ramp() {
    let service = Service::new();
    let _shim = service.at_step_one(PLAN).await;
    service.good(&["kill", "--wait", "20s"]);
    service.plant_harm();
    service.until("a verdict that it is on", |shown| shown["verdict"] == "kill").await;
    let shown = service.next_verdict().await;
    assert_eq!((&shown["stage"], &shown["verdict"]), (&"killed".into(), &"kill".into()));
    assert!(service.refused(&["ramp", "resume"]).contains("the kill switch is on"));
    let history = service.actions();
    assert!(!history.contains(&"ramp rollback".to_owned()), "{history:?}");
    // What was known all the while counts as soon as it is off.
    service.good(&["unkill"]);
    service.until("the rollback", |shown| shown["stage"] == "rolled_back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_the_ramp_was_and_says_nothing_twice() {
    let service = Service::new();
    let shim = service.at_step_one(PLAN).await;
    service.until("a verdict on record", |shown| shown["verdict"] == "hold").await;
    let held = |actions: &[String]| actions.last().is_some_and(|last| last == "verdict hold");
    crate::tool::until("it is on record", || held(&service.actions()));
    let (mark, actions) = (service.mark(), service.actions());
    shim.drain().await;
    drop(shim);
    let shim = service.start().await;
    for _ in 0..2 {
        assert_eq!(service.next_verdict().await["step"], 1);
    }
    assert_eq!((service.mark(), service.actions()), (mark, actions));
    assert_eq!(shim.router().policy().percents.of(poolshift::Class::Read).buckets(), 50_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_a_version_of_its_own_holds_the_ramp() {
    let service = Service::new();
    let _shim = service.at_step_one(PLAN).await;
    let text = std::fs::read_to_string(&service.config.rollout.file).unwrap();
    // A number that the process refuses: it goes on with what it had in force.
    let older = text.replacen(&format!("version = {}", version(&service)), "version = 1", 1);
    std::fs::write(&service.config.rollout.file, older).unwrap();
    let refuses = |shown: &Value| shown["reasons"].to_string().contains("refuses the rollout file");
    assert_eq!(service.until("the doubt", refuses).await["verdict"], "hold");
}

fn version(service: &Service) -> u64 {
    service.good(&["show"])["version"].as_u64().unwrap()
}

/// Another process that follows the same file, for as long as it is busy with one call.
struct Other(Child);

impl Other {
    fn start(service: &Service) -> Self {
        let calls = service.path("calls.jsonl");
        std::fs::write(&calls, r#"{"command": "sleep", "args": {"ms": 50000}}"#).unwrap();
        let config = service.path("other.toml");
        let file = service.config.rollout.file.display();
        let text =
            format!("[v2]\nsize = 1\n[v3]\nsize = 1\n[rollout]\nfile = {:?}\n", file.to_string());
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolshift"));
        command
            .arg("--config")
            .arg(&config)
            .arg("run")
            .arg(&calls)
            .current_dir(service.folder.path());
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_steers_and_the_next_takes_over_when_it_is_killed() {
    let service = Service::new();
    let mut other = Other::start(&service);
    let board = StatusBoard::beside(&service.config.rollout.file);
    let live = || board.read().unwrap().live;
    crate::tool::until("the other runs", || live().len() == 1);
    service.begin(PLAN);
    service.until("it judges", |shown| !shown["verdict"].is_null()).await;
    let _shim = service.start().await;
    let told = |pid: u32| {
        let live = live();
        let status = live.iter().find(|status| status.pid == pid);
        status.map(|status| status.last_verdict.clone())
    };
    let own = std::process::id();
    // Through two more verdicts of the other, this one says nothing.
    for _ in 0..2 {
        service.next_verdict().await;
        assert_eq!((told(own), told(other.0.id()).unwrap().is_some()), (Some(None), true));
    }
    other.0.kill().unwrap();
    other.0.wait().unwrap();
    crate::tool::until("this one steers", || told(own).is_some_and(|verdict| verdict.is_some()));
    service.good(&["ramp", "drill"]);
    assert!(shelf::last_drill(&service.paths()).is_some());
    service.until("the first step", |shown| shown["step"] == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_does_not_stop_the_guards() {
    let service = Service::new();
    let shim = service.at_step_one(PLAN).await;
    let (evidence, paths, mark) = (service.seen(1, 100, 80), service.paths(), service.mark());
    std::fs::write(&service.config.rollout.file, "percent = \n").unwrap();
    let thresholds = Default::default();
    let (pid, start_ticks) = (crate::ramp_live::ended(), 1);
    let testimony = Testimony { pid, start_ticks, serial: 0, thresholds, evidence };
    Testimonies::of(&paths, &mark).write(&testimony).unwrap();
    // The file cannot be changed either: this process goes back by itself.
    let none = poolshift::router::policy::Percents::default();
    crate::tool::until("it is back in V2", || shim.router().policy().percents == none);
}
