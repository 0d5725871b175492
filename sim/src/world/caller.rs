//! What a caller does with its call, as the shell's errand does it: take the lease, write, read,
//! report, go away.

use poolshift::machine::{Breakage, Event as Input, PoolMachine, Reply, Sent, Ticket};
use poolshift::{SessionId, WorkerId};

use crate::fault::Fault;
use crate::hazard::Place;
use crate::rng::{Domain, Stream};
use crate::trace::{CallNo, Cause, Event, ExitHow, SessionNo, Watcher};
use crate::world::bookings::Stage;
use crate::world::pool::Pool;
use crate::world::scene::Scene;
use crate::world::worker::{Found, Holder, SeatStage};

impl<M: PoolMachine> Pool<M> {
    /// The caller looks at its mail. Returned is the session that its good answer has ended.
    pub(crate) fn caller_wakes<W: Watcher>(
        &mut self,
        scene: &mut Scene<W>,
        ticket: Ticket,
    ) -> Option<(SessionNo, SessionId)> {
        let booking = scene.bookings.get(ticket)?;
        if let Some(outcome) = booking.finished {
            if let Some(worker) = booking.lease.filter(|_| booking.sent == Sent::All) {
                self.read_once_more(scene, ticket, worker);
            }
            let booking = scene.bookings.close(ticket)?;
            if let Some(worker) = booking.lease {
                self.give_back(worker, ticket);
            }
            return booking.ending.filter(|_| outcome == poolshift::Outcome::Ok);
        }
        let worker = booking.lease?;
        if !booking.exchanging {
            self.exchange(scene, ticket, worker);
        } else if let Some(left) = booking.left.take() {
            // R2: a complete reply that was in the pipe of a dead worker still wins.
            let found = left.map_or(Found::End, |letter| letter.read(booking.asked));
            self.found(scene, ticket, worker, found);
        }
        None
    }

    /// The shell polls the pipe before it looks whether the call is over: a reply that has come
    /// meanwhile is reported, and comes too late.
    fn read_once_more<W: Watcher>(
        &mut self,
        scene: &mut Scene<W>,
        ticket: Ticket,
        worker: WorkerId,
    ) {
        let held = self.seat(worker).filter(|seat| seat.holder == Holder::Caller(ticket));
        let found = held.map_or(Found::Nothing, |seat| seat.process.read());
        self.found(scene, ticket, worker, found);
    }

    /// R1: nothing is written to a pipe that has something to say.
    fn exchange<W: Watcher>(&mut self, scene: &mut Scene<W>, ticket: Ticket, worker: WorkerId) {
        let booking = scene.bookings.get(ticket).expect("its caller holds a lease");
        let (attempt, is_poison) = (u64::from(booking.attempts), booking.is_poison);
        let mut stream = scene.seed.stream(Domain::Execution, ticket.0, attempt);
        let drawn = scene.draw(Place::Request(CallNo(ticket.0), attempt), &mut stream);
        let fault = if is_poison { Some(Fault::Poison) } else { drawn };
        let seat = &self.seats[worker.slot as usize];
        let is_up = seat.is(worker) && seat.stage == SeatStage::Up && seat.process.is_alive;
        if is_up && let Some(Fault::CrashBeforeRead | Fault::Poison) = fault {
            scene.strike(Some(self.lane), fault.expect("matched above"), Some(worker));
            self.die(scene, worker, ExitHow::Status(1), true);
        }
        let seat = &mut self.seats[worker.slot as usize];
        if !seat.is(worker) || !seat.process.is_quiet() {
            return self.broke(scene, ticket, worker, Sent::None, Breakage::Lost);
        }
        let sent = match fault {
            _ if !seat.process.is_alive => Sent::None,
            Some(Fault::BrokenStdin) => Sent::None,
            Some(Fault::DeafStdin) => Sent::Part,
            _ => Sent::All,
        };
        seat.process.asked += 1;
        let booking = scene.bookings.get(ticket).expect("its caller holds a lease");
        booking.exchanging = true;
        booking.sent = sent;
        booking.asked = seat.process.asked;
        if is_up && matches!(fault, Some(Fault::BrokenStdin | Fault::DeafStdin)) {
            scene.strike(Some(self.lane), fault.expect("matched above"), Some(worker));
        }
        let call = CallNo(ticket.0);
        scene.tell_in(self.lane, Event::Dispatch { call, worker, sent });
        match sent {
            Sent::None => self.broke(scene, ticket, worker, Sent::None, Breakage::Lost),
            Sent::Part => {}
            Sent::All => self.receive(scene, ticket, worker, fault, &mut stream),
        }
    }

    /// Whoever holds the worker's link reads from its pipe.
    pub(crate) fn heard<W: Watcher>(&mut self, scene: &mut Scene<W>, worker: WorkerId) {
        let Some(seat) = self.seat(worker) else { return };
        match seat.holder {
            Holder::Nobody => {}
            Holder::Keeper => {
                if let Found::Reply { nonce: None, .. } = seat.process.read() {
                    self.pong(scene, worker);
                }
            }
            Holder::Caller(ticket) => {
                let Some(booking) = scene.bookings.get(ticket) else { return };
                if !booking.exchanging || booking.lease != Some(worker) {
                    return;
                }
                let found = match booking.sent {
                    Sent::All => seat.process.read(),
                    _ if seat.process.is_closed => Found::End,
                    _ => Found::Nothing,
                };
                self.found(scene, ticket, worker, found);
            }
            Holder::Reader(ticket) => {
                let found = seat.process.read();
                self.late(scene, ticket, worker, found);
            }
            Holder::Prober => match seat.process.read() {
                Found::Nothing => {}
                Found::Reply { nonce: None, .. } => self.probed(scene, worker, true),
                _ => self.probed(scene, worker, false),
            },
        }
    }

