//! The pool machine that both lanes share; only its [`Discipline`] differs.
//!
//! `calls` holds what happens to a call, `workers` what happens to a worker, `recycle` how one
//! takes another's place; this file holds the state, the dispatch of events, and the deadlines.

mod calls;
mod recycle;
mod workers;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::call::SessionId;
use crate::clock::Moment;
use crate::machine::backoff::Backoff;
use crate::machine::breaker::{Breaker, BreakerTerms};
use crate::machine::crew::Crew;
use crate::machine::discipline::Discipline;
use crate::machine::quarantine::{Quarantine, QuarantineTerms};
use crate::machine::recycling::Recycling;
use crate::machine::slot_set::SlotSet;
use crate::machine::timers::Timers;
use crate::machine::{Action, CallKind, Census, Digest, Event, OnCancel, PoolMachine, Ticket};
use crate::pool::{BreakerStatus, PoolStatus, RecycleReason, WorkerId};

/// How often the number of workers is compared with the number that the pool is meant to have,
/// beside every event that may change it; also how often idle workers are looked at for probes.
const RECONCILE: Duration = Duration::from_secs(1);

/// How often a call may come back from a worker that had accepted no byte of it (R1). More
/// would let one caller meet every broken worker of a large pool.
const MAX_RETURNS: u8 = 3;

/// What a pool promises, as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// How many workers the pool is meant to have.
    pub size: usize,
    /// How many may be starting at once.
    pub max_starting: usize,
    /// A call's time from submit to answer, unless it brings its own (R5).
    pub budget: Duration,
    /// How much of the budget may be spent waiting.
    pub queue_timeout: Duration,
    /// How much of the budget may be spent on a worker.
    pub run_timeout: Duration,
    /// What happens to a worker whose caller went away.
    pub on_cancel: OnCancel,
    /// How long a slot waits after a failed start.
    pub backoff: Backoff,
    /// How long a worker may be idle before it is probed; `None` never probes.
    pub probe_after: Option<Duration>,
    /// What may be switched off.
    pub lifecycle: Lifecycle,
}

/// What may be switched off in the life of workers and calls; by default all of it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// When starting workers is no use for now.
    pub breaker: Option<BreakerTerms>,
    /// By what workers are recycled; without it, only one that asks for it is, and at once.
    pub recycling: Option<Recycling>,
    /// Which calls kill workers.
    pub quarantine: Option<QuarantineTerms>,
}

/// A pool machine: shared life cycle, own queue discipline.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine<D> {
    terms: Terms,
    discipline: D,
    crew: Crew,
    /// Slots whose worker runs a shadow, or was lost with one and is to be replaced.
    lent: SlotSet,
    /// Hashed: they are looked up some times each, and the walks that act on them sort them first.
    /// As many as run and wait at once; the room of the fullest moment is kept.
    calls: FxHashMap<Ticket, Entry>,
    timers: Timers<Due>,
    actions: VecDeque<Action>,
    drain_until: Option<Moment>,
    first_start: Option<Moment>,
    startup: Option<Duration>,
    start_failures: u64,
    /// Workers that had been ready and ended by themselves, or broke.
    deaths: u64,
    breaker: Breaker,
    quarantine: Quarantine,
    /// Workers that are to be recycled, and have nobody yet to take their place; each once.
    due: VecDeque<WorkerId>,
    recycled: BTreeMap<RecycleReason, u64>,
}

/// A call between its Submit and its Finish.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    session: Option<SessionId>,
    /// The end of the whole budget.
    deadline: Moment,
    /// The end of the part of it that may be spent waiting.
    wait_until: Moment,
    stage: Stage,
    /// Where it stands among the deadlines: not after that of its stage.
    due: Option<Moment>,
    digest: Option<Digest>,
    /// How often it has come back from a worker unsent.
    returns: u8,
    /// Whether it is a shadow (R16).
    shadow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Running { worker: WorkerId, since: Moment, until: Moment },
}

/// What a deadline is for. Calls come before slots and ticks of the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Due {
    Call(Ticket),
    Slot(u32),
    Age(u32),
    Breaker,
    Tick,
    Drain,
}

