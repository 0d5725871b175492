//! Bugs that show only where two events meet, and those that need to know what went before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poolshift::SessionId;
use poolshift::clock::Moment;
use poolshift::machine::{
    Action, Breakage, End, Event, MAX_SIZE, PoolMachine, Reply, Sent, Ticket,
};
use poolshift::pool::WorkerId;

use crate::planted::Bug;
use crate::planted::machine::Planted;

/// So many failed starts, in so much time, were once enough to end a supervisor.
const BUDGET: (usize, Duration) = (3, Duration::from_secs(5));

/// What a buggy machine must remember to be wrong at the right moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Memory {
    /// Calls that wait, and until when they may.
    waiting: BTreeMap<Ticket, Moment>,
    /// Calls that have waited and are not finished.
    queued: BTreeSet<Ticket>,
    /// Calls whose caller has been told, and of whom the machine has not heard that.
    ghosts: BTreeSet<Ticket>,
    /// Calls whose late reply is awaited.
    abandoned: BTreeSet<Ticket>,
    /// The worker whose late reply has just been read.
    late: Option<(WorkerId, Reply)>,
    /// The first call of each session.
    first: BTreeMap<SessionId, Ticket>,
    /// Sessions that have just been told that they lost their worker.
    lost: BTreeSet<SessionId>,
    /// The process that each slot has had last.
    present: BTreeMap<u32, WorkerId>,
    /// The latest failed starts.
    failures: Vec<Moment>,
    is_draining: bool,
    /// Processes that a drained pool has started.
    revived: u32,
}

impl<M: PoolMachine> Planted<M> {
    /// Before the machine is told: what went before is remembered, and the moment that the
    /// machine believes it is.
    pub(super) fn remember(&mut self, now: Moment, event: &Event) -> Moment {
        let memory = &mut self.memory;
        memory.late = None;
        match event {
            Event::Submit { call, session, deadline, .. } => {
                let budget = self.promised.budget.min(self.promised.queue_timeout);
                let until = deadline.map_or(now + budget, |deadline| deadline.min(now + budget));
                memory.waiting.insert(*call, until);
                if let Some(session) = session {
                    memory.first.entry(session.clone()).or_insert(*call);
                    self.sessions.insert(*call, session.clone());
                }
            }
            Event::Replied { call, worker, reply, .. } if memory.abandoned.remove(call) => {
                memory.late = Some((*worker, *reply));
            }
            Event::StartFailed { .. } => memory.failures.push(now),
            Event::Drain { .. } => memory.is_draining = true,
            _ => {}
        }
        let overdue = memory.waiting.values().min().filter(|until| **until <= now);
        let releases = matches!(event, Event::Replied { .. });
        match overdue {
            Some(until) if releases && self.bug == Some(Bug::ExpiredDispatched) => {
                Moment::from_nanos(until.as_nanos() - 1)
            }
            _ => now,
        }
    }

    /// What the machine is told of an event that meets another one.
    pub(super) fn raced(&mut self, bug: Bug, event: Event) -> Option<Event> {
        let now = self.now;
        match (bug, event) {
            (Bug::CancelledHandOff, Event::Cancel { call }) => {
                self.tell_alone(call, End::Cancelled);
                None
            }
            (
                Bug::HandOffLeaks,
                Event::CallBroke { call, sent: Sent::None, cause: Breakage::Dropped, .. },
            ) if self.memory.queued.contains(&call) => {
                self.tell_alone(call, End::Cancelled);
                None
            }
            (Bug::ResizeRevives, Event::Resize { size }) if self.memory.is_draining => {
                self.memory.revived += 1;
                let (slot, generation) = (MAX_SIZE as u32, self.memory.revived);
                self.extra.push_back(Action::Start(WorkerId { slot, generation }));
                Some(Event::Resize { size })
            }
            (Bug::ResizeForgets, Event::Resize { size }) => {
                if let Some((youngest, _)) = self.memory.waiting.last_key_value() {
                    let call = *youngest;
                    self.memory.ghosts.insert(call);
                    self.machine.handle(now, Event::Cancel { call });
                }
                Some(Event::Resize { size })
            }
            (Bug::GenerationIgnored, Event::CallBroke { call, worker, sent, cause }) => {
                let present = self.memory.present.get(&worker.slot).copied();
                if let Some(worker) = present.filter(|present| *present != worker) {
                    self.machine.handle(now, Event::WorkerExited { worker });
                }
                Some(Event::CallBroke { call, worker, sent, cause })
            }
            (_, event) => Some(self.misplaced(bug, event)),
        }
    }

