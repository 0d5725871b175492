//! An operator's session: a rollout on a running process, from the command line.

use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::tool::{Tool, until};

/// Draws under one share before the operator goes on: 5 sigma of a half are then 14 %.
const DRAWS: u64 = 300;

/// Calls under the kill switch before the operator goes on.
const CALLS: u64 = 50;

/// One call in three is in a session of six calls, the others are anonymous.
fn calls(count: usize) -> String {
    let line = |n: usize| {
        let args = json!({"expression": format!("{n} + 1")});
        let mut line = json!({"id": n.to_string(), "command": "calculate", "args": args});
        if n.is_multiple_of(3) {
            line["session"] = json!(format!("s{}", n / 18));
        }
        format!("{line}\n")
    };
    (0..count).map(line).collect()
}

/// A service in the background, and the operator's tool beside it.
struct Service {
    tool: Tool,
    child: Child,
}

impl Service {
    fn start() -> Self {
        let tool = Tool::new();
        tool.write("poolshift.toml", "[v2]\nsize = 2\n[v3]\nsize = 2\n");
        tool.write("calls.jsonl", &calls(5000));
        let args = ["run", "calls.jsonl", "--rate", "500", "--json", "--hlog", "run.hlog"];
        let out = std::fs::File::create(tool.path("out.jsonl")).unwrap();
        let child = tool.command(&args).stdout(out).stderr(Stdio::null()).spawn().unwrap();
        let service = Self { tool, child };
        until("the service shows", || service.tool.run(&["status"]).code == Some(0));
        service
    }

    /// What the one process tells of itself.
    fn status(&self) -> Value {
        let mut told = self.tool.run(&["status", "--json"]).json();
        assert_eq!(told["processes"].as_array().unwrap().len(), 1, "{told}");
        told["processes"][0].take()
    }

    fn draws(&self) -> u64 {
        let draws = &self.status()["draws"];
        draws["v2"].as_u64().unwrap() + draws["v3"].as_u64().unwrap()
    }

    fn finished(&self) -> u64 {
        let lanes = self.status()["lanes"].take();
        let outcomes = ["v2", "v3"].map(|lane| lanes[lane]["outcomes"]["ok"].as_u64());
        outcomes.iter().map(|ok| ok.unwrap_or(0)).sum()
    }

    /// Changes the rollout, waits until it is in force, and gives the epoch of the change.
    fn change(&self, args: &[&str]) -> u64 {
        let args = [&["rollout"], args, &["--wait", "1s", "--json"]].concat();
        let changed = self.tool.run(&args).json();
        assert_eq!(changed["waited"]["processes"], json!(1), "{changed}");
        let rollout = &self.status()["rollout"];
        assert_eq!(rollout["version"], changed["version"], "{rollout}");
        assert_eq!(rollout["refused"], Value::Null);
        rollout["epoch"].as_u64().unwrap()
    }

    fn change_and_draw(&self, args: &[&str]) -> u64 {
        let epoch = self.change(args);
        let before = self.draws();
        until("enough draws", || self.draws() >= before + DRAWS);
        epoch
    }

    /// The lines of all calls, the summary, and when the run began on the wall's clock.
    fn finish(mut self) -> (Vec<Value>, Value, f64) {
        assert!(self.child.wait().unwrap().success());
        let text = std::fs::read_to_string(self.tool.path("out.jsonl")).unwrap();
        let mut lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let summary = lines.pop().unwrap()["summary"].take();
        let hlog = std::fs::read_to_string(self.tool.path("run.hlog")).unwrap();
        let began = hlog.split_once("#[StartTime: ").unwrap().1.split_once(' ').unwrap().0;
        (lines, summary, began.parse().unwrap())
    }
}

fn now() -> f64 {
    poolshift::clock::Clock::unix_now().as_secs_f64()
}

/// V3's share of the draws under one epoch.
fn share(lines: &[Value], epoch: u64) -> (f64, f64) {
    let drawn = lines.iter().filter(|line| line["epoch"] == epoch && line["reason"] == "percent");
    let lanes: Vec<&Value> = drawn.map(|line| &line["lane"]).collect();
    let in_v3 = lanes.iter().filter(|lane| ***lane == "v3").count();
    (in_v3 as f64 / lanes.len() as f64, lanes.len() as f64)
}

#[test]
fn r13_a_rollout_from_the_command_line_on_a_running_process() {
    let service = Service::start();
    let mut shares = Vec::new();
    shares.push((0.1, service.change_and_draw(&["set", "10", "--reason", "the first"])));
    shares.push((0.5, service.change_and_draw(&["set", "50"])));
    let kill = service.change(&["kill", "--reason", "a drill"]);
    let killed_at = now();
    let before = service.finished();
    until("calls under the kill switch", || service.finished() >= before + CALLS);
    let unkilled_at = now();
    shares.push((0.5, service.change_and_draw(&["unkill"])));
    let rollback = service.change(&["rollback", "--reason", "enough"]);
    let before = service.finished();
    until("calls after the rollback", || service.finished() >= before + CALLS);

    let shown = service.tool.run(&["rollout", "show", "--json"]).json();
    assert_eq!(shown["stage"], json!("off"), "{shown}");
    assert_eq!(shown["version"], json!(5));
    let history = service.tool.run(&["rollout", "history", "--verify", "--json"]).json();
    let actions: Vec<&str> = history["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["set 10", "set 50", "kill", "unkill", "rollback"]);
    assert_eq!(history["lines"][0]["reason"], json!("the first"));
    assert_eq!(history["sound"], json!(true));

    let (lines, summary, began) = service.finish();
    assert_eq!(summary["submitted"], json!(5000));
    assert_eq!(summary["outcomes"], json!({"ok": 5000}));
    assert_eq!((&summary["lost"], &summary["duplicated"]), (&json!(0), &json!(0)));
    for (percent, epoch) in shares {
        let (share, draws) = share(&lines, epoch);
        let five_sigma = 5.0 * (percent * (1.0 - percent) / draws).sqrt();
        assert!(draws >= DRAWS as f64 * 0.9, "{draws} draws in epoch {epoch}");
        assert!((share - percent).abs() <= five_sigma, "{share} of {draws}, not {percent}");
    }
    for line in lines.iter().filter(|line| line["epoch"] == kill || line["epoch"] == rollback) {
        assert_eq!(line["lane"], json!("v2"), "{line}");
    }
    let submitted = |line: &Value| began + line["submitted_ms"].as_f64().unwrap() / 1e3;
    let killed = lines.iter().filter(|l| (killed_at..unkilled_at).contains(&submitted(l)));
    let killed: Vec<&Value> = killed.collect();
    assert!(killed.len() as u64 >= CALLS / 2, "{} calls while killed", killed.len());
    assert!(killed.iter().all(|line| line["lane"] == "v2" && line["reason"] == "killed"));
}
