//! A fake worker's process: what it reads, when it acts, what lies in its pipe.

use std::collections::VecDeque;

use poolshift::WorkerId;
use poolshift::clock::Moment;
use poolshift::machine::{Reply, Ticket};

use crate::fault::Fault;
use crate::trace::{CallNo, Frame, Unready};

/// A slot's present process with all that the host has to do with it.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) worker: WorkerId,
    pub(crate) stage: SeatStage,
    /// It has been told to stop, once and for all.
    pub(crate) is_stopping: bool,
    pub(crate) holder: Holder,
    pub(crate) process: Process,
    /// Why it will not have become ready, if it does not.
    pub(crate) why: Unready,
}

/// How far the host has come with a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeatStage {
    /// There is none, or it is reaped.
    Empty,
    /// It has not answered its start ping.
    Starting,
    /// It has.
    Up,
}

/// Who may write to a worker and read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Nobody,
    /// Its keeper, which awaits the reply to the start ping.
    Keeper,
    /// The caller of this call.
    Caller(Ticket),
    /// Whoever reads this call's late reply.
    Reader(Ticket),
    /// A probe.
    Prober,
}

/// The process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) is_alive: bool,
    /// Whether a reader of its pipe sees the end after what is in it.
    pub(crate) is_closed: bool,
    pub(crate) ignores_term: bool,
    /// What it wrote and nobody has read.
    pub(crate) pipe: VecDeque<Letter>,
    /// The id of the last request on its pipe.
    pub(crate) asked: u64,
    pub(crate) job: Option<Job>,
}

/// Something in a worker's pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) frame: Frame,
    pub(crate) kind: Reply,
    pub(crate) recycle: bool,
}

/// A request that the worker has got, and what it will do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) id: u64,
    /// Nothing if it is a ping.
    pub(crate) call: Option<CallNo>,
    pub(crate) fault: Option<Fault>,
    pub(crate) kind: Reply,
    pub(crate) recycle: bool,
}

/// What a reader finds in a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A whole reply with the right id.
    Reply { nonce: Option<CallNo>, kind: Reply, recycle: bool },
    /// Something else.
    Garbled,
    /// The end.
    End,
    /// Nothing yet.
    Nothing,
}

impl Process {
    const fn new() -> Self {
        Self {
            is_alive: false,
            is_closed: true,
            ignores_term: false,
            pipe: VecDeque::new(),
            asked: 0,
            job: None,
        }
    }

    /// Runs from now on; its start ping is the first request on its pipe.
    fn spawn(&mut self) {
        let mut pipe = std::mem::take(&mut self.pipe);
        pipe.clear();
        *self = Self { is_alive: true, is_closed: false, asked: 1, pipe, ..Self::new() };
    }

    /// R1: whether there is nothing to read, not even the end.
    pub(crate) fn is_quiet(&self) -> bool {
        self.pipe.is_empty() && !self.is_closed
    }

    /// Reads on, as one who waits for the reply to the last request.
    pub(crate) fn read(&mut self) -> Found {
        let end = if self.is_closed { Found::End } else { Found::Nothing };
        match self.pipe.front() {
            Some(Letter { frame: Frame::Part, .. }) | None => end,
            Some(_) => {
                let letter = self.pipe.pop_front().expect("it was looked at above");
                letter.read(self.asked)
            }
        }
    }
}

impl Letter {
    /// What it is to one who waits for the reply to the request of this id.
    pub(crate) fn read(self, asked: u64) -> Found {
        let Self { frame, kind, recycle } = self;
        match frame {
            Frame::Reply { id, nonce } if id == asked => Found::Reply { nonce, kind, recycle },
            Frame::Reply { .. } | Frame::Junk => Found::Garbled,
            Frame::Part => Found::End,
        }
    }
}

impl Seat {
    pub(crate) const fn empty() -> Self {
        Self {
            worker: WorkerId { slot: 0, generation: 0 },
            stage: SeatStage::Empty,
            is_stopping: false,
            holder: Holder::Nobody,
            process: Process::new(),
            why: Unready::Ended,
        }
    }

    /// A new worker takes the seat; whether it gets a process is seen later.
    pub(crate) fn take(&mut self, worker: WorkerId) {
        self.worker = worker;
        self.stage = SeatStage::Starting;
        self.is_stopping = false;
        self.holder = Holder::Nobody;
        self.why = Unready::Ended;
    }

    pub(crate) fn spawn(&mut self) {
        self.process.spawn();
        self.holder = Holder::Keeper;
    }

    pub(crate) fn is(&self, worker: WorkerId) -> bool {
        self.worker == worker && self.stage != SeatStage::Empty
    }

    /// Whether it is up, and neither held nor told to stop.
    pub(crate) fn is_idle(&self) -> bool {
        self.stage == SeatStage::Up
            && self.holder == Holder::Nobody
            && !self.is_stopping
            && self.process.is_alive
    }
}

/// A lease ends then at the latest.
pub(crate) fn lease_end(deadline: Moment, now: Moment, run: std::time::Duration) -> Moment {
    deadline.min(now + run)
}
