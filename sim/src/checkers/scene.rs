//! The run as it stands, seen from outside: what the laws look at when an event comes.
//!
//! Each law sees the scene *before* the event, then the scene takes the event. It holds what
//! callers, workers and operators could have noted down; nothing is known of a machine.

use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::machine::Sent;
use poolshift::{Lane, Outcome, WorkerId};

use crate::checkers::calls::{CallBook, Calls, Place};
use crate::checkers::line::Line;
use crate::checkers::pins::Choice;
use crate::checkers::policies::Policies;
use crate::checkers::sessions::Sessions;
use crate::checkers::workers::{Doing, Workers};
use crate::trace::{CallNo, Cause, Event, Ground, SessionNo, Stamp};

/// R4: how long the timer lets replies go first when the host had stood still.
const YIELD: Duration = Duration::from_millis(20);

/// One lane.
#[derive(Clone, Debug)]
pub(super) struct LaneBook {
    pub(super) workers: Workers,
    /// Calls that wait for a worker.
    pub(super) waiting: usize,
    /// Calls that a worker has.
    pub(super) held: usize,
    /// The calls that any worker may take: all of V3's, V2's anonymous ones.
    pub(super) line: Line,
    /// The number of the event with which a serving worker was last lost or retired.
    pub(super) lost_at: u64,
    /// The drain's beginning and limit, with the run's stalled time at its beginning.
    pub(super) draining: Option<(Moment, Moment, u64)>,
    pub(super) drained: bool,
}

/// Everything that the laws may look at.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) ground: Ground,
    /// How much later than in virtual time things may happen; zero there.
    pub(super) slack: Duration,
    /// The moment of the event that the laws look at.
    pub(super) now: Moment,
    pub(super) calls: Calls,
    pub(super) lanes: [LaneBook; 2],
    pub(super) sessions: Sessions,
    pub(super) policies: Policies,
    /// Calls that are neither waiting nor on a worker nor done.
    pub(super) nowhere: u64,
    /// Calls whose callers have gone away, and that have no outcome yet.
    pub(super) untold: u64,
    /// The last stall, or several that met.
    stall: (Moment, Moment),
    /// How long the host has stood still in all, in nanoseconds.
    pub(super) stalled: u64,
    /// The number of the last fault.
    pub(super) fault_at: u64,
}

impl Scene {
    pub(super) fn new(ground: &Ground, slack: Duration) -> Self {
        let lanes = ground.lanes.each_ref().map(|lane| LaneBook {
            workers: Workers::new(lane.terms.size),
            waiting: 0,
            held: 0,
            line: Line::default(),
            lost_at: 0,
            draining: None,
            drained: false,
        });
        Self {
            ground: ground.clone(),
            slack,
            now: Moment::ZERO,
            calls: Calls::new(),
            lanes,
            sessions: Sessions::new(),
            policies: Policies::default(),
            nowhere: 0,
            untold: 0,
            stall: (Moment::NEVER, Moment::ZERO),
            stalled: 0,
            fault_at: 0,
        }
    }

    #[inline]
    pub(super) fn lane(&self, lane: Lane) -> &LaneBook {
        &self.lanes[lane as usize]
    }

    /// The lane's workers, if the event says which lane.
    #[inline]
    pub(super) fn workers(&self, stamp: Stamp) -> Option<&Workers> {
        stamp.lane.map(|lane| &self.lane(lane).workers)
    }

    /// What is due at `due` happens by this moment: later only if the host stood still then, or
    /// had just begun to move again (R4).
    #[inline]
    pub(super) fn latest(&self, due: Moment) -> Moment {
        let (from, until) = self.stall;
        let lag = self.ground.host_lag;
        // What falls due while replies go first waits with what fell due before.
        let awake = until + YIELD;
        let due = if from <= due && due <= awake { awake + lag } else { due };
        due + self.slack
    }

    /// How long what takes `span` may take since the run had stalled for `stalled`.
    pub(super) fn span(&self, span: Duration, stalled: u64) -> Duration {
        span + Duration::from_nanos(self.stalled - stalled) + self.slack
    }

