//! One row of the table, from the fault to all that is asserted of it.

use std::process::Command;

use poolshift::config::StartMethod;
use poolshift::{Lane, Outcome};
use serde_json::{Value, json};

use super::By::{AllOf, Apart, Next, NotShown, Struck, Test};
use super::Worker::{Ends, Stays};
use super::rig::{BRIEF, Rig, Side, Told, Victim, told};
use super::{ANY, APART, DRAINING, OK, Row, SPAWN_ONLY, START_METHOD, THIS};
use crate::tool::skip;

impl Row {
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.no, self.fault)
    }

    /// Where workers are started in this way; a row that says nothing about that is skipped.
    pub(super) fn run(&self, method: StartMethod) {
        if method != StartMethod::Spawn && SPAWN_ONLY.contains(&self.no) {
            return skip(&format!("{}: a fork needs no program", self.name()));
        }
        match self.by {
            NotShown(why) => skip(&format!("{}: {why}", self.name())),
            Apart(_) => {
                let mut test = Command::new(std::env::current_exe().unwrap());
                test.args(["--exact", "--nocapture", THIS]).env(APART, self.fault);
                test.env(START_METHOD, method.as_str());
                let output = test.output().unwrap();
                let told = String::from_utf8_lossy(&output.stdout);
                let more = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{}\n{told}\n{more}", self.name());
                assert!(told.contains("1 passed"), "{}: not run: {told}", self.name());
            }
            Struck(_) | Next(_) | Test(_) | AllOf(_) => self.inject(method),
        }
    }

    /// In both lanes, at the same time unless one lane has to be well for the other's sake.
    pub(super) fn inject(&self, method: StartMethod) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            if matches!(self.by, AllOf(_) | Apart(_)) {
                for lane in [Lane::V2, Lane::V3] {
                    let rig = Rig::by(method).await;
                    self.strike(rig.side(lane), rig.side(lane).other()).await;
                    rig.finish().await;
                }
            } else {
                let rig = Rig::by(method).await;
                let (v2, v3) = (rig.side(Lane::V2), rig.side(Lane::V3));
                tokio::join!(self.strike(v2, v2), self.strike(v3, v3));
                rig.finish().await;
            }
        });
    }

    /// Injects the fault in one lane, beside a call in the same or in the other.
    async fn strike(&self, side: Side<'_>, beside: Side<'_>) {
        let held = json!({"fault": "hold", "file": beside.path("go")});
        let held = beside.call("beside", held, None);
        let meet = async {
            beside.begun("beside").await;
            self.meet(side).await;
            let processes = beside.pids();
            beside.touch("go");
            processes
        };
        let (held, processes) = tokio::join!(held, meet);
        let case = format!("{} {}, the call beside it: {held:?}", self.name(), side.lane);
        assert_eq!(told(&held), OK, "{case}");
        let result: Value = serde_json::from_str(held.result.unwrap().get()).unwrap();
        let pid = result["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        assert!(processes.contains(&pid.unwrap()), "{case} {processes:?}");
    }

    async fn meet(&self, side: Side<'_>) {
        let first = side.call("first", json!({}), None).await;
        let worker = first.worker.unwrap();
        let pid = side.status().workers[worker.slot as usize].pid.unwrap();
        let victim = Victim { worker, pid };
        let brief = |told: Told| (told.0 == Outcome::ExecTimeout).then_some(BRIEF);
        let struck = match self.by {
            Struck(args) | Next(args) => {
                let args = serde_json::from_str(args).unwrap();
                let struck = side.call("struck", args, brief(self.struck)).await;
                assert_eq!(struck.worker, Some(worker), "{}", self.name());
                struck
            }
            Test(act) | AllOf(act) | Apart(act) => act(side, victim).await,
            NotShown(_) => unreachable!("it is not run"),
        };
        let large = matches!(self.by, Next(_)).then(|| "x".repeat(1 << 20));
        let next = side.call("next", json!({"padding": large}), brief(self.next)).await;
        // V2 replaces a worker for the call that needs it.
        let last = side.call("last", json!({}), None).await;
        let ends = if self.next == DRAINING { DRAINING } else { OK };
        let end = side.end_of(victim).await;
        let restarts = side.status().restarts;
        let (lane, log) = (side.lane, side.rig.log());
        let case = format!("{} {lane}\n{struck:?}\n{next:.500?}\n{log}", self.name());
        let expected = match self.worker {
            Stays => None,
            Ends(exit) => Some(exit),
        };
        let seen = (told(&struck), told(&next), told(&last), end.as_deref());
        assert_eq!(seen, (self.struck, self.next, ends, expected), "{case}");
        assert!(self.restarts == ANY || restarts == self.restarts, "{restarts} restarts: {case}");
        let said = [&struck, &next].into_iter().find_map(|answer| answer.result.as_ref().err());
        let said = said.map(ToString::to_string).unwrap_or_default();
        assert!(said.contains(self.says), "{said}\n{case}");
        let ours = |line: &&str| {
            line.contains(&format!("lane={lane} ")) || line.contains(&format!("pid={pid}"))
        };
        let logged = log.lines().filter(ours).any(|line| line.contains(self.log));
        assert!(logged || self.log.is_empty(), "{case}");
    }
}
