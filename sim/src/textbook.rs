//! The real machines under a textbook's workload: Poisson arrivals, workers that never fail.
//!
//! What is measured stands beside what queueing theory expects ([`crate::oracle`]), and the start
//! of each call is compared, to the nanosecond, with the recursion of its discipline.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::machine::backoff::Backoff;
use poolshift::machine::engine::{Lifecycle, Terms};
use poolshift::machine::{Action, CallKind, End, Event, OnCancel, PoolMachine, Reply, Ticket};
use poolshift::pool::WorkerId;
use poolshift::v2_session_pool::machine::{SessionMachine, SessionQueues};
use poolshift::v3_pool::machine::{QueueMachine, SharedQueue};
use poolshift::{Class, Lane, SessionId};

use crate::oracle::OracleError;
use crate::oracle::batch_means::{BatchMeans, BatchPlan, Estimate};
use crate::oracle::queue::{Load, Queue};
use crate::oracle::sample_path::{AffineQueues, KieferWolfowitz, Little, PathError, Started};
use crate::rng::{Domain, Law, Seed, nanos};

const SECOND: f64 = 1e9;

/// One experiment. Rates are per second.
#[derive(Clone, Copy, Debug)]
pub struct Textbook {
    /// Which machine.
    pub lane: Lane,
    /// Servers, rates, room and patience; V2 has neither room nor patience.
    pub queue: Queue,
    /// How service times are spread.
    pub service: Law,
    /// How many calls arrive; the first tenth is warm-up.
    pub calls: u64,
    /// Decides everything that is left to chance.
    pub seed: Seed,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Each measure by its name, in the order of reports; none if it never came up.
    pub measures: Vec<(&'static str, Option<Estimate>)>,
    /// Starts that were exactly when the discipline's recursion says.
    pub exact_starts: u64,
}

/// Why an experiment has no result.
#[derive(Debug, thiserror::Error)]
pub enum TextbookError {
    /// It cannot be set up.
    #[error(transparent)]
    Oracle(#[from] OracleError),
    /// The pool did not do what its discipline says.
    #[error("{lane}: {error}")]
    Path {
        /// The lane.
        lane: Lane,
        /// Where it parted from the recursion.
        error: PathError,
    },
}

impl Textbook {
    /// Runs it.
    ///
    /// # Errors
    /// If it cannot be set up, or a call does not start when its discipline says.
    pub fn run(&self) -> Result<Measured, TextbookError> {
        let servers = self.queue.load().servers() as usize;
        let room = self.queue.capacity().map_or(usize::MAX, |all| all as usize - servers);
        let terms = terms(servers, self.lane);
        let path = |error| TextbookError::Path { lane: self.lane, error };
        match self.lane {
            Lane::V2 => {
                let queues = SessionQueues::new(servers, room, Duration::MAX);
                let exact = Exact::Affine(AffineQueues::new(servers));
                Play::new(self, SessionMachine::new(terms, queues), exact)?.run().map_err(path)
            }
            Lane::V3 => {
                let exact = Exact::Shared(KieferWolfowitz::new(servers));
                let machine = QueueMachine::new(terms, SharedQueue::new(room));
                Play::new(self, machine, exact)?.run().map_err(path)
            }
        }
    }

