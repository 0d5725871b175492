//! The laws that can be checked from outside the shell: in the rig's paused time, and around
//! real processes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::{Lane, Outcome, Ran, WorkerId};

use crate::checkers::{Law, Tally};
use crate::trace::{CallNo, Closing, Event, Frame, Ground, Stamp, Watcher};
use crate::verdict::Broken;

/// R4: how long after a call's end its caller may be told, and a millisecond of tokio's timers
/// for each of the timer, the deadline and the post-mortem.
const TOLD_AFTER: Duration = Duration::from_millis(253);

/// How long a call is remembered that is over. No worker may have one so long after its caller
/// was told, so an execution that comes later breaks S2: its call is unknown.
const REMEMBERED: Duration = Duration::from_secs(60);

/// In real time at most so many of these calls a worker: the memory of a run that is made faster
/// must not look like a leak. No worker does as many in the few seconds for which it may have one.
const REMEMBERED_A_WORKER: usize = 2048;

/// More breaches than this are counted and not told: the first ones say what is wrong.
const TOLD: usize = 100;

/// One call.
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
    /// What its caller was told of it.
    ran: Option<Ran>,
}

/// The figures of R18, from the trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Calls without an end.
    pub lost: u64,
    /// Calls with two ends, or executed twice.
    pub duplicated: u64,
    /// Callers who were given the answer to another call, or none where there was one.
    pub cross_talk: u64,
}

/// A process's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Lives,
    Ended,
    Gone,
}

/// Watches a trace in which nobody could look into the pools.
#[derive(Clone, Debug, Default)]
pub struct Onlooker {
    ground: Option<Ground>,
    /// How much later than in paused time callers may be told; set if time is real.
    slack: Option<Duration>,
    calls: BTreeMap<CallNo, CallBook>,
    /// Calls that are over, in the order of their ends.
    over: VecDeque<(Moment, CallNo)>,
    workers: BTreeMap<(Lane, WorkerId), Life>,
    /// When the drains give up.
    gives_up: Option<Moment>,
    killed: bool,
    epoch: u64,
    outcomes: BTreeMap<Outcome, u64>,
    by_lane: BTreeMap<(Lane, Outcome), u64>,
    left: u64,
    /// The worker whose caller went away last, and who has or had a reply for nobody.
    left_on: Option<(Lane, WorkerId)>,
    laws: BTreeMap<Law, Tally>,
    figures: Figures,
    violations: Vec<Broken>,
    stamp: Option<Stamp>,
}

impl Onlooker {
    /// For threads and processes in real time: callers may be told `slack` later, and what many
    /// do at once is in the trace in an order that need not be theirs.
    #[must_use]
    pub fn of_real_time(slack: Duration) -> Self {
        Self { slack: Some(slack), ..Self::default() }
    }

    /// What was broken, in order; the first hundred.
    #[must_use]
    pub fn violations(&self) -> &[Broken] {
        &self.violations
    }

    /// How often each law was checked, and how often the run was where it is hard to keep.
    #[must_use]
    pub const fn laws(&self) -> &BTreeMap<Law, Tally> {
        &self.laws
    }

    /// Lost and duplicated calls, and cross-talk.
    #[must_use]
    pub const fn figures(&self) -> Figures {
        self.figures
    }

    /// A law that only whoever tells the trace can check.
    pub fn judge(&mut self, law: Law, holds: bool, what: impl FnOnce() -> String) {
        self.check(law, holds, what);
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
        self.laws.entry(law).or_default().checked += 1;
        if !holds && self.violations.len() < TOLD {
            let (at_ns, seq) = self.stamp.map_or((0, 0), |stamp| (stamp.at.as_nanos(), stamp.seq));
            self.violations.push(Broken { law: law.as_str(), at_ns, seq, what: what() });
        }
    }

    /// The run is where this law is hard to keep.
    fn sometimes(&mut self, law: Law, reached: bool) {
        self.laws.entry(law).or_default().sometimes += u64::from(reached);
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
        let is_over = book.is_over;
        let (before, ran) = (book.executed.replace((lane, worker)), book.ran);
        if is_over && ran.is_none() {
            self.left_on = Some((lane, worker));
        }
        self.figures.duplicated += u64::from(before.is_some());
        self.check(Law::S14, before.is_none(), || {
            format!("call {name} was executed by {before:?} and by {worker:?}")
        });
        self.check(Law::S14, ran != Some(Ran::No), || {
            format!("call {name} is executed, and its caller was told that it had not run")
        });
        self.sometimes(Law::S2, is_over);
    }

