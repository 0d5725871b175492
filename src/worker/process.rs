//! Workers' processes: the only file that starts, signals and reaps one.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal as UnixSignal, WaitId, WaitIdOptions, WaitIdStatus, getppid,
    kill_process_group, pidfd_open, pidfd_send_signal, set_parent_process_death_signal, waitid,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::pool::WorkerId;
use crate::worker::command::WorkerCommand;
use crate::worker::guardian::{Guarded, Guardian, MARK};
use crate::worker::pipe::{PipeReader, PipeWriter, register};
use crate::worker::stderr;
use crate::worker::tail::Tail;
use crate::worker::threads::{on_reaper_thread, on_spawner_thread};
use crate::worker::{Process, Signal, Spawned, SpawnedBy, Spawner};

/// Why reaping cannot fail for want of a thread.
const REAPER: &str = "its thread is there before the first process is";

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
    /// Started before the first worker, and kept until the last clone is gone.
    guardian: Arc<OnceLock<Arc<Guardian>>>,
    stderr_through: bool,
}

impl ProcessSpawner {
    /// Starts workers by this command line.
    #[must_use]
    pub fn new(command: WorkerCommand) -> Self {
        let (command, guardian) = (Arc::new(command), Arc::default());
        Self { command, guardian, stderr_through: false }
    }

    /// Whether every line that a worker writes to stderr is logged, floods too.
    #[must_use]
    pub fn passing_stderr_through(self, stderr_through: bool) -> Self {
        Self { stderr_through, ..self }
    }
}

impl Spawner for ProcessSpawner {
    type Reader = PipeReader;
    type Writer = PipeWriter;
    type Process = PythonProcess;

    async fn spawn(&self, worker: WorkerId) -> Result<SpawnedBy<Self>, String> {
        let (command, guardian) = (self.command.for_worker(worker), Arc::clone(&self.guardian));
        let python = self.command.python_path.clone();
        let start = move || {
            // Before the first fork: from then on a process can always be waited for.
            on_reaper_thread(|| {})?;
            let guardian = match guardian.get() {
                Some(guardian) => guardian,
                // The only thread that sets it is this one.
                None => {
                    let started = Guardian::of_this_process(&python)?;
                    guardian.get_or_init(|| started)
                }
            };
            Newborn::start(command, guardian)
        };
        // Dropped here: the spawner thread finds nobody to give the process to, and ends it.
        let newborn = on_spawner_thread(start).await;
        let mut newborn = newborn.map_err(|error| explain(&error))?;
        adopt(&mut newborn, worker, self.stderr_through).map_err(|error| explain(&error))
    }

    fn command_line(&self) -> String {
        self.command.to_string()
    }

    fn keeps_ledger(&self) -> bool {
        self.command.ledger.is_some()
    }
}

fn explain(error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "; no such program",
        io::ErrorKind::PermissionDenied => "; the program may not be executed",
        _ => match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => "; raise `ulimit -n`",
            Some(rustix::io::Errno::AGAIN) => "; raise `ulimit -u` or the cgroup's pids.max",
            _ => "",
        },
    };
    format!("{error}{hint}")
}

/// A process that nobody has taken over. Its drop ends and reaps it.
struct Newborn {
    child: Option<(Child, OwnedFd, Guarded)>,
}

impl Newborn {
    fn start(mut command: Command, guardian: &Arc<Guardian>) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        command.env(MARK, guardian.mark());
        die_with_the_host(&mut command);
        let child = command.spawn()?;
        let guarded = guardian.guard(pid_of(&child));
        match pidfd_open(pid_of(&child), PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { child: Some((child, pidfd, guarded)) }),
            Err(error) => {
                end_at_once(child, guarded);
                Err(error.into())
            }
        }
    }
}

impl Drop for Newborn {
    fn drop(&mut self) {
        if let Some((child, _, guarded)) = self.child.take() {
            end_at_once(child, guarded);
        }
    }
}

