//! A machine whose workers are all busy, while more calls wait.

use std::collections::VecDeque;
use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::machine::backoff::Backoff;
use poolshift::machine::engine::{Lifecycle, Terms};
use poolshift::machine::{Action, CallKind, Event, OnCancel, PoolMachine, Reply, Ticket};
use poolshift::v2_session_pool::machine::{SessionMachine, SessionQueues};
use poolshift::v3_pool::machine::{QueueMachine, SharedQueue};
use poolshift::{Class, SessionId, WorkerId};

const WORKERS: usize = 8;
const WAITING: usize = 32;
const SESSIONS: usize = 64;

/// A machine that never rests, and the calls that its workers are at.
#[derive(Debug)]
pub(super) struct Busy<M> {
    machine: M,
    now: Moment,
    submitted: u64,
    sessions: Vec<SessionId>,
    running: VecDeque<(Ticket, WorkerId)>,
}

/// The legacy pool's machine.
pub(super) fn v2() -> Busy<SessionMachine> {
    let queues = SessionQueues::new(WORKERS, usize::MAX, Duration::from_secs(3600));
    Busy::new(SessionMachine::new(terms(1), queues))
}

/// The new pool's machine.
pub(super) fn v3() -> Busy<QueueMachine> {
    Busy::new(QueueMachine::new(terms(WORKERS), SharedQueue::new(1000)))
}

fn terms(max_starting: usize) -> Terms {
    let minute = Duration::from_secs(60);
    let (base, cap) = (Duration::from_millis(100), minute);
    Terms {
        size: WORKERS,
        max_starting,
        budget: minute,
        queue_timeout: minute,
        run_timeout: minute,
        on_cancel: OnCancel::Drain,
        backoff: Backoff { base, cap, seed: 0 },
        probe_after: None,
        lifecycle: Lifecycle::default(),
    }
}

impl<M: PoolMachine> Busy<M> {
    fn new(machine: M) -> Self {
        let session = |n| SessionId::new(&format!("session-{n}")).expect("it is short");
        let sessions = (0..SESSIONS).map(session).collect();
        let (now, submitted, running) = (Moment::ZERO, 0, VecDeque::new());
        let mut busy = Self { machine, now, submitted, sessions, running };
        busy.handle(Event::DeadlineReached);
        (0..WAITING + WORKERS).for_each(|_| busy.submit());
        assert_eq!(busy.running.len(), WORKERS, "all are busy");
        busy
    }

    fn handle(&mut self, event: Event) {
        self.now = self.now + Duration::from_micros(1);
        self.machine.handle(self.now, event);
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Start(worker) => self.handle(Event::WorkerReady { worker }),
                Action::Assign { call, worker } => self.running.push_back((call, worker)),
                _ => {}
            }
        }
    }

    fn submit(&mut self) {
        let session = Some(self.sessions[self.submitted as usize % SESSIONS].clone());
        let call = Ticket(self.submitted);
        self.submitted += 1;
        let (kind, class, deadline, digest) = (CallKind::Live, Class::Read, None, None);
        self.handle(Event::Submit { call, kind, class, session, deadline, digest });
    }

    /// One call goes and one comes.
    pub(super) fn step(&mut self) {
        let (call, worker) = self.running.pop_front().expect("a worker is busy");
        self.handle(Event::Replied { call, worker, reply: Reply::Ok, recycle: false });
        self.submit();
    }
}
