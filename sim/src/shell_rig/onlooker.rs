//! The laws that can be checked from outside the shell.

use std::collections::BTreeMap;

use poolshift::clock::Moment;
use poolshift::{Lane, Outcome, Ran, WorkerId};

use crate::checkers::Law;
use crate::trace::{CallNo, Closing, Event, Frame, Ground, Stamp, Watcher};
use crate::verdict::Broken;

/// R4: how long after a call's end its caller may be told, and a millisecond of tokio's timers
/// for each of the timer, the deadline and the post-mortem.
const TOLD_AFTER: std::time::Duration = std::time::Duration::from_millis(253);

/// One call, kept for the whole run: runs are short.
#[derive(Clone, Debug)]
struct CallBook {
    deadline: Option<Moment>,
    submitted: Moment,
    /// The kill switch was on, and its commit came before the submit.
    killed: bool,
    /// The policy in force at the submit.
    epoch: u64,
    executed: Option<(Lane, WorkerId)>,
    dispatched: bool,
    /// A worker has written a whole reply to it.
    replied: bool,
    is_over: bool,
}

/// A process's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Lives,
    Ended,
    Gone,
}

/// Watches a trace of the shell rig.
#[derive(Clone, Debug, Default)]
pub struct Onlooker {
    ground: Option<Ground>,
    calls: BTreeMap<CallNo, CallBook>,
    workers: BTreeMap<(Lane, WorkerId), Life>,
    /// When the drains give up.
    gives_up: Option<Moment>,
    killed: bool,
    epoch: u64,
    outcomes: BTreeMap<Outcome, u64>,
    by_lane: BTreeMap<(Lane, Outcome), u64>,
    left: u64,
    violations: Vec<Broken>,
    stamp: Option<Stamp>,
}

impl Onlooker {
    /// What was broken, in order.
    #[must_use]
    pub fn violations(&self) -> &[Broken] {
        &self.violations
    }

    /// How the calls ended whose callers stayed.
    #[must_use]
    pub const fn outcomes(&self) -> &BTreeMap<Outcome, u64> {
        &self.outcomes
    }

    /// Callers that went away.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.left
    }

    fn check(&mut self, law: Law, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            let (at_ns, seq) = self.stamp.map_or((0, 0), |stamp| (stamp.at.as_nanos(), stamp.seq));
            self.violations.push(Broken { law: law.as_str(), at_ns, seq, what: what() });
        }
    }

    /// The end of the call's whole budget, if its lane is known.
    fn deadline(&self, book: &CallBook, lane: Lane) -> Moment {
        let budget = self.ground.as_ref().map(|ground| ground.lane(lane).terms.budget);
        let ours = budget.map_or(Moment::NEVER, |budget| book.submitted + budget);
        book.deadline.unwrap_or(Moment::NEVER).min(ours)
    }

    fn dispatched(&mut self, stamp: Stamp, lane: Lane, call: CallNo) {
        let Some(book) = self.calls.get(&call).cloned() else {
            return self.check(Law::S2, false, || format!("call {} is unknown", call.0));
        };
        let (deadline, name) = (self.deadline(&book, lane), call.0);
        self.check(Law::S13, stamp.at <= deadline, || {
            format!("call {name} was written, and its deadline was {deadline:?}")
        });
        self.check(Law::S14, !book.dispatched, || format!("call {name} was sent a second time"));
        self.check(Law::S23, !book.killed || lane == Lane::V2, || {
            format!("call {name} was sent to {lane} after the kill")
        });
        if let Some(book) = self.calls.get_mut(&call) {
            book.dispatched = true;
        }
    }

    fn executes(&mut self, lane: Lane, call: CallNo, worker: WorkerId) {
        let name = call.0;
        let Some(book) = self.calls.get_mut(&call) else {
            return self.check(Law::S2, false, || format!("call {name} is unknown"));
        };
        let before = book.executed.replace((lane, worker));
        self.check(Law::S14, before.is_none(), || {
            format!("call {name} was executed by {before:?} and by {worker:?}")
        });
    }

    fn done(&mut self, stamp: Stamp, lane: Lane, event: &Event) {
        let Event::Done { call, outcome, ran, worker, answer } = *event else { return };
        *self.outcomes.entry(outcome).or_default() += 1;
        *self.by_lane.entry((lane, outcome)).or_default() += 1;
        let Some(book) = self.end(call).cloned() else { return };
        let name = call.0;
        self.check(Law::S3, answer.is_none_or(|answer| answer == call), || {
            format!("call {name} was given the answer of call {answer:?}")
        });
        let answered = matches!(outcome, Outcome::Ok | Outcome::Raised);
        self.check(Law::S3, (outcome == Outcome::Ok) == answer.is_some(), || {
            format!("call {name} is {outcome:?}, and its answer is {answer:?}")
        });
        let by_it = book.executed == worker.map(|worker| (lane, worker));
        self.check(Law::S14, !answered || by_it, || {
            let by = book.executed;
            format!("call {name} is {outcome:?} by {lane} {worker:?}, but {by:?} executed it")
        });
        self.check(Law::S14, ran != Ran::No || book.executed.is_none(), || {
            format!("call {name} is {outcome:?}, said not to have run, and was executed")
        });
        self.check(Law::S24, book.executed.is_none_or(|(of, _)| of == lane), || {
            format!("call {name} was sent to {lane}, and executed by {:?}", book.executed)
        });
        // R2: a complete reply wins, whatever becomes of its worker, but not over a drain's limit.
        let cut_off = self.gives_up.is_some_and(|until| until <= stamp.at);
        let lost = outcome == Outcome::WorkerLost && !cut_off;
        self.check(Law::S19, !(lost && book.replied), || {
            format!("call {name} lost its worker, which had written its whole reply")
        });
        let limit = self.deadline(&book, lane) + TOLD_AFTER;
        self.check(Law::L1, stamp.at <= limit, || {
            format!("call {name} was told {outcome:?} later than {limit:?}")
        });
    }

    /// The call's one end.
    fn end(&mut self, call: CallNo) -> Option<&CallBook> {
        let name = call.0;
        let known = self.calls.contains_key(&call);
        self.check(Law::S2, known, || format!("call {name} was never submitted"));
        let over = self.calls.get_mut(&call).map(|book| std::mem::replace(&mut book.is_over, true));
        self.check(Law::S1, over != Some(true), || format!("call {name} has a second end"));
        self.calls.get(&call)
    }

    fn lives(&mut self, lane: Lane, worker: WorkerId, from: Option<Life>, to: Life) {
        let was = self.workers.insert((lane, worker), to);
        self.check(Law::S17, was == from, || {
            format!("{lane} {worker:?} was {was:?}, now it is {to:?}")
        });
    }

    fn of_worker(&mut self, lane: Lane, event: &Event) {
        match *event {
            Event::Start { worker } => self.lives(lane, worker, None, Life::Lives),
            Event::StartFailed { worker, .. } => {
                self.lives(lane, worker, Some(Life::Lives), Life::Gone);
            }
            Event::Exit { worker, .. } => self.lives(lane, worker, Some(Life::Lives), Life::Ended),
            Event::Reaped { worker } => self.lives(lane, worker, Some(Life::Ended), Life::Gone),
            Event::Drained => {
                let left = |((of, _), life): &(&(Lane, WorkerId), &Life)| {
                    *of == lane && **life != Life::Gone
                };
                let left: Vec<String> =
                    self.workers.iter().filter(left).map(|left| format!("{left:?}")).collect();
                self.check(Law::S17, left.is_empty(), || format!("drained, but for {left:?}"));
            }
            _ => {}
        }
    }
}

