//! A worker's life, as the shell's keeper leads it: spawn, ping, watch, stop, reap.

use std::time::Duration;

use poolshift::WorkerId;
use poolshift::machine::{Event as Input, PoolMachine, Reply, Sent, Stop};

use crate::fault::Fault;
use crate::hazard::Place;
use crate::rng::{Domain, Law, Stream};
use crate::trace::{Event, ExitHow, Frame, Refused, Unready, Watcher};
use crate::world::caller::a_moment;
use crate::world::pool::Pool;
use crate::world::process::{KILLED, TERMINATED};
use crate::world::scene::{Due, Matter, Scene};
use crate::world::worker::{Found, Holder, Job, Letter, Seat, SeatStage};

/// Our runtime's part of R4: how long it has to write its stacks before it is killed.
const STACK_DUMP: Duration = Duration::from_millis(150);

/// What the streams of one worker's life are for.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
enum Turn {
    Start,
    Stop,
    Ping,
}

impl<M: PoolMachine> Pool<M> {
    pub(crate) fn start<W: Watcher>(&mut self, scene: &mut Scene<W>, worker: WorkerId) {
        scene.tell_in(self.lane, Event::Start { worker });
        let slot = worker.slot as usize;
        while self.seats.len() <= slot {
            self.seats.push(Seat::empty());
        }
        self.seats[slot].take(worker);
        self.staff += 1;
        let mut stream = self.stream(scene, worker, Turn::Start);
        let fault = scene.draw(Place::Start(self.lane, worker), &mut stream);
        let exhausted = scene.now < scene.exhausted_until;
        if exhausted || fault == Some(Fault::SpawnMissing) {
            let refused = if exhausted { Refused::Exhausted } else { Refused::Missing };
            if !exhausted {
                scene.strike(Some(self.lane), Fault::SpawnMissing, Some(worker));
            }
            self.seats[slot].why = Unready::Refused(refused);
            return scene.soon(Due::Worker(self.lane, worker, Matter::Noticed));
        }
        self.processes += 1;
        self.seats[slot].spawn();
        let mean = scene.options.mean_startup.as_nanos() as u64;
        let mut after = Duration::from_nanos(Law::Lognormal { cv: 0.5 }.draw(mean, &mut stream));
        let limit = self.ground.startup_timeout;
        if let Some(fault) = fault {
            scene.strike(Some(self.lane), fault, Some(worker));
            let slow = fault == Fault::SlowStart;
            after += if slow { limit } else { Duration::ZERO };
        }
        let job = Job { id: 1, call: None, fault, kind: Reply::Ok, recycle: false };
        self.seats[slot].process.job = Some(job);
        scene.after(after, Due::Worker(self.lane, worker, Matter::Born));
        if after >= limit {
            scene.after(limit, Due::Worker(self.lane, worker, Matter::StartLimit));
        }
    }

    fn stream<W>(&self, scene: &Scene<W>, worker: WorkerId, turn: Turn) -> Stream {
        let WorkerId { slot, generation } = worker;
        let entity = (self.lane as u64) << 62 | (turn as u64) << 60 | u64::from(slot);
        scene.seed.stream(Domain::Birth, entity, u64::from(generation))
    }

    /// The process can answer its start ping.
    pub(crate) fn born<W: Watcher>(&mut self, scene: &mut Scene<W>, worker: WorkerId) {
        let Some(seat) = self.seat(worker).filter(|seat| seat.process.is_alive) else { return };
        let fault = seat.process.job.take().and_then(|job| job.fault);
        match fault {
            Some(Fault::CrashLoop) => self.die(scene, worker, ExitHow::Status(1), true),
            Some(Fault::BadHandshake) => {
                seat.why = Unready::NotAWorker;
                scene.tell_in(self.lane, Event::Writes { worker, frame: Frame::Junk });
                self.die(scene, worker, KILLED, true);
            }
            _ => {
                let frame = Frame::Reply { id: 1, nonce: None };
                self.writes(scene, worker, Letter { frame, kind: Reply::Ok, recycle: false });
            }
        }
    }

    /// A worker that was told to stop in this very moment is not announced any more.
    pub(crate) fn pong<W: Watcher>(&mut self, scene: &mut Scene<W>, worker: WorkerId) {
        let Some(seat) = self.seat(worker) else { return };
        if seat.is_stopping || seat.stage != SeatStage::Starting {
            return;
        }
        seat.stage = SeatStage::Up;
        seat.holder = Holder::Nobody;
        scene.tell_in(self.lane, Event::Ready { worker });
        self.step(scene, Input::WorkerReady { worker });
    }

    pub(crate) fn start_limit<W: Watcher>(&mut self, scene: &mut Scene<W>, worker: WorkerId) {
        let Some(seat) = self.seat(worker) else { return };
        // An answer that is in the pipe counts, as late as it may be read.
        let is_silent = seat.process.pipe.is_empty();
        let is_starting = seat.stage == SeatStage::Starting && !seat.is_stopping;
        if is_starting && is_silent && seat.process.is_alive {
            seat.why = Unready::Silent;
            self.die(scene, worker, KILLED, true);
        }
    }