impl<D: Discipline> Engine<D> {
    /// A pool that has not started anything; its first [`Event::DeadlineReached`] does.
    #[must_use]
    pub fn new(terms: Terms, discipline: D) -> Self {
        let mut timers = Timers::new();
        timers.set(Due::Tick, Moment::ZERO);
        Self {
            crew: Crew::new(terms.size),
            discipline,
            lent: SlotSet::default(),
            calls: FxHashMap::default(),
            timers,
            actions: VecDeque::new(),
            drain_until: None,
            first_start: None,
            startup: None,
            start_failures: 0,
            deaths: 0,
            breaker: Breaker::new(terms.lifecycle.breaker),
            quarantine: Quarantine::new(terms.lifecycle.quarantine),
            due: VecDeque::new(),
            recycled: BTreeMap::new(),
            terms,
        }
    }

    fn deadline_reached(&mut self, now: Moment) {
        while let Some(due) = self.timers.pop_due(now) {
            match due {
                Due::Call(call) => self.call_overdue(now, call),
                Due::Slot(slot) => self.slot_overdue(now, slot),
                Due::Age(slot) => self.tired(now, slot, RecycleReason::Age),
                // The reconciling that follows each event starts whom it may.
                Due::Breaker => {}
                Due::Tick => self.tick(now),
                Due::Drain => self.give_up(now),
            }
        }
    }

    /// Compares the live workers with the wanted ones, and looks for workers to probe.
    fn tick(&mut self, now: Moment) {
        self.probe_idle(now);
        let period = self.terms.probe_after.map_or(RECONCILE, |after| RECONCILE.min(after / 4));
        self.timers.set(Due::Tick, now + period.max(Duration::from_millis(1)));
    }

    fn is_draining(&self) -> bool {
        self.drain_until.is_some()
    }
}

impl<D: Discipline> PoolMachine for Engine<D> {
    fn handle(&mut self, now: Moment, event: Event) {
        match event {
            Event::Submit { call, kind: CallKind::Live, class: _, session, deadline, digest } => {
                self.submit(now, call, session, deadline, digest);
            }
            Event::Submit { call, kind: CallKind::Shadow { reserve }, deadline, .. } => {
                self.submit_shadow(now, call, reserve, deadline);
            }
            Event::Cancel { call } => self.cancel(now, call),
            Event::WorkerReady { worker } => self.worker_ready(now, worker),
            Event::StartFailed { worker } => self.start_failed(now, worker),
            Event::Replied { call, worker, reply, recycle } => {
                self.replied(now, call, worker, reply, recycle);
            }
            Event::CallBroke { call, worker, sent, cause } => {
                self.call_broke(now, call, worker, sent, cause);
            }
            Event::WorkerExited { worker } => self.worker_exited(now, worker),
            Event::Probed { worker, healthy } => self.probed(now, worker, healthy),
            Event::Measured { worker, rss } => self.measured(now, worker, rss),
            Event::DeadlineReached => self.deadline_reached(now),
            Event::Resize { size } => self.resize(now, size),
            Event::Drain { until } => self.drain(now, until),
            Event::EndSession { session } => self.discipline.end_session(&session),
        }
        self.relieve_due();
        self.serve_idle(now);
        self.refuse_in_vain(now);
        self.reconcile(now);
        self.call_off_starts(now);
    }

    fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn next_deadline(&self) -> Option<Moment> {
        self.timers.earliest()
    }

    fn census(&self) -> Census {
        Census {
            ready: self.crew.serving(),
            starting: self.crew.starting(),
            live: self.crew.live_count(),
            untried: self.crew.untried().len(),
            in_flight: self.calls.len(),
            broken: self.breaker.is_open(),
            draining: self.is_draining(),
        }
    }

    fn status(&self) -> PoolStatus {
        let mut status = PoolStatus {
            queue_size: self.discipline.waiting(),
            in_flight: self.calls.values().filter(|entry| !entry.shadow).count(),
            start_failures: self.start_failures,
            deaths: self.deaths,
            startup_duration: self.startup,
            breaker: BreakerStatus {
                open: self.breaker.is_open(),
                failures: self.breaker.failures(),
                cause: None,
            },
            recycled: self.recycled.clone(),
            draining: self.is_draining(),
            ..PoolStatus::default()
        };
        self.crew.report(self.terms.size, &mut status);
        status
    }
}
