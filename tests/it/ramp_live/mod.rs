//! A ramp under way: real processes that judge it, real files between them, and the commands by
//! which people step in.

mod commands;
mod controller;
mod evidence;
mod gauntlet;
mod hook;

use std::fs;
use std::process::Command;
use std::time::Duration;

use poolshift::router::file::RolloutFile;
use poolshift::router::guard::slow::Thresholds;
use poolshift::router::guard::strata::Strata;
use poolshift::router::guard::{Arm, Drawn, Evidence, Guards, Unit};
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::router::ramp::{Plan, RampMark};
use poolshift::router::shelf;
use poolshift::shim::testimony::{Testimonies, Testimony};
use poolshift::{Class, Outcome, Shim};
use serde_json::Value;

use crate::service::Service;

/// Two steps that need nothing but time and units.
const PLAN: &str = r#"
max_drill_time = "10s"

[guards.errors]
limit = 0.9

[[steps]]
percent = 50
min_time = "1ms"
min_units = 1

[[steps]]
percent = 100
min_time = "1ms"
min_units = 1
"#;

impl Service {
    /// A process that has begun the plan, and stands at its first step.
    async fn at_step_one(&self, plan: &str) -> Shim {
        let shim = self.start().await;
        self.good(&["ramp", "drill"]);
        self.begin(plan);
        self.until("the first step", |shown| shown["step"] == 1).await;
        shim
    }

    fn begin(&self, plan: &str) {
        let path = self.path("plan.toml");
        fs::write(&path, plan).unwrap();
        self.good(&["ramp", "start", path.to_str().unwrap(), "--build", "b"]);
    }

    /// Runs a command that must succeed, and gives its JSON.
    fn good(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.push("--json");
        let output = self.rollout(&args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs a command that must be refused and change nothing, and gives the reason.
    fn refused(&self, args: &[&str]) -> String {
        let before = fs::read(&self.config.rollout.file).ok();
        let output = self.rollout(args);
        assert!(!output.status.success(), "{args:?}: {output:?}");
        assert_eq!(fs::read(&self.config.rollout.file).ok(), before, "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    async fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let until = async {
            loop {
                let shown = self.good(&["show"]);
                if is(&shown) {
                    return shown;
                }
                tokio::time::sleep(Duration::from_millis(20)).await; // polls a condition
            }
        };
        let shown = tokio::time::timeout(Duration::from_secs(60), until).await;
        shown.unwrap_or_else(|_| panic!("still waiting until {what}: {}", self.good(&["show"])))
    }

    /// The next verdict that is made from here on, and about the step as it is: the one that led
    /// to it may be told after it.
    async fn next_verdict(&self) -> Value {
        let before = self.good(&["show"])["at"].clone();
        let made = |shown: &Value| -> Option<Duration> {
            let at = humantime::parse_rfc3339(shown["at"].as_str()?).unwrap();
            Some(at.duration_since(std::time::UNIX_EPOCH).unwrap())
        };
        let since = |shown: &Value| shown["ramp"]["since_ms"].as_u64().map(Duration::from_millis);
        let is_next = |shown: &Value| shown["at"] != before && made(shown) > since(shown);
        self.until("the next verdict", is_next).await
    }

    fn actions(&self) -> Vec<String> {
        let history = self.good(&["history", "--verify"]);
        assert_eq!(history["sound"], true, "{history}");
        let lines = history["lines"].as_array().unwrap();
        lines.iter().map(|line| line["action"].as_str().unwrap().to_owned()).collect()
    }

    fn mark(&self) -> RampMark {
        let bytes = fs::read(&self.config.rollout.file).unwrap();
        RolloutFile::read(&bytes).unwrap().ramp.unwrap()
    }

    fn plan(&self) -> Plan {
        shelf::plan(&self.paths(), &self.mark().plan).unwrap()
    }

    /// What a process knows that has seen so many calls of each lane, these of V3 bad.
    fn seen(&self, step: u64, calls: u64, bad: u64) -> Evidence {
        let commands = self.config.commands.by_name();
        let strata = commands.iter().map(|(name, command)| ((*name).to_owned(), command.class));
        let strata = Strata::new(strata);
        let mut guards = Guards::new("b", self.plan().guards, strata, Thresholds::default());
        let half: Percent = "50".parse().unwrap();
        let drawn = Drawn { calls: Percents::all(half), comparisons: half };
        guards.begin_step(step, drawn, &Class::ALL);
        for n in 0..calls {
            let outcome = if n < bad { Outcome::Raised } else { Outcome::Ok };
            for (arm, outcome) in [(Arm::Control, Outcome::Ok), (Arm::Candidate, outcome)] {
                guards.called(&mut Unit::Anonymous, "echo", arm, outcome, Duration::ZERO);
            }
        }
        guards.evidence()
    }

    /// A process that has ended knows that V3 is harmful.
    fn plant_harm(&self) {
        let evidence = self.seen(1, 100, 80);
        self.plant(ended(), 1, evidence);
    }

    fn plant(&self, pid: u32, start_ticks: u64, evidence: Evidence) {
        let thresholds = Thresholds::default();
        let testimony = Testimony { pid, start_ticks, serial: 0, thresholds, evidence };
        Testimonies::of(&self.paths(), &self.mark()).write(&testimony).unwrap();
    }
}

/// The id of a process that has ended.
fn ended() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}