    /// Takes the event.
    pub(super) fn take(&mut self, stamp: Stamp, event: &Event) {
        match *event {
            Event::Submit { .. } | Event::Route { .. } => self.take_arrival(stamp, event),
            Event::Enqueue { call, .. } => self.move_to(stamp, call, Place::Waiting),
            Event::Lease { call, worker } => self.lease(stamp, call, worker),
            Event::Dispatch { call, worker, sent } => self.dispatched(call, worker, sent),
            Event::Executes { call, .. } => {
                if let Some(book) = self.calls.get_mut(call) {
                    book.executions += 1;
                }
            }
            Event::Reply { .. } => self.replied(stamp, event),
            Event::Broke { call, worker, sent, cause } => {
                self.broke(stamp, call, worker, sent, cause);
            }
            Event::Done { .. } => self.done(stamp, event),
            Event::EndSession { session } => self.end_session(session),
            Event::Config { epoch, percents, killed } => {
                self.policies.replace(epoch, percents, killed);
            }
            Event::Fault { .. } => self.fault_at = stamp.seq,
            Event::Stall { until } => self.stalls(stamp.at, until),
            Event::Cancel { call } => self.cancelled(call),
            Event::Terminate { .. } | Event::Heal { .. } => {}
            _ => self.take_of_pool(stamp, event),
        }
    }

    fn take_arrival(&mut self, stamp: Stamp, event: &Event) {
        match *event {
            Event::Submit { call, session, class, deadline, .. } => {
                if self.calls.live(call).is_some() {
                    return;
                }
                let deadline = deadline.unwrap_or(Moment::NEVER);
                self.nowhere += 1;
                self.calls.insert(CallBook::new(call, session, class, stamp, deadline));
            }
            Event::Route { call, lane, epoch, reason, drawn, .. } => {
                let terms = &self.ground.lane(lane).terms;
                let Some(book) = self.calls.get_mut(call).filter(|book| book.lane.is_none()) else {
                    return;
                };
                (book.lane, book.epoch) = (Some(lane), epoch);
                let (session, class) = (book.session, book.class);
                book.deadline = book.deadline.min(stamp.at + terms.budget);
                book.wait_until = book.deadline.min(stamp.at + terms.queue_timeout);
                let Some(session) = session else { return };
                self.remember_route(stamp, session, Choice { lane, class, reason, drawn });
                if lane == Lane::V2 {
                    self.enter_v2(stamp, session);
                }
            }
            _ => {}
        }
    }

    /// V2 has one more call of the session; one that rested for too long is bound anew.
    fn enter_v2(&mut self, stamp: Stamp, session: SessionNo) {
        let limit = self.ground.lane(Lane::V2).session_idle;
        let Some(book) = self.sessions.get_mut(session) else { return };
        if book.unfinished == 0 && book.rests_since + limit <= stamp.at {
            (book.home, book.bound_since, book.youngest) = (None, stamp.seq, None);
        }
        book.unfinished += 1;
    }

    fn lease(&mut self, stamp: Stamp, call: CallNo, worker: WorkerId) {
        self.move_to(stamp, call, Place::Held(worker));
        let Some(lane) = stamp.lane else { return };
        let run_timeout = self.ground.lane(lane).terms.run_timeout;
        if let Some(book) = self.calls.get_mut(call) {
            book.leases += 1;
            book.leased = stamp.at;
            book.run_until = book.deadline.min(stamp.at + run_timeout);
            book.sent = Sent::None;
            let (order, session) = (book.order, book.session);
            if lane == Lane::V2
                && let Some(book) = session.and_then(|session| self.sessions.get_mut(session))
            {
                // What is left of an ended session may go wherever it is bound anew.
                book.home = (!book.unbinds).then_some(worker);
                if book.youngest.is_none_or(|(youngest, _)| youngest <= order) {
                    book.youngest = Some((order, stamp.seq));
                }
            }
        }
        self.set(stamp, worker, Doing::Held(call));
    }

    fn cancelled(&mut self, call: CallNo) {
        let open = |book: &&mut CallBook| !book.is_done() && !book.cancelled;
        if let Some(book) = self.calls.get_mut(call).filter(open) {
            book.cancelled = true;
            self.untold += 1;
        }
    }

