//! R17: the process that ends what workers leave behind when the host can do nothing any more.
//!
//! The kernel kills workers with their host, but not the workers' children. The guardian is a
//! small Python process (`python/poolshift_worker/guardian.py`) in a session of its own. It reads
//! a pipe that only the host writes, is told each worker's process group, and acts when the pipe
//! ends, which is when the host does, however that came.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, Weak, mpsc};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, setsid};

use crate::machine::backoff::Backoff;
use crate::worker::process::before_exec;

/// By this variable the guardian finds those who left their worker's group.
pub(super) const MARK: &str = "POOLSHIFT_GUARDED";

const SOURCE: &str = include_str!("../../python/poolshift_worker/guardian.py");

/// What it says once it is up.
const READY: &[u8] = b"ready\n";

/// The configured interpreter may be a wrapper that does not take these arguments.
const FALLBACK: &str = "python3";

/// The guardian of this process's workers: there is one for as long as a pool or a worker is.
/// Dropping it ends it, and with it whatever still carries its mark.
#[derive(Debug)]
pub(super) struct Guardian {
    post: Arc<Post>,
}

/// A worker's group, as the guardian knows it. Dropped before the worker is reaped: from then on
/// the group's id may be anybody's.
#[derive(Debug)]
pub(super) struct Guarded {
    guardian: Arc<Guardian>,
    group: Pid,
}

/// What the guardian and the thread that watches it share.
#[derive(Debug)]
struct Post {
    mark: String,
    /// What may run it, in the order in which it is tried.
    pythons: [PathBuf; 2],
    watch: Mutex<Watch>,
    /// Rung when nobody needs a guardian any more.
    closed: Condvar,
}

#[derive(Debug, Default)]
struct Watch {
    /// None while there is none.
    line: Option<Line>,
    groups: BTreeSet<i32>,
    closed: bool,
}

/// The way to one guardian process.
#[derive(Debug)]
struct Line {
    writer: OwnedFd,
    /// Held, so that writing to a guardian that has died is no error and no SIGPIPE.
    _reader: OwnedFd,
    pidfd: OwnedFd,
}

impl Guardian {
    /// This process's guardian; started if there is none, by `python` if that can.
    ///
    /// # Errors
    /// If there is no room for the thread that watches it.
    pub(super) fn of_this_process(python: &str) -> io::Result<Arc<Self>> {
        static CURRENT: Mutex<Weak<Guardian>> = Mutex::new(Weak::new());
        let mut current = CURRENT.lock().expect("nothing panics while it holds this lock");
        if let Some(guardian) = current.upgrade() {
            return Ok(guardian);
        }
        let guardian = Arc::new(Self::start(python)?);
        *current = Arc::downgrade(&guardian);
        Ok(guardian)
    }

    /// The one that `cell` keeps, from the first worker that it is wanted for.
    ///
    /// # Errors
    /// As [`Self::of_this_process`].
    pub(super) fn kept_in<'a>(
        cell: &'a OnceLock<Arc<Self>>,
        python: &str,
    ) -> io::Result<&'a Arc<Self>> {
        if let Some(guardian) = cell.get() {
            return Ok(guardian);
        }
        let started = Self::of_this_process(python)?;
        Ok(cell.get_or_init(|| started))
    }

    fn start(python: &str) -> io::Result<Self> {
        let post = Arc::new(Post {
            mark: new_mark(),
            pythons: [anywhere(python), PathBuf::from(FALLBACK)],
            watch: Mutex::default(),
            closed: Condvar::new(),
        });
        let (watched, (sender, first)) = (Arc::clone(&post), mpsc::channel());
        let thread = std::thread::Builder::new().name("poolshift-guardian".to_owned());
        thread.spawn(move || first.into_iter().for_each(|first| watched.keep_one(first)))?;
        // Here and not on its thread: it must be there before the first worker is.
        sender.send(post.launch(0)).expect("the thread waits for this one");
        Ok(Self { post })
    }

    /// The value of [`MARK`] for workers.
    pub(super) fn mark(&self) -> &str {
        &self.post.mark
    }

    /// The group is the guardian's business from now on.
    pub(super) fn guard(self: &Arc<Self>, group: Pid) -> Guarded {
        let mut watch = self.post.lock();
        watch.groups.insert(group.as_raw_nonzero().get());
        watch.tell(group.as_raw_nonzero().get());
        Guarded { guardian: Arc::clone(self), group }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        let mut watch = self.post.lock();
        watch.closed = true;
        watch.line = None;
        self.post.closed.notify_one();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let mut watch = self.guardian.post.lock();
        watch.groups.remove(&self.group.as_raw_nonzero().get());
        watch.tell(-self.group.as_raw_nonzero().get());
    }
}

