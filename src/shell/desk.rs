//! All that the pool's one lock guards, and how actions change it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::call::{Call, Class, Timing};
use crate::clock::Moment;
use crate::error::{Ran, StartError};
use crate::machine::retry::{RetryBudget, Share};
use crate::machine::{Action, CallKind, End, PoolMachine, Stop, Ticket};
use crate::meter::{Meter, OutcomeLedger};
use crate::pool::{PoolStatus, RecycleReason, RetryCounts, WorkerId};
use crate::shell::bell::Bell;
use crate::shell::{Progress, Shell, chores, keeper};
use crate::worker::link::Link;
use crate::worker::{Process, Spawner};

/// A worker's link, by the spawner that made it; boxed, since it changes hands at every call.
pub(super) type LinkOf<S> = Box<Link<<S as Spawner>::Reader, <S as Spawner>::Writer>>;

/// The machine, its calls, its workers.
pub(super) struct Desk<M, S: Spawner> {
    pub(super) machine: M,
    /// Looked up only. As many as the machine's calls.
    bookings: FxHashMap<Ticket, Booking<S>>,
    pub(super) staff: BTreeMap<WorkerId, Seat<S>>,
    pub(super) meter: Meter,
    /// The books of shadows, which are in no other (R16).
    shadows: Meter,
    pub(super) ledger: OutcomeLedger,
    /// What may be spent on retries, if there are any.
    budget: Option<RetryBudget>,
    retries: RetryCounts,
    /// Why the last start failed; forgotten when a worker becomes ready.
    pub(super) start_error: Option<StartError>,
    /// When the timer will wake up by itself.
    pub(super) armed: Moment,
    /// Who has got mail and is to be woken when the lock is let go.
    pub(super) rings: Vec<Arc<Bell<S>>>,
    /// Whose caller holds the lock: it takes its mail when it lets go, and needs no waking.
    pub(super) at_desk: Option<Ticket>,
    /// What was published last.
    pub(super) progress: Progress,
    next_ticket: u64,
}

/// A call between its submit and its end.
pub(super) struct Booking<S: Spawner> {
    bell: Arc<Bell<S>>,
    command: Arc<str>,
    class: Class,
    /// Whether the call was tried before.
    again: bool,
    shadow: bool,
    planned: Moment,
    submitted: Moment,
    dispatched: Option<Moment>,
    worker: Option<WorkerId>,
}

/// Which try of a call it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempt {
    /// From 0.
    pub(super) number: usize,
    /// When the first try was planned, and its deadline; nothing for the first itself.
    pub(super) planned: Option<Moment>,
    pub(super) deadline: Option<Moment>,
}

/// The one end of a call, as decided under the lock.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    pub(super) end: End,
    pub(super) ran: Ran,
    pub(super) worker: Option<WorkerId>,
    pub(super) timing: Timing,
}

/// The right to write to and read from one worker.
pub(super) struct Lease<S: Spawner> {
    pub(super) worker: WorkerId,
    pub(super) link: LinkOf<S>,
    pub(super) record: Arc<Record<S::Process>>,
}

/// What outlives a worker's seat, for those who want to know how it ended.
#[derive(Debug)]
pub(super) struct Record<P> {
    pub(super) process: P,
    /// Set when it is ready: whether it is our runtime, which can be asked for its stacks.
    pub(super) is_runtime: OnceLock<bool>,
    /// What was seen of it at the deadline that it missed.
    pub(super) overdue: OnceLock<Overdue>,
    /// Whether whoever holds its lease is to look at its memory between two calls.
    measure: AtomicBool,
}

/// A worker whose call's time was over, before it was killed.
#[derive(Clone, Debug, Default)]
pub(super) struct Overdue {
    pub(super) state: Option<String>,
    pub(super) stacks: Vec<String>,
    pub(super) stackless: Option<&'static str>,
}

/// A live worker's place in the pool.
pub(super) struct Seat<S: Spawner> {
    /// Here while nobody holds it as a lease.
    link: Option<LinkOf<S>>,
    record: Option<Arc<Record<S::Process>>>,
    holder: Option<Ticket>,
    /// Why it is to be replaced, though it did no wrong.
    recycled: Option<RecycleReason>,
    /// Taken when the worker is told to stop.
    orders: Option<oneshot::Sender<Order<S>>>,
}

