//! Real processes: how they end, what they leave, and what is told of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use poolshift::worker::command::{Program, WorkerCommand};
use poolshift::worker::process::ProcessSpawner;
use poolshift::worker::{Process, Signal, SpawnedBy, Spawner};
use poolshift::{Lane, WorkerId};
use tokio::io::AsyncReadExt;

const WORKER: WorkerId = WorkerId { slot: 0, generation: 1 };

/// Longer than anything here takes on a loaded machine: a limit, not a wait.
const PATIENCE: Duration = Duration::from_secs(20);

fn python(code: &str) -> WorkerCommand {
    WorkerCommand {
        lane: Lane::V3,
        python_path: "python3".to_owned(),
        python_args: vec!["-u".to_owned(), "-c".to_owned()],
        program: Program::Script { script: code.to_owned(), args: Vec::new() },
        env: BTreeMap::new(),
        ledger: None,
    }
}

async fn spawn(code: &str) -> SpawnedBy<ProcessSpawner> {
    ProcessSpawner::new(python(code)).spawn(WORKER).await.unwrap()
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes far less than this")
}

/// Waits until no process has this id, or only one that nobody has reaped yet.
pub(crate) async fn gone(pid: u32) {
    let stat = format!("/proc/{pid}/stat");
    soon(async {
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(5)).await; // polls a condition
        }
    })
    .await;
}

/// Reads a number that the process prints as its first line.
async fn printed(spawned: &mut SpawnedBy<ProcessSpawner>) -> u32 {
    let mut text = String::new();
    while !text.ends_with('\n') {
        let byte = soon(spawned.reader.read_u8()).await.unwrap();
        text.push(char::from(byte));
    }
    text.trim().parse().unwrap()
}

