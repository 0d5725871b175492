//! Makes a [`Run`] of what callers see, call by call, in bounded memory.

mod slowest;
mod staff;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::call::{Class, Lane, Timing};
use crate::clock::Moment;
use crate::meter::{Merge, Slices};
use crate::pool::WorkerId;
use crate::report::kind::{Ending, Kind, Span};
use crate::report::ledger::Audit;
use crate::report::record::{
    Books, FORMAT, Flow, LeftOut, Load, MOST_MARKS, Mark, MarkKind, Origin, RunRecord,
};
use crate::report::recorder::slowest::Slowest;
use crate::report::recorder::staff::Staff;
use crate::report::run::{Run, Slice};

pub use crate::report::recorder::slowest::Story;

/// The width of a short run's slices; a longer run's are wider, by powers of two.
const FINEST: Duration = Duration::from_millis(100);

/// A call that is over.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    /// Lane, class and outcome.
    pub kind: Kind,
    /// Its moments.
    pub timing: Timing,
    /// By how much the generator was late: from the moment at which nothing else held the call
    /// back until it was submitted.
    pub lag: Duration,
    /// The worker that had it last.
    pub worker: Option<WorkerId>,
}

/// Takes calls as they end, in any order.
#[derive(Clone, Debug)]
pub struct Recorder {
    began: Moment,
    began_unix: Duration,
    ended: Moment,
    slices: Slices<Tick>,
    books: Books,
    marks: Vec<Mark>,
    kills: Vec<Killed>,
    staff: Staff,
    slowest: Slowest,
    left_out: LeftOut,
}

/// What is counted in one slice.
#[derive(Clone, Debug, Default)]
struct Tick {
    histograms: Slice,
    lanes: [Moves; 2],
    busy: BTreeMap<(Lane, u32), Duration>,
}

/// Calls of one lane that went on in their life during one slice.
#[derive(Clone, Copy, Debug, Default)]
struct Moves {
    arrived: u64,
    dispatched: u64,
    /// Over without a worker.
    unserved: u64,
    finished: u64,
}

impl Merge for Tick {
    fn merge(&mut self, other: Self) {
        self.histograms.merge(other.histograms);
        for (own, other) in self.lanes.iter_mut().zip(other.lanes) {
            own.arrived += other.arrived;
            own.dispatched += other.dispatched;
            own.unserved += other.unserved;
            own.finished += other.finished;
        }
        for (slot, busy) in other.busy {
            *self.busy.entry(slot).or_default() += busy;
        }
    }
}

/// A worker that was killed.
#[derive(Clone, Copy, Debug)]
struct Killed {
    lane: Lane,
    worker: WorkerId,
    at: Duration,
}

impl Recorder {
    /// A run that begins now, on the run's clock and on the wall's.
    #[must_use]
    pub fn new(began: Moment, began_unix: Duration) -> Self {
        Self {
            began,
            began_unix,
            ended: began,
            slices: Slices::new(FINEST),
            books: Books::default(),
            marks: Vec::new(),
            kills: Vec::new(),
            staff: Staff::default(),
            slowest: Slowest::default(),
            left_out: LeftOut::default(),
        }
    }

    /// A call is over. Its story is asked for only if it is among the slowest so far.
    pub fn finish(&mut self, past: &Past, story: impl FnOnce() -> Story) {
        let Past { kind, timing, lag, worker } = *past;
        let Timing { planned, dispatched, finished, .. } = timing;
        *self.books.outcomes.entry(kind.ending.as_str().to_owned()).or_default() += 1;
        self.books.submitted += 1;
        let (planned, finished) = (self.since_start(planned), self.since_start(finished));
        let dispatched = dispatched.map(|at| self.since_start(at));
        let (service, response) = (timing.service(), timing.total());
        let wait = timing.queued().saturating_sub(lag);
        self.count(kind, planned, [response, wait, service, lag]);
        if let Some(lane) = kind.lane {
            self.slices.at(planned).lanes[lane as usize].arrived += 1;
            match dispatched {
                Some(at) => self.slices.at(at).lanes[lane as usize].dispatched += 1,
                None => self.slices.at(finished).lanes[lane as usize].unserved += 1,
            }
            self.slices.at(finished).lanes[lane as usize].finished += 1;
            if let (Some(from), Some(worker)) = (dispatched, worker) {
                self.staff.served(lane, worker, from, finished);
                self.slices.spread(from, finished, |tick, busy| {
                    *tick.busy.entry((lane, worker.slot)).or_default() += busy;
                });
            }
        }
        self.slowest.offer(past, self.began, story);
        self.ended = self.ended.max(timing.finished);
    }

    /// A call that was due is alive when the run ends: it takes at least as long as until now.
    pub fn censor(&mut self, lane: Option<Lane>, class: Class, planned: Moment, now: Moment) {
        self.books.submitted += 1;
        self.books.censored += 1;
        let kind = Kind { lane, class, ending: Ending::Censored };
        let (response, zero) = (now.since(planned), Duration::ZERO);
        let planned = self.since_start(planned);
        self.count(kind, planned, [response, response, zero, zero]);
        if let Some(lane) = lane {
            self.slices.at(planned).lanes[lane as usize].arrived += 1;
        }
        self.ended = self.ended.max(now);
    }

    /// A call was refused before its turn, as the run was told to stop: it belongs to the books,
    /// and to no measurement.
    pub fn undue(&mut self, ending: Ending, at: Moment) {
        self.books.submitted += 1;
        self.books.undue += 1;
        *self.books.outcomes.entry(ending.as_str().to_owned()).or_default() += 1;
        self.ended = self.ended.max(at);
    }