    /// The queue that theory compares it with: all servers of V3, or one of V2's own.
    ///
    /// # Errors
    /// If that queue has no steady state.
    pub fn reference(&self) -> Result<Queue, OracleError> {
        let load = self.queue.load();
        match self.lane {
            Lane::V3 => Ok(self.queue),
            Lane::V2 => {
                let arrivals = load.arrival_rate() / f64::from(load.servers());
                Queue::new(Load::new(1, arrivals, load.service_rate())?, None, None)
            }
        }
    }
}

fn terms(servers: usize, lane: Lane) -> Terms {
    Terms {
        size: servers,
        max_starting: if lane == Lane::V2 { 1 } else { servers },
        budget: Duration::MAX,
        queue_timeout: Duration::MAX,
        run_timeout: Duration::MAX,
        on_cancel: OnCancel::Drain,
        backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(1), seed: 0 },
        probe_after: None,
        lifecycle: Lifecycle::default(),
    }
}

/// Who says when a call must start.
enum Exact {
    Shared(KieferWolfowitz),
    Affine(AffineQueues),
}

impl Exact {
    fn check(&mut self, worker: WorkerId, call: Started) -> Result<(), PathError> {
        match self {
            Self::Shared(queue) => queue.check(call),
            Self::Affine(queues) => queues.check(worker.slot as usize, call),
        }
    }
}

/// A call that has arrived and is not over.
struct Guest {
    arrived: u64,
    service: u64,
    started: Option<u64>,
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Served { call: u64, worker: WorkerId },
    OutOfPatience { call: u64 },
    Arrival { call: u64 },
}

/// One experiment while it runs.
struct Play<'a, M> {
    book: &'a Textbook,
    machine: M,
    exact: Exact,
    exact_starts: u64,
    now: u64,
    /// Ordered by time, then by when it was planned.
    agenda: BinaryHeap<Reverse<(u64, u64, Due)>>,
    planned: u64,
    guests: HashMap<u64, Guest>,
    little: Little,
    sums: Sums,
    /// V2's calls are in as many sessions as there are workers, each bound to one.
    sessions: Vec<SessionId>,
}

/// The seven measures of [`crate::oracle::queue::Measures`].
struct Sums {
    p_wait: BatchMeans,
    p_block: BatchMeans,
    p_abandon: BatchMeans,
    mean_wait: BatchMeans,
    lq: BatchMeans,
    mean_in_system: BatchMeans,
    utilisation: BatchMeans,
}

impl<'a, M: PoolMachine> Play<'a, M> {
    fn new(book: &'a Textbook, machine: M, exact: Exact) -> Result<Self, OracleError> {
        let sums = BatchMeans::new(BatchPlan::new(book.calls, book.calls / 10)?);
        let name = |n| SessionId::new(&format!("session-{n}")).expect("a short name");
        let sessions = match book.lane {
            Lane::V2 => (0..book.queue.load().servers()).map(name).collect(),
            Lane::V3 => Vec::new(),
        };
        Ok(Self {
            book,
            machine,
            exact,
            exact_starts: 0,
            now: 0,
            agenda: BinaryHeap::new(),
            planned: 0,
            guests: HashMap::new(),
            little: Little::default(),
            sums: Sums {
                p_wait: sums.clone(),
                p_block: sums.clone(),
                p_abandon: sums.clone(),
                mean_wait: sums.clone(),
                lq: sums.clone(),
                mean_in_system: sums.clone(),
                utilisation: sums,
            },
            sessions,
        })
    }

    fn run(mut self) -> Result<Measured, PathError> {
        self.step(Event::DeadlineReached)?;
        self.plan_arrival(0);
        while let Some(Reverse((at, _, due))) = self.agenda.pop() {
            self.wind_to(at)?;
            match due {
                Due::Arrival { call } => self.arrive(call)?,
                Due::Served { call, worker } => {
                    let (call, reply, recycle) = (Ticket(call), Reply::Ok, false);
                    self.step(Event::Replied { call, worker, reply, recycle })?;
                }
                Due::OutOfPatience { call } => {
                    if self.guests.get(&call).is_some_and(|guest| guest.started.is_none()) {
                        self.step(Event::Cancel { call: Ticket(call) })?;
                    }
                }
            }
        }
        self.little.balance()?;
        let Sums { p_wait, p_block, p_abandon, mean_wait, lq, mean_in_system, utilisation } =
            self.sums;
        let measures = [
            ("p_wait", p_wait),
            ("p_block", p_block),
            ("p_abandon", p_abandon),
            ("mean_wait", mean_wait),
            ("lq", lq),
            ("mean_in_system", mean_in_system),
            ("utilisation", utilisation),
        ];
        let measures = measures.map(|(name, sums)| (name, sums.estimate().ok())).to_vec();
        Ok(Measured { measures, exact_starts: self.exact_starts })
    }

    /// The machine's own deadlines come first.
    fn wind_to(&mut self, at: u64) -> Result<(), PathError> {
        while let Some(due) = self.machine.next_deadline().filter(|due| due.as_nanos() <= at) {
            self.now = self.now.max(due.as_nanos());
            self.step(Event::DeadlineReached)?;
        }
        self.now = at;
        Ok(())
    }

    fn plan(&mut self, at: u64, due: Due) {
        self.planned += 1;
        self.agenda.push(Reverse((at, self.planned, due)));
    }

