//! A pool's machine that is kept as busy as it is.

use std::collections::VecDeque;
use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::machine::backoff::{Backoff, unit};
use poolshift::machine::engine::{Lifecycle, Terms};
use poolshift::machine::{Action, CallKind, Event, OnCancel, PoolMachine, Reply, Ticket};
use poolshift::v2_session_pool::machine::{SessionMachine, SessionQueues};
use poolshift::v3_pool::machine::{QueueMachine, SharedQueue};
use poolshift::{Class, Lane, SessionId, WorkerId};

use crate::steady::Drive;

/// Far longer than any of these loads lasts: nothing expires.
const AGES: Duration = Duration::from_secs(1_000_000);

/// Between two events; a million calls take a few seconds, so the ticks of the pool are met.
const APART: Duration = Duration::from_micros(1);

/// What goes on beside the calls that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Each worker is busy, and for each reply a call of the same session comes.
    Full,
    /// The same, but each call begins a session and ends it.
    Newcomers,
    /// The same, but the caller of a call in the middle of the queue goes away.
    Cancels,
    /// The same, but half of the slots have no worker, and nobody needs one there.
    HalfGone,
    /// All that wait are bound to one busy worker. The calls that are counted find the others
    /// idle.
    OneBusy,
}

impl Load {
    /// The loads that a lane can be in: in V3, no call waits while a worker is idle (R9).
    #[must_use]
    pub const fn of(lane: Lane) -> &'static [Self] {
        const ALL: [Load; 5] =
            [Load::Full, Load::Newcomers, Load::Cancels, Load::HalfGone, Load::OneBusy];
        match lane {
            Lane::V2 => &ALL,
            Lane::V3 => ALL.split_at(4).0,
        }
    }
}

/// The machine of a lane under this load.
pub(super) fn driver(lane: Lane, load: Load, workers: usize, waiting: usize) -> Box<dyn Drive> {
    match lane {
        Lane::V2 => Box::new(v2(load, workers).fill(waiting)),
        Lane::V3 => Box::new(v3(load, workers).fill(waiting)),
    }
}

fn v2(load: Load, workers: usize) -> Driver<SessionMachine> {
    let queues = SessionQueues::new(workers, usize::MAX, AGES);
    let mut driver = Driver::new(SessionMachine::new(terms(workers, 1), queues), load, workers);
    if load == Load::HalfGone {
        driver.halve(|driver, serving| {
            for slot in serving..workers {
                let slot = u32::try_from(slot).expect("a pool is smaller");
                let worker = WorkerId { slot, generation: 1 };
                driver.handle(Event::WorkerExited { worker });
            }
        });
    }
    driver
}

fn v3(load: Load, workers: usize) -> Driver<QueueMachine> {
    let machine = QueueMachine::new(terms(workers, workers), SharedQueue::new(usize::MAX));
    let mut driver = Driver::new(machine, load, workers);
    if load == Load::HalfGone {
        driver.halve(|driver, serving| driver.handle(Event::Resize { size: serving }));
    }
    driver
}

fn terms(size: usize, max_starting: usize) -> Terms {
    Terms {
        size,
        max_starting,
        budget: AGES,
        queue_timeout: AGES,
        run_timeout: AGES,
        on_cancel: OnCancel::Drain,
        backoff: Backoff { base: APART, cap: APART, seed: 0 },
        probe_after: None,
        lifecycle: Lifecycle::default(),
    }
}

/// Its own work for a call does not depend on how many workers or waiting calls there are.
struct Driver<M> {
    machine: M,
    load: Load,
    now: Moment,
    submitted: u64,
    sessions: Vec<SessionId>,
    running: VecDeque<(Ticket, WorkerId)>,
    /// The calls that wait, for [`Load::Cancels`] to pick from.
    waiting: Vec<Ticket>,
}

impl<M: PoolMachine> Driver<M> {
    fn new(machine: M, load: Load, workers: usize) -> Self {
        let session = |n| SessionId::new(&format!("session-{n}")).expect("it is short");
        let mut driver = Self {
            machine,
            load,
            now: Moment::ZERO,
            submitted: 0,
            sessions: (0..workers).map(session).collect(),
            running: VecDeque::new(),
            waiting: Vec::new(),
        };
        driver.handle(Event::DeadlineReached);
        driver
    }

