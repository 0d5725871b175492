//! R17: what is left when a host is killed with SIGKILL, measured from outside. Nothing is, after
//! one second, whatever its workers were at and whatever they had started.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use poolshift::Lane;
use poolshift::clock::{Clock, Moment};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::tool::{Tool, until};

/// Workers that are at something, all in one lane; the other lane has one, which is idle.
const WORKERS: usize = 8;

/// How long after the host's end anything of it may be there.
const SOON: Duration = Duration::from_secs(1);

/// By this variable and its value the processes of one test are found; its value is a folder.
pub(crate) const NOTES: &str = "FAMILY_NOTES";

/// What the workers run.
#[derive(Clone, Copy, Debug)]
enum Runtime {
    /// `family_app.py` under our runtime.
    Ours,
    /// `stubborn.py`, a legacy script that ends neither at end of file nor at SIGTERM.
    Legacy,
}

/// What the workers are at.
#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    /// In a call of this command, which never returns.
    Busy(&'static str),
    /// In a call, with children, some of whom have left its session.
    Parent,
    /// In Python, and stopped by SIGSTOP.
    Stopped,
}

const STATES: [State; 5] =
    [State::Idle, State::Busy("spin"), State::Busy("hold_gil"), State::Parent, State::Stopped];

/// A host and its workers, who note what they are at.
pub(crate) struct Family {
    pub(crate) tool: Tool,
    pub(crate) host: Child,
}

impl Family {
    fn start(runtime: Runtime, lane: Lane, state: State) -> Self {
        let tool = family_tool(matches!(runtime, Runtime::Legacy));
        let (calls_file, cwd) = (tool.path("calls.jsonl"), tool.path("cwd"));
        fs::create_dir(&cwd).unwrap();
        let mut args = vec!["run", calls_file.to_str().unwrap(), "--pool", lane.as_str()];
        let calls = match state {
            // The first call is over soon, the second is planned for much later.
            State::Idle => {
                args.extend(["--rate", "0.001"]);
                lines(2, "ping", &json!({}))
            }
            State::Busy(command) => lines(WORKERS, command, &json!({})),
            State::Parent => lines(WORKERS, "beget", &json!({"far": true, "stay": true})),
            State::Stopped => lines(WORKERS, "spin", &json!({})),
        };
        tool.write("calls.jsonl", &calls);
        let (busy, other) = (WORKERS.to_string(), 1.to_string());
        let (v2, v3) = if lane == Lane::V2 { (&busy, &other) } else { (&other, &busy) };
        let mut host = tool.command(&args);
        host.current_dir(cwd).env("POOLSHIFT__V2__SIZE", v2).env("POOLSHIFT__V3__SIZE", v3);
        let family = Self { host: started(&mut host), tool };
        let noted = if matches!(state, State::Idle) { "up" } else { "busy" };
        let all = if noted == "up" { WORKERS + 1 } else { WORKERS };
        until("all workers are at it", || family.noted(noted).len() == all);
        if matches!(state, State::Stopped) {
            family.stop();
        }
        family
    }

    pub(crate) fn notes(&self) -> PathBuf {
        self.tool.path("notes")
    }

    /// What each worker that has come so far has noted.
    pub(crate) fn noted(&self, kind: &str) -> Vec<String> {
        noted(&self.notes(), kind)
    }

    fn stop(&self) {
        let pids = noted_pids(&self.notes());
        for pid in &pids {
            kill_process(Pid::from_raw(*pid).unwrap(), Signal::STOP).unwrap();
        }
        let stopped = |pid: &i32| stat(*pid).is_some_and(|stat| stat.state == 'T');
        until("all are stopped", || pids.iter().all(stopped));
    }

    fn living(&self) -> BTreeSet<i32> {
        living(&self.notes())
    }

    /// The guardian, once it is up: one that still starts would be slower than any limit here
    /// where a wrapper stands before the interpreter and the machine is busy.
    fn guardian(&self) -> Option<i32> {
        let host = i32::try_from(self.host.id()).unwrap();
        let of_host = |pid: &i32| stat(*pid).is_some_and(|stat| stat.parent == host);
        processes().find(|pid| of_host(pid) && is_guardian(*pid) && ignores_sigterm(*pid))
    }

    fn up_guardian(&self) -> i32 {
        until("the guardian is up", || self.guardian().is_some());
        self.guardian().unwrap()
    }

    fn kill(&mut self) {
        self.host.kill().unwrap();
        self.host.wait().unwrap();
    }

    /// Waits until nothing is left, and says how long that took.
    pub(crate) fn gone_after(&self) -> Duration {
        let clock = Clock::start();
        let mut left = self.living();
        while !left.is_empty() {
            let took = clock.now().since(Moment::ZERO);
            assert!(took < SOON, "after {took:?} there is still {}", told(&left));
            left = self.living();
        }
        clock.now().since(Moment::ZERO)
    }
}

