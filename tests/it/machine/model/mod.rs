//! A plain model of both pools: no indexes, no timers, one list of each thing, looked through
//! from the front. It says which actions each event must cause, in order.

mod calls;
mod recycle;
mod time;
mod workers;

use std::collections::BTreeMap;
use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::machine::engine::Terms;
use poolshift::machine::recycling::Life;
use poolshift::machine::{Action, CallKind, Digest, End, Event, Reply, Ticket};
use poolshift::{Class, Lane, SessionId, WorkerId};

use crate::machine::step::Step;

/// How long a session without calls keeps its binding.
pub(crate) const SESSION_IDLE: Duration = Duration::from_millis(300);

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) lane: Lane,
    pub(crate) terms: Terms,
    pub(crate) max_waiting: usize,
    pub(crate) now: Moment,
    pub(crate) slots: Vec<Slot>,
    /// Unfinished calls, oldest first.
    pub(crate) calls: Vec<Call>,
    sessions: BTreeMap<SessionId, Session>,
    drain_until: Option<Moment>,
    drain_due: Option<Moment>,
    submitted: u64,
    /// Failed starts since a worker last became ready, and when the open breaker tries the next.
    failures: u32,
    probe_at: Option<Moment>,
    /// Workers that died by themselves, with the call that they had.
    deaths: Vec<(Moment, Digest, WorkerId)>,
    /// Who is to be recycled and waits for a turn, longest first.
    due: Vec<WorkerId>,
    pub(crate) recycled: u64,
    /// The largest size that the pool ever had.
    pub(crate) largest: usize,
    /// What the last step was to the machine; nothing if only time passed.
    pub(crate) event: Option<Event>,
    /// What the last step must have caused.
    pub(crate) actions: Vec<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    Vacant(Moment),
    Starting,
    Idle(Moment),
    Busy(Ticket),
    Abandoned(Ticket, Moment),
    Stopping,
}

#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) worker: WorkerId,
    pub(crate) state: State,
    standing: Standing,
    failures: u32,
    tried: bool,
    life: Life,
    abandoned: Option<Digest>,
    /// Its worker runs a shadow, or was lost with one.
    lent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    Wanted,
    Relieved(u32),
    Surplus,
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: Ticket,
    session: Option<SessionId>,
    deadline: Moment,
    wait_until: Moment,
    digest: Option<Digest>,
    /// The worker that runs it, and until when it may; a waiting call has none.
    pub(crate) running: Option<(WorkerId, Moment)>,
    returns: u8,
    pub(crate) shadow: bool,
}

#[derive(Clone, Debug)]
struct Session {
    place: Place,
    unfinished: usize,
    last_used: Moment,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Free,
    Bound(u32),
    Lost,
}

impl Model {
    pub(crate) fn new(lane: Lane, terms: Terms, max_waiting: usize) -> Self {
        let mut model = Self {
            lane,
            terms,
            max_waiting,
            now: Moment::ZERO,
            slots: Vec::new(),
            calls: Vec::new(),
            sessions: BTreeMap::new(),
            drain_until: None,
            drain_due: None,
            submitted: 0,
            failures: 0,
            probe_at: None,
            deaths: Vec::new(),
            due: Vec::new(),
            recycled: 0,
            largest: 0,
            event: None,
            actions: Vec::new(),
        };
        model.want(model.terms.size);
        model.after_event();
        model
    }

    pub(crate) fn waiting(&self) -> usize {
        self.calls.iter().filter(|call| call.running.is_none()).count()
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.probe_at.is_some()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain_until.is_some()
    }

    pub(crate) fn count(&self, like: impl Fn(&State) -> bool) -> usize {
        self.slots.iter().filter(|slot| like(&slot.state)).count()
    }

    /// Takes one step: afterwards `event` and `actions` are what it was, and what it caused.
    pub(crate) fn take(&mut self, step: &Step) {
        self.actions.clear();
        self.event = self.resolve(step);
        match (self.event.clone(), step) {
            (Some(event), _) => self.handle(event),
            (None, Step::Wait(ms)) => self.wait_until(self.now + Duration::from_millis(*ms)),
            (None, step) => unreachable!("{step:?} is an event"),
        }
    }

    fn resolve(&mut self, step: &Step) -> Option<Event> {
        let pick = |from: Vec<WorkerId>, n: usize| from[n % from.len()];
        let event = match *step {
            Step::Wait(_) => return None,
            Step::Submit { session, budget_ms, digest } => {
                self.submitted += 1;
                Event::Submit {
                    call: Ticket(self.submitted),
                    kind: CallKind::Live,
                    class: Class::Write,
                    session: session.map(Step::session),
                    deadline: budget_ms.map(|ms| self.now + Duration::from_millis(ms)),
                    digest: digest.map(|digest| Digest(digest.into())),
                }
            }
            Step::Shadow { reserve, budget_ms } => {
                self.submitted += 1;
                Event::Submit {
                    call: Ticket(self.submitted),
                    kind: CallKind::Shadow { reserve },
                    class: Class::Read,
                    session: None,
                    deadline: budget_ms.map(|ms| self.now + Duration::from_millis(ms)),
                    digest: None,
                }
            }
            Step::Cancel(n) => Event::Cancel { call: self.pick_call(n, false) },
            Step::Ready(n) => Event::WorkerReady { worker: pick(self.starting(), n) },
            Step::StartFails(n) => Event::StartFailed { worker: pick(self.starting(), n) },
            Step::Reply { call, raised, recycle } => {
                let (call, worker) = self.pick_lease(call);
                let reply = if raised { Reply::Raised } else { Reply::Ok };
                Event::Replied { call, worker, reply, recycle }
            }
            Step::Break { call, sent, ref cause } => {
                let (call, worker) = self.pick_lease(call);
                Event::CallBroke { call, worker, sent, cause: cause.clone() }
            }
            Step::Ghost(n) => self.ghost(n),
            Step::Measure { worker, rss } => {
                Event::Measured { worker: pick(self.ended_by_exit(), worker), rss }
            }
            Step::Exit(n) => Event::WorkerExited { worker: pick(self.ended_by_exit(), n) },
            Step::EndSession(n) => Event::EndSession { session: Step::session(n) },
            Step::Resize(size) => Event::Resize { size },
            Step::Drain(ms) => Event::Drain { until: self.now + Duration::from_millis(ms) },
        };
        Some(event)
    }

