//! What one event costs a machine: a submit and its reply, with every worker busy.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use poolshift::clock::Moment;
use poolshift::machine::backoff::Backoff;
use poolshift::machine::engine::{Lifecycle, Terms};
use poolshift::machine::{Action, CallKind, Event, OnCancel, PoolMachine, Reply, Ticket};
use poolshift::v2_session_pool::machine::{SessionMachine, SessionQueues};
use poolshift::v3_pool::machine::{QueueMachine, SharedQueue};
use poolshift::{Class, SessionId, WorkerId};

const WORKERS: usize = 8;
const WAITING: u64 = 32;

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

struct Load<M> {
    machine: M,
    now: Moment,
    next: u64,
    running: Vec<(Ticket, WorkerId)>,
}

impl<M: PoolMachine> Load<M> {
    fn new(machine: M) -> Self {
        let mut load = Self { machine, now: Moment::ZERO, next: 0, running: Vec::new() };
        load.handle(Event::DeadlineReached);
        (0..WAITING + WORKERS as u64).for_each(|_| load.submit());
        load
    }

    fn handle(&mut self, event: Event) {
        self.now = self.now + Duration::from_micros(1);
        self.machine.handle(self.now, event);
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Start(worker) => self.handle(Event::WorkerReady { worker }),
                Action::Assign { call, worker } => self.running.push((call, worker)),
                _ => {}
            }
        }
    }

    fn submit(&mut self) {
        let session = SessionId::new(&format!("session-{}", self.next % 64)).expect("it is short");
        let call = Ticket(self.next);
        self.next += 1;
        let session = Some(session);
        self.handle(Event::Submit {
            call,
            kind: CallKind::Live,
            class: Class::Read,
            session,
            deadline: None,
            digest: None,
        });
    }

    /// One call leaves and one comes.
    fn step(&mut self) {
        let (call, worker) = self.running.remove(0);
        self.handle(Event::Replied { call, worker, reply: Reply::Ok, recycle: false });
        self.submit();
    }
}

fn machine_step(criterion: &mut Criterion) {
    let queues = SessionQueues::new(WORKERS, usize::MAX, Duration::from_secs(3600));
    let mut v2 = Load::new(SessionMachine::new(terms(1), queues));
    criterion.bench_function("machine_step/v2", |bencher| bencher.iter(|| v2.step()));
    let mut v3 = Load::new(QueueMachine::new(terms(WORKERS), SharedQueue::new(1000)));
    criterion.bench_function("machine_step/v3", |bencher| bencher.iter(|| v3.step()));
}

criterion_group!(benches, machine_step);
criterion_main!(benches);
