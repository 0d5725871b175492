//! Both pools on real Python workers, and what can be seen of them from outside.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use poolshift::clock::{Clock, Moment};
use poolshift::config::{Config, StartMethod, WorkerProgram};
use poolshift::report::ledger::{Audit, CallerLedger, WorkerLedger};
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::{
    Answer, Args, Call, Lane, Outcome, Pool, PoolStatus, Ran, Shim, ShimOptions, WorkerId,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tracing::subscriber::DefaultGuard;

use super::log::Log;
use crate::tool::python;

/// A call that is meant to run out of its time has this much.
pub(super) const BRIEF: Duration = Duration::from_millis(500);

/// Longer than anything takes on a loaded machine: a limit, not a wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a start may take here; row 10 lets it pass.
pub(super) const STARTUP: Duration = Duration::from_secs(10);

const SIGNALLED: &str = "signalled";

/// What a caller is told: the outcome, and whether the call can have run.
pub(super) type Told = (Outcome, Ran);

pub(super) fn told(answer: &Answer) -> Told {
    let ran = answer.result.as_ref().map_or_else(|error| error.ran(), |_| Ran::Yes);
    (answer.outcome(), ran)
}

/// An injection at work; it gives the answer of the call that met the fault.
pub(super) type Acting<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// Two lanes of two workers each, behind the router.
pub(super) struct Rig {
    pub(super) shim: Shim,
    folder: TempDir,
    log: Log,
    callers: RefCell<CallerLedger>,
    submitted: RefCell<BTreeMap<Lane, u64>>,
    _logging: DefaultGuard,
}

/// One lane of it.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) rig: &'a Rig,
    pub(super) lane: Lane,
}

/// The worker that is to be struck.
#[derive(Clone, Copy, Debug)]
pub(super) struct Victim {
    pub(super) worker: WorkerId,
    pub(super) pid: u32,
}

impl Rig {
    /// Workers of the faulty app. Must be called on a thread with a runtime of its own, since
    /// what is logged on it is taken for the rig's.
    pub(super) async fn start() -> Self {
        Self::by(StartMethod::Spawn).await
    }

    /// The same, started in this way.
    pub(super) async fn by(method: StartMethod) -> Self {
        Self::of(WorkerProgram::App("faulty".to_owned()), method).await
    }

    pub(super) async fn of(program: WorkerProgram, method: StartMethod) -> Self {
        let log = Log::default();
        let logging = log.listen();
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger");
        fs::create_dir(&ledger).unwrap();
        std::os::unix::fs::symlink(python(), folder.path().join("python")).unwrap();
        let percents = Some(Percents::all(Percent::ZERO));
        let options = ShimOptions { percents, ledger: Some(ledger) };
        let shim = Shim::start(&config(&folder, program, method), options).await.unwrap();
        shim.router().legacy().ready(2).await.unwrap();
        let next = shim.router().next().status();
        for pid in next.workers.iter().filter_map(|worker| worker.pid) {
            let ours = parent(pid) == Some(std::process::id());
            assert_eq!(ours, method == StartMethod::Spawn, "{pid} was started by {method:?}");
        }
        let (callers, submitted) = (RefCell::default(), RefCell::default());
        Self { shim, folder, log, callers, submitted, _logging: logging }
    }

    pub(super) fn side(&self, lane: Lane) -> Side<'_> {
        Side { rig: self, lane }
    }

    pub(super) fn log(&self) -> String {
        self.log.text()
    }

    /// Where a legacy script notes that it was sent SIGUSR1.
    pub(super) fn signalled(&self) -> PathBuf {
        self.folder.path().join(SIGNALLED)
    }

    /// What workers noted of the calls that they executed.
    pub(super) fn executions(&self) -> WorkerLedger {
        WorkerLedger::read(&self.folder.path().join("ledger"), &BTreeSet::new()).unwrap()
    }

    /// Ends both pools; then nothing may be lost, repeated or left behind.
    pub(super) async fn finish(self) {
        self.shim.drain().await;
        for lane in [Lane::V2, Lane::V3] {
            let status = self.side(lane).status();
            assert_eq!((status.live, status.starting, status.in_flight), (0, 0, 0), "{status:?}");
            let submitted = self.submitted.borrow().get(&lane).copied().unwrap_or(0);
            assert_eq!(status.outcomes.values().sum::<u64>(), submitted, "{lane}: {status:?}");
        }
        let audit = Audit::of(&self.callers.borrow(), &self.executions(), |_| false);
        assert!(audit.is_clean(), "{audit:?}");
        for note in fs::read_dir(self.folder.path().join("ledger")).unwrap() {
            let name = note.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
            let pid = name.rsplit('-').next().unwrap().parse().unwrap();
            assert_ne!(state(pid), Some('Z'), "{name} was not reaped");
        }
    }
}