    /// An event of the process before the present one.
    fn ghost(&self, n: usize) -> Event {
        let WorkerId { slot, generation } = self.slots[n % self.slots.len()].worker;
        let worker = WorkerId { slot, generation: generation.saturating_sub(1) };
        match n % 4 {
            0 => Event::WorkerExited { worker },
            1 => Event::Measured { worker, rss: 1_000_000 },
            2 => Event::WorkerReady { worker },
            _ => Event::StartFailed { worker },
        }
    }

    pub(crate) fn starting(&self) -> Vec<WorkerId> {
        let starting = self.slots.iter().filter(|slot| slot.state == State::Starting);
        starting.map(|slot| slot.worker).collect()
    }

    /// A starting worker that exits is a failed start.
    pub(crate) fn ended_by_exit(&self) -> Vec<WorkerId> {
        let others = |slot: &&Slot| !matches!(slot.state, State::Vacant(_) | State::Starting);
        self.slots.iter().filter(others).map(|slot| slot.worker).collect()
    }

    /// Calls with a lease, and abandoned ones whose late reply is awaited.
    pub(crate) fn leases(&self) -> Vec<(Ticket, WorkerId)> {
        let running = self.calls.iter().filter_map(|call| Some((call.id, call.running?.0)));
        let abandoned = self.slots.iter().filter_map(|slot| match slot.state {
            State::Abandoned(call, _) => Some((call, slot.worker)),
            _ => None,
        });
        running.chain(abandoned).collect()
    }

    fn pick_lease(&self, n: usize) -> (Ticket, WorkerId) {
        let leases = self.leases();
        leases[n % leases.len()]
    }

    fn pick_call(&self, n: usize, running: bool) -> Ticket {
        let like = self.calls.iter().filter(|call| call.running.is_some() == running);
        let ids: Vec<Ticket> = like.map(|call| call.id).collect();
        ids[n % ids.len()]
    }

    /// Events of a process that is gone change nothing.
    fn is_stale(&self, event: &Event) -> bool {
        match event {
            Event::WorkerReady { worker }
            | Event::StartFailed { worker }
            | Event::Measured { worker, .. }
            | Event::WorkerExited { worker } => {
                let slot = &self.slots[worker.slot as usize];
                slot.worker != *worker || matches!(slot.state, State::Vacant(_))
            }
            _ => false,
        }
    }

    fn holds(&self, worker: WorkerId, id: Ticket) -> bool {
        let slot = &self.slots[worker.slot as usize];
        let held = match slot.state {
            State::Busy(call) | State::Abandoned(call, _) => Some(call),
            _ => None,
        };
        slot.worker == worker && held == Some(id)
    }

    fn slot(&mut self, worker: WorkerId) -> &mut Slot {
        &mut self.slots[worker.slot as usize]
    }

    fn call(&mut self, id: Ticket) -> &mut Call {
        self.calls.iter_mut().find(|call| call.id == id).expect("it is not finished")
    }

    fn handle(&mut self, event: Event) {
        if self.is_stale(&event) {
            return self.after_event();
        }
        match event {
            Event::Submit { call, kind: CallKind::Shadow { reserve }, deadline, .. } => {
                self.shadow(call, reserve, deadline);
            }
            Event::Submit { call, session, deadline, digest, .. } => {
                self.submit(call, session, deadline, digest);
            }
            Event::Cancel { call } => self.finish(call, End::Cancelled),
            Event::WorkerReady { worker } => {
                let now = self.now;
                let slot = self.slot(worker);
                (slot.failures, slot.tried, slot.life.ready) = (0, true, now);
                self.closes();
                self.release(worker.slot);
                self.relieve(worker.slot);
            }
            Event::StartFailed { worker } => self.start_failed(worker),
            Event::Replied { call, worker, reply, recycle } => {
                self.replied(call, worker, reply, recycle);
            }
            Event::CallBroke { call, worker, sent, cause } => self.broke(call, worker, sent, cause),
            Event::WorkerExited { worker } => self.exited(worker),
            Event::Measured { worker, rss } => self.measured(worker, rss),
            Event::EndSession { session } => {
                if let Some(found) = self.sessions.get_mut(&session) {
                    found.ended = true;
                    self.forget_if_over(&session);
                }
            }
            Event::Resize { size } => self.resize(size),
            Event::Drain { until } => self.drain(until),
            Event::Probed { .. } | Event::DeadlineReached => unreachable!("no step is one"),
        }
        self.after_event();
    }
}