    /// Half of the slots lose their workers.
    fn halve(&mut self, how: impl Fn(&mut Self, usize)) {
        let serving = self.sessions.len() / 2;
        self.sessions.truncate(serving);
        how(self, serving);
        assert_eq!(self.machine.census().live, serving, "nobody needs the others");
    }

    /// Keeps as many workers busy as the load says, and lets `waiting` calls wait.
    fn fill(mut self, waiting: usize) -> Self {
        let busy = if self.load == Load::OneBusy { 1 } else { self.sessions.len() };
        for n in 0..busy + waiting {
            let session = if self.load == Load::OneBusy { 0 } else { n % busy };
            let call = self.submit(self.sessions[session].clone());
            self.waiting.extend((n >= busy).then_some(call));
        }
        assert_eq!((self.running.len(), self.waiting()), (busy, waiting), "{:?}", self.load);
        self
    }

    fn waiting(&self) -> usize {
        self.machine.census().in_flight - self.running.len()
    }

    /// Handles what happened, and what comes of it: workers start and stop at once.
    fn handle(&mut self, event: Event) {
        self.now = self.now + APART;
        let due = self.machine.next_deadline().is_some_and(|due| due <= self.now);
        let mut events = VecDeque::from([event]);
        if due {
            events.push_front(Event::DeadlineReached);
        }
        while let Some(event) = events.pop_front() {
            self.machine.handle(self.now, event);
            while let Some(action) = self.machine.next_action() {
                match action {
                    Action::Start(worker) => events.push_back(Event::WorkerReady { worker }),
                    Action::Stop { worker, .. } => events.push_back(Event::WorkerExited { worker }),
                    Action::Assign { call, worker } => self.running.push_back((call, worker)),
                    _ => {}
                }
            }
        }
    }

    fn submit(&mut self, session: SessionId) -> Ticket {
        let call = Ticket(self.submitted);
        self.submitted += 1;
        let session = Some(session);
        let (kind, class, deadline, digest) = (CallKind::Live, Class::Read, None, None);
        self.handle(Event::Submit { call, kind, class, session, deadline, digest });
        call
    }

    fn reply(&mut self, (call, worker): (Ticket, WorkerId)) {
        self.handle(Event::Replied { call, worker, reply: Reply::Ok, recycle: false });
    }

    /// The session of the next call: each has its turn, but for the one that keeps a worker busy.
    fn in_turn(&self) -> SessionId {
        let kept = usize::from(self.load == Load::OneBusy);
        let others = &self.sessions[kept..];
        others[self.submitted as usize % others.len()].clone()
    }

    /// One call goes and one comes.
    fn step(&mut self) {
        const RUNS: &str = "some call runs under each load";
        match self.load {
            Load::Full | Load::HalfGone => {
                let oldest = self.running.pop_front().expect(RUNS);
                self.reply(oldest);
                self.submit(self.in_turn());
            }
            Load::Newcomers => {
                let oldest = self.running.pop_front().expect(RUNS);
                self.reply(oldest);
                self.handle(Event::EndSession { session: self.newcomer(oldest.0) });
                self.submit(self.newcomer(Ticket(self.submitted)));
            }
            Load::Cancels => {
                let draw = unit(0, 0, self.submitted as u32);
                let picked = (draw * self.waiting.len() as f64) as usize;
                let call = self.submit(self.in_turn());
                let call = std::mem::replace(&mut self.waiting[picked], call);
                self.handle(Event::Cancel { call });
            }
            Load::OneBusy => {
                self.submit(self.in_turn());
                let youngest = self.running.pop_back().expect(RUNS);
                self.reply(youngest);
            }
        }
    }

    fn newcomer(&self, call: Ticket) -> SessionId {
        SessionId::new(&format!("newcomer-{}", call.0)).expect("it is short")
    }
}

impl<M: PoolMachine> Drive for Driver<M> {
    fn calls(&mut self, calls: usize) {
        (0..calls).for_each(|_| self.step());
    }
}
