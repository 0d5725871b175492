//! What the checkers cost: time per event, and memory that does not grow with the run.

use poolshift::clock::Moment;
use poolshift::machine::{Reply, Sent};
use poolshift::router::policy::Reason;
use poolshift::{Class, Lane, Outcome, Ran, WorkerId};

use super::story::ground;
use crate::checkers::Checkers;
use crate::trace::{CallNo, Event, Frame, SessionNo, Stamp, Watcher};

const WORKERS: u64 = 64;
/// A call ends when this many younger ones have begun: before its worker's turn comes again.
const IN_FLIGHT: u64 = 40;
/// Sessions that live side by side, each with ten calls on one worker.
const SESSIONS: u64 = 2 * WORKERS;

/// A quiet run of both lanes, made up as it is told.
struct Run<W> {
    watcher: W,
    at: Moment,
    seq: u64,
}

impl<W: Watcher> Run<W> {
    fn of(watcher: W, calls: u64) -> Self {
        let mut run = Self { watcher, at: Moment::ZERO, seq: 0 };
        let mut ground = ground();
        for lane in &mut ground.lanes {
            lane.terms.size = WORKERS as usize;
            lane.terms.max_starting = WORKERS as usize;
        }
        run.watcher.begin(&ground);
        run.tell(None, Event::Config { epoch: 1, percents: [50_000; 3], killed: false });
        for lane in [Lane::V2, Lane::V3] {
            for slot in 0..WORKERS {
                let worker = worker(slot);
                run.tell(Some(lane), Event::Start { worker });
                let frame = Frame::Reply { id: 1, nonce: None };
                run.tell(Some(lane), Event::Writes { worker, frame });
                run.tell(Some(lane), Event::Ready { worker });
            }
        }
        for n in 0..calls + IN_FLIGHT {
            run.at = Moment::from_nanos((n + 1) * 10_000_000);
            if n < calls {
                run.begins(n);
            }
            if let Some(n) = n.checked_sub(IN_FLIGHT) {
                run.ends(n);
            }
        }
        run
    }

    fn tell(&mut self, lane: Option<Lane>, event: Event) {
        let stamp = Stamp { at: self.at, seq: self.seq, lane };
        self.seq += 1;
        self.watcher.event(stamp, &event);
    }

    fn begins(&mut self, n: u64) {
        let (call, lane, worker) = (CallNo(n), lane(n), worker(n));
        let session = Some(SessionNo(session(n)));
        let (class, idempotent, deadline) = (Class::Read, true, None);
        let planned = self.at;
        self.tell(None, Event::Submit { call, session, class, idempotent, deadline, planned });
        let drawn = (n / SESSIONS).is_multiple_of(10);
        let reason = if drawn { Reason::Percent } else { Reason::Pinned };
        let (epoch, percent) = (1, 50_000);
        self.tell(None, Event::Route { call, lane, epoch, reason, drawn, percent });
        if n.is_multiple_of(4) {
            self.tell(Some(lane), Event::Enqueue { call, waiting: 1, again: false });
        }
        self.tell(Some(lane), Event::Lease { call, worker });
        self.tell(Some(lane), Event::Dispatch { call, worker, sent: Sent::All });
        self.tell(Some(lane), Event::Executes { call, worker });
    }

    fn ends(&mut self, n: u64) {
        let (call, lane, worker) = (CallNo(n), lane(n), worker(n));
        let frame = Frame::Reply { id: 2, nonce: Some(call) };
        self.tell(Some(lane), Event::Writes { worker, frame });
        let (kind, recycle) = (Reply::Ok, false);
        self.tell(Some(lane), Event::Reply { call, worker, kind, nonce: call, recycle });
        let (outcome, ran, answer, worker) = (Outcome::Ok, Ran::Yes, Some(call), Some(worker));
        self.tell(Some(lane), Event::Done { call, outcome, ran, worker, answer });
        if n / SESSIONS % 10 == 9 {
            self.tell(None, Event::EndSession { session: SessionNo(session(n)) });
        }
    }
}

fn lane(n: u64) -> Lane {
    if n.is_multiple_of(2) { Lane::V2 } else { Lane::V3 }
}

fn worker(n: u64) -> WorkerId {
    WorkerId { slot: (n % WORKERS) as u32, generation: 1 }
}

fn session(n: u64) -> u64 {
    n / (10 * SESSIONS) * SESSIONS + n % SESSIONS
}

#[test]
fn memory_does_not_grow_with_the_run() {
    let held = |calls| {
        let run = Run::of(Checkers::new(), calls);
        assert_eq!(run.watcher.violations(), []);
        let scene = run.watcher.scene.unwrap();
        (scene.sessions.len(), scene.calls.capacity())
    };
    let ((sessions, ring), (more, longer)) = (held(20_000), held(100_000));
    assert!(sessions <= 2048 && more <= 2048, "{sessions}, then {more} sessions are kept");
    assert_eq!((ring, longer), (4096, 4096));
}

/// `cargo test --release -p poolshift-sim --lib -- --ignored --nocapture checkers`
#[test]
#[ignore = "measures: about a second in release"]
#[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "it measures and tells")]
fn the_checkers_cost_of_a_million_calls() {
    const CALLS: u64 = 1_000_000;
    let timed = |watch: fn() -> (u64, usize)| {
        let begin = std::time::Instant::now();
        let (events, violations) = watch();
        assert_eq!(violations, 0);
        (begin.elapsed(), events)
    };
    let mut costs = Vec::new();
    for _ in 0..5 {
        let (alone, _) = timed(|| (Run::of((), CALLS).seq, 0));
        let (checked, events) = timed(|| {
            let run = Run::of(Checkers::new(), CALLS);
            (run.seq, run.watcher.violations().len())
        });
        let nanos = checked.saturating_sub(alone).as_nanos() as f64 / events as f64;
        costs.push(nanos);
    }
    costs.sort_by(f64::total_cmp);
    eprintln!("ns per event, five runs: {costs:.1?}");
    // Ten events a call at this cost leave three quarters of the time to the run itself.
    assert!(costs[2] <= 100.0, "{costs:.1?} ns per event");
}
