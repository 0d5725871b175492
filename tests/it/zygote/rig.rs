//! Workers of the app of `tests/fixtures/forked.py`, one by one or in a pool.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use poolshift::clock::Clock;
use poolshift::config::{Config, StartMethod, WorkerProgram};
use poolshift::v3_pool::V3Pool;
use poolshift::worker::link::{Link, Progress};
use poolshift::worker::process::ProcessSpawner;
use poolshift::worker::wire::Outgoing;
use poolshift::worker::{Process, SpawnedBy, Spawner};
use poolshift::{Args, Lane, Pool, WorkerId, shim};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::soon;

/// A folder, and workers of the app of `tests/fixtures/forked.py`.
pub(super) struct Rig {
    folder: TempDir,
    pub(super) config: Config,
}

impl Rig {
    pub(super) fn new(method: StartMethod) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        (config.v3.size, config.v3.min_ready) = (2, 2);
        config.worker.program = WorkerProgram::App("forked".to_owned());
        config.worker.start_method = method;
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures").to_owned();
        let notes = folder.path().join("imports").display().to_string();
        for (name, value) in [("PYTHONPATH", fixtures), ("FORKED_NOTES", notes)] {
            config.worker.env.insert(name.to_owned(), value);
        }
        Self { folder, config }
    }

    pub(super) fn with_fault(mut self, fault: &str) -> Self {
        self.config.worker.env.insert("FORKED_FAULT".to_owned(), fault.to_owned());
        self
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The processes that have imported the app so far.
    pub(super) fn imports(&self) -> Vec<u32> {
        let notes = fs::read_to_string(self.path("imports")).unwrap_or_default();
        notes.lines().map(|line| line.parse().unwrap()).collect()
    }

    pub(super) fn spawner(&self) -> ProcessSpawner {
        shim::spawner(&self.config, Lane::V3, None).unwrap()
    }

    pub(super) async fn pool(&self) -> Result<V3Pool, String> {
        let (clock, sessions) = (Clock::start(), shim::sessions(&self.config));
        let Config { v3, worker, .. } = &self.config;
        let pool = V3Pool::start(v3, worker, self.spawner(), sessions, clock).await;
        pool.map_err(|error| error.to_string())
    }

    /// Until so many processes have imported the app; gives the last.
    pub(super) async fn imported(&self, times: usize) -> u32 {
        soon(async {
            while self.imports().len() < times {
                tokio::time::sleep(Duration::from_millis(2)).await; // polls a condition
            }
        })
        .await;
        *self.imports().last().unwrap()
    }
}

/// A worker, and the means to talk with it.
pub(super) struct Forked {
    pub(super) link: Link<<ProcessSpawner as Spawner>::Reader, <ProcessSpawner as Spawner>::Writer>,
    pub(super) process: <ProcessSpawner as Spawner>::Process,
}

impl Forked {
    pub(super) async fn by(spawner: &ProcessSpawner, slot: u32) -> Self {
        let spawned = soon(spawner.spawn(WorkerId { slot, generation: 1 })).await;
        let SpawnedBy::<ProcessSpawner> { reader, writer, process } = spawned.unwrap();
        Self { link: Link::new(reader, writer, 1 << 20), process }
    }

    pub(super) async fn send(&mut self, command: &str, args: Value) {
        let args = Args::parse(&args.to_string()).unwrap();
        self.link.prepare(Outgoing::own(command, &args)).unwrap();
        self.link.send(&Progress::default()).await.unwrap();
    }

    pub(super) async fn ask(&mut self, command: &str) -> Value {
        self.send(command, json!({})).await;
        let reply = soon(self.link.receive()).await.unwrap();
        serde_json::from_str(reply.result.unwrap().get()).unwrap()
    }

    pub(super) async fn exited(&self) -> String {
        soon(self.process.exited()).await
    }
}

pub(super) fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

pub(super) fn exists(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

pub(super) fn parent_of(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap()
}

pub(super) fn pids(pool: &V3Pool) -> Vec<u32> {
    pool.status().workers.iter().filter_map(|worker| worker.pid).collect()
}

/// Until two workers are ready, none of which is this process.
pub(super) async fn replaced(pool: &V3Pool, pid: u32) {
    soon(async {
        while pool.status().ready < 2 || pids(pool).contains(&pid) {
            tokio::time::sleep(Duration::from_millis(2)).await; // polls a condition
        }
    })
    .await;
}
