//! Why a call failed, and whether it can have run.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::call::SessionId;
use crate::pool::WorkerId;

/// The one thing that came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The worker answered.
    Ok,
    /// The worker's Python code raised.
    Raised,
    /// Refused before it was queued or written.
    Rejected,
    /// No worker was free in time.
    QueueTimeout,
    /// A worker had it and did not answer in time.
    ExecTimeout,
    /// Its worker died.
    WorkerLost,
    /// The worker that held its session died before this call was sent.
    SessionLost,
    /// The caller went away.
    Cancelled,
    /// The worker answered with something that is not a reply to it.
    Protocol,
    /// The pool was shutting down.
    Draining,
}

impl Outcome {
    /// Every outcome, in the order of reports.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::Raised,
        Self::Rejected,
        Self::QueueTimeout,
        Self::ExecTimeout,
        Self::WorkerLost,
        Self::SessionLost,
        Self::Cancelled,
        Self::Protocol,
        Self::Draining,
    ];

    /// The name used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Raised => "raised",
            Self::Rejected => "rejected",
            Self::QueueTimeout => "queue_timeout",
            Self::ExecTimeout => "exec_timeout",
            Self::WorkerLost => "worker_lost",
            Self::SessionLost => "session_lost",
            Self::Cancelled => "cancelled",
            Self::Protocol => "protocol",
            Self::Draining => "draining",
        }
    }
}

/// Can the call have run? Only `No` makes a retry safe for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ran {
    /// No worker accepted a byte of it.
    No,
    /// A worker accepted at least a byte and never answered.
    Maybe,
    /// A worker answered it.
    Yes,
}

impl Ran {
    /// The name used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Maybe => "maybe",
            Self::Yes => "yes",
        }
    }
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum CallError {
    /// The worker's Python code raised.
    #[error("{message}")]
    Raised {
        /// The exception's text, exactly as the worker sent it.
        message: String,
        /// The exception's class, if the worker told.
        error_type: Option<String>,
        /// The exception's traceback, if the worker told.
        traceback: Vec<String>,
    },
    /// Refused before it was queued or written.
    #[error(transparent)]
    Rejected(#[from] Refusal),
    /// No worker was free in time.
    #[error("no worker was free within {waited:.1?}{}", because(cause.as_deref()))]
    QueueTimeout {
        /// How long the call waited.
        waited: Duration,
        /// The last start-up error, if the pool has no ready worker.
        cause: Option<String>,
    },
    /// A worker had it and did not answer in time.
    #[error("{command} did not answer: waited {waited:.1?}, ran {run:.1?}{post_mortem}")]
    ExecTimeout {
        /// The command that hung.
        command: String,
        /// From submit until a worker took it.
        waited: Duration,
        /// From then until it was given up.
        run: Duration,
        /// Whether the worker accepted a byte of it.
        ran: Ran,
        /// What its worker left behind; boxed, since every answer has room for an error.
        post_mortem: Box<PostMortem>,
    },
    /// Its worker died.
    #[error("the worker died{post_mortem}")]
    WorkerLost {
        /// Whether the worker accepted a byte of it.
        ran: Ran,
        /// What its worker left behind; boxed, since every answer has room for an error.
        post_mortem: Box<PostMortem>,
    },
    /// The worker that held its session died before this call was sent.
    #[error("the worker that held session \"{session}\" died; the next call starts afresh")]
    SessionLost {
        /// The session whose in-worker state is gone.
        session: SessionId,
    },
    /// The caller went away.
    #[error("the call was cancelled")]
    Cancelled {
        /// Whether a worker accepted a byte of it.
        ran: Ran,
    },
    /// The worker answered with something that is not a reply to it.
    #[error("the worker broke the protocol: {reason}")]
    Protocol {
        /// Whether the worker accepted a byte of it.
        ran: Ran,
        /// What it sent instead.
        reason: String,
    },
    /// The pool was shutting down.
    #[error("the pool is shutting down and takes no new calls")]
    Draining,
}

impl CallError {
    /// The outcome that this error is.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Raised { .. } => Outcome::Raised,
            Self::Rejected(_) => Outcome::Rejected,
            Self::QueueTimeout { .. } => Outcome::QueueTimeout,
            Self::ExecTimeout { .. } => Outcome::ExecTimeout,
            Self::WorkerLost { .. } => Outcome::WorkerLost,
            Self::SessionLost { .. } => Outcome::SessionLost,
            Self::Cancelled { .. } => Outcome::Cancelled,
            Self::Protocol { .. } => Outcome::Protocol,
            Self::Draining => Outcome::Draining,
        }
    }

    /// Whether the call can have run.
    #[must_use]
    pub fn ran(&self) -> Ran {
        match self {
            Self::Raised { .. } => Ran::Yes,
            Self::ExecTimeout { ran, .. }
            | Self::WorkerLost { ran, .. }
            | Self::Cancelled { ran }
            | Self::Protocol { ran, .. } => *ran,
            Self::Rejected(_)
            | Self::QueueTimeout { .. }
            | Self::SessionLost { .. }
            | Self::Draining => Ran::No,
        }
    }
}

fn because(cause: Option<&str>) -> String {
    let advice = "; raise [v3] queue_timeout, [v2] checkout_timeout, or the pool's size";
    cause.map_or_else(|| advice.to_owned(), |cause| format!("; no worker is ready: {cause}"))
}

