//! One lane: a machine, and a driver that carries its actions out as the shell does.

use poolshift::clock::Moment;
use poolshift::error::Outcome;
use poolshift::machine::{Action, End, Event as Input, PoolMachine, Ticket};
use poolshift::meter::Meter;
use poolshift::{Lane, WorkerId};

use crate::trace::{CallNo, Event, LaneClosing, LaneGround, Watcher};
use crate::world::bookings::{Booking, Stage};
use crate::world::scene::{Due, Matter, Scene};
use crate::world::worker::{Holder, Seat, lease_end};

/// A machine with its workers.
///
/// The driver trusts no machine: an action that the shell would not survive is in the trace,
/// where a law can name it, and the world goes on as well as it can.
#[derive(Debug)]
pub(crate) struct Pool<M> {
    pub(crate) lane: Lane,
    pub(crate) ground: LaneGround,
    pub(crate) machine: M,
    /// By slot.
    pub(crate) seats: Vec<Seat>,
    /// Workers that have been started and not been reaped.
    pub(crate) staff: usize,
    pub(crate) processes: usize,
    /// The nonce in the reply that is being reported.
    pub(crate) delivering: Option<CallNo>,
    waiting: u32,
    armed: Moment,
    meter: Meter,
    is_draining: bool,
    is_drained: bool,
}

impl<M: PoolMachine> Pool<M> {
    pub(crate) fn new(lane: Lane, ground: LaneGround, machine: M) -> Self {
        Self {
            lane,
            ground,
            machine,
            seats: Vec::new(),
            staff: 0,
            processes: 0,
            delivering: None,
            waiting: 0,
            armed: Moment::NEVER,
            meter: Meter::new(),
            is_draining: false,
            is_drained: false,
        }
    }

    pub(crate) const fn is_drained(&self) -> bool {
        self.is_drained
    }

    pub(crate) fn close(self) -> LaneClosing {
        let mut status = self.machine.status();
        status.outcomes = self.meter.outcomes();
        LaneClosing { status, meter: self.meter.into_snapshot(), processes: self.processes }
    }

    /// One event in, all its actions out, in order.
    pub(crate) fn step<W: Watcher>(&mut self, scene: &mut Scene<W>, input: Input) {
        self.machine.handle(scene.now, input);
        while let Some(action) = self.machine.next_action() {
            self.carry_out(scene, action);
        }
        let next = self.machine.next_deadline().unwrap_or(Moment::NEVER);
        if next < self.armed && !self.is_drained {
            self.arm(scene, next);
        }
        if self.is_draining && !self.is_drained && self.staff == 0 {
            let census = self.machine.census();
            if census.live == 0 && census.in_flight == 0 {
                self.is_drained = true;
                scene.tell_in(self.lane, Event::Drained);
            }
        }
    }

    fn arm<W: Watcher>(&mut self, scene: &mut Scene<W>, at: Moment) {
        self.armed = at;
        if at != Moment::NEVER {
            scene.at(at, Due::Timer(self.lane));
        }
    }

    /// The timer wakes; a wake-up that was overtaken by an earlier one does nothing.
    pub(crate) fn timer<W: Watcher>(&mut self, scene: &mut Scene<W>) {
        if self.is_drained || scene.now < self.armed {
            return;
        }
        self.armed = Moment::ZERO;
        self.step(scene, Input::DeadlineReached);
        let next = self.machine.next_deadline().unwrap_or(Moment::NEVER);
        self.arm(scene, next);
    }

    pub(crate) fn submit<W: Watcher>(
        &mut self,
        scene: &mut Scene<W>,
        booking: Booking,
        input: Input,
    ) {
        let ticket = booking.ticket;
        scene.bookings.open(booking);
        self.meter.submit();
        self.step(scene, input);
        self.note_waiting(scene, ticket, false);
    }

    /// A call that has neither worker nor end waits.
    pub(crate) fn note_waiting<W: Watcher>(
        &mut self,
        scene: &mut Scene<W>,
        ticket: Ticket,
        again: bool,
    ) {
        let Some(booking) = scene.bookings.get(ticket) else { return };
        if booking.stage == Stage::Open {
            booking.stage = Stage::Waiting;
            self.waiting += 1;
            let (call, waiting) = (booking.call, self.waiting);
            scene.tell_in(self.lane, Event::Enqueue { call, waiting, again });
        }
    }

