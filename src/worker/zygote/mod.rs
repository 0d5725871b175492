//! Workers that are forked from a warm parent: a Python process that has imported the app once and
//! has one thread only. What a worker's import would cost, a fork does not.
//!
//! - `parent` is one such process, and what it is asked for.
//! - `control` is the socket on which it is asked.
//!
//! The host makes a worker's pipes and hands the parent the worker's ends, by SCM_RIGHTS: the
//! host's ends are never in the parent, so no worker can inherit another's and keep it open.

mod control;
mod parent;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::pool::WorkerId;
use crate::worker::command::WorkerCommand;
use crate::worker::guardian::Guardian;
use crate::worker::leader::Leader;
use crate::worker::process::{Pipes, explain};
pub(super) use crate::worker::zygote::parent::Parent;
use crate::worker::zygote::parent::Unforked;

/// How often a fork is tried: a parent may end in the very moment in which it is asked.
const TRIES: usize = 2;

/// How a warm parent is made, and what happens without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warmth {
    /// Modules that it imports before the app.
    pub preload: Vec<String>,
    /// How long all its imports may take.
    pub limit: Duration,
    /// Whether workers are spawned where there can be no parent; else they do not start.
    pub or_spawn: bool,
}

/// Sees to it that there is one warm parent while workers are needed, and forks them from it.
#[derive(Debug)]
pub(super) struct Zygote {
    command: Arc<WorkerCommand>,
    guardian: Arc<OnceLock<Arc<Guardian>>>,
    warmth: Warmth,
    stderr_through: bool,
    /// The parent; none before the first worker is needed.
    current: Mutex<Option<Attempt>>,
    /// A parent has failed to come up, and workers are spawned from then on.
    given_up: AtomicBool,
}

/// A parent that comes up, is there, or has failed to: one for all who need it.
type Outcome = Option<Result<Arc<Parent>, String>>;

#[derive(Debug)]
struct Attempt {
    outcome: watch::Receiver<Outcome>,
    keeper: AbortHandle,
}

/// The keeper holds the parent, or makes it.
impl Drop for Attempt {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Zygote {
    pub(super) fn new(
        command: Arc<WorkerCommand>,
        guardian: Arc<OnceLock<Arc<Guardian>>>,
        warmth: Warmth,
        stderr_through: bool,
    ) -> Self {
        let (current, given_up) = (Mutex::default(), AtomicBool::new(false));
        Self { command, guardian, warmth, stderr_through, current, given_up }
    }

    /// Whether a worker that cannot be forked may be spawned.
    pub(super) fn may_spawn(&self) -> bool {
        self.warmth.or_spawn
    }

    /// Forks a worker, once there is a parent. Dropped before, it leaves no worker behind.
    pub(super) async fn fork(
        self: &Arc<Self>,
        worker: WorkerId,
    ) -> Result<(Leader, Pipes), String> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err("there was no warm parent to be had".to_owned());
        }
        for _ in 0..TRIES {
            let parent = self.parent().await?;
            let (pipes, theirs) = pipes().map_err(|error| explain(&error))?;
            match parent.fork(self.command.arguments_of(worker), theirs).await {
                Ok(leader) => return Ok((leader, pipes)),
                Err(Unforked::Refused(reason)) => {
                    return Err(format!("its warm parent cannot fork it: {reason}"));
                }
                Err(Unforked::Gone) => {
                    let exit = parent.exited().await;
                    self.replace(&parent, &exit);
                }
            }
        }
        Err(format!("{TRIES} warm parents ended, one after the other, when they were to fork it"))
    }

    /// The parent, once it is there; with the reason if it fails to come up.
    async fn parent(self: &Arc<Self>) -> Result<Arc<Parent>, String> {
        let mut outcome = self.outcome();
        // Dropped here: the parent comes up all the same, for the next who needs it.
        let parent = outcome.wait_for(Option::is_some).await;
        let parent =
            parent.map_err(|_| "the start of its warm parent was broken off".to_owned())?;
        parent.clone().expect("it was waited for")
    }

    /// What comes of the attempt that is under way. A failure is shared by all who waited for it;
    /// who comes later makes another attempt.
    fn outcome(self: &Arc<Self>) -> watch::Receiver<Outcome> {
        let mut current = self.lock();
        let failed = |attempt: &Attempt| matches!(*attempt.outcome.borrow(), Some(Err(_)));
        if current.as_ref().is_none_or(failed) {
            *current = Some(self.attempt());
        }
        current.as_ref().expect("there is one now").outcome.clone()
    }

    fn attempt(self: &Arc<Self>) -> Attempt {
        let (sender, outcome) = watch::channel(None);
        let command = self.command.for_parent(&self.warmth.preload);
        let (guardian, python) = (Arc::clone(&self.guardian), self.command.python_path.clone());
        let guardian = move || Guardian::kept_in(&guardian, &python).map(Arc::clone);
        // Less than its workers have, who wait for it: its error comes before theirs, and says why.
        let limit = self.warmth.limit.mul_f64(0.9);
        let starting = Parent::start(command, guardian, self.stderr_through, limit);
        // Weak, so that nobody waits for a parent of workers that nobody wants any more.
        let keeper = tokio::spawn(keep(Arc::downgrade(self), starting, sender)).abort_handle();
        Attempt { outcome, keeper }
    }

    /// A parent has ended. If it was of use, so will be the next, which is started now: whoever
    /// needs it then need not wait for its imports.
    fn replace(self: &Arc<Self>, dead: &Arc<Parent>, exit: &str) {
        let mut current = self.lock();
        let is_current = current.as_ref().is_some_and(|attempt| {
            matches!(&*attempt.outcome.borrow(), Some(Ok(parent)) if Arc::ptr_eq(parent, dead))
        });
        if is_current {
            let lane = self.command.lane;
            tracing::warn!(%lane, exit, "the warm parent ended; its workers live on");
            *current = dead.has_forked().then(|| self.attempt());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Attempt>> {
        self.current.lock().expect("nothing panics while it holds this lock")
    }

    /// There will be no parent, and that is no reason not to have workers.
    fn give_up(&self, cause: &str) {
        let lane = self.command.lane;
        tracing::warn!(%lane, cause, "workers are spawned, since they cannot be forked");
        self.given_up.store(true, Ordering::Relaxed);
    }
}

/// Starts a parent, tells what came of it, and replaces it when it ends. Aborted, it ends it.
async fn keep(
    zygote: Weak<Zygote>,
    starting: impl Future<Output = Result<Parent, String>>,
    outcome: watch::Sender<Outcome>,
) {
    let started = starting.await.map(Arc::new);
    if let (Err(cause), Some(zygote)) = (&started, zygote.upgrade())
        && zygote.may_spawn()
    {
        zygote.give_up(cause);
    }
    let parent = started.as_ref().ok().cloned();
    outcome.send_replace(Some(started));
    let Some(parent) = parent else { return };
    let exit = parent.exited().await;
    if let Some(zygote) = zygote.upgrade() {
        zygote.replace(&parent, &exit);
    }
}

/// A worker's pipes: the host's ends, and the worker's.
fn pipes() -> io::Result<(Pipes, [OwnedFd; 3])> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC);
    let (their_requests, requests) = pipe()?;
    let (replies, their_replies) = pipe()?;
    let (errors, their_errors) = pipe()?;
    Ok((Pipes { requests, replies, errors }, [their_requests, their_replies, their_errors]))
}
