//! What a fake worker's process does: reads a request, works on it, and acts by its script.

use std::time::Duration;

use poolshift::WorkerId;
use poolshift::clock::Moment;
use poolshift::machine::{PoolMachine, Ticket};

use crate::fault::Fault;
use crate::rng::Stream;
use crate::trace::{CallNo, Event, ExitHow, Frame, Watcher};
use crate::world::pool::Pool;
use crate::world::scene::{Due, Matter, Scene};
use crate::world::work::Work;
use crate::world::worker::{Holder, Job, Letter};

/// SIGKILL.
pub(crate) const KILLED: ExitHow = ExitHow::Signal(9);

/// SIGTERM.
pub(crate) const TERMINATED: ExitHow = ExitHow::Signal(15);

/// A late reply is at most so late.
const LATENESS: u64 = 3_000_000;

impl<M: PoolMachine> Pool<M> {
    /// The worker has the whole request in its pipe.
    pub(crate) fn receive<W: Watcher>(
        &mut self,
        scene: &mut Scene<W>,
        ticket: Ticket,
        worker: WorkerId,
        fault: Option<Fault>,
        stream: &mut Stream,
    ) {
        let until = scene.bookings.get(ticket).expect("it has just been written").until;
        let call = CallNo(ticket.0);
        let Work { kind, recycle, takes } = Work::draw(&scene.options, fault, stream);
        let id = self.seats[worker.slot as usize].process.asked;
        self.seats[worker.slot as usize].process.job =
            Some(Job { id, call: Some(call), fault, kind, recycle });
        if let Some(fault) = fault {
            scene.strike(Some(self.lane), fault, Some(worker));
        }
        if fault != Some(Fault::Frozen) {
            scene.tell_in(self.lane, Event::Executes { call, worker });
        }
        let at = match fault {
            Some(Fault::Hang) => return,
            Some(Fault::LateReply | Fault::Frozen) => lateness(until, stream),
            _ => scene.now + takes,
        };
        scene.at(at, Due::Worker(self.lane, worker, Matter::Works));
    }

    /// The worker has done its work, and acts.
    pub(crate) fn works<W: Watcher>(&mut self, scene: &mut Scene<W>, worker: WorkerId) {
        let Some(seat) = self.seat(worker).filter(|seat| seat.process.is_alive) else { return };
        let Some(job) = seat.process.job.take() else { return };
        let Job { id, call, fault, kind, recycle } = job;
        let letter = |id| Letter { frame: Frame::Reply { id, nonce: call }, kind, recycle };
        let broken = |frame| Letter { frame, kind, recycle };
        match fault {
            Some(Fault::CrashAfterRead) => self.die(scene, worker, ExitHow::Status(9), true),
            Some(Fault::OutOfMemory) => self.die(scene, worker, KILLED, true),
            Some(Fault::HeldPipe) => self.die(scene, worker, ExitHow::Status(0), false),
            Some(Fault::CrashMidFrame) => {
                self.writes(scene, worker, broken(Frame::Part));
                self.die(scene, worker, ExitHow::Status(1), true);
            }
            Some(Fault::ReplyThenExit) => {
                self.writes(scene, worker, letter(id));
                self.die(scene, worker, ExitHow::Status(0), true);
            }
            Some(Fault::DuplicateReply) => {
                self.writes(scene, worker, letter(id));
                self.writes(scene, worker, letter(id));
            }
            Some(Fault::WrongId) => self.writes(scene, worker, letter(id - 1)),
            Some(Fault::Garbage) => self.writes(scene, worker, broken(Frame::Junk)),
            Some(Fault::ClosedStdout) => {
                seat.process.is_closed = true;
                scene.tell_in(self.lane, Event::Closes { worker });
                self.hears(scene, worker);
            }
            Some(Fault::Frozen) => {
                let call = call.expect("only calls are frozen");
                scene.tell_in(self.lane, Event::Executes { call, worker });
                self.writes(scene, worker, letter(id));
            }
            _ => self.writes(scene, worker, letter(id)),
        }
    }

    pub(crate) fn writes<W: Watcher>(
        &mut self,
        scene: &mut Scene<W>,
        worker: WorkerId,
        letter: Letter,
    ) {
        let Some(seat) = self.seat(worker) else { return };
        seat.process.pipe.push_back(letter);
        scene.tell_in(self.lane, Event::Writes { worker, frame: letter.frame });
        self.hears(scene, worker);
    }

    /// There is something to read for whoever holds the worker.
    fn hears<W: Watcher>(&mut self, scene: &mut Scene<W>, worker: WorkerId) {
        let Some(seat) = self.seat(worker) else { return };
        if seat.holder == Holder::Nobody {
            return;
        }
        let due = Due::Worker(self.lane, worker, Matter::Heard);
        match scene.lag(due) {
            None => self.heard(scene, worker),
            Some(lag) => scene.after(lag, due),
        }
    }

    /// The process ends. Its keeper and whoever reads from it find out in any order; if a
    /// grandchild holds the pipe open, only the keeper does.
    pub(crate) fn die<W: Watcher>(
        &mut self,
        scene: &mut Scene<W>,
        worker: WorkerId,
        how: ExitHow,
        closes: bool,
    ) {
        let Some(seat) = self.seat(worker).filter(|seat| seat.process.is_alive) else { return };
        seat.process.is_alive = false;
        seat.process.is_closed |= closes;
        seat.process.job = None;
        let is_held = seat.holder != Holder::Nobody;
        let holds_pipe = !seat.process.is_closed;
        self.processes -= 1;
        scene.tell_in(self.lane, Event::Exit { worker, how, holds_pipe });
        if closes && is_held {
            scene.soon(Due::Worker(self.lane, worker, Matter::Heard));
        }
        scene.soon(Due::Worker(self.lane, worker, Matter::Noticed));
    }
}

/// At the deadline, or a little later.
fn lateness(until: Moment, stream: &mut Stream) -> Moment {
    let late = if stream.chance(500_000) { 0 } else { stream.between(1, LATENESS) };
    until + Duration::from_nanos(late)
}