    pub(crate) fn stop<W: Watcher>(&mut self, scene: &mut Scene<W>, worker: WorkerId, how: Stop) {
        scene.tell_in(self.lane, Event::Stop { worker, how });
        let lane = self.lane;
        let mut stream = self.stream(scene, worker, Turn::Stop);
        let stop_grace = self.ground.stop_grace;
        let Some(seat) = self.seat(worker) else { return };
        seat.is_stopping = true;
        if seat.stage == SeatStage::Starting {
            if seat.process.is_alive {
                seat.why = Unready::Stopped;
            }
            return scene.soon(Due::Worker(lane, worker, Matter::Kill));
        }
        match how {
            Stop::Kill => scene.soon(Due::Worker(lane, worker, Matter::Kill)),
            Stop::DumpAndKill => {
                let frozen = seat.process.job.is_some_and(|job| job.fault == Some(Fault::Frozen));
                let dump = if frozen { STACK_DUMP } else { 8 * a_moment(&mut stream) };
                scene.after(dump, Due::Worker(lane, worker, Matter::Kill));
            }
            Stop::Politely => {
                let is_free = seat.holder == Holder::Nobody;
                let place = Place::Stop(lane, worker);
                if seat.process.is_alive && scene.draw(place, &mut stream).is_some() {
                    seat.process.ignores_term = true;
                    scene.strike(Some(lane), Fault::IgnoresTerm, Some(worker));
                } else if is_free {
                    let at = a_moment(&mut stream);
                    scene.after(at, Due::Worker(lane, worker, Matter::Leaves));
                }
                scene.after(stop_grace, Due::Worker(lane, worker, Matter::Terminate));
            }
        }
    }

    /// It ends because its stdin was closed.
    pub(crate) fn leaves<W: Watcher>(&mut self, scene: &mut Scene<W>, worker: WorkerId) {
        self.die(scene, worker, ExitHow::Status(0), true);
    }

    pub(crate) fn terminate<W: Watcher>(&mut self, scene: &mut Scene<W>, worker: WorkerId) {
        let Some(seat) = self.seat(worker).filter(|seat| seat.process.is_alive) else { return };
        let ignores = seat.process.ignores_term;
        scene.tell_in(self.lane, Event::Terminate { worker });
        if ignores {
            let grace = self.ground.kill_grace;
            scene.after(grace, Due::Worker(self.lane, worker, Matter::Kill));
        } else {
            self.die(scene, worker, TERMINATED, true);
        }
    }

    pub(crate) fn kill<W: Watcher>(&mut self, scene: &mut Scene<W>, worker: WorkerId) {
        self.die(scene, worker, KILLED, true);
    }

    /// The keeper sees the exit and reaps. R2: whoever holds the link reads what is left.
    pub(crate) fn noticed<W: Watcher>(&mut self, scene: &mut Scene<W>, worker: WorkerId) {
        let Some(seat) = self.seat(worker) else { return };
        let (stage, holder, why) = (seat.stage, seat.holder, seat.why);
        let left = seat.process.pipe.pop_front();
        let asked = seat.process.asked;
        seat.stage = SeatStage::Empty;
        seat.holder = Holder::Nobody;
        self.staff -= 1;
        if stage == SeatStage::Starting {
            scene.tell_in(self.lane, Event::StartFailed { worker, why });
            return self.step(scene, Input::StartFailed { worker });
        }
        if let Holder::Caller(ticket) = holder
            && let Some(booking) = scene.bookings.get(ticket)
        {
            let whole = booking.exchanging && booking.sent == Sent::All;
            booking.left = Some(left.filter(|_| whole));
            scene.ring(ticket);
        }
        scene.tell_in(self.lane, Event::Reaped { worker });
        self.step(scene, Input::WorkerExited { worker });
        match holder {
            Holder::Reader(ticket) => {
                let found = left.map_or(Found::End, |letter: Letter| letter.read(asked));
                self.late(scene, ticket, worker, found);
            }
            Holder::Prober => self.probed(scene, worker, false),
            Holder::Caller(_) | Holder::Keeper | Holder::Nobody => {}
        }
    }

    /// R8: the probe pings, if the worker is quiet.
    pub(crate) fn ping<W: Watcher>(&mut self, scene: &mut Scene<W>, worker: WorkerId) {
        let lane = self.lane;
        let mut stream = self.stream(scene, worker, Turn::Ping);
        let limit = self.ground.health_timeout;
        let Some(seat) = self.seat(worker).filter(|seat| seat.holder == Holder::Prober) else {
            return;
        };
        if !seat.process.is_quiet() || !seat.process.is_alive {
            return self.probed(scene, worker, false);
        }
        seat.process.asked += 1;
        let id = seat.process.asked;
        let job = Job { id, call: None, fault: None, kind: Reply::Ok, recycle: false };
        seat.process.job = Some(job);
        scene.after(a_moment(&mut stream), Due::Worker(lane, worker, Matter::Works));
        scene.after(limit, Due::Worker(lane, worker, Matter::PingLimit));
    }

    /// A limit that comes after its probe has ended finds no probe, or one that began later:
    /// that one has answered long before, or its own limit is close.
    pub(crate) fn ping_limit<W: Watcher>(&mut self, scene: &mut Scene<W>, worker: WorkerId) {
        let Some(seat) = self.seat(worker) else { return };
        let pinged = seat.process.job.is_some_and(|job| job.call.is_none());
        if seat.holder == Holder::Prober && pinged {
            self.probed(scene, worker, false);
        }
    }

    pub(crate) fn probed<W: Watcher>(
        &mut self,
        scene: &mut Scene<W>,
        worker: WorkerId,
        healthy: bool,
    ) {
        self.let_go(worker, Holder::Prober);
        scene.tell_in(self.lane, Event::Probed { worker, healthy });
        self.step(scene, Input::Probed { worker, healthy });
    }
}