impl<'a> Side<'a> {
    pub(super) fn other(self) -> Self {
        let lane = if self.lane == Lane::V2 { Lane::V3 } else { Lane::V2 };
        Self { lane, ..self }
    }

    /// A file of this lane's own.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.rig.folder.path().join(format!("{name}.{}", self.lane))
    }

    pub(super) fn touch(&self, name: &str) {
        fs::write(self.path(name), "").unwrap();
    }

    /// The workers that start from now on in this lane are born so.
    pub(super) fn births(&self, birth: &str) {
        fs::write(self.path("birth"), birth).unwrap();
    }

    pub(super) fn births_are_good_again(&self) {
        fs::remove_file(self.path("birth")).unwrap();
    }

    /// The Python that workers run, for both lanes.
    pub(super) fn python(&self) -> PathBuf {
        self.rig.folder.path().join("python")
    }

    /// One call, forced into this lane; its name is its own in the lane.
    pub(super) async fn call(
        self,
        name: &str,
        what: Value,
        budget: impl Into<Option<Duration>>,
    ) -> Answer {
        let id = self.id(name);
        let mut args = json!({"tag": id, "file": self.path("file")});
        args.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
        let args = Args::parse(&args.to_string()).unwrap();
        let call = Call::new("strike", args).with_id(&id).unwrap();
        let budget = Some(budget.into().unwrap_or(PATIENCE));
        let call = Call { budget, forced: Some(self.lane), ..call };
        self.rig.callers.borrow_mut().submit(&id);
        *self.rig.submitted.borrow_mut().entry(self.lane).or_default() += 1;
        let routed = self.rig.shim.call(call).await;
        assert_eq!(routed.decision.lane, self.lane, "{id}");
        self.rig.callers.borrow_mut().finish(&id, routed.answer.outcome());
        if let Ok(result) = &routed.answer.result {
            let result: Value = serde_json::from_str(result.get()).unwrap();
            assert_eq!(result["tag"], json!(id), "cross-talk: {result}");
        }
        routed.answer
    }

    /// A call that was begun as [`Self::call`] has been dropped.
    pub(super) fn dropped(self, name: &str) {
        self.rig.callers.borrow_mut().finish(&self.id(name), Outcome::Cancelled);
    }

    fn id(self, name: &str) -> String {
        format!("{}-{name}", self.lane)
    }

    /// Until a worker has begun the call.
    pub(super) async fn begun(self, name: &str) {
        let id = self.id(name);
        let noted = || self.rig.executions().executions().any(|run| run.call_id == id);
        until(&format!("{id} is begun"), noted).await;
    }

    /// Until a worker has said it on stderr.
    pub(super) async fn until_said(self, words: &str) {
        until(words, || self.rig.log().contains(words)).await;
    }

    pub(super) fn status(self) -> PoolStatus {
        match self.lane {
            Lane::V2 => self.rig.shim.router().legacy().status(),
            Lane::V3 => self.rig.shim.router().next().status(),
        }
    }

    pub(super) async fn drain(self, limit: Duration) {
        match self.lane {
            Lane::V2 => self.rig.shim.router().legacy().drain(limit).await,
            Lane::V3 => self.rig.shim.router().next().drain(limit).await,
        }
    }

    pub(super) async fn until(self, what: &str, condition: impl Fn(&PoolStatus) -> bool) {
        until(&format!("{}: {what}: {:?}", self.lane, self.status()), || condition(&self.status()))
            .await;
    }

    /// The processes that the lane has now.
    pub(super) fn pids(self) -> Vec<u32> {
        self.status().workers.iter().filter_map(|worker| worker.pid).collect()
    }

    /// Kills every worker of the lane, and waits until the pool has noticed.
    pub(super) async fn kill_all(self) {
        let pids = self.pids();
        pids.iter().for_each(|pid| send(*pid, Signal::KILL));
        self.noticed(&pids).await;
    }

    /// Kills the worker, and waits until the pool has noticed.
    pub(super) async fn kill(self, victim: Victim) {
        send(victim.pid, Signal::KILL);
        self.noticed(&[victim.pid]).await;
    }

    async fn noticed(self, ended: &[u32]) {
        self.until("it is noticed", |status| {
            let mut pids = status.workers.iter().filter_map(|worker| worker.pid);
            !pids.any(|pid| ended.contains(&pid))
        })
        .await;
    }

    /// The process that rests at its birth, once there is one.
    pub(super) async fn newborn(self) -> u32 {
        let resting = || fs::read_to_string(self.path("resting")).unwrap_or_default();
        until("a worker is being born", || resting().ends_with('\n')).await;
        resting().trim().parse().unwrap()
    }

    /// When the starts of a slot failed, by slot.
    pub(super) fn failures(self) -> BTreeMap<String, Vec<SystemTime>> {
        let mut failures = BTreeMap::<String, Vec<SystemTime>>::new();
        let failed = format!("worker did not start lane={} worker=", self.lane);
        for line in self.rig.log().lines() {
            let Some((before, after)) = line.split_once(&failed) else { continue };
            let at = before.split_whitespace().next().unwrap();
            let slot = after.split('.').next().unwrap().to_owned();
            failures.entry(slot).or_default().push(humantime::parse_rfc3339(at).unwrap());
        }
        failures
    }

    /// Until what happens to the slot's worker has this name in the status.
    pub(super) async fn slot_is(self, victim: Victim, state: &str) {
        let slot = victim.worker.slot as usize;
        self.until(state, |status| status.workers[slot].health_status == state).await;
    }

    /// How the worker ended, if it did: what the log says of it. Waits until nothing is under way.
    pub(super) async fn end_of(self, victim: Victim) -> Option<String> {
        let quiet = ["idle", "busy", "vacant"];
        self.until("nothing is under way", |status| {
            status.workers.iter().all(|worker| quiet.contains(&&*worker.health_status))
        })
        .await;
        let Victim { worker, pid } = victim;
        let start = format!("worker ended lane={} worker={worker} exit=", self.lane);
        let log = self.rig.log();
        let ends = log.lines().filter_map(|line| line.split_once(&start));
        let ends: Vec<&str> = ends.map(|(_, exit)| exit).collect();
        assert!(ends.len() < 2, "{worker} ended twice: {ends:?}");
        let lives = self.pids().contains(&pid);
        assert_eq!(lives, ends.is_empty(), "{}: {pid} lives and ended: {log}", self.lane);
        ends.first().map(|exit| (*exit).to_owned())
    }
}