/// How the worker's keeper is told to end it.
pub(super) struct Order<S: Spawner> {
    pub(super) how: Stop,
    /// Why, if it did no wrong and is replaced.
    pub(super) recycled: Option<RecycleReason>,
    /// For a polite stop of a worker that nobody holds.
    pub(super) link: Option<LinkOf<S>>,
}

impl<M: PoolMachine, S: Spawner> Desk<M, S> {
    pub(super) fn new(machine: M, retries: Option<Share>) -> Self {
        let untried = machine.census().untried;
        Self {
            machine,
            bookings: FxHashMap::default(),
            staff: BTreeMap::new(),
            meter: Meter::new(),
            shadows: Meter::new(),
            ledger: OutcomeLedger::default(),
            budget: retries.map(RetryBudget::new),
            retries: RetryCounts::default(),
            start_error: None,
            armed: Moment::NEVER,
            rings: Vec::new(),
            at_desk: None,
            progress: Progress { untried, ..Progress::default() },
            next_ticket: 0,
        }
    }

    /// Opens a booking; its Submit must follow under the same lock.
    pub(super) fn book(
        &mut self,
        now: Moment,
        call: &Call,
        attempt: &Attempt,
        kind: CallKind,
        bell: Arc<Bell<S>>,
    ) -> Ticket {
        let shadow = kind != CallKind::Live;
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let booking = Booking {
            bell,
            command: Arc::clone(&call.command),
            class: call.class,
            again: attempt.number > 0,
            shadow,
            planned: attempt.planned.or(call.planned).unwrap_or(now),
            submitted: now,
            dispatched: None,
            worker: None,
        };
        self.bookings.insert(ticket, booking);
        if shadow {
            self.shadows.submit();
            return ticket;
        }
        self.meter.submit();
        if let Some(budget) = self.budget.as_mut().filter(|_| attempt.number == 0) {
            budget.earn();
        }
        ticket
    }

    /// R15: whether there is budget to try a call again, which is then spent.
    pub(super) fn spend_retry(&mut self) -> bool {
        let enough = self.budget.as_mut().is_some_and(RetryBudget::spend);
        let count = if enough { &mut self.retries.made } else { &mut self.retries.over_budget };
        *count += 1;
        enough
    }

    pub(super) fn carry_out(&mut self, shell: &Arc<Shell<M, S>>, now: Moment, action: Action) {
        match action {
            Action::Start(worker) => {
                let (orders, received) = oneshot::channel();
                self.staff.insert(worker, Seat::new(orders));
                shell.runtime.spawn(keeper::keep(Arc::clone(shell), worker, received));
            }
            Action::Assign { call, worker } => self.assign(now, call, worker),
            Action::Finish { call, end } => self.finish(now, call, end),
            Action::Abandon { call, worker } => {
                let lease = self.lease(worker, None);
                shell.runtime.spawn(chores::read_late_reply(Arc::clone(shell), call, lease));
            }
            Action::Probe(worker) => {
                let lease = self.lease(worker, None);
                shell.runtime.spawn(chores::probe(Arc::clone(shell), lease));
            }
            Action::Measure(worker) => {
                let record = self.staff.get(&worker).and_then(|seat| seat.record.as_ref());
                record.expect("a ready worker has a record").measure.store(true, Ordering::Relaxed);
            }
            Action::Recycle { worker, reason } => {
                let seat = self.staff.get_mut(&worker).expect("only a live worker is recycled");
                seat.recycled = Some(reason);
            }
            Action::Stop { worker, how } => {
                let seat = self.staff.get_mut(&worker).expect("only a live worker is stopped");
                let recycled = seat.recycled.take();
                let link = seat.link.take();
                let orders = seat.orders.take().expect("a worker is stopped once");
                // Its keeper may have seen the exit by itself already.
                let _ = orders.send(Order { how, recycled, link });
            }
        }
    }

    fn assign(&mut self, now: Moment, call: Ticket, worker: WorkerId) {
        let lease = self.lease(worker, Some(call));
        let booking = self.bookings.get_mut(&call).expect("an assigned call is booked");
        booking.dispatched = Some(now);
        booking.worker = Some(worker);
        booking.bell.grant(lease);
        if self.at_desk != Some(call) {
            self.rings.push(Arc::clone(&booking.bell));
        }
    }

