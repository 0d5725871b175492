//! What can happen in a run.

use poolshift::clock::Moment;
use poolshift::machine::{Breakage, Reply, Sent, Stop};
use poolshift::router::policy::Reason;
use poolshift::{Class, Lane, Outcome, Ran, WorkerId};

pub use crate::fault::Fault;

/// A call, by its number in the plan, from 0. It is also the nonce that its request carries
/// and that an honest reply echoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallNo(pub u64);

/// A session, by its number in the plan, from 0; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNo(pub u64);

/// What happened. Events of a pool carry its lane in their [stamp](super::Stamp).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A caller hands a call to the router. `Route` follows at once.
    Submit {
        /// The call.
        call: CallNo,
        /// Its session; `None` is anonymous.
        session: Option<SessionNo>,
        /// Its command's class.
        class: Class,
        /// Whether its command may run twice.
        idempotent: bool,
        /// The end of the caller's own budget; without it the lane's terms count from now.
        deadline: Option<Moment>,
        /// When the plan meant it to begin; in virtual time that is now.
        planned: Moment,
    },
    /// The router has decided (R12). The call is submitted to that lane's pool at once.
    Route {
        /// The call.
        call: CallNo,
        /// Where it goes.
        lane: Lane,
        /// The epoch of the policy that decided; `Config` told what is in it.
        epoch: u64,
        /// Why.
        reason: Reason,
        /// Whether it was a draw: an anonymous call, or a live session's first.
        drawn: bool,
        /// The share of the call's class in the policy in force, in thousandths of a percent.
        percent: u32,
    },
    /// The call has neither a worker nor an end when its pool has taken its submit, or has taken
    /// it back from a worker that accepted no byte (R1): it waits.
    Enqueue {
        /// The call.
        call: CallNo,
        /// How many calls of the lane wait now, this one included.
        waiting: u32,
        /// Whether it has had a worker before, and takes its old place.
        again: bool,
    },
    /// The pool gives a worker to the call. Nothing is written yet.
    Lease {
        /// The call.
        call: CallNo,
        /// The worker.
        worker: WorkerId,
    },
    /// The caller has written its request, as far as the worker's pipe accepts it. A lease that
    /// ends before (worker dead or not quiet, caller gone) has no `Dispatch`, or one with
    /// `Sent::None` if the pipe refused the first byte.
    Dispatch {
        /// The call.
        call: CallNo,
        /// The worker.
        worker: WorkerId,
        /// How much the pipe accepted.
        sent: Sent,
    },
    /// The worker notes in its own ledger that it begins to run the call (R18).
    Executes {
        /// The call.
        call: CallNo,
        /// The worker.
        worker: WorkerId,
    },
    /// The worker writes to its stdout.
    Writes {
        /// The worker.
        worker: WorkerId,
        /// What.
        frame: Frame,
    },
    /// The holder of the worker has read a whole reply with the right id, and tells the pool.
    /// If the call was abandoned, this is its late reply, and nobody is told.
    Reply {
        /// The call whose lease this is.
        call: CallNo,
        /// The worker.
        worker: WorkerId,
        /// A result, or a Python error.
        kind: Reply,
        /// The nonce in the reply: the call that the worker answered.
        nonce: CallNo,
        /// Whether the worker asks to be replaced.
        recycle: bool,
    },
    /// The lease, or the wait for a late reply, has ended without a reply, and the pool is told.
    Broke {
        /// The call.
        call: CallNo,
        /// The worker.
        worker: WorkerId,
        /// How much of the request its pipe had accepted.
        sent: Sent,
        /// Why.
        cause: Cause,
    },
    /// The pool has the late reply of a cancelled call read (R3).
    Abandon {
        /// The call.
        call: CallNo,
        /// The worker.
        worker: WorkerId,
    },
    /// The caller goes away. If the call has no `Done` yet, it follows at this moment.
    Cancel {
        /// The call.
        call: CallNo,
    },
    /// The call's one outcome.
    Done {
        /// The call.
        call: CallNo,
        /// What the caller is told.
        outcome: Outcome,
        /// Whether it can have run, as the caller is told.
        ran: Ran,
        /// The worker that had it last.
        worker: Option<WorkerId>,
        /// The nonce in the answer that the caller is given, if it is given one.
        answer: Option<CallNo>,
    },
    /// A call that ends its session was answered well: pin and bindings go now (R14).
    EndSession {
        /// The session.
        session: SessionNo,
    },

    /// The pool starts a process.
    Start {
        /// The worker.
        worker: WorkerId,
    },
    /// The pool is told that the worker answered its start ping well.
    Ready {
        /// The worker.
        worker: WorkerId,
    },
    /// The pool is told that the worker did not become ready. Its process, if there was one, is
    /// reaped.
    StartFailed {
        /// The worker.
        worker: WorkerId,
        /// Why.
        why: Unready,
    },
    /// The pool has the idle worker asked whether it is well (R8).
    Probe {
        /// The worker.
        worker: WorkerId,
    },
    /// The pool is told what came of that.
    Probed {
        /// The worker.
        worker: WorkerId,
        /// Whether it answered well in time.
        healthy: bool,
    },
    /// The pool retires the worker: no lease may follow.
    Stop {
        /// The worker.
        worker: WorkerId,
        /// How.
        how: Stop,
    },
    /// The worker is asked to end by itself: SIGTERM.
    Terminate {
        /// The worker.
        worker: WorkerId,
    },
    /// The worker closes its stdout: its readers see the end of the file.
    Closes {
        /// The worker.
        worker: WorkerId,
    },
    /// The worker's process ends.
    Exit {
        /// The worker.
        worker: WorkerId,
        /// How.
        how: ExitHow,
        /// Whether a grandchild holds its pipe open, so that no reader sees its end.
        holds_pipe: bool,
    },
    /// The process of a worker that had become ready is reaped, and the pool is told.
    Reaped {
        /// The worker.
        worker: WorkerId,
    },

    /// A policy is in force: every `Submit` after this event is decided by it. The first comes
    /// before the first `Submit`. `killed` is the kill switch's commit, or its end (R13).
    Config {
        /// Counts the policies; 1 is the first.
        epoch: u64,
        /// V3's shares of read, write and critical calls, in thousandths of a percent.
        percents: [u32; 3],
        /// Whether everything goes to V2.
        killed: bool,
    },
    /// The pool is meant to have this many workers from now on.
    Resize {
        /// How many.
        size: u32,
    },
    /// The pool takes no new calls, and gives up on the rest at `until` (R7).
    Drain {
        /// When.
        until: Moment,
    },
    /// The drain is over: no process lives, no call is unfinished.
    Drained,

    /// The world did harm. What comes of it follows, at this moment or later.
    Fault {
        /// Which kind.
        fault: Fault,
        /// Whom it hit, if it hit one worker.
        worker: Option<WorkerId>,
    },
    /// This kind of fault happens no more from now on.
    Heal {
        /// Which kind.
        fault: Fault,
    },
    /// The host stands still: nothing that it should do happens before `until` (fault 35).
    Stall {
        /// When it goes on.
        until: Moment,
    },
    /// The run enters a new part.
    Phase {
        /// Which.
        phase: Phase,
    },
}