impl Watch {
    /// A guardian that has not read as many records as a pipe holds is stuck: it is replaced, and
    /// its successor is told all.
    fn tell(&self, record: i32) {
        let Some(line) = &self.line else { return };
        if let Err(error) = rustix::io::write(&line.writer, &record.to_ne_bytes()) {
            tracing::warn!(%error, "the guardian does not listen; it is replaced");
            // Not by the end of its pipe, which would make it act.
            let _ = pidfd_send_signal(&line.pidfd, Signal::KILL);
        }
    }
}

impl Post {
    /// Waits for the guardian's end and starts the next one, until none is needed.
    fn keep_one(&self, first: io::Result<Child>) {
        let mut launched = first;
        let mut failures = 0;
        loop {
            let ended = launched.and_then(Child::wait_with_output);
            if self.lock().closed {
                return;
            }
            failures = if was_ready(&ended) { 0 } else { failures + 1 };
            tracing::warn!(
                cause = describe(&ended),
                "there is no guardian for now: if this process is killed, children of its workers \
                 stay behind"
            );
            if !self.pause(failures) {
                return;
            }
            launched = self.launch(failures);
        }
    }

    /// Starts one and tells it all groups.
    fn launch(&self, failures: u32) -> io::Result<Child> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        // A guardian that is stuck must not make the host stick.
        rustix::io::ioctl_fionbio(&writer, true)?;
        let python = &self.pythons[failures as usize % self.pythons.len()];
        let mut child = command(python, &self.mark, reader.try_clone()?).spawn()?;
        let pidfd = match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                // Killed before its pipe ends, or it would act.
                child.kill().and_then(|()| child.wait())?;
                return Err(error.into());
            }
        };
        let mut watch = self.lock();
        // Closed meanwhile: the line is dropped here, and the guardian has nothing to do.
        if !watch.closed {
            watch.line = Some(Line { writer, _reader: reader, pidfd });
            watch.groups.iter().for_each(|group| watch.tell(*group));
        }
        Ok(child)
    }

    /// False once none is needed.
    fn pause(&self, failures: u32) -> bool {
        let rested =
            Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(30), seed: 0 };
        let pause = if failures == 0 { Duration::ZERO } else { rested.delay(0, failures) };
        let wait = |watch: &mut Watch| !watch.closed;
        let waited = self.closed.wait_timeout_while(self.lock(), pause, wait);
        let (watch, _) = waited.expect("nothing panics while it holds this lock");
        !watch.closed
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().expect("nothing panics while it holds this lock")
    }
}

/// The same interpreter from any folder: names without a slash are looked up in PATH.
fn anywhere(python: &str) -> PathBuf {
    let here = if python.contains('/') { std::path::absolute(python).ok() } else { None };
    here.unwrap_or_else(|| PathBuf::from(python))
}

fn command(python: &Path, mark: &str, pipe: OwnedFd) -> Command {
    let mut command = Command::new(python);
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    command.args(["-I", "-S", "-c", SOURCE, "poolshift-guardian", mark]).arg(namespace);
    // A host that is itself somebody's worker: their guardian must not end ours before its work.
    command.env_remove(MARK);
    // The host's own folder may be gone, in which wrappers such as pyenv's do not start.
    command.current_dir("/").stdin(pipe).stdout(Stdio::piped()).stderr(Stdio::piped());
    // What is sent to the host's group, or to its terminal, is not meant for the guardian.
    before_exec(&mut command, || setsid().map(drop).map_err(io::Error::from));
    command
}

fn was_ready(ended: &io::Result<Output>) -> bool {
    ended.as_ref().is_ok_and(|output| output.stdout == READY)
}

fn describe(ended: &io::Result<Output>) -> String {
    match ended {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            format!("{} {}", output.status, errors.lines().last().unwrap_or_default())
        }
        Err(error) => format!("cannot be started: {error}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "marks must differ between processes")]
fn new_mark() -> String {
    format!("{:032x}", rand::random::<u128>())
}