#[tokio::test]
async fn r2_the_exit_says_how_it_ended() {
    for (code, exit) in [
        ("pass", "exit status 0"),
        ("import sys; sys.exit(3)", "exit status 3"),
        ("import os; os.abort()", "killed by SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
    ] {
        let spawned = spawn(code).await;
        assert_eq!(soon(spawned.process.exited()).await, exit, "{code}");
        assert_eq!(soon(spawned.process.exited()).await, exit, "any number of times");
    }
}

#[tokio::test]
async fn r2_a_signal_reaches_the_whole_group_and_none_reaches_a_reaped_one() {
    let family = "import os, subprocess, sys\n\
                  child = subprocess.Popen(['sleep', '1000'])\n\
                  print(child.pid)\n\
                  child.wait()\n";
    let mut spawned = spawn(family).await;
    let grandchild = printed(&mut spawned).await;
    spawned.process.signal(Signal::Kill);
    assert_eq!(soon(spawned.process.exited()).await, "killed by SIGKILL");
    gone(grandchild).await;
    // Its process id may be anybody's now.
    spawned.process.signal(Signal::Kill);
}

#[tokio::test]
async fn r2_an_exit_is_seen_though_a_grandchild_holds_the_pipes_and_the_group_is_ended() {
    let orphan = "import subprocess\n\
                  print(subprocess.Popen(['sleep', '1000']).pid)\n";
    let mut spawned = spawn(orphan).await;
    let grandchild = printed(&mut spawned).await;
    assert_eq!(soon(spawned.process.exited()).await, "exit status 0");
    gone(grandchild).await;
}

#[tokio::test]
async fn r2_an_exit_is_seen_though_a_daemon_floods_the_stderr_that_it_inherited() {
    let daemon = "import os, subprocess\n\
                  child = subprocess.Popen(['sh', '-c', 'yes >&2'], start_new_session=True)\n\
                  os.write(2, b'the last words\\n')\n\
                  print(child.pid)\n";
    let mut spawned = spawn(daemon).await;
    let daemon = printed(&mut spawned).await;
    // Ten workers' worth of what a pipe holds have been read when it ends.
    assert_eq!(soon(spawned.process.exited()).await, "exit status 0");
    let pid = rustix::process::Pid::from_raw(i32::try_from(daemon).unwrap()).unwrap();
    rustix::process::kill_process_group(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_flood_on_stderr_neither_blocks_the_worker_nor_fills_the_host() {
    let flood = "import sys\n\
                 for n in range(1600): sys.stderr.write('x' * 65535 + '\\n')\n\
                 sys.stderr.write('the last words\\n')\n";
    let spawned = spawn(flood).await;
    assert_eq!(soon(spawned.process.exited()).await, "exit status 0");
    let tail = spawned.process.stderr_tail();
    assert!(tail.ends_with("the last words") && tail.len() < 100_000, "{} bytes", tail.len());
}

#[tokio::test]
async fn dropping_the_handle_ends_and_reaps_the_process() {
    let mut spawned = spawn("import os, signal; print(os.getpid()); signal.pause()").await;
    let pid = printed(&mut spawned).await;
    assert_eq!(spawned.process.pid(), Some(pid));
    drop(spawned);
    let status = format!("/proc/{pid}");
    soon(async {
        // Gone altogether: a zombie would still be there.
        while Path::new(&status).exists() {
            tokio::time::sleep(Duration::from_millis(5)).await; // polls a condition
        }
    })
    .await;
}

/// A host of its own that is signalled while its worker is in a call, and the process ids of the
/// worker and of its child.
async fn signalled(signal: rustix::process::Signal) -> (Option<i32>, u32, u32) {
    let tool = crate::tool::Tool::new();
    let notes = tool.path("pids");
    let app = format!(
        "import os, pathlib, subprocess\nfrom poolshift_worker.apps.demo import *\n\
         child = subprocess.Popen(['sleep', '1000'])\n\
         pathlib.Path({notes:?}).write_text(f'{{os.getpid()}} {{child.pid}}.')\n"
    );
    tool.write("noting.py", &app);
    let mut host = tool.command(&["call", "sleep", r#"{"ms": 600000}"#, "--pool", "v3"]);
    host.env("POOLSHIFT__WORKER__APP", "noting").env("PYTHONPATH", tool.path(""));
    host.env("POOLSHIFT__WORKER__DRAIN_TIMEOUT", "1ms");
    let mut host = host.spawn().unwrap();
    let (worker, child) = soon(async {
        loop {
            let text = std::fs::read_to_string(&notes).unwrap_or_default();
            match text.strip_suffix('.').and_then(|pids| pids.split_once(' ')) {
                Some((worker, child)) => return (worker.parse().unwrap(), child.parse().unwrap()),
                None => tokio::time::sleep(Duration::from_millis(5)).await, // polls a condition
            }
        }
    })
    .await;
    let pid = rustix::process::Pid::from_child(&host);
    rustix::process::kill_process(pid, signal).unwrap();
    (host.wait().unwrap().code(), worker, child)
}

#[tokio::test]
async fn r17_workers_die_with_their_host() {
    let (_, worker, child) = signalled(rustix::process::Signal::KILL).await;
    gone(worker).await;
    gone(child).await;
}

#[tokio::test]
async fn r7_an_interrupted_host_takes_its_workers_and_their_children_along() {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let (code, worker, child) = signalled(signal).await;
        assert_eq!(code, Some(130));
        gone(worker).await;
        gone(child).await;
    }
}

#[tokio::test]
async fn workers_inherit_none_of_each_others_pipes() {
    let count = "import os; print(len(os.listdir('/proc/self/fd')))";
    // What the test's own parent left open is in both counts.
    let alone = printed(&mut spawn(count).await).await;
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(spawn("import signal; signal.pause()").await);
    }
    assert_eq!(printed(&mut spawn(count).await).await, alone);
}

#[tokio::test]
async fn the_environment_caps_numeric_threads_unless_it_is_set() {
    let code = "import os; print(os.environ['OMP_NUM_THREADS'] + os.environ['MKL_NUM_THREADS'])";
    let env = [("MKL_NUM_THREADS".to_owned(), "7".to_owned())].into();
    let command = WorkerCommand { env, ..python(code) };
    let mut spawned = ProcessSpawner::new(command).spawn(WORKER).await.unwrap();
    assert_eq!(printed(&mut spawned).await, 17);
}

#[tokio::test]
async fn what_cannot_be_spawned_says_why() {
    for (path, part) in [("/no/such/python", "no such program"), ("/etc", "may not be executed")] {
        let command = WorkerCommand { python_path: path.to_owned(), ..python("") };
        let error = ProcessSpawner::new(command).spawn(WORKER).await.unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}