/// Something that a worker wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Frame {
    /// A whole reply.
    Reply {
        /// The request's id on this worker's pipe, counted from 1; 1 is the start ping.
        id: u64,
        /// The call that it answers; nothing for pings.
        nonce: Option<CallNo>,
    },
    /// The beginning of a reply, and no more.
    Part,
    /// Bytes that are no frame, or a frame that nobody asked for.
    Junk,
}

/// Why a lease ended without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The caller went away; the worker itself is well.
    Dropped,
    /// The request cannot be sent, and no byte of it was; the worker itself is well.
    Refused,
    /// The worker is dead, its pipe is closed, or it spoke before it was asked (R1).
    Lost,
    /// The worker broke the protocol.
    Garbled,
}

impl From<&Breakage> for Cause {
    fn from(breakage: &Breakage) -> Self {
        match breakage {
            Breakage::Dropped => Self::Dropped,
            Breakage::Refused(_) => Self::Refused,
            Breakage::Lost => Self::Lost,
            Breakage::Garbled => Self::Garbled,
        }
    }
}

/// Why a worker did not become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unready {
    /// The operating system refused to start it.
    Refused(Refused),
    /// Its process ended first.
    Ended,
    /// It was silent until `startup_timeout`.
    Silent,
    /// It answered with something else.
    NotAWorker,
    /// It was told to stop first.
    Stopped,
}

/// Why a process could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// No such program.
    Missing,
    /// Too many processes or files.
    Exhausted,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitHow {
    /// With an exit status.
    Status(u8),
    /// By a signal.
    Signal(u8),
}

/// The parts of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Faults happen.
    Chaos,
    /// Some kinds of fault have been healed; the others go on, and the pools must live with it.
    Healed,
    /// The last call of the plan has been submitted.
    PlanDone,
}