    fn count(&mut self, kind: Kind, planned: Duration, times: [Duration; 4]) {
        let spans = self.slices.at(planned).histograms.0.entry(kind).or_default();
        for (span, time) in Span::ALL.into_iter().zip(times) {
            spans.of_mut(span).record(time);
        }
    }

    fn since_start(&self, moment: Moment) -> Duration {
        moment.since(self.began)
    }

    /// A percentage is in force from now on, or something else that lasts until the next.
    pub fn step(&mut self, at: Moment, label: String) {
        let at = millis(self.since_start(at));
        let mut marks = self.marks.iter_mut();
        if let Some(before) = marks.rfind(|mark| mark.what == MarkKind::Step) {
            before.until_ms = at;
        }
        self.mark(Mark {
            what: MarkKind::Step,
            lane: None,
            from_ms: at,
            until_ms: f64::INFINITY,
            label,
        });
    }

    /// A policy is in force from now on, with V3's shares of read, write and critical calls in
    /// thousandths of a percent.
    pub fn policy(&mut self, at: Moment, shares: [u32; 3], killed: bool) {
        let [read, write, critical] = shares.map(|share| f64::from(share) / 1e3);
        let label = match killed {
            true => "killed".to_owned(),
            false if read == write && write == critical => format!("V3 {read} %"),
            false => format!("V3 {read}/{write}/{critical} %"),
        };
        self.step(at, label);
    }

    /// Something went wrong.
    pub fn fault(&mut self, lane: Option<Lane>, from: Moment, until: Moment, label: String) {
        let [from_ms, until_ms] = [from, until].map(|at| millis(self.since_start(at)));
        self.mark(Mark { what: MarkKind::Fault, lane, from_ms, until_ms, label });
    }

    fn mark(&mut self, mark: Mark) {
        if self.marks.len() < MOST_MARKS {
            self.marks.push(mark);
        } else {
            self.left_out.marks += 1;
        }
    }

    /// A worker was killed. Until its slot answers again is found out at the end.
    pub fn kill(&mut self, lane: Lane, worker: WorkerId, at: Moment) {
        if self.kills.len() < MOST_MARKS {
            self.kills.push(Killed { lane, worker, at: self.since_start(at) });
        } else {
            self.left_out.marks += 1;
        }
    }

    /// The run, all calls of which have been told.
    #[must_use]
    pub fn close(mut self, name: String, origin: Origin, load: Load, audit: Option<Audit>) -> Run {
        let lasted = self.since_start(self.ended);
        for killed in std::mem::take(&mut self.kills) {
            let back = self.staff.back_after(killed.lane, killed.worker).unwrap_or(lasted);
            let slot = format!("{}-{}", killed.lane, killed.worker);
            let label = format!(
                "{slot} died, its slot served again after {:.1?}",
                back.saturating_sub(killed.at)
            );
            let (from_ms, until_ms) = (millis(killed.at), millis(back.max(killed.at)));
            let lane = Some(killed.lane);
            self.mark(Mark { what: MarkKind::Kill, lane, from_ms, until_ms, label });
        }
        for mark in &mut self.marks {
            mark.until_ms = mark.until_ms.min(millis(lasted)).max(mark.from_ms);
        }
        if let Some(audit) = audit {
            let Audit { lost, duplicated, unexecuted } = audit;
            (self.books.lost, self.books.duplicated) = (lost, duplicated);
            (self.books.unexecuted, self.books.audited) = (unexecuted, true);
        }
        let flows = flows(&self.slices);
        let workers = self.staff.rows(&self.slices, &mut self.left_out);
        let mut record = RunRecord {
            format: FORMAT,
            origin,
            load,
            began_unix_s: self.began_unix.as_secs_f64(),
            lasted_s: lasted.as_secs_f64(),
            books: self.books,
            exact_max_ms: BTreeMap::new(),
            slice_ms: millis(self.slices.width()),
            flows,
            marks: self.marks,
            workers,
            slowest: self.slowest.told(),
            predictions: Vec::new(),
            unpredicted: None,
            left_out: self.left_out,
        };
        let slices = self.slices.map(|tick| tick.histograms);
        let mut run = Run::new(name, self.began_unix, slices, None);
        for (kind, spans) in run.whole() {
            for span in Span::ALL.into_iter().filter(|span| !spans.of(*span).is_empty()) {
                let tag = format!("{kind}.{}", span.as_str());
                record.exact_max_ms.insert(tag, millis(spans.of(span).max()));
            }
        }
        run.record = Some(record);
        run
    }
}

fn millis(span: Duration) -> f64 {
    span.as_nanos() as f64 / 1e6
}

/// How many waited and ran at each slice's end, from who came, was taken and went until then.
fn flows(slices: &Slices<Tick>) -> BTreeMap<Lane, Vec<Flow>> {
    let mut flows: BTreeMap<Lane, Vec<Flow>> = BTreeMap::new();
    for lane in [Lane::V2, Lane::V3] {
        let mut so_far = Moves::default();
        for tick in slices.iter() {
            let Moves { arrived, dispatched, unserved, finished } = tick.lanes[lane as usize];
            so_far.arrived += arrived;
            so_far.dispatched += dispatched;
            so_far.unserved += unserved;
            so_far.finished += finished;
            let waiting = so_far.arrived - so_far.dispatched - so_far.unserved;
            let running = so_far.dispatched + so_far.unserved - so_far.finished;
            flows.entry(lane).or_default().push(Flow { arrived, finished, waiting, running });
        }
        if so_far.arrived == 0 {
            flows.remove(&lane);
        }
    }
    flows
}