/// Why a call was refused before it was queued or written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The waiting room is full.
    #[error("{waiting} calls wait already; raise max_queue_size or slow down")]
    QueueFull {
        /// How many wait.
        waiting: usize,
    },
    /// The request would not fit a frame.
    #[error("the request has {bytes} bytes, above max_frame_bytes = {max}")]
    TooLarge {
        /// The frame's size.
        bytes: usize,
        /// The configured limit.
        max: usize,
    },
    /// Every session in the store has a call in flight.
    #[error("all {max} sessions have calls in flight; raise [session] max_sessions")]
    SessionsFull {
        /// The configured limit.
        max: usize,
    },
    /// The session store could not be read, so the call would have run without its state.
    #[error("the session store failed: {0}")]
    Store(String),
    /// There is no worker, and starting one is no use for now.
    #[error("no worker can be started, {failures} starts in a row failed: {cause}")]
    NoWorker {
        /// Failed starts since a worker last became ready.
        failures: u32,
        /// Why the last one failed.
        cause: String,
    },
    /// A shadow found no worker that nobody needs (R16).
    #[error("no worker is spare for a shadow")]
    NoSpareWorker,
    /// Workers died of this very call.
    #[error(
        "this command with these args was in flight when workers died: {}; it is refused while \
         each of these deaths is within [quarantine] window = {window:?}",
        deaths(history)
    )]
    Quarantined {
        /// The workers, and how long ago each died; the oldest first.
        history: Vec<(WorkerId, Duration)>,
        /// The configured window.
        window: Duration,
    },
    /// The call itself is malformed.
    #[error(transparent)]
    BadCall(#[from] BadCall),
}

fn deaths(history: &[(WorkerId, Duration)]) -> String {
    let told = history.iter().map(|(worker, ago)| format!("{worker} ({ago:.0?} ago)"));
    told.collect::<Vec<_>>().join(", ")
}

/// What is wrong with a call that was never submitted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadCall {
    /// A name is empty.
    #[error("{field} is empty; leave it out or name it")]
    Empty {
        /// The field's name.
        field: &'static str,
    },
    /// A name is too long.
    #[error("{field} has {bytes} bytes, at most {max} are allowed")]
    TooLong {
        /// The field's name.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The arguments are not JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// The arguments are JSON, but not an object.
    #[error("args must be a JSON object, not {found}")]
    NotAnObject {
        /// What was given.
        found: &'static str,
    },
}

/// What a dead or killed worker left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostMortem {
    /// How the process ended ("exit status 3", "killed by SIGKILL"), once it has been reaped.
    pub exit: Option<String>,
    /// What the process was doing at the deadline that it missed ("running", "stopped by a
    /// signal"), as the operating system has it.
    pub state: Option<String>,
    /// The Python stacks of all threads at the deadline, if the worker is our runtime.
    pub stacks: Vec<String>,
    /// Why there are no stacks, if a deadline was missed and there are none.
    pub stackless: Option<&'static str>,
    /// The last lines of its stderr.
    pub stderr: String,
}

impl fmt::Display for PostMortem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(exit) = &self.exit {
            write!(f, " ({exit})")?;
        }
        if let Some(state) = &self.state {
            write!(f, "; at its deadline it was {state}")?;
        }
        if let Some(why) = self.stackless {
            write!(f, "; no Python stacks: {why}")?;
        }
        if !self.stacks.is_empty() {
            write!(f, "; Python stacks:\n  {}", self.stacks.join("\n  "))?;
        }
        if !self.stderr.is_empty() {
            write!(f, "; its last stderr lines:\n  {}", self.stderr.replace('\n', "\n  "))?;
        }
        Ok(())
    }
}

/// Why a pool could not start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// There is no process: the program could not be executed, or its warm parent did not fork it.
    #[error("cannot start `{command}`: {cause}")]
    Spawn {
        /// The command line that was tried.
        command: String,
        /// What the operating system said.
        cause: String,
    },
    /// The process ended before it answered its start ping.
    #[error("`{command}` ended before it was ready ({exit}){}", quoted(stderr))]
    Exited {
        /// The command line that was tried.
        command: String,
        /// How it ended.
        exit: String,
        /// Its last stderr lines.
        stderr: String,
    },
    /// The process was still silent at `startup_timeout`.
    #[error(
        "`{command}` did not answer its start ping within startup_timeout = {limit:?}; {state}{}",
        quoted(stderr)
    )]
    Silent {
        /// The command line that was tried.
        command: String,
        /// The limit that passed.
        limit: Duration,
        /// What the process was doing then.
        state: String,
        /// Its last stderr lines.
        stderr: String,
    },
    /// The process answered with something that is not a good start ping reply.
    #[error("`{command}` is not a worker: {reason}{}", quoted(stderr))]
    NotAWorker {
        /// The command line that was tried.
        command: String,
        /// What it sent.
        reason: String,
        /// Its last stderr lines.
        stderr: String,
    },
    /// Some workers came up, but not as many as were asked for.
    #[error("{ready} of {wanted} workers were ready within startup_timeout = {limit:?}")]
    TooFew {
        /// How many were ready.
        ready: usize,
        /// How many `min_ready` asks for.
        wanted: usize,
        /// The limit that passed.
        limit: Duration,
    },
    /// The worker was told to stop while it was starting.
    #[error("the worker was stopped before it was ready")]
    Stopped,
    /// A team's own pool did not start, for a reason of its own.
    #[error("{0}")]
    Own(String),
}

fn quoted(stderr: &str) -> String {
    if stderr.is_empty() {
        return "; it wrote nothing to stderr".to_owned();
    }
    format!("; its last stderr lines:\n  {}", stderr.replace('\n', "\n  "))
}
