//! What both pools share: the contract between a pure pool machine and whoever drives it.
//!
//! A driver hands each event to [`PoolMachine::handle`] with the moment at which it happened,
//! then takes actions from [`PoolMachine::next_action`] until there is none, and carries them
//! out in that order. At [`PoolMachine::next_deadline`] it handles
//! [`Event::DeadlineReached`]. Production does this under one lock, the simulation from one
//! event heap; neither can tell the other's machine apart.

pub mod backoff;
pub mod breaker;
pub mod crew;
pub mod discipline;
pub mod engine;
pub mod idle;
pub mod quarantine;
pub mod recycling;
pub mod retry;
pub mod slot;
pub mod slot_set;
pub mod timers;
pub mod waitlist;

use std::fmt::Debug;

use crate::call::{Class, SessionId};
use crate::clock::Moment;
use crate::error::{Outcome, Ran, Refusal};
use crate::pool::{PoolStatus, RecycleReason, WorkerId};

/// More processes than this on one host are a slip of the keyboard; slots are numbered far
/// beyond it.
pub const MAX_SIZE: usize = 1024;

/// A setting that cannot work, by its config key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The key.
    pub key: &'static str,
    /// Its value, what is wrong with it, and what to do.
    pub message: String,
}

/// A pool without IO, lock, clock or randomness: events in, actions out.
pub trait PoolMachine: Clone + Debug + PartialEq + Send + 'static {
    /// Takes one event. Events of workers and calls that are gone are ignored, because an exit,
    /// a reply and a deadline race each other in every real pool.
    fn handle(&mut self, now: Moment, event: Event);

    /// The next thing to do, in order.
    fn next_action(&mut self) -> Option<Action>;

    /// When [`Event::DeadlineReached`] is due. It may be early; it is never late.
    fn next_deadline(&self) -> Option<Moment>;

    /// The few numbers that a driver waits on; cheap enough for every event.
    fn census(&self) -> Census;

    /// Gauges and counters. What only the driver knows (pids, outcomes) is left empty.
    fn status(&self) -> PoolStatus;
}

/// How far a pool has come up, or gone down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Workers that have become ready and are not being ended.
    pub ready: usize,
    /// Workers that are on their way.
    pub starting: usize,
    /// Processes that exist, whatever they do.
    pub live: usize,
    /// Slots whose first worker has neither become ready nor failed yet.
    pub untried: usize,
    /// Calls that are not finished.
    pub in_flight: usize,
    /// Whether the breaker is open: so many starts in a row failed that calls which no worker
    /// could take are refused, and starts are tried one at a time (R6).
    pub broken: bool,
    /// Whether the pool has stopped taking calls: only then can it be over.
    pub draining: bool,
}

/// A call inside one pool: its number in the order of submits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// For whom a call is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// For a caller, who waits for it.
    #[default]
    Live,
    /// A copy of a call that another lane has answered (R16): it runs on a spare worker at once
    /// or not at all, belongs to no session, and nobody ever waits for it to end.
    Shadow {
        /// As many spare workers must be left idle.
        reserve: usize,
    },
}

/// Tells calls with the same command and the same args from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub u128);

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A caller wants a call run. Tickets are never reused and only grow.
    Submit {
        /// The call's new number.
        call: Ticket,
        /// For whom it is made.
        kind: CallKind,
        /// The call's class.
        class: Class,
        /// The call's session.
        session: Option<SessionId>,
        /// The end of the caller's own budget, if it brought one.
        deadline: Option<Moment>,
        /// What the call is, where calls that kill workers are to be told apart.
        digest: Option<Digest>,
    },
    /// The caller of a call that waits has gone away.
    Cancel {
        /// The call.
        call: Ticket,
    },
    /// A starting worker has answered its start ping well.
    WorkerReady {
        /// The worker.
        worker: WorkerId,
    },
    /// A starting worker did not become ready; its process, if any, is reaped.
    StartFailed {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker has answered a call; for a call that was abandoned, its late reply was read.
    Replied {
        /// The call.
        call: Ticket,
        /// The worker.
        worker: WorkerId,
        /// What it answered.
        reply: Reply,
        /// Whether the worker asked to be replaced.
        recycle: bool,
    },
    /// The lease on a worker ended without a reply.
    CallBroke {
        /// The call.
        call: Ticket,
        /// The worker.
        worker: WorkerId,
        /// How much of the request the worker's pipe had accepted.
        sent: Sent,
        /// Why the lease ended.
        cause: Breakage,
    },
    /// A worker's process has ended and is reaped.
    WorkerExited {
        /// The worker.
        worker: WorkerId,
    },
    /// A probe has ended.
    Probed {
        /// The worker.
        worker: WorkerId,
        /// Whether it answered well in time.
        healthy: bool,
    },
    /// What [`Action::Measure`] asked for, between two calls.
    Measured {
        /// The worker.
        worker: WorkerId,
        /// Its resident memory, in bytes.
        rss: u64,
    },
    /// The moment of [`PoolMachine::next_deadline`] has come.
    DeadlineReached,
    /// The pool is meant to have `size` workers from now on. For V3 only: V2's sessions are bound
    /// to its slots, and none of its handles resizes it.
    Resize {
        /// The new number of workers.
        size: usize,
    },
    /// Take no new calls; serve the waiting ones until `until`, then stop everything.
    Drain {
        /// When to give up on calls in flight.
        until: Moment,
    },
    /// A session is over.
    EndSession {
        /// The session.
        session: SessionId,
    },
}

