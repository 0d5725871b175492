//! Traces written by hand, so that each reads like a story.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poolshift::Lane::{self, V2, V3};
use poolshift::clock::Moment;
use poolshift::machine::backoff::Backoff;
use poolshift::machine::engine::{Lifecycle, Terms};
use poolshift::machine::{OnCancel, Reply, Sent, Stop};
use poolshift::router::policy::Reason;
use poolshift::{Class, Outcome, Ran, WorkerId};

use crate::trace::{
    CallNo, Cause, Closing, Event, ExitHow, Frame, Ground, LaneGround, SessionNo, Stamp, Unready,
};

/// Two lanes of two workers and two waiting calls; a call may wait 5 s and run 4 s of its 8 s.
pub(super) fn ground() -> Ground {
    let second = Duration::from_secs(1);
    let backoff = Backoff { base: second, cap: 8 * second, seed: 1 };
    let terms = Terms {
        size: 2,
        max_starting: 2,
        budget: 8 * second,
        queue_timeout: 5 * second,
        run_timeout: 4 * second,
        on_cancel: OnCancel::Drain,
        backoff,
        probe_after: Some(10 * second),
        lifecycle: Lifecycle::default(),
    };
    let lane = LaneGround {
        terms,
        max_waiting: 2,
        session_idle: 60 * second,
        startup_timeout: 5 * second,
        health_timeout: second,
        stop_grace: second,
        kill_grace: second,
    };
    Ground {
        seed: 1,
        lanes: [lane.clone(), lane],
        pin_ttl: 60 * second,
        whole_sessions: false,
        host_lag: Duration::ZERO,
        calls: 0,
        mean_gap: second,
        mean_service: second,
    }
}

/// A trace that grows by one line a step. Pool events go to the lane that was named last.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) ground: Ground,
    pub(super) events: Vec<(Stamp, Event)>,
    pub(super) lane: Lane,
    pub(super) at: Moment,
    policy: (u64, [u32; 3], bool),
    generations: BTreeMap<(Lane, u32), u32>,
    drawn: BTreeSet<u64>,
    /// Workers that are not reaped, and whether they were told to stop.
    pub(super) live: BTreeMap<(Lane, u32), bool>,
    pub(super) closing: Option<Box<Closing>>,
    pub(super) slack: Duration,
}

/// A story in which half of the calls go to V3, both lanes' workers are up, and V3 is meant.
pub(super) fn story() -> Story {
    empty().policy(50_000).v2().up(0).up(1).v3().up(0).up(1)
}

/// A story in which nothing has happened.
pub(super) fn empty() -> Story {
    Story {
        ground: ground(),
        events: Vec::new(),
        lane: V3,
        at: Moment::ZERO,
        policy: (0, [0; 3], false),
        generations: BTreeMap::new(),
        drawn: BTreeSet::new(),
        live: BTreeMap::new(),
        closing: None,
        slack: Duration::ZERO,
    }
}

impl Story {
    pub(super) fn on(mut self, change: impl FnOnce(&mut Ground)) -> Self {
        change(&mut self.ground);
        self
    }

    pub(super) fn slack(self, millis: u64) -> Self {
        Self { slack: Duration::from_millis(millis), ..self }
    }

    pub(super) fn v2(self) -> Self {
        Self { lane: V2, ..self }
    }

    pub(super) fn v3(self) -> Self {
        Self { lane: V3, ..self }
    }

    pub(super) fn at(self, millis: u64) -> Self {
        Self { at: Moment::from_nanos(millis * 1_000_000), ..self }
    }