fn end_at_once(mut child: Child, guarded: Guarded) {
    // It is unreaped, so its group's id cannot belong to anyone else.
    let _ = kill_process_group(pid_of(&child), UnixSignal::KILL);
    drop(guarded);
    on_reaper_thread(move || drop(child.wait())).expect(REAPER);
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// R17: the kernel kills the worker when the thread that forked it ends, which is the spawner
/// thread, which ends with the host.
fn die_with_the_host(command: &mut Command) {
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

/// Takes the pipes over into this runtime; from here on the handle owns the process.
fn adopt(
    newborn: &mut Newborn,
    worker: WorkerId,
    stderr_through: bool,
) -> io::Result<SpawnedBy<ProcessSpawner>> {
    let (child, ..) = newborn.child.as_mut().expect("a newborn is adopted once");
    let writer = PipeWriter::new(child.stdin.take().expect("stdin is piped").into())?;
    let reader = PipeReader::new(child.stdout.take().expect("stdout is piped").into())?;
    let errors = PipeReader::new(child.stderr.take().expect("stderr is piped").into())?;
    let (_, pidfd, _) = newborn.child.as_ref().expect("a newborn is adopted once");
    let pidfd = register(pidfd.try_clone()?)?;
    let (child, _, guarded) = newborn.child.take().expect("a newborn is adopted once");
    let pid = pid_of(&child);
    let exit = watch::Sender::new(None);
    let tail = Arc::new(Tail::new());
    let log = stderr::Log::new(worker, child.id(), stderr_through);
    tokio::spawn(stderr::drain(errors, log, Arc::clone(&tail), exit.subscribe()));
    let (guarded, dumped) = (Mutex::new(Some(guarded)), OnceLock::new());
    let process = PythonProcess { pid, pidfd, exit, guarded, tail, dumped };
    Ok(Spawned { reader, writer, process })
}

/// A started Python process.
#[derive(Debug)]
pub struct PythonProcess {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    /// How it ended; set when it has been reaped.
    exit: watch::Sender<Option<String>>,
    /// Locked while it is reaped or signalled, so that no signal meets a reused id; given up
    /// right before it is reaped, here or on the reaper thread.
    guarded: Mutex<Option<Guarded>>,
    tail: Arc<Tail>,
    /// Where its stack dump begins in the tail, if it was asked for one.
    dumped: OnceLock<u64>,
}

impl PythonProcess {
    /// R2: pidfd readable, kill what is left of the group, then reap; in this order, since the
    /// unreaped leader is what keeps the group's id from being reused.
    fn reap(&self) -> io::Result<()> {
        let mut guarded = self.guarded.lock().expect("nothing panics while it holds this lock");
        if self.exit.borrow().is_some() {
            return Ok(());
        }
        if let Some(guarded) = guarded.take() {
            let _ = kill_process_group(self.pid, UnixSignal::KILL);
            drop(guarded);
        }
        let pidfd = WaitId::PidFd(std::os::fd::AsFd::as_fd(self.pidfd.get_ref()));
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        if let Some(status) = waitid(pidfd, options)? {
            self.exit.send_replace(Some(describe(status)));
        }
        Ok(())
    }

    fn try_signal(&self, signal: impl FnOnce() -> rustix::io::Result<()>) {
        let guarded = self.guarded.lock().expect("nothing panics while it holds this lock");
        if guarded.is_some()
            && let Err(error) = signal()
        {
            tracing::debug!(pid = self.pid.as_raw_nonzero(), %error, "cannot signal");
        }
    }
}

impl Process for PythonProcess {
    fn pid(&self) -> Option<u32> {
        u32::try_from(self.pid.as_raw_nonzero().get()).ok()
    }

    fn signal(&self, signal: Signal) {
        let signal = match signal {
            Signal::Terminate => UnixSignal::TERM,
            Signal::Kill => UnixSignal::KILL,
        };
        self.try_signal(|| kill_process_group(self.pid, signal));
    }

    fn state(&self) -> Option<String> {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero())).ok()?;
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
        self.try_signal(|| pidfd_send_signal(self.pidfd.get_ref(), UnixSignal::USR1));
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
        loop {
            let exit = self.exit.borrow().clone();
            if let Some(exit) = exit {
                self.tail.closed().await;
                return exit;
            }
            // A pidfd stays readable once its process has ended.
            let waited = match self.pidfd.readable().await {
                Ok(_) => self.reap(),
                Err(error) => Err(error),
            };
            if let Err(error) = waited {
                self.exit.send_replace(Some(format!("cannot be waited for: {error}")));
            }
        }
    }

    fn resident_bytes(&self) -> Option<u64> {
        let _guarded = self.guarded.lock().expect("nothing panics while it holds this lock");
        // A reaped process's id may be another's by now.
        let statm = self.exit.borrow().is_none().then(|| {
            // The kernel counts these without waiting for anybody.
            std::fs::read_to_string(format!("/proc/{}/statm", self.pid.as_raw_nonzero()))
        })?;
        let pages: u64 = statm.ok()?.split_whitespace().nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size() as u64)
    }

    fn abandon(&self) {
        let mut guarded = self.guarded.lock().expect("nothing panics while it holds this lock");
        let Some(guarded) = guarded.take() else { return };
        let _ = kill_process_group(self.pid, UnixSignal::KILL);
        drop(guarded);
        let pid = self.pid;
        // By its id: it is our unreaped child, so the id is still its own.
        on_reaper_thread(move || {
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
        })
        .expect(REAPER);
        self.exit.send_replace(Some("killed, since nobody waited for it".to_owned()));
        self.tail.close();
    }

    fn stderr_tail(&self) -> String {
        self.tail.quote(self.dumped.get().copied())
    }
}

impl Drop for PythonProcess {
    fn drop(&mut self) {
        self.abandon();
    }
}

fn describe(status: WaitIdStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by {}", signal_name(signal)),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

fn signal_name(signal: i32) -> String {
    // The standard library knows the names, and prints "signal: 9 (SIGKILL)".
    let text = ExitStatus::from_raw(signal).to_string();
    let name = text.split(['(', ')']).nth(1).filter(|name| name.starts_with("SIG"));
    name.map_or_else(|| format!("signal {signal}"), ToOwned::to_owned)
}