    fn done(&mut self, stamp: Stamp, lane: Lane, event: &Event) {
        let Event::Done { call, outcome, ran, worker, answer } = *event else { return };
        *self.outcomes.entry(outcome).or_default() += 1;
        *self.by_lane.entry((lane, outcome)).or_default() += 1;
        let Some(book) = self.end(call, Some(ran)).cloned() else { return };
        let name = call.0;
        let crossed = (outcome == Outcome::Ok && answer != Some(call))
            || (outcome != Outcome::Ok && answer.is_some());
        self.figures.cross_talk += u64::from(crossed);
        self.sometimes(Law::S1, outcome != Outcome::Ok);
        let by = worker.map(|worker| (lane, worker));
        self.sometimes(Law::S3, outcome == Outcome::Ok && by == self.left_on);
        self.sometimes(Law::S14, ran == Ran::Maybe && book.executed.is_some());
        self.sometimes(Law::S19, outcome == Outcome::WorkerLost);
        self.sometimes(Law::L6, outcome == Outcome::Draining);
        self.sometimes(Law::S24, book.epoch < self.epoch);
        self.sometimes(Law::L1, outcome == Outcome::ExecTimeout);
        self.check(Law::S3, answer.is_none_or(|answer| answer == call), || {
            format!("call {name} was given the answer of call {answer:?}")
        });
        let answered = matches!(outcome, Outcome::Ok | Outcome::Raised);
        self.check(Law::S3, (outcome == Outcome::Ok) == answer.is_some(), || {
            format!("call {name} is {outcome:?}, and its answer is {answer:?}")
        });
        let by_it = book.executed == by;
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
        let limit = self.deadline(&book, lane) + TOLD_AFTER + self.slack.unwrap_or_default();
        self.check(Law::L1, stamp.at <= limit, || {
            format!("call {name} was told {outcome:?} later than {limit:?}")
        });
    }

    /// The call's one end.
    fn end(&mut self, call: CallNo, ran: Option<Ran>) -> Option<&CallBook> {
        let name = call.0;
        let known = self.calls.contains_key(&call);
        self.check(Law::S2, known, || format!("call {name} is unknown"));
        let over = self.calls.get_mut(&call).map(|book| {
            book.ran = ran;
            std::mem::replace(&mut book.is_over, true)
        });
        let now = self.stamp.map_or(Moment::ZERO, |stamp| stamp.at);
        self.over.extend((over == Some(false)).then_some((now, call)));
        self.figures.duplicated += u64::from(over == Some(true));
        self.check(Law::S1, over != Some(true), || format!("call {name} has a second end"));
        self.calls.get(&call)
    }

    /// Forgets what is over for so long that nothing may come of it.
    fn forget(&mut self, now: Moment) {
        let most = match (&self.ground, self.slack) {
            (Some(Ground { lanes: [v2, v3], .. }), Some(_)) => {
                REMEMBERED_A_WORKER * (v2.terms.size + v3.terms.size)
            }
            _ => usize::MAX,
        };
        while let Some((over, call)) = self.over.front()
            && (now.since(*over) > REMEMBERED || self.over.len() > most)
        {
            self.calls.remove(call);
            self.over.pop_front();
        }
    }

    /// The policy that decided. In real time a change may come between the submit and the
    /// decision, and is told only when it is in force: no older policy may decide then.
    fn routed(&mut self, call: CallNo, lane: Lane, epoch: u64) {
        let Some(book) = self.calls.get(&call) else { return };
        let (at_submit, killed, name) = (book.epoch, book.killed, call.0);
        let (holds, old) = (epoch == at_submit, epoch < at_submit);
        self.check(Law::S23, holds || (self.slack.is_some() && !old), || {
            format!("call {name} was decided by policy {epoch}, not {at_submit}")
        });
        self.check(Law::S23, !(killed && holds) || lane == Lane::V2, || {
            format!("call {name} was sent to {lane} after the kill")
        });
        self.sometimes(Law::S23, killed);
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
        self.forget(stamp.at);
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
                    ran: None,
                };
                let twice = self.calls.insert(call, fresh).is_some();
                self.check(Law::S1, !twice, || format!("call {} was submitted twice", call.0));
            }
            (Event::Config { epoch, killed, .. }, _) => {
                (self.epoch, self.killed) = (epoch, killed);
            }
            (Event::Route { call, lane, epoch, .. }, _) => self.routed(call, lane, epoch),
            (Event::Cancel { call }, _) => {
                self.left += 1;
                let left_on = self.end(call, None).and_then(|book| book.executed);
                self.left_on = left_on.or(self.left_on);
            }
            (Event::Writes { frame: Frame::Reply { nonce: Some(call), .. }, .. }, _) => {
                self.calls.get_mut(&call).into_iter().for_each(|book| book.replied = true);
            }
            (Event::Drain { until }, _) => self.gives_up = Some(until),
            (Event::Fault { worker, .. }, _) => {
                self.sometimes(Law::S10, worker.is_some());
                self.sometimes(Law::S17, worker.is_some());
            }
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
        self.figures.lost = open.len() as u64;
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
