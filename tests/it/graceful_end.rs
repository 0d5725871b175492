//! R7: how a host ends that is asked to, or whose pools are dropped, and that nothing is left.

use std::any::Any;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use poolshift::config::{Config, WorkerProgram};
use poolshift::report::record::{Books, RunRecord};
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::{Args, Call, Lane, Shim, ShimOptions};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::orphans::{Family, NOTES, family_tool, fixtures, lines, living, noted};
use crate::tool::until;

/// Workers of the lane in use.
const WORKERS: usize = 2;

/// A host that runs `calls` in V3, whose output is kept.
fn serving(legacy: bool, calls: &str, args: &[&str], env: &[(&str, &str)]) -> Family {
    let tool = family_tool(legacy);
    tool.write("calls.jsonl", calls);
    let args = [&["run", "calls.jsonl", "--pool", "v3", "--json"], args].concat();
    let mut host = tool.command(&args);
    host.env("POOLSHIFT__V2__SIZE", "1").env("POOLSHIFT__V3__SIZE", WORKERS.to_string());
    host.env("POOLSHIFT__V3__QUEUE_TIMEOUT", "60s").envs(env.iter().copied());
    host.stdout(File::create(tool.path("out")).unwrap());
    host.stderr(File::create(tool.path("err")).unwrap());
    Family { host: host.stdin(Stdio::null()).spawn().unwrap(), tool }
}

impl Family {
    /// Waits until both workers have noted this, and as many calls wait as are meant to.
    fn until_busy(&self, kind: &str, queued: u64) {
        until("both workers are busy", || self.noted(kind).len() == WORKERS);
        until("the others wait", || self.status()["lanes"]["v3"]["queue_size"] == json!(queued));
    }