    fn lease(&mut self, worker: WorkerId, holder: Option<Ticket>) -> Lease<S> {
        let seat = self.staff.get_mut(&worker).expect("only a live worker is leased");
        let link = seat.link.take().expect("a free worker's link is in its seat (R1)");
        let record = seat.record.clone().expect("a ready worker has a record");
        seat.holder = holder;
        Lease { worker, link, record }
    }

    /// The lease's holder is done with it, and keeps the worker's record; the event that says how
    /// it went must follow under the lock.
    pub(super) fn give_back(&mut self, lease: Lease<S>) -> Arc<Record<S::Process>> {
        if let Some(seat) = self.staff.get_mut(&lease.worker) {
            seat.holder = None;
            // Also while the worker is being ended: until it is gone its pipes stay open, so that
            // one that is asked for its stacks does not meet the end of its stdin instead.
            seat.link = Some(lease.link);
        }
        lease.record
    }

    fn finish(&mut self, now: Moment, call: Ticket, end: End) {
        let booking = self.bookings.remove(&call).expect("a call is booked until it is finished");
        let timing = Timing {
            planned: booking.planned,
            submitted: booking.submitted,
            dispatched: booking.dispatched,
            finished: now,
        };
        let ran = end.ran(booking.bell.progress.get());
        if booking.shadow {
            self.shadows.record(booking.class, end.outcome(), &timing);
        } else {
            self.meter.record(booking.class, end.outcome(), &timing);
            self.ledger.record(&booking.command, end.outcome(), ran, booking.again);
        }
        booking.bell.finish(Finished { end, ran, worker: booking.worker, timing });
        if self.at_desk != Some(call) {
            self.rings.push(booking.bell);
        }
    }

    /// The worker answered its start ping: from now on it can be leased.
    pub(super) fn seat_ready(&mut self, worker: WorkerId, link: LinkOf<S>) -> bool {
        let seat = self.staff.get_mut(&worker).expect("a keeper's worker has a seat");
        let wanted = seat.orders.is_some();
        if wanted {
            seat.link = Some(link);
            self.start_error = None;
        }
        wanted
    }

    /// The process exists, and can be signalled through its record.
    pub(super) fn seat_record(&mut self, worker: WorkerId, record: Arc<Record<S::Process>>) {
        let seat = self.staff.get_mut(&worker).expect("a keeper's worker has a seat");
        seat.record = Some(record);
    }

    /// The process is reaped. A holder of its lease is told to read what is left in the pipe.
    pub(super) fn vacate(&mut self, worker: WorkerId) {
        let seat = self.staff.remove(&worker).expect("a keeper's worker has a seat");
        let booking = seat.holder.and_then(|call| self.bookings.get(&call));
        if let Some(booking) = booking {
            booking.bell.interrupt();
            self.rings.push(Arc::clone(&booking.bell));
        }
    }

    pub(super) fn status(&self) -> PoolStatus {
        let mut status = self.machine.status();
        status.outcomes = self.meter.outcomes();
        status.shadows = self.shadows.outcomes();
        status.breaker.cause = self.start_error.as_ref().map(ToString::to_string);
        (status.ledger, status.retries) = (self.ledger.rows(), self.retries);
        for worker in &mut status.workers {
            let record = self.staff.get(&worker.id).and_then(|seat| seat.record.as_ref());
            worker.pid = record.and_then(|record| record.process.pid());
        }
        status
    }
}

impl<P> Record<P> {
    pub(super) fn new(process: P) -> Self {
        let (is_runtime, overdue) = (OnceLock::new(), OnceLock::new());
        Self { process, is_runtime, overdue, measure: AtomicBool::new(false) }
    }
}

impl<P: Process> Record<P> {
    /// The worker's memory, if somebody is to look at it; for whoever holds its lease and has
    /// read its reply.
    pub(super) fn measured(&self) -> Option<u64> {
        let wanted = self.measure.load(Ordering::Relaxed);
        (wanted && self.measure.swap(false, Ordering::Relaxed))
            .then(|| self.process.resident_bytes())
            .flatten()
    }
}

impl<S: Spawner> Seat<S> {
    fn new(orders: oneshot::Sender<Order<S>>) -> Self {
        Self { link: None, record: None, holder: None, recycled: None, orders: Some(orders) }
    }
}
