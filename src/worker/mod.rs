//! Workers as the shell sees them: something that spawns, a link to talk over, a process to end.
//!
//! Production spawns Python ([`process`]) or forks it ([`zygote`]); tests spawn scripted fakes
//! behind the same traits.

pub mod command;
mod guardian;
mod leader;
pub mod link;
pub mod pipe;
pub mod process;
pub mod redaction;
pub mod runtime;
mod stderr;
mod tail;
mod threads;
pub mod trace;
pub mod wire;
pub mod zygote;

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::pool::WorkerId;

/// Starts worker processes.
pub trait Spawner: Sized + Send + Sync + 'static {
    /// The worker's stdout.
    type Reader: AsyncRead + Unpin + Send + Sync + 'static;
    /// The worker's stdin.
    type Writer: AsyncWrite + Unpin + Send + Sync + 'static;
    /// The handle to end and reap it.
    type Process: Process;

    /// Starts the process of `worker`. Readiness is the caller's business.
    ///
    /// Dropping the future before it completes leaves no process behind.
    fn spawn(
        &self,
        worker: WorkerId,
    ) -> impl Future<Output = Result<SpawnedBy<Self>, String>> + Send;

    /// The command line, for messages.
    fn command_line(&self) -> String;

    /// Whether its workers note the calls that they execute (R18).
    fn keeps_ledger(&self) -> bool;
}

/// What a spawner starts.
pub type SpawnedBy<S> =
    Spawned<<S as Spawner>::Reader, <S as Spawner>::Writer, <S as Spawner>::Process>;

/// A process that has just been started.
#[derive(Debug)]
pub struct Spawned<R, W, P> {
    /// Its stdout.
    pub reader: R,
    /// Its stdin.
    pub writer: W,
    /// Its handle.
    pub process: P,
}

/// A started process. Dropping it without having awaited [`Process::exited`] abandons it.
pub trait Process: Send + Sync + 'static {
    /// The process id, where there is one.
    fn pid(&self) -> Option<u32>;

    /// Signals the process's whole group. Does nothing once the process has been reaped, so a
    /// reused id is never hit (R2).
    fn signal(&self, signal: Signal);

    /// What the process is doing, as the operating system has it; nothing if it cannot tell.
    fn state(&self) -> Option<String>;

    /// Asks our runtime for the Python stacks of all its threads (SIGUSR1) and gives their lines
    /// once they are complete, or what has come within `limit`. Never asked of a legacy script,
    /// which would die of it (R4).
    fn dump_stacks(&self, limit: Duration) -> impl Future<Output = Vec<String>> + Send;

    /// Waits for the end, kills what is left of the group, reaps, and says how it ended.
    /// Never waits for EOF: a grandchild may hold the pipe (R2). Cancellation safe; once the
    /// process has ended it completes at once, any number of times.
    fn exited(&self) -> impl Future<Output = String> + Send;

    /// Kills the group, and sees to it that the process is reaped without anybody waiting for it:
    /// for when whoever did is gone. Does nothing once it has been reaped.
    fn abandon(&self);

    /// Its own resident memory in bytes, grandchildren excluded, where it can be read.
    fn resident_bytes(&self) -> Option<u64>;

    /// The last of what it wrote to stderr, in whole lines, secrets included: for error texts.
    /// Stacks that it was asked for are not among them.
    fn stderr_tail(&self) -> String;
}

/// What a worker process can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM to the group.
    Terminate,
    /// SIGKILL to the group.
    Kill,
}