    fn dispatched(&mut self, call: CallNo, worker: WorkerId, sent: Sent) {
        let book = self.calls.get_mut(call).filter(|book| book.is_held_by(worker));
        if let Some(book) = book {
            book.sent = book.sent.max(sent);
        }
    }

    fn replied(&mut self, stamp: Stamp, event: &Event) {
        let Event::Reply { call, worker, kind, nonce, recycle } = *event else { return };
        if let Some(book) = self.calls.get_mut(call).filter(|book| book.is_held_by(worker)) {
            book.heard = Some((kind, nonce));
            self.move_to(stamp, call, Place::Nowhere);
        }
        self.read(stamp, worker);
        if self.holds(stamp, worker, call) {
            // Where another can take its place, one that asked to be replaced serves until then.
            let lane = stamp.lane.map(|lane| self.ground.lane(lane).terms.lifecycle);
            let leaves = recycle && lane.is_none_or(|lane| lane.recycling.is_none());
            self.set(stamp, worker, if leaves { Doing::Unfit } else { Doing::Idle });
        }
    }

    fn broke(&mut self, stamp: Stamp, call: CallNo, worker: WorkerId, sent: Sent, cause: Cause) {
        if let Some(book) = self.calls.get_mut(call).filter(|book| book.is_held_by(worker)) {
            book.sent = book.sent.max(sent);
            book.broke_sent |= book.sent != Sent::None;
            self.move_to(stamp, call, Place::Nowhere);
        }
        let abandoned = self.doing(stamp, worker) == Doing::Abandoned(call);
        if self.holds(stamp, worker, call) {
            let doing = match (cause, sent) {
                (Cause::Dropped, Sent::None) if !abandoned => Doing::Idle,
                (Cause::Dropped, Sent::Part) if !abandoned => Doing::HalfSent,
                (Cause::Dropped, Sent::All) if !abandoned => Doing::Forsaken,
                (Cause::Garbled, _) => Doing::Garbled,
                _ => Doing::Unfit,
            };
            self.set(stamp, worker, doing);
        }
    }

    fn done(&mut self, stamp: Stamp, event: &Event) {
        let Event::Done { call, outcome, ran, .. } = *event else { return };
        let Some(book) = self.calls.live(call).copied() else { return };
        if let (Place::Held(worker), Some(lane)) = (book.place, book.lane) {
            let stamp = Stamp { lane: Some(lane), ..stamp };
            if self.doing(stamp, worker) == Doing::Held(call) {
                let garbled = outcome == Outcome::Protocol;
                self.set(stamp, worker, if garbled { Doing::Garbled } else { Doing::Unfit });
            }
        }
        self.move_to(stamp, call, Place::Done);
        self.calls.finished();
        self.untold -= u64::from(book.cancelled);
        if let Some(book) = self.calls.get_mut(call) {
            book.ran = Some(ran);
        }
        let Some(session) = book.session else { return };
        if book.lane != Some(Lane::V2) {
            return;
        }
        let Some(session) = self.sessions.get_mut(session) else { return };
        session.unfinished = session.unfinished.saturating_sub(1);
        if book.was_admitted(outcome) {
            (session.rests_since, session.seen) = (stamp.at, stamp.at);
        }
        if outcome == Outcome::SessionLost {
            (session.home, session.bound_since) = (None, stamp.seq);
        }
        session.unbinds &= session.unfinished > 0;
    }

    /// Its calls in flight go on, but the next is bound anew.
    fn end_session(&mut self, session: SessionNo) {
        let Some(book) = self.sessions.get_mut(session) else { return };
        (book.pin, book.home, book.ended) = (None, None, true);
        book.unbinds = book.unfinished > 0;
    }

    fn stalls(&mut self, now: Moment, until: Moment) {
        let (from, earlier) = self.stall;
        let goes_on = earlier + YIELD + self.ground.host_lag >= now && from <= now;
        self.stall = (if goes_on { from } else { now }, until.max(earlier));
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.stalled = self.stalled.saturating_add(nanos(until.since(now)));
    }
}