    pub(crate) fn resize<W: Watcher>(&mut self, scene: &mut Scene<W>, size: usize) {
        if !self.is_drained {
            scene.tell_in(self.lane, Event::Resize { size: size as u32 });
            self.step(scene, Input::Resize { size });
        }
    }

    pub(crate) fn drain<W: Watcher>(&mut self, scene: &mut Scene<W>) {
        if !self.is_draining {
            let until = scene.now + scene.options.operators.drain_timeout;
            scene.tell_in(self.lane, Event::Drain { until });
            self.is_draining = true;
            self.step(scene, Input::Drain { until });
        }
    }

    fn carry_out<W: Watcher>(&mut self, scene: &mut Scene<W>, action: Action) {
        match action {
            Action::Start(worker) => self.start(scene, worker),
            Action::Assign { call, worker } => self.assign(scene, call, worker),
            Action::Finish { call, end } => self.finish(scene, call, &end),
            Action::Abandon { call, worker } => {
                scene.tell_in(self.lane, Event::Abandon { call: CallNo(call.0), worker });
                self.hold(worker, Holder::Reader(call));
                scene.soon(Due::Worker(self.lane, worker, Matter::Heard));
            }
            Action::Probe(worker) => {
                scene.tell_in(self.lane, Event::Probe { worker });
                self.hold(worker, Holder::Prober);
                scene.soon(Due::Worker(self.lane, worker, Matter::Ping));
            }
            // The world's workers have no memory, and its log is the trace.
            Action::Measure(_) | Action::Recycle { .. } => {}
            Action::Stop { worker, how } => self.stop(scene, worker, how),
        }
    }

    fn assign<W: Watcher>(&mut self, scene: &mut Scene<W>, ticket: Ticket, worker: WorkerId) {
        scene.tell_in(self.lane, Event::Lease { call: CallNo(ticket.0), worker });
        let now = scene.now;
        let Some(booking) = scene.bookings.get(ticket) else { return };
        self.waiting -= u32::from(booking.stage == Stage::Waiting);
        booking.stage = Stage::Leased;
        booking.dispatched = Some(now);
        booking.worker = Some(worker);
        booking.lease = Some(worker);
        booking.until = lease_end(booking.deadline, now, self.ground.terms.run_timeout);
        booking.exchanging = false;
        booking.left = None;
        booking.attempts += 1;
        let leaves = std::mem::take(&mut booking.leaves_at_hand_off);
        self.hold(worker, Holder::Caller(ticket));
        if leaves {
            // Both are due now, and the agenda draws which is first.
            scene.at(now, Due::Cancel(ticket));
            scene.at(now, Due::Caller(ticket));
        } else {
            scene.ring(ticket);
        }
    }

    fn hold(&mut self, worker: WorkerId, holder: Holder) {
        if let Some(seat) = self.seat(worker) {
            seat.holder = holder;
        }
    }

    /// The seat of a worker that is not reaped.
    #[inline]
    pub(crate) fn seat(&mut self, worker: WorkerId) -> Option<&mut Seat> {
        self.seats.get_mut(worker.slot as usize).filter(|seat| seat.is(worker))
    }

    fn finish<W: Watcher>(&mut self, scene: &mut Scene<W>, ticket: Ticket, end: &End) {
        let outcome = end.outcome();
        let call = CallNo(ticket.0);
        let answered = matches!(outcome, Outcome::Ok | Outcome::Raised);
        let answer = if answered { self.delivering } else { None };
        let now = scene.now;
        let Some(booking) = scene.bookings.get(ticket).filter(|it| it.stage != Stage::Over) else {
            // A call that is over is finished once more: the trace must show it.
            let (ran, worker) = (end.ran(poolshift::machine::Sent::None), None);
            scene.tell_in(self.lane, Event::Done { call, outcome, ran, worker, answer });
            return;
        };
        self.waiting -= u32::from(booking.stage == Stage::Waiting);
        booking.stage = Stage::Over;
        booking.finished = Some(outcome);
        let (ran, worker) = (end.ran(booking.sent), booking.worker);
        let timing = booking.timing(now);
        self.meter.record(booking.class, outcome, &timing);
        scene.tell_in(self.lane, Event::Done { call, outcome, ran, worker, answer });
        scene.ring(ticket);
    }
}
