//! The leaders of our process groups: the only file that starts, signals and reaps one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open,
    pidfd_send_signal, waitid,
};
use tokio::sync::watch;

use crate::worker::guardian::{Guarded, Guardian, MARK};
use crate::worker::process::die_with_the_host;
use crate::worker::threads::on_reaper_thread;
use crate::worker::zygote::Parent;

/// The leader of a process group that is ours to end, until it may be reaped. Its drop ends the
/// group and has the leader reaped.
#[derive(Debug)]
pub(super) struct Leader {
    pid: Pid,
    pidfd: OwnedFd,
    kin: Kin,
    /// Given up when the group is ended for good: from then on the leader may be reaped, and its
    /// id be anybody's. Locked while it is signalled (R2).
    guarded: Mutex<Option<Guarded>>,
}

/// Who can reap a process.
#[derive(Debug)]
enum Kin {
    /// We can: it is our child.
    Child,
    /// Its parent can, which is our child. Once that is dead, whoever adopts it reaps it at its
    /// exit: from then until its pidfd is seen readable, its id may be somebody else's.
    Grandchild(Arc<Parent>),
}

/// Why reaping cannot fail for want of a thread.
const REAPER: &str = "its thread is there before the first process is";

impl Leader {
    /// Starts a program as the leader of a group of its own, which dies with the host.
    pub(super) fn start(
        mut command: Command,
        guardian: &Arc<Guardian>,
    ) -> io::Result<(Self, Child)> {
        // Before the first fork: from then on a process can always be waited for.
        on_reaper_thread(|| {})?;
        command.process_group(0);
        command.env(MARK, guardian.mark());
        die_with_the_host(&mut command);
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let guarded = guardian.guard(pid);
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok((Self::new(pid, pidfd, Kin::Child, guarded), child)),
            Err(error) => {
                // It is unreaped, so its group's id cannot belong to anyone else.
                let _ = kill_process_group(pid, Signal::KILL);
                drop(guarded);
                on_reaper_thread(move || drop(child.wait())).expect(REAPER);
                Err(error.into())
            }
        }
    }

    /// A process that `parent` has forked, as the leader of a group of its own, and reaps when it
    /// is told to: until then the id is its own.
    pub(super) fn forked(pid: Pid, parent: Arc<Parent>) -> io::Result<Self> {
        let guarded = parent.guardian().guard(pid);
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self::new(pid, pidfd, Kin::Grandchild(parent), guarded)),
            Err(error) => {
                let _ = kill_process_group(pid, Signal::KILL);
                drop(guarded);
                parent.reap(pid, |_| {});
                Err(error.into())
            }
        }
    }

    fn new(pid: Pid, pidfd: OwnedFd, kin: Kin, guarded: Guarded) -> Self {
        Self { pid, pidfd, kin, guarded: Mutex::new(Some(guarded)) }
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Signals all of the group, unless that has been ended.
    pub(super) fn signal_group(&self, signal: Signal) {
        self.try_signal(|| kill_process_group(self.pid, signal));
    }

    /// Signals the leader alone, unless its group has been ended.
    pub(super) fn signal_alone(&self, signal: Signal) {
        self.try_signal(|| pidfd_send_signal(&self.pidfd, signal));
    }

    fn try_signal(&self, signal: impl FnOnce() -> rustix::io::Result<()>) {
        if let Some(Err(error)) = self.while_it_lives(|_| signal()) {
            tracing::debug!(pid = self.pid.as_raw_pid(), %error, "cannot signal");
        }
    }

    /// Does something by the leader's id, while that is its own; of an orphaned grandchild, as far
    /// as is known here.
    pub(super) fn while_it_lives<T>(&self, what: impl FnOnce(i32) -> T) -> Option<T> {
        let guarded = self.lock();
        guarded.is_some().then(|| what(self.pid.as_raw_pid()))
    }

    /// Kills what is there of the group, for the last time. False if that was done before; then
    /// somebody else sees to the leader's being reaped.
    fn end(&self) -> bool {
        let mut guarded = self.lock();
        if guarded.is_some() {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
        guarded.take().is_some()
    }

    /// R2: pidfd readable, end the group, then reap; in this order, since the unreaped leader is
    /// what keeps the group's id from being reused. `exit` is told how it ended.
    pub(super) fn reap(&self, exit: &watch::Sender<Option<String>>) {
        if !self.end() {
            return;
        }
        match &self.kin {
            Kin::Child => {
                let how = match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                    Ok(Some(status)) => describe(status.exit_status(), status.terminating_signal()),
                    Ok(None) => describe(None, None),
                    Err(error) => format!("cannot be waited for: {error}"),
                };
                exit.send_replace(Some(how));
            }
            Kin::Grandchild(parent) => {
                let exit = exit.clone();
                parent.reap(self.pid, move |how| drop(exit.send_replace(Some(how))));
            }
        }
    }

    /// Ends the group, and has the leader reaped without anybody waiting for it. False if it was
    /// ended before.
    pub(super) fn abandon(&self) -> bool {
        let first = self.end();
        let pid = self.pid;
        match &self.kin {
            _ if !first => {}
            // By its id: it is our unreaped child, so the id is still its own.
            Kin::Child => on_reaper_thread(move || {
                let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
            })
            .expect(REAPER),
            Kin::Grandchild(parent) => parent.reap(pid, |_| {}),
        }
        first
    }

    fn lock(&self) -> MutexGuard<'_, Option<Guarded>> {
        self.guarded.lock().expect("nothing panics while it holds this lock")
    }
}

impl AsRawFd for Leader {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// How a process ended, by its exit status or by the signal that ended it.
pub(super) fn describe(code: Option<i32>, signal: Option<i32>) -> String {
    match (code, signal) {
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
