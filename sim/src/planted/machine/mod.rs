//! A machine with a bug: events are altered on their way in, actions on their way out.

mod races;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use poolshift::SessionId;
use poolshift::clock::Moment;
use poolshift::machine::backoff::Backoff;
use poolshift::machine::engine::Terms;
use poolshift::machine::{
    Action, Breakage, Census, End, Event, PoolMachine, Reply, Sent, Stop, Ticket,
};
use poolshift::pool::{PoolStatus, WorkerId};

use crate::planted::Bug;
use crate::planted::machine::races::Memory;

/// How late the lazy timer is.
const LAZY: Duration = Duration::from_millis(10);

/// One in so many hand-offs wakes nobody.
const LOST_WAKE_UP: u64 = 50;

/// What the buggy machine is told instead of what the pool promises.
#[must_use]
pub fn terms(promised: &Terms, bug: Option<Bug>) -> Terms {
    let mut terms = promised.clone();
    let seed = terms.backoff.seed;
    match bug {
        Some(Bug::SizePlusOne) => terms.size += 1,
        Some(Bug::StartsAtOnce) => terms.max_starting = terms.size,
        Some(Bug::NoBackoff) => {
            let at_once = Duration::from_nanos(1);
            terms.backoff = Backoff { base: at_once, cap: at_once, seed };
        }
        Some(Bug::BackoffForEver) => {
            let for_ever = terms.backoff.cap * 100;
            terms.backoff = Backoff { base: for_ever, cap: for_ever, seed };
        }
        Some(Bug::QueueTimeoutLate) => terms.queue_timeout = terms.budget,
        _ => {}
    }
    terms
}

/// A machine with a bug, or without one.
#[derive(Clone, Debug, PartialEq)]
pub struct Planted<M> {
    machine: M,
    bug: Option<Bug>,
    promised: Terms,
    memory: Memory,
    /// Actions that the machine has not asked for.
    extra: VecDeque<Action>,
    /// Calls that are told to be finished in another way than the machine believes.
    believed: BTreeMap<Ticket, End>,
    /// Who runs what, and until when.
    running: BTreeMap<Ticket, (WorkerId, Moment)>,
    /// The sessions that have had a call on each worker.
    sessions: BTreeMap<Ticket, SessionId>,
    housed: BTreeMap<WorkerId, BTreeSet<SessionId>>,
    now: Moment,
    /// Whether the machine is told that a deadline has come.
    is_timer: bool,
    assigned: u64,
}

impl<M: PoolMachine> Planted<M> {
    /// The machine, with the bug that it is to have.
    #[must_use]
    pub fn new(machine: M, bug: Option<Bug>, promised: &Terms) -> Self {
        Self {
            machine,
            bug,
            promised: promised.clone(),
            memory: Memory::default(),
            extra: VecDeque::new(),
            believed: BTreeMap::new(),
            running: BTreeMap::new(),
            sessions: BTreeMap::new(),
            housed: BTreeMap::new(),
            now: Moment::ZERO,
            is_timer: false,
            assigned: 0,
        }
    }

    /// What the machine is told of an event; nothing if the bug swallows it.
    fn altered(&mut self, bug: Bug, event: Event) -> Option<Event> {
        Some(match (bug, event) {
            (Bug::CancelIgnored, Event::Cancel { .. }) => return None,
            (Bug::DrainIgnored, Event::Drain { .. }) => return None,
            (Bug::ShrinkIgnored, Event::Resize { .. }) => return None,
            (Bug::DeathUnnoticed, Event::WorkerExited { worker }) => {
                let busy = self.running.values().any(|(running, _)| *running == worker);
                return busy.then_some(Event::WorkerExited { worker });
            }
            (Bug::DeadlineDropped, Event::Submit { call, kind, class, session, digest, .. }) => {
                Event::Submit { call, kind, class, session, deadline: None, digest }
            }
            (Bug::AffinityForgotten, Event::Submit { call, kind, class, deadline, digest, .. }) => {
                Event::Submit { call, kind, class, session: None, deadline, digest }
            }
            (Bug::StaleReady, Event::StartFailed { worker }) => Event::WorkerReady { worker },
            (Bug::BadProbeIgnored, Event::Probed { worker, .. }) => {
                Event::Probed { worker, healthy: true }
            }
            (Bug::RecycleIgnored, Event::Replied { call, worker, reply, .. }) => {
                Event::Replied { call, worker, reply, recycle: false }
            }
            (Bug::HalfSentAgain, Event::CallBroke { call, worker, cause: Breakage::Lost, .. }) => {
                let (sent, cause) = (Sent::None, Breakage::Lost);
                Event::CallBroke { call, worker, sent, cause }
            }
            (
                Bug::CancelledIdle,
                Event::CallBroke { call, worker, sent: Sent::All, cause: Breakage::Dropped },
            ) => self.believe(call, worker, End::Cancelled),
            (
                Bug::GarbageForgiven,
                Event::CallBroke { call, worker, cause: Breakage::Garbled, .. },
            ) => self.believe(call, worker, End::Protocol),
            (_, event) => return self.raced(bug, event),
        })
    }

