//! R4: what a caller is told when its time is over, by what its worker was doing.

use std::time::Duration;

use poolshift::config::{StartMethod, WorkerProgram};
use poolshift::{CallError, Lane, Ran};
use rustix::process::Signal;
use serde_json::json;

use super::rig::{BRIEF, Rig, Side, send, state, until};

/// What the worker does when the time is over, and what the error says of it.
struct Row {
    fault: &'static str,
    /// Whether it is stopped then.
    stopped: bool,
    state: &'static str,
    /// A function in its stacks, or why there are none.
    stacks: Result<&'static str, &'static str>,
    stderr: &'static str,
}

const SILENT: &str = "it was asked for them, and wrote none";
const NOT_ASKED: &str = "only the runtime of poolshift is asked for them";

#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { fault: "spin", stopped: false, state: "running",
        stacks: Ok("in spin"), stderr: "about to spin" },
    Row { fault: "spin_in_c", stopped: false, state: "running",
        stacks: Ok("in spin_in_c"), stderr: "about to spin in C" },
    Row { fault: "pause", stopped: false, state: "sleeping",
        stacks: Ok("in pause"), stderr: "about to pause" },
    Row { fault: "unfinished_line", stopped: false, state: "sleeping",
        stacks: Ok("in unfinished_line"), stderr: "loading weights\n42 %" },
    Row { fault: "spin", stopped: true, state: "stopped by a signal",
        stacks: Err(SILENT), stderr: "about to spin" },
];

const SCRIPT: Row = Row {
    fault: "spin",
    stopped: false,
    state: "running",
    stacks: Err(NOT_ASKED),
    stderr: "about to spin",
};

#[tokio::test]
async fn r4_a_call_that_times_out_tells_what_its_worker_was_doing() {
    for row in TABLE {
        let rig = Rig::start().await;
        tokio::join!(row.check(rig.side(Lane::V2)), row.check(rig.side(Lane::V3)));
        rig.finish().await;
    }
}

#[tokio::test]
async fn r4_a_legacy_script_is_never_sent_sigusr1() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/legacy_spin.py");
    let script = WorkerProgram::Script(script.to_owned(), Vec::new());
    let rig = Rig::of(script, StartMethod::Spawn).await;
    tokio::join!(SCRIPT.check(rig.side(Lane::V2)), SCRIPT.check(rig.side(Lane::V3)));
    assert!(!rig.signalled().exists(), "it would have died of it, had it no handler");
    rig.finish().await;
}

#[tokio::test]
async fn r5_the_time_that_a_call_waited_is_told_apart_from_the_time_it_ran() {
    let rig = Rig::start().await;
    for side in [Lane::V2, Lane::V3].map(|lane| rig.side(lane)) {
        let hold = |name| side.call(name, json!({"fault": "hold"}), None);
        let late = async {
            side.until("both are busy", |status| status.busy == 2).await;
            let late = side.call("late", json!({"fault": "spin"}), BRIEF * 2);
            let go = async {
                let clock = rig.shim.clock();
                let waits = clock.now();
                until("it has waited", || clock.now().since(waits) >= BRIEF).await;
                side.touch("file");
            };
            tokio::join!(late, go).0
        };
        let (_, _, late) = tokio::join!(hold("one"), hold("other"), late);
        let Err(CallError::ExecTimeout { waited, run, .. }) = late.result else {
            panic!("{late:?}");
        };
        assert!(waited >= BRIEF && waited + run >= BRIEF * 2, "{waited:?} {run:?}");
        assert!(run < BRIEF * 2, "its wait is not in it: {run:?}");
    }
    rig.finish().await;
}

impl Row {
    async fn check(&self, side: Side<'_>) {
        let asked = side.rig.shim.clock().now();
        let call = side.call("late", json!({"fault": self.fault}), BRIEF);
        let stopped = async {
            side.until("it is begun", |status| status.busy == 1).await;
            if !self.stopped {
                return;
            }
            side.begun("late").await;
            let busy = side.status().workers.into_iter();
            let busy = busy.filter(|worker| worker.health_status == "busy");
            let pid = busy.filter_map(|worker| worker.pid).next().unwrap();
            side.until_said(self.stderr).await;
            send(pid, Signal::STOP);
            until("it is stopped", || state(pid) == Some('T')).await;
        };
        let (late, ()) = tokio::join!(call, stopped);
        let told_at = side.rig.shim.clock().now();
        let error = late.result.unwrap_err();
        let text = error.to_string();
        let CallError::ExecTimeout { command, waited, run, ran, post_mortem } = error else {
            panic!("{text}");
        };
        assert_eq!((command.as_str(), ran), ("strike", Ran::Maybe));
        assert!(waited + run >= BRIEF, "{text}");
        // 250 ms by the rule, and what a loaded machine takes beside it.
        assert!(told_at.since(asked + BRIEF) < Duration::from_secs(2), "{text}");
        assert_eq!(post_mortem.exit.as_deref(), Some("killed by SIGKILL"), "{text}");
        assert_eq!(post_mortem.state.as_deref(), Some(self.state), "{text}");
        assert_eq!(post_mortem.stderr, self.stderr, "no stack is quoted twice: {text}");
        match self.stacks {
            Ok(function) => {
                let has = |part: &str| post_mortem.stacks.iter().any(|line| line.ends_with(part));
                assert!(
                    has(function) && has("in _run_module_as_main"),
                    "the dump is whole: {text}"
                );
                assert!(post_mortem.stacks[0].starts_with("Current thread"), "{text}");
                assert_eq!(post_mortem.stackless, None);
            }
            Err(why) => {
                assert_eq!((post_mortem.stacks.len(), post_mortem.stackless), (0, Some(why)));
                assert!(text.contains(why), "{text}");
            }
        }
        for part in ["strike did not answer: waited ", ", ran ", "killed by SIGKILL", self.state] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let quoted = self.stderr.lines().chain(self.stacks.ok());
        quoted.for_each(|part| assert!(text.contains(part), "{part} in {text}"));
    }
}