    /// What it last told of itself; null while it has not.
    fn status(&self) -> Value {
        let told = self.tool.path(&format!("rollout.toml.d/{}.json", self.host.id()));
        let status = fs::read(told).unwrap_or_default();
        serde_json::from_slice(&status).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.host), signal).unwrap();
    }

    /// What the run's record has beside its log.
    fn books(&self) -> Books {
        let text = fs::read_to_string(self.tool.path("a.run.json")).unwrap();
        serde_json::from_str::<RunRecord>(&text).unwrap().books
    }

    fn until_draining(&self) {
        let told = || fs::read_to_string(self.tool.path("err")).unwrap().contains("draining;");
        until("it says that it drains", told);
    }

    /// Waits for the end of an interrupted host, which leaves nothing, and gives its lines.
    fn interrupted(&mut self) -> Vec<Value> {
        // Bounded: a host that waits for what will never come is what these tests look for.
        until("the host has ended", || self.host.try_wait().unwrap().is_some());
        assert_eq!(self.host.wait().unwrap().code(), Some(130));
        self.gone_after();
        let out = fs::read_to_string(self.tool.path("out")).unwrap();
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Outcome and `ran` of each line but the summary, which must say that nothing was lost.
fn outcomes(mut lines: Vec<Value>) -> Vec<(String, String)> {
    let summary = lines.pop().unwrap()["summary"].take();
    assert_eq!(summary["submitted"], json!(lines.len()), "{summary}");
    assert_eq!((&summary["lost"], &summary["duplicated"]), (&json!(0), &json!(0)), "{summary}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut seen: Vec<(String, String)> =
        lines.iter().map(|line| (text(&line["outcome"]), text(&line["ran"]))).collect();
    // Which of the calls without a session come first is not settled.
    seen.sort();
    seen
}

fn expected(rows: &[(usize, &str, &str)]) -> Vec<(String, String)> {
    let row = |(count, outcome, ran): &(usize, &str, &str)| {
        vec![((*outcome).to_owned(), (*ran).to_owned()); *count]
    };
    rows.iter().flat_map(row).collect()
}

#[test]
fn r7_sigterm_serves_what_has_come_and_refuses_the_rest() {
    for (legacy, signal) in [(false, Signal::TERM), (true, Signal::INT)] {
        let calls = lines(7, "wait_for", &json!({"file": "go"}));
        let mut family = serving(legacy, &calls, &["--concurrency", "4"], &[]);
        family.until_busy("waiting", 2);
        family.signal(signal);
        // Two were running, two waiting, and three had not come yet.
        until("what had not come is refused", || {
            family.status()["lanes"]["v3"]["outcomes"]["draining"] == json!(3)
        });
        family.tool.write("notes/go", "");
        let seen = outcomes(family.interrupted());
        assert_eq!(seen, expected(&[(3, "draining", "no"), (4, "ok", "yes")]));
    }
}

#[test]
fn r7_after_the_drain_timeout_what_runs_is_lost_and_what_waits_is_refused() {
    for legacy in [false, true] {
        let calls = lines(6, "spin", &json!({}));
        let env = [("POOLSHIFT__WORKER__DRAIN_TIMEOUT", "200ms")];
        let mut family = serving(legacy, &calls, &["--concurrency", "4"], &env);
        family.until_busy("busy", 2);
        family.signal(Signal::TERM);
        let seen = outcomes(family.interrupted());
        assert_eq!(seen, expected(&[(4, "draining", "no"), (2, "worker_lost", "maybe")]));
    }
}

#[test]
fn r7_calls_that_are_planned_for_later_do_not_hold_a_drain_up() {
    let calls = lines(1000, "ping", &json!({}));
    let mut family = serving(false, &calls, &["--rate", "0.001", "--hlog", "a.hlog"], &[]);
    until("the first call has been answered", || {
        fs::read_to_string(family.tool.path("out")).unwrap().ends_with('\n')
    });
    family.signal(Signal::TERM);
    let seen = outcomes(family.interrupted());
    assert_eq!(seen, expected(&[(999, "draining", "no"), (1, "ok", "yes")]));
    // What was refused before it was due is counted, and no time of the service.
    let books = family.books();
    assert_eq!(books.outcomes, [("draining".to_owned(), 999), ("ok".to_owned(), 1)].into());
    assert_eq!((books.submitted, books.undue, books.censored), (1000, 999, 0));
    let told = family.tool.run(&["report", "a.hlog", "--json"]).json();
    let tags: Vec<&String> = told["tags"].as_object().unwrap().keys().collect();
    assert!(tags.iter().all(|tag| tag.starts_with("v3.read.ok.")), "{tags:?}");
    let achieved = told["achieved_per_s"].as_f64().unwrap();
    assert!(achieved < 0.001, "one call was answered, and a thousand seconds go by for each");
    assert_eq!(told["grade"], json!("note"), "{told}");
}

#[test]
fn r7_a_second_signal_gives_each_call_of_a_plan_its_outcome_and_a_place_in_the_report() {
    let env = [("POOLSHIFT__WORKER__DRAIN_TIMEOUT", "10m")];
    let calls = lines(4, "beget", &json!({"far": true, "stay": true}));
    let mut family = serving(false, &calls, &["--rate", "1000", "--hlog", "a.hlog"], &env);
    family.until_busy("busy", 2);
    family.signal(Signal::TERM);
    family.until_draining();
    family.signal(Signal::TERM);
    let seen = outcomes(family.interrupted());
    assert_eq!(seen, expected(&[(2, "draining", "no"), (2, "worker_lost", "maybe")]));
    let books = family.books();
    assert!(books.is_conserved(), "{books:?}");
    assert_eq!((books.submitted, books.measured(), books.censored), (4, 4, 0));
}

#[test]
fn r7_a_second_signal_stops_now() {
    // Were it not for the second signal, the drain would last longer than any test waits.
    let env = [("POOLSHIFT__WORKER__DRAIN_TIMEOUT", "10m")];
    for legacy in [false, true] {
        let calls = lines(4, "beget", &json!({"far": true, "stay": true}));
        let mut family = serving(legacy, &calls, &["--concurrency", "4"], &env);
        family.until_busy("busy", 2);
        family.signal(Signal::TERM);
        family.until_draining();
        assert!(family.host.try_wait().unwrap().is_none());
        family.signal(Signal::TERM);
        let seen = outcomes(family.interrupted());
        assert_eq!(seen, expected(&[(2, "draining", "no"), (2, "worker_lost", "maybe")]));
    }
}

#[test]
fn r7_nobody_to_tell_of_the_drain_is_no_reason_to_lose_calls() {
    let calls = lines(2, "wait_for", &json!({"file": "go"}));
    let tool = family_tool(false);
    tool.write("calls.jsonl", &calls);
    // Only a drain ends this run: its second call is planned for much later.
    let mut host = tool.command(&["run", "calls.jsonl", "--pool", "v3", "--rate", "0.001"]);
    host.stdout(File::create(tool.path("out")).unwrap());
    host.stderr(File::options().write(true).open("/dev/full").unwrap());
    let mut family = Family { host: host.spawn().unwrap(), tool };
    until("the first call runs", || family.noted("waiting").len() == 1);
    family.signal(Signal::TERM);
    family.tool.write("notes/go", "");
    let lines = family.interrupted();
    let seen: Vec<&str> = lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(seen, ["ok", "draining"]);
}

#[test]
fn r7_a_second_signal_ends_a_host_whose_reader_stalls() {
    let tool = family_tool(false);
    tool.write("calls.jsonl", &lines(3000, "ping", &json!({})));
    let mut host = tool.command(&["run", "calls.jsonl", "--pool", "v3"]);
    host.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut family = Family { host: host.spawn().unwrap(), tool };
    let unread = family.host.stdout.take().unwrap();
    let mut before = 0;
    until("its stdout is full", || {
        let now = rustix::io::ioctl_fionread(&unread).unwrap();
        std::mem::replace(&mut before, now) == now && now > 32 * 1024
    });
    family.signal(Signal::TERM);
    family.signal(Signal::INT);
    // Two of one kind that come together are one.
    until("it has ended", || {
        family.signal(Signal::TERM);
        family.host.try_wait().unwrap().is_some()
    });
    assert_eq!(family.host.wait().unwrap().code(), Some(130));
    family.gone_after();
}

#[test]
fn r7_one_call_is_brought_to_its_end() {
    for lane in [&["--pool", "v2"][..], &["--pool", "v3"], &[]] {
        let tool = family_tool(false);
        let args = [&["call", "wait_for", r#"{"file": "go"}"#], lane].concat();
        let mut host = tool.command(&args);
        host.stdout(File::create(tool.path("out")).unwrap());
        host.stderr(File::create(tool.path("err")).unwrap());
        let mut family = Family { host: host.spawn().unwrap(), tool };
        until("the call runs", || family.noted("waiting").len() == 1);
        family.signal(Signal::TERM);
        family.until_draining();
        family.tool.write("notes/go", "");
        let result = family.interrupted();
        assert_eq!(result, [json!({"waited": true})]);
    }
}

#[test]
fn r17_a_host_that_ends_by_itself_leaves_no_daemon_of_its_workers() {
    for legacy in [false, true] {
        let calls = lines(2, "beget", &json!({"far": true, "stay": false}));
        let mut family = serving(legacy, &calls, &[], &[]);
        assert_eq!(family.host.wait().unwrap().code(), Some(0));
        assert!(!family.noted("busy").is_empty(), "they had children");
        family.gone_after();
    }
}

/// What an embedding program lets go of, with calls in flight.
#[derive(Clone, Copy, Debug)]
enum Let {
    Shim,
    Runtime,
    Both,
}

/// A shim in this process, whose workers are all in a call that never returns.
fn busy_shim(config: &Config, notes: &Path) -> (Runtime, JoinSet<()>, Shim) {
    let runtime = Runtime::new().unwrap();
    let percents = Some(Percents::all(Percent::ZERO));
    let options = ShimOptions { percents, ledger: None };
    let shim = runtime.block_on(Shim::start(config, options)).unwrap();
    let mut calls = JoinSet::new();
    for lane in [Lane::V2, Lane::V2, Lane::V3, Lane::V3] {
        let args = Args::parse(r#"{"far": false, "stay": true}"#).unwrap();
        let call = Call { forced: Some(lane), ..Call::new("beget", args) };
        let router = Arc::clone(shim.router());
        calls.spawn_on(async move { drop(router.call(call).await) }, runtime.handle());
    }
    until("all workers are busy", || noted(notes, "busy").len() == calls.len());
    (runtime, calls, shim)
}

#[test]
fn r7_dropping_the_shim_or_the_runtime_without_a_drain_leaves_no_process() {
    let ways = [(false, Let::Shim), (true, Let::Shim), (true, Let::Runtime), (false, Let::Both)];
    for (legacy, how) in ways {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        (config.v2.size, config.v3.size) = (WORKERS, WORKERS);
        let env = [(NOTES, folder.path().to_str().unwrap()), ("PYTHONPATH", fixtures())];
        config.worker.env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        config.worker.program = if legacy {
            WorkerProgram::Script(format!("{}/stubborn.py", fixtures()), Vec::new())
        } else {
            WorkerProgram::App("family_app".to_owned())
        };
        let (runtime, calls, shim) = busy_shim(&config, folder.path());
        let count = living(folder.path()).len();
        assert!(count >= calls.len() * 3, "{count}: the test sees what there is");
        // What is not dropped here lives on until nothing is left.
        let _rest: Box<dyn Any> = match how {
            Let::Shim => {
                drop((calls, shim));
                Box::new(runtime)
            }
            Let::Runtime => {
                drop(runtime);
                Box::new((calls, shim))
            }
            Let::Both => {
                drop((calls, shim, runtime));
                Box::new(())
            }
        };
        let what = format!("nothing is left after dropping {how:?}");
        until(&what, || living(folder.path()).is_empty());
    }
}

#[test]
fn a_run_that_waits_for_its_input_ends_at_the_first_signal() {
    let tool = crate::tool::Tool::new();
    let calls = tool.path("calls");
    mknodat(CWD, &calls, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let mut host = tool.command(&["run", "calls"]).stderr(Stdio::null()).spawn().unwrap();
    let mut writer = None;
    until("it reads", || {
        // Refused until somebody has it open for reading.
        let flags = OFlags::WRONLY | OFlags::NONBLOCK;
        writer = rustix::fs::open(&calls, flags, Mode::empty()).ok();
        writer.is_some()
    });
    kill_process(Pid::from_child(&host), Signal::INT).unwrap();
    until("it has ended", || host.try_wait().unwrap().is_some());
    assert_eq!(host.wait().unwrap().code(), Some(130));
}