    /// The machine is told of a good reply, the caller of something else.
    fn believe(&mut self, call: Ticket, worker: WorkerId, told: End) -> Event {
        self.believed.insert(call, told);
        Event::Replied { call, worker, reply: Reply::Ok, recycle: false }
    }

    /// A call that has run out of time is taken for answered.
    fn forgive_timeouts(&mut self, now: Moment) {
        let due = self.running.iter().filter(|(_, (_, until))| *until <= now);
        let due: Vec<(Ticket, WorkerId)> =
            due.map(|(call, (worker, _))| (*call, *worker)).collect();
        for (call, worker) in due {
            let event = self.believe(call, worker, End::ExecTimeout);
            self.machine.handle(now, event);
        }
    }

    /// Every session on the worker is over before its loss could be told.
    fn forget_losses(&mut self, now: Moment, worker: WorkerId) {
        for session in self.housed.remove(&worker).unwrap_or_default() {
            self.machine.handle(now, Event::EndSession { session });
        }
    }

    /// What the driver is told of an action; nothing if the bug swallows it.
    fn told(&mut self, action: Action) -> Option<Action> {
        let is_heard = self.heard(&action);
        match &action {
            Action::Assign { call, worker } => {
                self.assigned += 1;
                self.running.insert(*call, (*worker, self.now + self.promised.run_timeout));
                if let Some(session) = self.sessions.get(call) {
                    self.housed.entry(*worker).or_default().insert(session.clone());
                }
            }
            Action::Finish { call, .. } => {
                self.running.remove(call);
                self.sessions.remove(call);
            }
            _ => {}
        }
        match (self.bug, action) {
            _ if !is_heard => None,
            (Some(Bug::CancelLost), Action::Finish { end: End::Cancelled, .. })
            | (Some(Bug::RejectionLost), Action::Finish { end: End::Rejected(_), .. }) => None,
            (Some(Bug::DrainStrands), Action::Finish { end: End::Draining, .. })
                if self.is_timer =>
            {
                None
            }
            (Some(Bug::WakeUpLost), Action::Assign { .. })
                if self.assigned.is_multiple_of(LOST_WAKE_UP) =>
            {
                None
            }
            (Some(Bug::WorkerLeaked), Action::Stop { how: Stop::Kill, .. }) => None,
            (Some(Bug::TimeoutTwice), Action::Finish { call, end: End::QueueTimeout }) => {
                self.extra.push_back(Action::Finish { call, end: End::WorkerLost });
                Some(Action::Finish { call, end: End::QueueTimeout })
            }
            (_, Action::Finish { call, end }) => {
                let end = self.believed.remove(&call).unwrap_or(end);
                Some(Action::Finish { call, end })
            }
            (_, action) => Some(action),
        }
    }
}

impl<M: PoolMachine> PoolMachine for Planted<M> {
    fn handle(&mut self, now: Moment, event: Event) {
        self.now = now;
        self.is_timer = event == Event::DeadlineReached;
        let believed = self.remember(now, &event);
        match (&event, self.bug) {
            (Event::WorkerExited { worker }, Some(Bug::LossUntold)) => {
                self.forget_losses(now, *worker);
            }
            (Event::DeadlineReached, Some(Bug::TimedOutIdle)) => self.forgive_timeouts(now),
            _ => {}
        }
        let event = match self.bug {
            Some(bug) => self.altered(bug, event),
            None => Some(event),
        };
        if let Some(event) = event {
            self.machine.handle(believed, event);
        }
    }

    fn next_action(&mut self) -> Option<Action> {
        if let Some(extra) = self.extra.pop_front() {
            return Some(extra);
        }
        loop {
            while let Some(action) = self.machine.next_action() {
                if let Some(action) = self.told(action) {
                    return Some(action);
                }
            }
            if !self.settle() {
                return None;
            }
        }
    }

    fn next_deadline(&self) -> Option<Moment> {
        let due = self.machine.next_deadline()?;
        Some(if self.bug == Some(Bug::LazyTimer) && due > self.now { due + LAZY } else { due })
    }

    fn census(&self) -> Census {
        self.machine.census()
    }

    fn status(&self) -> PoolStatus {
        self.machine.status()
    }
}