    /// One event, whatever it is; events of a pool carry the present lane.
    pub(super) fn event(mut self, event: Event) -> Self {
        let pools = !matches!(
            event,
            Event::Submit { .. }
                | Event::Route { .. }
                | Event::Cancel { .. }
                | Event::Config { .. }
                | Event::EndSession { .. }
                | Event::Stall { .. }
                | Event::Phase { .. }
                | Event::Heal { .. }
        );
        match event {
            Event::Start { worker } => drop(self.live.insert((self.lane, worker.slot), false)),
            Event::Stop { worker, .. } => drop(self.live.insert((self.lane, worker.slot), true)),
            Event::StartFailed { worker, .. } | Event::Reaped { worker } => {
                self.live.remove(&(self.lane, worker.slot));
            }
            _ => {}
        }
        let (at, seq) = (self.at, self.events.len() as u64);
        self.events.push((Stamp { at, seq, lane: pools.then_some(self.lane) }, event));
        self
    }

    pub(super) fn many(
        self,
        items: impl IntoIterator<Item = u64>,
        step: impl Fn(Self, u64) -> Self,
    ) -> Self {
        items.into_iter().fold(self, step)
    }

    // Operators.

    pub(super) fn policy(self, share: u32) -> Self {
        self.config([share; 3], false)
    }

    pub(super) fn config(mut self, percents: [u32; 3], killed: bool) -> Self {
        let epoch = self.policy.0 + 1;
        self.policy = (epoch, percents, killed);
        self.event(Event::Config { epoch, percents, killed })
    }

    pub(super) fn kill(self) -> Self {
        let percents = self.policy.1;
        self.config(percents, true)
    }

    pub(super) fn drain(self, until_ms: u64) -> Self {
        self.event(Event::Drain { until: Moment::from_nanos(until_ms * 1_000_000) })
    }

    // Calls.

    /// An anonymous read goes to the present lane.
    pub(super) fn call(self, call: u64) -> Self {
        self.submit(call, None, None).sent(call, Reason::Percent, true)
    }

    /// A session's read goes to the present lane, drawn if it is the session's first.
    pub(super) fn call_in(mut self, session: u64, call: u64) -> Self {
        let first = self.drawn.insert(session);
        let reason = if first { Reason::Percent } else { Reason::Pinned };
        self.submit(call, Some(session), None).sent(call, reason, first)
    }

    pub(super) fn submit(self, call: u64, session: Option<u64>, deadline_ms: Option<u64>) -> Self {
        let planned = self.at;
        self.event(Event::Submit {
            call: CallNo(call),
            session: session.map(SessionNo),
            class: Class::Read,
            idempotent: false,
            deadline: deadline_ms.map(|ms| Moment::from_nanos(ms * 1_000_000)),
            planned,
        })
    }

    pub(super) fn sent(self, call: u64, reason: Reason, drawn: bool) -> Self {
        let (lane, (epoch, [percent, ..], _)) = (self.lane, self.policy);
        self.event(Event::Route { call: CallNo(call), lane, epoch, reason, drawn, percent })
    }

    pub(super) fn waits(self, call: u64, waiting: u32) -> Self {
        self.event(Event::Enqueue { call: CallNo(call), waiting, again: false })
    }

    pub(super) fn waits_again(self, call: u64, waiting: u32) -> Self {
        self.event(Event::Enqueue { call: CallNo(call), waiting, again: true })
    }

    pub(super) fn lease(self, call: u64, slot: u32) -> Self {
        let worker = self.worker(slot);
        self.event(Event::Lease { call: CallNo(call), worker })
    }

    pub(super) fn dispatch(self, call: u64, slot: u32, sent: Sent) -> Self {
        let worker = self.worker(slot);
        self.event(Event::Dispatch { call: CallNo(call), worker, sent })
    }

    pub(super) fn executes(self, call: u64, slot: u32) -> Self {
        let worker = self.worker(slot);
        self.event(Event::Executes { call: CallNo(call), worker })
    }

    /// Leased, written and begun.
    pub(super) fn runs(self, call: u64, slot: u32) -> Self {
        self.lease(call, slot).dispatch(call, slot, Sent::All).executes(call, slot)
    }

    pub(super) fn reply(self, call: u64, slot: u32) -> Self {
        let (worker, call) = (self.worker(slot), CallNo(call));
        let (kind, nonce, recycle) = (Reply::Ok, call, false);
        self.writes(slot, Some(call)).event(Event::Reply { call, worker, kind, nonce, recycle })
    }