    fn plan_arrival(&mut self, call: u64) {
        if call < self.book.calls {
            let mean = nanos(SECOND / self.book.queue.load().arrival_rate());
            let gap = self.book.seed.stream(Domain::Call, call, 0).exponential(mean);
            let at = self.now + gap;
            let seconds = gap as f64 / SECOND;
            for sums in
                [&mut self.sums.lq, &mut self.sums.mean_in_system, &mut self.sums.utilisation]
            {
                sums.add(call, 0.0, seconds);
            }
            self.plan(at, Due::Arrival { call });
        }
    }

    fn arrive(&mut self, call: u64) -> Result<(), PathError> {
        self.plan_arrival(call + 1);
        let mean = nanos(SECOND / self.book.queue.load().service_rate());
        let mut stream = self.book.seed.stream(Domain::Execution, call, 0);
        let service = self.book.service.draw(mean, &mut stream);
        self.guests.insert(call, Guest { arrived: self.now, service, started: None });
        self.little.enter(self.now)?;
        let session = match self.sessions.len() as u64 {
            0 => None,
            sessions => Some(self.sessions[stream.below(sessions) as usize].clone()),
        };
        let (ticket, class, deadline) = (Ticket(call), Class::Read, None);
        let (kind, digest) = (CallKind::Live, None);
        self.step(Event::Submit { call: ticket, kind, class, session, deadline, digest })?;
        let waits = self.guests.get(&call).map(|guest| guest.started.is_none());
        self.sums.p_block.add(call, f64::from(u8::from(waits.is_none())), 1.0);
        let Some(waits) = waits else { return Ok(()) };
        self.sums.p_wait.add(call, f64::from(u8::from(waits)), 1.0);
        if let Some(rate) = self.book.queue.abandon_rate().filter(|_| waits) {
            let patience = stream.exponential(nanos(SECOND / rate));
            self.plan(self.now + patience, Due::OutOfPatience { call });
        }
        Ok(())
    }

    fn step(&mut self, event: Event) -> Result<(), PathError> {
        let now = Moment::from_nanos(self.now);
        self.machine.handle(now, event);
        while let Some(action) = self.machine.next_action() {
            match action {
                // Before the first call: a textbook's servers are always there.
                Action::Start(worker) => self.machine.handle(now, Event::WorkerReady { worker }),
                Action::Assign { call, worker } => self.start(call.0, worker)?,
                Action::Finish { call, end } => self.leave(call.0, &end)?,
                Action::Abandon { .. }
                | Action::Probe(_)
                | Action::Measure(_)
                | Action::Recycle { .. }
                | Action::Stop { .. } => {
                    unreachable!("no worker of a textbook fails, and no call is given up on one")
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, call: u64, worker: WorkerId) -> Result<(), PathError> {
        let guest = self.guests.get_mut(&call).expect("a call starts after it has arrived");
        guest.started = Some(self.now);
        let (arrived_ns, service_ns, started_ns) = (guest.arrived, guest.service, self.now);
        self.exact.check(worker, Started { arrived_ns, service_ns, started_ns })?;
        self.exact_starts += 1;
        self.plan(self.now + service_ns, Due::Served { call, worker });
        Ok(())
    }

    fn leave(&mut self, call: u64, end: &End) -> Result<(), PathError> {
        let guest = self.guests.remove(&call).expect("a call leaves once");
        let spent = self.now - guest.arrived;
        self.little.leave(self.now, spent)?;
        if matches!(end, End::Rejected(_)) {
            return Ok(());
        }
        let seconds = |nanos: u64| nanos as f64 / SECOND;
        let wait = seconds(guest.started.unwrap_or(self.now) - guest.arrived);
        let sums = &mut self.sums;
        sums.p_abandon.add(call, f64::from(u8::from(guest.started.is_none())), 1.0);
        sums.mean_wait.add(call, wait, 1.0);
        sums.lq.add(call, wait, 0.0);
        sums.mean_in_system.add(call, seconds(spent), 0.0);
        let work = guest.started.map_or(0.0, |_| seconds(guest.service));
        let servers = f64::from(self.book.queue.load().servers());
        sums.utilisation.add(call, work / servers, 0.0);
        Ok(())
    }
}
