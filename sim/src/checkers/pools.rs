//! How the scene takes what happens to workers and pools, and moves calls between places.

use poolshift::clock::Moment;
use poolshift::{Lane, WorkerId};

use crate::checkers::calls::Place;
use crate::checkers::scene::Scene;
use crate::checkers::workers::Doing;
use crate::trace::{CallNo, Event, SessionNo, Stamp};

impl Scene {
    pub(super) fn take_of_pool(&mut self, stamp: Stamp, event: &Event) {
        let Some(lane) = stamp.lane else { return };
        let (now, at) = (stamp.at, lane as usize);
        match *event {
            Event::Abandon { call, worker } => {
                let until = self.calls.get(call).map_or(Moment::NEVER, |book| book.run_until);
                self.set(stamp, worker, Doing::Abandoned(call));
                self.lanes[at].workers.change(worker, |slot| slot.drain_until = until);
            }
            Event::Writes { worker, .. } => self.lanes[at].workers.change(worker, |slot| {
                slot.unread += 1;
                if slot.unread == 1 {
                    slot.unread_since = now;
                }
            }),
            Event::Start { worker } => self.lanes[at].workers.start(now, worker),
            Event::Ready { worker } => {
                self.read(stamp, worker);
                self.lanes[at].workers.change(worker, |slot| slot.failures = 0);
                self.turn(stamp, worker, Doing::Starting, Doing::Idle);
            }
            Event::StartFailed { worker, .. } => self.start_failed(stamp, worker),
            Event::Probe { worker } => self.turn(stamp, worker, Doing::Idle, Doing::Probing),
            Event::Probed { worker, healthy } => {
                if healthy {
                    self.read(stamp, worker);
                }
                let doing = if healthy { Doing::Idle } else { Doing::Unfit };
                self.turn(stamp, worker, Doing::Probing, doing);
            }
            Event::Stop { worker, how } => {
                let stalled = self.stalled;
                self.lose(stamp, lane, worker);
                if self.doing(stamp, worker) != Doing::Gone {
                    self.set(stamp, worker, Doing::Stopping);
                }
                let stopped = Some((now, how, stalled));
                self.lanes[at].workers.change(worker, |slot| slot.stopped = stopped);
            }
            Event::Exit { worker, .. } => {
                self.lanes[at].workers.change(worker, |slot| slot.exited = true);
            }
            Event::Reaped { worker } => {
                self.lose(stamp, lane, worker);
                self.set(stamp, worker, Doing::Gone);
                self.lanes[at].workers.change(worker, |slot| {
                    (slot.vacant_since, slot.failed_at) = (now, None);
                });
            }
            Event::Resize { size } => self.lanes[at].workers.resize(now, size as usize),
            Event::Drain { until } => {
                let lane = &mut self.lanes[at];
                let (since, first, stalled) =
                    lane.draining.unwrap_or((now, Moment::NEVER, self.stalled));
                lane.draining = Some((since, first.min(until), stalled));
            }
            Event::Drained => self.lanes[at].drained = true,
            _ => {}
        }
    }

    fn start_failed(&mut self, stamp: Stamp, worker: WorkerId) {
        let now = stamp.at;
        self.lanes[stamp.lane.map_or(0, |lane| lane as usize)].workers.change(worker, |slot| {
            // A start that was called off has not failed, and costs no wait.
            let failed = slot.doing == Doing::Starting;
            slot.failures += u32::from(failed);
            slot.failed_at = failed.then_some(now);
            (slot.doing, slot.since, slot.vacant_since) = (Doing::Gone, now, now);
        });
    }

    /// What a session left in a worker is gone with it.
    fn lose(&mut self, stamp: Stamp, lane: Lane, worker: WorkerId) {
        if self.lane(lane).workers.keeps_state(worker) {
            self.lanes[lane as usize].lost_at = stamp.seq;
        }
    }

    /// Somebody has read a frame that the worker wrote.
    pub(super) fn read(&mut self, stamp: Stamp, worker: WorkerId) {
        let Some(lane) = stamp.lane else { return };
        self.lanes[lane as usize].workers.change(worker, |slot| {
            slot.unread -= 1;
            // When what is left was written is not known any more: no later than now.
            slot.unread_since = stamp.at;
        });
    }

    pub(super) fn doing(&self, stamp: Stamp, worker: WorkerId) -> Doing {
        self.workers(stamp).map_or(Doing::Gone, |workers| workers.doing(worker))
    }

    /// Whether the call is what keeps the worker from being idle.
    pub(super) fn holds(&self, stamp: Stamp, worker: WorkerId, call: CallNo) -> bool {
        let doing = self.doing(stamp, worker);
        doing == Doing::Held(call) || doing == Doing::Abandoned(call)
    }

    pub(super) fn set(&mut self, stamp: Stamp, worker: WorkerId, doing: Doing) {
        if let Some(lane) = stamp.lane {
            self.lanes[lane as usize].workers.set(stamp.at, worker, doing);
        }
    }

    /// Events of a worker that is already being ended change nothing.
    fn turn(&mut self, stamp: Stamp, worker: WorkerId, from: Doing, to: Doing) {
        if self.doing(stamp, worker) == from {
            self.set(stamp, worker, to);
        }
    }

    /// Moves a call, and the counts with it.
    pub(super) fn move_to(&mut self, stamp: Stamp, call: CallNo, place: Place) {
        let Some(book) = self.calls.live(call).copied() else { return };
        let Some(lane) = book.lane else {
            // Over before it was sent anywhere.
            self.nowhere = self.nowhere.saturating_sub(1);
            self.settle(stamp, call, place, None);
            return;
        };
        let waits_for = match place {
            Place::Waiting if lane == Lane::V2 => self.home(book.session),
            _ => None,
        };
        self.settle(stamp, call, place, waits_for);
        let anyone_may_take = lane == Lane::V3 || book.session.is_none();
        let workers = &mut self.lanes[lane as usize];
        match book.place {
            Place::Nowhere => self.nowhere = self.nowhere.saturating_sub(1),
            Place::Held(_) => workers.held -= 1,
            Place::Done => {}
            Place::Waiting => {
                workers.waiting -= 1;
                if anyone_may_take {
                    let fresh = |call| {
                        self.calls.get(call).is_some_and(|book| book.waits() && book.leases == 0)
                    };
                    workers.line.leave((book.order, call), fresh);
                }
                if let Some(worker) = book.waits_for {
                    workers.workers.change(worker, |slot| slot.waited_for -= 1);
                }
            }
        }
        match place {
            Place::Nowhere => self.nowhere += 1,
            Place::Held(_) => workers.held += 1,
            Place::Done => {}
            Place::Waiting => {
                workers.waiting += 1;
                if anyone_may_take {
                    workers.line.join((book.order, call), book.leases > 0);
                }
                if let Some(worker) = waits_for {
                    workers.workers.change(worker, |slot| slot.waited_for += 1);
                }
            }
        }
    }

    fn settle(&mut self, stamp: Stamp, call: CallNo, place: Place, waits_for: Option<WorkerId>) {
        if let Some(book) = self.calls.get_mut(call) {
            (book.place, book.waits_for) = (place, waits_for);
            if place == Place::Waiting {
                book.waits_since = stamp.seq;
            }
        }
    }

    /// The process that has the session's state, while it serves.
    fn home(&self, session: Option<SessionNo>) -> Option<WorkerId> {
        let home = self.sessions.get(session?)?.home?;
        self.lane(Lane::V2).workers.keeps_state(home).then_some(home)
    }
}