impl Watcher for Onlooker {
    fn begin(&mut self, ground: &Ground) {
        self.ground = Some(ground.clone());
    }

    fn event(&mut self, stamp: Stamp, event: &Event) {
        self.stamp = Some(stamp);
        match (*event, stamp.lane) {
            (Event::Submit { call, deadline, .. }, _) => {
                let fresh = CallBook {
                    deadline,
                    submitted: stamp.at,
                    killed: self.killed,
                    epoch: self.epoch,
                    executed: None,
                    dispatched: false,
                    replied: false,
                    is_over: false,
                };
                let twice = self.calls.insert(call, fresh).is_some();
                self.check(Law::S1, !twice, || format!("call {} was submitted twice", call.0));
            }
            (Event::Config { epoch, killed, .. }, _) => {
                (self.epoch, self.killed) = (epoch, killed);
            }
            (Event::Route { call, epoch, .. }, _) => {
                let at_submit = self.calls.get(&call).map_or(epoch, |book| book.epoch);
                self.check(Law::S23, epoch == at_submit, || {
                    format!("call {} was decided by policy {epoch}, not {at_submit}", call.0)
                });
            }
            (Event::Cancel { call }, _) => {
                self.left += 1;
                self.end(call);
            }
            (Event::Writes { frame: Frame::Reply { nonce: Some(call), .. }, .. }, _) => {
                self.calls.get_mut(&call).into_iter().for_each(|book| book.replied = true);
            }
            (Event::Drain { until }, _) => self.gives_up = Some(until),
            (Event::Dispatch { call, .. }, Some(lane)) => self.dispatched(stamp, lane, call),
            (Event::Executes { call, worker }, Some(lane)) => self.executes(lane, call, worker),
            (Event::Done { .. }, Some(lane)) => self.done(stamp, lane, event),
            (_, Some(lane)) => self.of_worker(lane, event),
            _ => {}
        }
    }

    fn end(&mut self, closing: &Closing) {
        let open: Vec<u64> =
            self.calls.iter().filter(|(_, book)| !book.is_over).map(|(call, _)| call.0).collect();
        self.check(Law::S1, open.is_empty(), || format!("calls {open:?} have no end"));
        let mut untold = 0;
        for (lane, books) in [Lane::V2, Lane::V3].into_iter().zip(&closing.lanes) {
            let status = &books.status;
            let finished: u64 = status.outcomes.values().sum();
            let submitted = books.meter.submitted;
            self.check(Law::S19, submitted == finished, || {
                format!("{lane}: {submitted} submits and {finished} outcomes in its books")
            });
            for outcome in Outcome::ALL {
                let theirs = status.outcomes.get(&outcome).copied().unwrap_or(0);
                let ours = self.by_lane.get(&(lane, outcome)).copied().unwrap_or(0);
                self.check(Law::S19, theirs >= ours, || {
                    format!("{lane}: {ours} callers were told {outcome:?}, {theirs} in its books")
                });
                untold += theirs.saturating_sub(ours);
            }
            let gauges = [status.ready, status.available, status.busy, status.starting];
            let left = [status.live, status.in_flight, status.queue_size, books.processes];
            self.check(Law::S10, (gauges, left) == ([0; 4], [0; 4]), || {
                format!("{lane}: its gauges are {gauges:?} and {left:?} at the end")
            });
        }
        // A caller that leaves before its session is opened is in no pool's books.
        let left = self.left;
        self.check(Law::S19, untold <= left, || {
            format!("{untold} ends in the books were told to nobody, and {left} callers left")
        });
    }
}