/// Whatever a test that failed leaves behind; one that passed leaves nothing.
impl Drop for Family {
    fn drop(&mut self) {
        let _ = self.host.kill();
        let _ = self.host.wait();
        for pid in self.living().into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

pub(crate) fn fixtures() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")
}

/// A folder whose hosts have the family as workers.
pub(crate) fn family_tool(legacy: bool) -> Tool {
    let script = format!("{}/stubborn.py", fixtures());
    let tool = Tool::new();
    let notes = tool.path("notes");
    fs::create_dir(&notes).unwrap();
    let program = if legacy {
        ("POOLSHIFT__WORKER__SCRIPT", script.as_str())
    } else {
        ("POOLSHIFT__WORKER__APP", "family_app")
    };
    tool.with_env(NOTES, notes.to_str().unwrap())
        .with_env("PYTHONPATH", fixtures())
        .with_env(program.0, program.1)
}

fn started(host: &mut Command) -> Child {
    host.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

pub(crate) fn lines(count: usize, command: &str, args: &Value) -> String {
    format!("{}\n", json!({"command": command, "args": args})).repeat(count)
}

/// All that lives of a host and its workers: by the environment, and by what was noted.
pub(crate) fn living(notes: &Path) -> BTreeSet<i32> {
    let mark = format!("{NOTES}={}", notes.display()).into_bytes();
    let mut living: BTreeSet<i32> = processes().filter(|pid| carries(*pid, &mark)).collect();
    living.extend(noted_pids(notes));
    living
}

/// What each worker that has come so far has noted.
pub(crate) fn noted(notes: &Path, kind: &str) -> Vec<String> {
    let notes = fs::read_dir(notes).unwrap().map(|entry| entry.unwrap().path());
    let so_far = notes.filter(|path| path.extension().is_some_and(|end| end == kind));
    so_far.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// The ids of those that workers have noted and that live; a zombie is its parent's business.
fn noted_pids(notes: &Path) -> BTreeSet<i32> {
    let noted = noted(notes, "busy");
    let living = |identity: &str| {
        let (pid, started) = identity.split_once(':').unwrap();
        let pid = pid.parse().unwrap();
        let same = |stat: &Stat| stat.state != 'Z' && stat.started.to_string() == started;
        stat(pid).filter(same).map(|_| pid)
    };
    noted.iter().flat_map(|identities| identities.split(' ')).filter_map(living).collect()
}

pub(crate) fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
}

fn carries(pid: i32, mark: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == mark)
}

fn is_guardian(pid: i32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|word| word == b"poolshift-guardian")
}

/// Which a guardian does first of all.
fn ignores_sigterm(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap_or("0");
    u64::from_str_radix(ignored, 16).unwrap() & (1 << (Signal::TERM.as_raw() - 1)) != 0
}

/// What the kernel says of a process.
#[derive(Debug)]
pub(crate) struct Stat {
    pub(crate) state: char,
    pub(crate) parent: i32,
    /// In ticks since boot: with the id it names one process.
    started: u64,
}

pub(crate) fn stat(pid: i32) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let words: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let (state, parent) = (words[0].parse().ok()?, words[1].parse().ok()?);
    Some(Stat { state, parent, started: words[19].parse().ok()? })
}

fn told(pids: &BTreeSet<i32>) -> String {
    let line = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        format!("{pid} {:?}: {:.60}", stat(*pid), line)
    };
    pids.iter().map(line).collect::<Vec<_>>().join("; ")
}

#[expect(clippy::print_stderr, reason = "the figures of the run")]
fn report(what: &str, took: Duration) {
    eprintln!("{what}: nothing left after {:.1} ms", took.as_secs_f64() * 1e3);
}

fn nothing_is_left(runtime: Runtime) {
    for (state, lane) in STATES.into_iter().zip([Lane::V2, Lane::V3].into_iter().cycle()) {
        let mut family = Family::start(runtime, lane, state);
        assert!(family.living().len() > WORKERS + 1, "the test sees what there is");
        family.kill();
        let took = family.gone_after();
        report(&format!("{runtime:?}, {state:?}, {lane}"), took);
    }
}

#[test]
fn r17_a_killed_host_leaves_nothing_of_our_runtime() {
    nothing_is_left(Runtime::Ours);
}

#[test]
fn r17_a_killed_host_leaves_nothing_of_a_legacy_script() {
    nothing_is_left(Runtime::Legacy);
}

#[test]
fn r17_a_guardian_that_dies_is_replaced_by_one_that_knows_all_groups() {
    let mut family = Family::start(Runtime::Legacy, Lane::V3, State::Parent);
    // Nor may it need the folder that the host was started in.
    let cwd = family.tool.path("cwd");
    until("the folder is gone", || fs::remove_dir_all(&cwd).is_ok() || !cwd.exists());
    let first = family.up_guardian();
    kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
    until("there is another", || family.guardian().is_some_and(|next| next != first));
    family.kill();
    report("a second guardian", family.gone_after());
}

#[test]
fn r17_the_kernel_ends_workers_whose_guardian_cannot() {
    for runtime in [Runtime::Ours, Runtime::Legacy] {
        let mut family = Family::start(runtime, Lane::V3, State::Busy("hold_gil"));
        let guardian = Pid::from_raw(family.up_guardian()).unwrap();
        kill_process(guardian, Signal::STOP).unwrap();
        family.kill();
        until("the workers are gone", || noted_pids(&family.notes()).is_empty());
        kill_process(guardian, Signal::CONT).unwrap();
        family.gone_after();
    }
}

#[test]
fn r17_the_guardian_does_not_hear_what_is_meant_for_the_host() {
    let mut family = Family::start(Runtime::Ours, Lane::V3, State::Parent);
    let guardian = family.up_guardian();
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
        kill_process(Pid::from_raw(guardian).unwrap(), signal).unwrap();
    }
    let group = Pid::from_child(&family.host);
    assert_ne!(rustix::process::getsid(Pid::from_raw(guardian)).unwrap(), group);
    family.kill();
    report("a guardian that was signalled", family.gone_after());
}
