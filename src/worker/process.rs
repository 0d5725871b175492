//! Python processes as the pools see them.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::process::{Signal as UnixSignal, getppid, set_parent_process_death_signal};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::pool::WorkerId;
use crate::worker::command::WorkerCommand;
use crate::worker::guardian::Guardian;
use crate::worker::leader::Leader;
use crate::worker::pipe::{PipeReader, PipeWriter, register};
use crate::worker::stderr;
use crate::worker::tail::Tail;
use crate::worker::threads::on_spawner_thread;
use crate::worker::zygote::{Warmth, Zygote};
use crate::worker::{Process, Signal, Spawned, SpawnedBy, Spawner};

/// What ends a stack dump of our runtime: the outermost frame of its main thread, which the
/// interpreter writes last.
const LAST_FRAME: &str = "_run_module_as_main";

/// What begins it: the head of a thread's stack.
const FIRST_LINES: [&str; 2] = ["Thread 0x", "Current thread 0x"];

/// What ends it instead when there are more than 100 frames.
const CUT_SHORT: &str = "...";

/// Starts Python workers.
#[derive(Clone, Debug)]
pub struct ProcessSpawner {
    command: Arc<WorkerCommand>,
    /// Started before the first process, and kept until the last clone is gone.
    guardian: Arc<OnceLock<Arc<Guardian>>>,
    stderr_through: bool,
    /// What forks them, if anything does.
    zygote: Option<Arc<Zygote>>,
}

impl ProcessSpawner {
    /// Starts workers by this command line.
    #[must_use]
    pub fn new(command: WorkerCommand) -> Self {
        let (command, guardian) = (Arc::new(command), Arc::default());
        Self { command, guardian, stderr_through: false, zygote: None }
    }

    /// Workers are forked from a parent that has imported the command's app, and not started one
    /// by one. The command must be for an app.
    #[must_use]
    pub fn warmed(self, warmth: Warmth) -> Self {
        let (command, guardian) = (Arc::clone(&self.command), Arc::clone(&self.guardian));
        let zygote = Zygote::new(command, guardian, warmth, self.stderr_through);
        Self { zygote: Some(Arc::new(zygote)), ..self }
    }

    /// Whether every line that a worker writes to stderr is logged, floods too.
    #[must_use]
    pub fn passing_stderr_through(self, stderr_through: bool) -> Self {
        Self { stderr_through, ..self }
    }

    async fn start(&self, worker: WorkerId) -> Result<(Leader, Pipes), String> {
        let (command, guardian) = (self.command.for_worker(worker), Arc::clone(&self.guardian));
        let python = self.command.python_path.clone();
        let start = move || start_worker(command, Guardian::kept_in(&guardian, &python)?);
        // Dropped here: the spawner thread finds nobody to give the process to, and ends it.
        let started = on_spawner_thread(start).await;
        started.map_err(|error| explain(&error))
    }

    async fn fork(
        &self,
        zygote: &Arc<Zygote>,
        worker: WorkerId,
    ) -> Result<(Leader, Pipes), String> {
        match zygote.fork(worker).await {
            Err(cause) if zygote.may_spawn() => {
                tracing::debug!(%worker, cause, "spawned, since it cannot be forked");
                self.start(worker).await
            }
            forked => forked,
        }
    }
}

impl Spawner for ProcessSpawner {
    type Reader = PipeReader;
    type Writer = PipeWriter;
    type Process = PythonProcess;

    async fn spawn(&self, worker: WorkerId) -> Result<SpawnedBy<Self>, String> {
        let (leader, pipes) = match &self.zygote {
            Some(zygote) => self.fork(zygote, worker).await?,
            None => self.start(worker).await?,
        };
        let adopted = adopt(leader, pipes, worker, self.stderr_through);
        adopted.map_err(|error| explain(&error))
    }

    fn command_line(&self) -> String {
        self.command.to_string()
    }

    fn keeps_ledger(&self) -> bool {
        self.command.ledger.is_some()
    }
}

pub(super) fn explain(error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "; no such program; check [worker] python_path",
        io::ErrorKind::PermissionDenied => {
            "; the program may not be executed; check [worker] python_path"
        }
        _ => match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => "; raise `ulimit -n`",
            Some(rustix::io::Errno::AGAIN) => "; raise `ulimit -u` or the cgroup's pids.max",
            _ => "",
        },
    };
    format!("{error}{hint}")
}

/// The host's ends of a worker's pipes.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) requests: OwnedFd,
    pub(super) replies: OwnedFd,
    pub(super) errors: OwnedFd,
}

fn start_worker(mut command: Command, guardian: &Arc<Guardian>) -> io::Result<(Leader, Pipes)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (leader, mut child) = Leader::start(command, guardian)?;
    let pipes = Pipes {
        requests: child.stdin.take().expect("stdin is piped").into(),
        replies: child.stdout.take().expect("stdout is piped").into(),
        errors: child.stderr.take().expect("stderr is piped").into(),
    };
    Ok((leader, pipes))
}