    fn found<W: Watcher>(
        &mut self,
        scene: &mut Scene<W>,
        ticket: Ticket,
        worker: WorkerId,
        found: Found,
    ) {
        match found {
            Found::Nothing => {}
            Found::Reply { nonce: Some(nonce), kind, recycle } => {
                self.end_lease(scene, ticket, worker);
                self.replied(scene, ticket, worker, nonce, (kind, recycle));
            }
            Found::Reply { nonce: None, .. } | Found::Garbled => {
                self.broke_off(scene, ticket, worker, Breakage::Garbled);
            }
            Found::End => self.broke_off(scene, ticket, worker, Breakage::Lost),
        }
    }

    /// R3: the reply that nobody waits for.
    pub(crate) fn late<W: Watcher>(
        &mut self,
        scene: &mut Scene<W>,
        ticket: Ticket,
        worker: WorkerId,
        found: Found,
    ) {
        match found {
            Found::Nothing => {}
            Found::Reply { nonce: Some(nonce), kind, recycle } => {
                self.let_go(worker, Holder::Reader(ticket));
                self.replied(scene, ticket, worker, nonce, (kind, recycle));
            }
            _ => {
                self.let_go(worker, Holder::Reader(ticket));
                self.broke(scene, ticket, worker, Sent::All, Breakage::Lost);
            }
        }
    }

    fn replied<W: Watcher>(
        &mut self,
        scene: &mut Scene<W>,
        ticket: Ticket,
        worker: WorkerId,
        nonce: CallNo,
        (kind, recycle): (Reply, bool),
    ) {
        let call = CallNo(ticket.0);
        scene.tell_in(self.lane, Event::Reply { call, worker, kind, nonce, recycle });
        self.delivering = Some(nonce);
        self.step(scene, Input::Replied { call: ticket, worker, reply: kind, recycle });
        self.delivering = None;
    }

    fn broke_off<W: Watcher>(
        &mut self,
        scene: &mut Scene<W>,
        ticket: Ticket,
        worker: WorkerId,
        cause: Breakage,
    ) {
        let sent = scene.bookings.get(ticket).map_or(Sent::All, |booking| booking.sent);
        self.broke(scene, ticket, worker, sent, cause);
    }

    fn broke<W: Watcher>(
        &mut self,
        scene: &mut Scene<W>,
        ticket: Ticket,
        worker: WorkerId,
        sent: Sent,
        cause: Breakage,
    ) {
        self.end_lease(scene, ticket, worker);
        let call = CallNo(ticket.0);
        let why = Cause::from(&cause);
        scene.tell_in(self.lane, Event::Broke { call, worker, sent, cause: why });
        let booking = scene.bookings.get(ticket);
        if let Some(booking) = booking.filter(|booking| booking.stage == Stage::Leased) {
            booking.stage = Stage::Open;
        }
        self.step(scene, Input::CallBroke { call: ticket, worker, sent, cause });
        self.note_waiting(scene, ticket, true);
    }

    /// The caller goes away. Its booking is closed: nobody is left to be told.
    pub(crate) fn cancel<W: Watcher>(&mut self, scene: &mut Scene<W>, ticket: Ticket) {
        let Some(booking) = scene.bookings.get(ticket) else { return };
        let (lease, sent, is_over) = (booking.lease, booking.sent, booking.finished.is_some());
        scene.tell(Event::Cancel { call: CallNo(ticket.0) });
        match lease {
            Some(worker) if is_over => self.give_back(worker, ticket),
            None if is_over => {}
            Some(worker) => self.broke(scene, ticket, worker, sent, Breakage::Dropped),
            None => self.step(scene, Input::Cancel { call: ticket }),
        }
        // A machine that does not finish a cancelled call is found out: its booking stays.
        if scene.bookings.get(ticket).is_some_and(|booking| booking.finished.is_some()) {
            scene.bookings.close(ticket);
        }
    }

    fn end_lease<W: Watcher>(&mut self, scene: &mut Scene<W>, ticket: Ticket, worker: WorkerId) {
        if let Some(booking) = scene.bookings.get(ticket) {
            booking.lease = None;
            booking.exchanging = false;
        }
        self.give_back(worker, ticket);
    }

    fn give_back(&mut self, worker: WorkerId, ticket: Ticket) {
        self.let_go(worker, Holder::Caller(ticket));
    }

    pub(crate) fn let_go(&mut self, worker: WorkerId, holder: Holder) {
        if let Some(seat) = self.seat(worker).filter(|seat| seat.holder == holder) {
            seat.holder = Holder::Nobody;
        }
    }
}

/// A span from a millisecond to a few, for what a healthy process does in passing.
pub(crate) fn a_moment(stream: &mut Stream) -> std::time::Duration {
    std::time::Duration::from_micros(stream.between(1, 3000))
}