    pub(super) fn writes(self, slot: u32, nonce: Option<CallNo>) -> Self {
        let worker = self.worker(slot);
        self.event(Event::Writes { worker, frame: Frame::Reply { id: 1, nonce } })
    }

    pub(super) fn junk(self, slot: u32) -> Self {
        let worker = self.worker(slot);
        self.event(Event::Writes { worker, frame: Frame::Junk })
    }

    /// The worker replies, and the caller is given it.
    pub(super) fn answers(self, call: u64, slot: u32) -> Self {
        self.reply(call, slot).ok(call, slot)
    }

    pub(super) fn ok(self, call: u64, slot: u32) -> Self {
        let (worker, call) = (Some(self.worker(slot)), CallNo(call));
        let (outcome, ran, answer) = (Outcome::Ok, Ran::Yes, Some(call));
        self.event(Event::Done { call, outcome, ran, worker, answer })
    }

    pub(super) fn broke(self, call: u64, slot: u32, sent: Sent, cause: Cause) -> Self {
        let worker = self.worker(slot);
        self.event(Event::Broke { call: CallNo(call), worker, sent, cause })
    }

    pub(super) fn abandon(self, call: u64, slot: u32) -> Self {
        let worker = self.worker(slot);
        self.event(Event::Abandon { call: CallNo(call), worker })
    }

    pub(super) fn cancel(self, call: u64) -> Self {
        self.event(Event::Cancel { call: CallNo(call) })
    }

    /// An end without an answer, of a call that no worker has.
    pub(super) fn over(self, call: u64, outcome: Outcome) -> Self {
        let (call, ran) = (CallNo(call), Ran::No);
        self.event(Event::Done { call, outcome, ran, worker: None, answer: None })
    }

    /// An end without an answer, of a call that a worker has.
    pub(super) fn over_on(self, call: u64, slot: u32, outcome: Outcome) -> Self {
        let (call, ran, worker) = (CallNo(call), Ran::Maybe, Some(self.worker(slot)));
        self.event(Event::Done { call, outcome, ran, worker, answer: None })
    }

    // Workers.

    pub(super) fn worker(&self, slot: u32) -> WorkerId {
        let generation = self.generations.get(&(self.lane, slot)).copied().unwrap_or(0);
        WorkerId { slot, generation }
    }

    pub(super) fn start(mut self, slot: u32) -> Self {
        *self.generations.entry((self.lane, slot)).or_default() += 1;
        let worker = self.worker(slot);
        self.event(Event::Start { worker })
    }

    pub(super) fn ready(self, slot: u32) -> Self {
        let worker = self.worker(slot);
        self.writes(slot, None).event(Event::Ready { worker })
    }

    pub(super) fn up(self, slot: u32) -> Self {
        self.start(slot).ready(slot)
    }

    pub(super) fn start_fails(self, slot: u32) -> Self {
        let worker = self.worker(slot);
        self.event(Event::StartFailed { worker, why: Unready::Ended })
    }

    pub(super) fn stop(self, slot: u32, how: Stop) -> Self {
        let worker = self.worker(slot);
        self.event(Event::Stop { worker, how })
    }

    pub(super) fn exit(self, slot: u32) -> Self {
        let worker = self.worker(slot);
        self.event(Event::Exit { worker, how: ExitHow::Signal(9), holds_pipe: false })
    }

    pub(super) fn reaped(self, slot: u32) -> Self {
        let worker = self.worker(slot);
        self.event(Event::Reaped { worker })
    }

    pub(super) fn dies(self, slot: u32) -> Self {
        self.exit(slot).reaped(slot)
    }

    pub(super) fn killed(self, slot: u32) -> Self {
        self.stop(slot, Stop::Kill).dies(slot)
    }

    pub(super) fn probe(self, slot: u32) -> Self {
        let worker = self.worker(slot);
        self.event(Event::Probe { worker })
    }
}