/// Takes the pipes over into this runtime.
fn adopt(
    leader: Leader,
    pipes: Pipes,
    worker: WorkerId,
    stderr_through: bool,
) -> io::Result<SpawnedBy<ProcessSpawner>> {
    let writer = PipeWriter::new(pipes.requests)?;
    let reader = PipeReader::new(pipes.replies)?;
    let process = PythonProcess::new(leader, pipes.errors, worker, stderr_through)?;
    Ok(Spawned { reader, writer, process })
}

/// R17: the kernel kills the process when the thread that forked it ends, which is the spawner
/// thread, which ends with the host.
pub(super) fn die_with_the_host(command: &mut Command) {
    let host = rustix::process::getpid();
    before_exec(command, move || {
        set_parent_process_death_signal(Some(UnixSignal::KILL))?;
        // The host may have died between fork and prctl; then no signal will come any more.
        if getppid() == Some(host) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    });
}

/// Runs `hook` in the child between fork and exec, where it may make system calls and nothing
/// else: no allocation, no lock.
#[expect(unsafe_code, reason = "pre_exec is the only way to run code between fork and exec")]
pub(super) fn before_exec(
    command: &mut Command,
    hook: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; both hooks make
    // system calls (prctl and getppid; setsid) and allocate nothing.
    unsafe {
        command.pre_exec(hook);
    }
}

/// A started Python process.
#[derive(Debug)]
pub struct PythonProcess {
    leader: AsyncFd<Leader>,
    /// How it ended; set when it has been reaped.
    exit: watch::Sender<Option<String>>,
    tail: Arc<Tail>,
    /// Where its stack dump begins in the tail, if it was asked for one.
    dumped: OnceLock<u64>,
}

impl PythonProcess {
    /// Watches a process, and drains its stderr under the name `who`.
    pub(super) fn new(
        leader: Leader,
        errors: OwnedFd,
        who: impl fmt::Display,
        stderr_through: bool,
    ) -> io::Result<Self> {
        let errors = PipeReader::new(errors)?;
        let log = stderr::Log::new(who, leader.pid(), stderr_through);
        let leader = register(leader)?;
        let (exit, tail) = (watch::Sender::new(None), Arc::new(Tail::new()));
        tokio::spawn(stderr::drain(errors, log, Arc::clone(&tail), exit.subscribe()));
        Ok(Self { leader, exit, tail, dumped: OnceLock::new() })
    }
}

impl Process for PythonProcess {
    fn pid(&self) -> Option<u32> {
        u32::try_from(self.leader.get_ref().pid().as_raw_pid()).ok()
    }

    fn signal(&self, signal: Signal) {
        let signal = match signal {
            Signal::Terminate => UnixSignal::TERM,
            Signal::Kill => UnixSignal::KILL,
        };
        self.leader.get_ref().signal_group(signal);
    }

    fn state(&self) -> Option<String> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", Process::pid(self)?)).ok()?;
        // The name before it may hold anything, parentheses too.
        let letter = stat.rsplit_once(") ")?.1.chars().next()?;
        Some(match letter {
            'R' => "running".to_owned(),
            'S' => "sleeping".to_owned(),
            'D' => "waiting for a device".to_owned(),
            'T' => "stopped by a signal".to_owned(),
            't' => "stopped by a debugger".to_owned(),
            other => format!("in state {other}"),
        })
    }

    async fn dump_stacks(&self, limit: Duration) -> Vec<String> {
        let mark = self.tail.mark();
        self.leader.get_ref().signal_alone(UnixSignal::USR1);
        let complete = |lines: &[String]| {
            let cut_short = lines.last().is_some_and(|line| line.trim() == CUT_SHORT);
            cut_short || lines.iter().any(|line| line.contains(LAST_FRAME))
        };
        // Past the limit, what has come is better than nothing.
        let _ = tokio::time::timeout(limit, self.tail.wait_since(mark, complete)).await;
        let mut stacks = self.tail.since(mark);
        // What it says while it is asked is none.
        let first =
            stacks.iter().position(|line| FIRST_LINES.iter().any(|it| line.starts_with(it)));
        stacks.drain(..first.unwrap_or(stacks.len()));
        self.dumped.get_or_init(|| self.tail.mark() - stacks.len() as u64);
        stacks
    }

    async fn exited(&self) -> String {
        let mut exit = self.exit.subscribe();
        if exit.borrow().is_none() {
            match self.leader.readable().await {
                Ok(_) => self.leader.get_ref().reap(&self.exit),
                Err(error) => {
                    self.exit.send_replace(Some(format!("cannot be waited for: {error}")));
                }
            }
        }
        // Dropped here: it is being reaped all the same.
        let exit = exit.wait_for(Option::is_some).await.expect("its sender is borrowed").clone();
        self.tail.closed().await;
        exit.expect("it was waited for")
    }

    fn abandon(&self) {
        if self.leader.get_ref().abandon() {
            self.exit.send_replace(Some("killed, since nobody waited for it".to_owned()));
            self.tail.close();
        }
    }

    fn resident_bytes(&self) -> Option<u64> {
        // The kernel counts these without waiting for anybody.
        let statm = |pid| std::fs::read_to_string(format!("/proc/{pid}/statm"));
        let statm = self.leader.get_ref().while_it_lives(statm)?;
        let pages: u64 = statm.ok()?.split_whitespace().nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size() as u64)
    }

    fn stderr_tail(&self) -> String {
        self.tail.quote(self.dumped.get().copied())
    }
}
