//! One warm parent process.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::Pid;
use tokio::sync::oneshot;

use crate::worker::guardian::Guardian;
use crate::worker::leader::{Leader, describe};
use crate::worker::process::{PythonProcess, explain};
use crate::worker::threads::on_spawner_thread;
use crate::worker::zygote::control::{Answer, Control, PIPES, Request};
use crate::worker::{Process, Signal};

/// A parent that has not answered for so long is stuck: a fork of many gigabytes takes a tenth of
/// this on a loaded machine.
const ANSWER: Duration = Duration::from_secs(2);

/// What is told of a worker whose exit nobody saw.
const UNSEEN: &str = "ended, nobody knows how: its warm parent had ended before";

/// A process that has imported the app and forks workers. Dropping it ends it; each worker that
/// it forked holds it, since nobody else can reap that.
#[derive(Debug)]
pub(in crate::worker) struct Parent {
    process: PythonProcess,
    /// Of its workers, too.
    guardian: Arc<Guardian>,
    /// To the thread that talks with it, which ends when this is dropped. Unbounded, but each
    /// entry is one worker's, and pools bound those.
    jobs: mpsc::Sender<Job>,
    has_forked: AtomicBool,
}

/// Something to talk about with the parent. Only one thread does that, and it may block.
type Job = Box<dyn FnOnce(&Control) + Send>;

/// Why a worker was not forked.
#[derive(Debug)]
pub(super) enum Unforked {
    /// The parent cannot, and says why.
    Refused(String),
    /// The parent has ended, or is being ended, since it does not answer.
    Gone,
}

impl Parent {
    /// Starts one and waits until it has imported everything. Dropped before, it is ended; as it
    /// is, with a word of what it was doing, after so long.
    pub(super) async fn start(
        command: Command,
        guardian: impl FnOnce() -> io::Result<Arc<Guardian>> + Send + 'static,
        stderr_through: bool,
        limit: Duration,
    ) -> Result<Self, String> {
        let (control, theirs) = Control::pair().map_err(|error| explain(&error))?;
        // Dropped here: the spawner thread finds nobody to give the process to, and ends it.
        let started = on_spawner_thread(move || start(command, theirs, guardian()?)).await;
        let (leader, errors, guardian) = started.map_err(|error| explain(&error))?;
        let process = PythonProcess::new(leader, errors, "parent", stderr_through);
        let process = process.map_err(|error| explain(&error))?;
        let (jobs, queue) = mpsc::channel();
        let (ready, told) = oneshot::channel();
        let thread = std::thread::Builder::new().name("poolshift-parent".to_owned());
        thread
            .spawn(move || talk(&control, queue, ready))
            .map_err(|error| format!("no thread to talk with the warm parent: {error}"))?;
        let up = async {
            tokio::select! {
                biased;
                Ok(()) = told => Ok(()),
                exit = process.exited() => Err(stillborn(&exit, &process.stderr_tail())),
            }
        };
        // Dropped here: so is the process, which ends it, and that ends the thread.
        let up = tokio::time::timeout(limit, up).await;
        up.unwrap_or_else(|_| Err(unready(limit, &process)))?;
        Ok(Self { process, guardian, jobs, has_forked: AtomicBool::new(false) })
    }

    /// Forks a worker that is given these arguments and these ends of its pipes.
    pub(super) async fn fork(
        self: &Arc<Self>,
        arguments: Vec<String>,
        pipes: [OwnedFd; PIPES],
    ) -> Result<Leader, Unforked> {
        let (sender, receiver) = oneshot::channel();
        let parent = Arc::clone(self);
        self.post(move |control| {
            let answer = control.ask(&Request::Fork(&arguments), &pipes);
            // A worker that nobody waits for any more is dropped with the refused send, and ended.
            drop(sender.send(parent.forked(answer)));
        });
        receiver.await.unwrap_or(Err(Unforked::Gone))
    }