/// What the worker answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// A result.
    Ok,
    /// A Python error.
    Raised,
}

/// How much of a request a worker's pipe has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sent {
    /// Not one byte: the call cannot have run.
    None,
    /// Some bytes: the pipe now holds half a request.
    Part,
    /// The whole request.
    All,
}

/// Why a lease ended without a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// The caller went away; the worker itself is well.
    Dropped,
    /// The caller's request cannot be sent; the worker itself is well.
    Refused(Refusal),
    /// The pipe is closed, or held bytes before the request was written (R1).
    Lost,
    /// The worker sent something that is not a reply to this call.
    Garbled,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a process for this worker and report `WorkerReady`, `StartFailed` or its exit.
    Start(WorkerId),
    /// Lease this worker to this call.
    Assign {
        /// The call.
        call: Ticket,
        /// The worker.
        worker: WorkerId,
    },
    /// Tell the caller. Comes exactly once for each submitted call.
    Finish {
        /// The call.
        call: Ticket,
        /// What came of it.
        end: End,
    },
    /// Read this call's late reply from the worker, then report `Replied` or `CallBroke`.
    Abandon {
        /// The call.
        call: Ticket,
        /// The worker.
        worker: WorkerId,
    },
    /// Ping the idle worker and report `Probed`.
    Probe(WorkerId),
    /// Report the worker's memory as `Measured` when it is next between two calls.
    Measure(WorkerId),
    /// For the log: the worker did no wrong and is to be replaced. Its `Stop` follows, at once or
    /// when the worker that takes its place is ready.
    Recycle {
        /// The worker.
        worker: WorkerId,
        /// Why.
        reason: RecycleReason,
    },
    /// End the worker's process and report `WorkerExited`.
    Stop {
        /// The worker.
        worker: WorkerId,
        /// How.
        how: Stop,
    },
}

/// How a worker's process is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// Shutdown frame, close stdin, wait, SIGTERM, wait, SIGKILL: for workers that did no wrong.
    Politely,
    /// SIGKILL to the group at once.
    Kill,
    /// Ask our runtime for its stacks first, then SIGKILL: for a call that timed out (R4).
    DumpAndKill,
}

/// What happens to a worker whose caller went away after the whole request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCancel {
    /// Its late reply is read and thrown away, at most until the call's deadline.
    Drain,
    /// It is killed and replaced at once.
    Kill,
}

/// What came of a call, as far as the machine knows; the driver adds payload and evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The worker answered.
    Replied(Reply),
    /// Refused before it was queued or written.
    Rejected(Refusal),
    /// Refused because there is no worker, and starting one is no use for now (R6).
    NoWorker {
        /// Starts in a row that failed.
        failures: u32,
    },
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
    /// The worker broke the protocol.
    Protocol,
    /// The pool was shutting down.
    Draining,
}

impl End {
    /// The outcome that this end is.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Replied(Reply::Ok) => Outcome::Ok,
            Self::Replied(Reply::Raised) => Outcome::Raised,
            Self::Rejected(_) | Self::NoWorker { .. } => Outcome::Rejected,
            Self::QueueTimeout => Outcome::QueueTimeout,
            Self::ExecTimeout => Outcome::ExecTimeout,
            Self::WorkerLost => Outcome::WorkerLost,
            Self::SessionLost => Outcome::SessionLost,
            Self::Cancelled => Outcome::Cancelled,
            Self::Protocol => Outcome::Protocol,
            Self::Draining => Outcome::Draining,
        }
    }

    /// Whether the call can have run, if its worker's pipe accepted so much of it: only what
    /// was accepted can have.
    #[must_use]
    pub fn ran(&self, sent: Sent) -> Ran {
        match self.outcome() {
            Outcome::Ok | Outcome::Raised => Ran::Yes,
            Outcome::ExecTimeout | Outcome::WorkerLost | Outcome::Cancelled | Outcome::Protocol
                if sent != Sent::None =>
            {
                Ran::Maybe
            }
            _ => Ran::No,
        }
    }
}