    /// What V2 is told of a session's call or its end, if its binding is wrong.
    fn misplaced(&mut self, bug: Bug, event: Event) -> Event {
        match event {
            Event::Submit { call, kind, class, session: Some(session), deadline, digest } => {
                let first = self.memory.first[&session];
                let session = match bug {
                    Bug::BoundAfterCheckout => Some(session).filter(|_| first != call),
                    Bug::TwoBinds if first != call && self.sessions.contains_key(&first) => {
                        Some(second_of(&session))
                    }
                    _ => Some(session),
                };
                Event::Submit { call, kind, class, session, deadline, digest }
            }
            Event::EndSession { session } => {
                self.memory.first.remove(&session);
                if bug == Bug::TwoBinds {
                    let session = second_of(&session);
                    self.machine.handle(self.now, Event::EndSession { session });
                }
                Event::EndSession { session }
            }
            event => event,
        }
    }

    /// The caller is told, and the machine is not.
    fn tell_alone(&mut self, call: Ticket, end: End) {
        self.memory.ghosts.insert(call);
        self.extra.push_back(Action::Finish { call, end });
    }

    /// After the machine has spoken: what it has done is remembered. Whether the driver hears of
    /// it.
    pub(super) fn heard(&mut self, action: &Action) -> bool {
        let memory = &mut self.memory;
        match action {
            Action::Start(worker) => {
                memory.present.insert(worker.slot, *worker);
                return self.bug != Some(Bug::RestartBudgetShared) || !self.is_spent();
            }
            Action::Assign { call, worker } => {
                memory.waiting.remove(call);
                let late = memory.late.take_if(|(of, _)| of == worker);
                if let Some((_, reply)) = late.filter(|_| self.bug == Some(Bug::LateReplyToNext)) {
                    let (call, worker, recycle) = (*call, *worker, false);
                    let event = Event::Replied { call, worker, reply, recycle };
                    self.machine.handle(self.now, event);
                }
            }
            Action::Abandon { call, .. } => drop(memory.abandoned.insert(*call)),
            Action::Finish { call, end } => {
                memory.waiting.remove(call);
                memory.queued.remove(call);
                let session = self.sessions.get(call).filter(|_| *end == End::SessionLost);
                memory.lost.extend(session.cloned());
                return !memory.ghosts.remove(call);
            }
            Action::Probe(_)
            | Action::Measure(_)
            | Action::Recycle { .. }
            | Action::Stop { .. } => {}
        }
        true
    }

    /// The machine has nothing more to say: who waits now has waited, and who waits for a lost
    /// session may be told so by mistake. Whether the machine has more to say after that.
    pub(super) fn settle(&mut self) -> bool {
        let memory = &mut self.memory;
        memory.queued.extend(memory.waiting.keys());
        let lost = std::mem::take(&mut memory.lost);
        if self.bug != Some(Bug::LossToldToAll) {
            return false;
        }
        let of_lost = |call: &Ticket| self.sessions.get(call).is_some_and(|of| lost.contains(of));
        let calls: Vec<Ticket> = memory.waiting.keys().copied().filter(of_lost).collect();
        for call in &calls {
            self.believed.insert(*call, End::SessionLost);
            self.machine.handle(self.now, Event::Cancel { call: *call });
        }
        !calls.is_empty()
    }

    /// Whether all slots together have used up what each of them might.
    fn is_spent(&self) -> bool {
        let (most, within) = BUDGET;
        let recent = |from: &&[Moment]| from[most - 1].since(from[0]) <= within;
        self.memory.failures.windows(most).any(|from| recent(&from))
    }
}

/// The name under which a session is bound a second time.
fn second_of(session: &SessionId) -> SessionId {
    SessionId::new(&format!("{session}~2")).expect("a run's sessions have short names")
}