    fn forked(self: Arc<Self>, answer: io::Result<Answer>) -> Result<Leader, Unforked> {
        match answer {
            Ok(Answer::Forked(pid)) => {
                self.has_forked.store(true, Ordering::Relaxed);
                let pid = Pid::from_raw(pid).ok_or(Unforked::Gone)?;
                let leader = Leader::forked(pid, self);
                leader.map_err(|error| Unforked::Refused(explain(&error)))
            }
            Ok(Answer::Refused(reason)) => Err(Unforked::Refused(reason)),
            other => {
                self.give_up(&other);
                Err(Unforked::Gone)
            }
        }
    }

    /// Reaps a worker that has ended or was killed, and says how it ended.
    pub(in crate::worker) fn reap(
        self: &Arc<Self>,
        worker: Pid,
        then: impl FnOnce(String) + Send + 'static,
    ) {
        let parent = Arc::clone(self);
        self.post(move |control| match control.ask(&Request::Reap(worker.as_raw_pid()), &[]) {
            Ok(Answer::Reaped(status)) => {
                let status = ExitStatus::from_raw(status);
                then(describe(status.code(), status.signal()));
            }
            other => {
                parent.give_up(&other);
                then(UNSEEN.to_owned());
            }
        });
    }

    /// Waits for its end, and says how it ended.
    pub(super) async fn exited(&self) -> String {
        self.process.exited().await
    }

    /// Whether it was of use.
    pub(super) fn has_forked(&self) -> bool {
        self.has_forked.load(Ordering::Relaxed)
    }

    pub(in crate::worker) fn guardian(&self) -> &Arc<Guardian> {
        &self.guardian
    }

    fn post(&self, job: impl FnOnce(&Control) + Send + 'static) {
        self.jobs.send(Box::new(job)).expect("the thread lives as long as this sender");
    }

    /// Ends it, if it has not ended: nothing more is to be had from it. Its workers live on.
    fn give_up(&self, answer: &io::Result<Answer>) {
        tracing::debug!(?answer, "the warm parent does not do what it is asked for");
        self.process.signal(Signal::Kill);
    }
}

fn start(
    mut command: Command,
    control: OwnedFd,
    guardian: Arc<Guardian>,
) -> io::Result<(Leader, OwnedFd, Arc<Guardian>)> {
    command.stdin(control).stdout(Stdio::null()).stderr(Stdio::piped());
    let (leader, mut child) = Leader::start(command, &guardian)?;
    Ok((leader, child.stderr.take().expect("stderr is piped").into(), guardian))
}

/// Waits until it is ready, which its process's end or its handle's drop cuts short, and then does
/// one job after the other.
fn talk(control: &Control, jobs: mpsc::Receiver<Job>, ready: oneshot::Sender<()>) {
    let up = matches!(control.receive(), Ok(Answer::Ready)) && control.limit(ANSWER).is_ok();
    if up && ready.send(()).is_ok() {
        jobs.into_iter().for_each(|job| job(control));
    }
}

/// While it lives: whether it computes, waits or reads from a disk tells what to look at.
fn unready(limit: Duration, process: &PythonProcess) -> String {
    let state = process.state().map_or(String::new(), |state| format!("; it was {state}"));
    let said = match process.stderr_tail() {
        said if said.is_empty() => "it wrote nothing to stderr".to_owned(),
        said => format!("its last stderr lines:\n  {}", said.replace('\n', "\n  ")),
    };
    format!(
        "the warm parent had not imported everything within {limit:?}, nine tenths of \
         startup_timeout{state}; {said}"
    )
}

fn stillborn(exit: &str, stderr: &str) -> String {
    let said = match stderr.trim_end() {
        "" => "it wrote nothing to stderr".to_owned(),
        lines => format!("its last stderr lines:\n  {}", lines.replace('\n', "\n  ")),
    };
    format!("the warm parent ended before it was ready ({exit}); {said}")
}