fn config(folder: &TempDir, program: WorkerProgram, method: StartMethod) -> Config {
    let mut config = Config::default();
    (config.v2.size, config.v3.size, config.v3.min_ready) = (2, 2, 2);
    config.v3.max_starting = 1;
    (config.v2.startup_timeout, config.v3.startup_timeout) = (STARTUP, STARTUP);
    config.v3.queue_timeout = PATIENCE;
    config.worker.drain_timeout = PATIENCE;
    config.worker.program = program;
    config.worker.start_method = method;
    config.worker.python_path = folder.path().join("python").display().to_string();
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let signalled = folder.path().join(SIGNALLED).display().to_string();
    let folder = folder.path().display().to_string();
    for (name, value) in
        [("PYTHONPATH", fixtures.to_owned()), ("FAULTY", folder), ("SIGNALLED", signalled)]
    {
        config.worker.env.insert(name.to_owned(), value);
    }
    config
}

/// Waits for a condition.
pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    let held = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await; // polls a condition
        }
    };
    let held = tokio::time::timeout(PATIENCE, held).await;
    assert!(held.is_ok(), "not within {PATIENCE:?}: {what}");
}

/// Waits for a condition, and lets nothing else of this thread run meanwhile.
pub(super) fn block_until(what: &str, condition: impl Fn() -> bool) {
    let clock = Clock::start();
    while !condition() {
        assert!(clock.now().since(Moment::ZERO) < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::yield_now();
    }
}

pub(super) fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// The letter that the kernel has for what the process does; none if there is no process.
pub(super) fn state(pid: u32) -> Option<char> {
    stat(pid)?.chars().next()
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.split_whitespace().nth(1)?.parse().ok()
}

/// `/proc/PID/stat` from the state on.
fn stat(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.to_owned())
}
