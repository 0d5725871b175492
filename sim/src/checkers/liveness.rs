//! Time passes, and something good happens: L3, L4, L5, L6 and L9.

use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::machine::Stop;
use poolshift::{Lane, Outcome};

use crate::checkers::docket::Docket;
use crate::checkers::law::Law;
use crate::checkers::scene::Scene;
use crate::trace::{CallNo, Event, Stamp};

/// What killing and reaping may take beside a pool's graces, a stack dump included (R4).
const ENDING: Duration = Duration::from_secs(1);

/// The share of ready workers' time that may be lost while calls wait.
const SLACK: f64 = 0.1;

/// Backlogs that are gone this soon say nothing of a rate.
const SHORT: Duration = Duration::from_millis(1);

/// Events that a call or a worker may see in one moment: four leases with all that belongs to
/// them, or an end and a new start.
const EVENTS_EACH: u64 = 40;

/// Events of one moment that need no reason.
const EVENTS_FREE: u64 = 10_000;

/// A moment with so many events is more than one call's life.
const CROWDED: u64 = 20;

/// What one lane did since its calls began to wait.
#[derive(Clone, Copy, Debug, Default)]
struct Backlog {
    peak: usize,
    /// Worker time in nanoseconds: of those that were ready, and of those at work.
    ready: u128,
    at_work: u128,
}

/// What the laws of progress remember of the run.
#[derive(Clone, Debug, Default)]
pub(super) struct Liveness {
    backlogs: [Backlog; 2],
    /// When a lease last began or ended in each lane.
    progress: [Moment; 2],
    /// When a worker last answered.
    answered: [Moment; 2],
    /// Events of this moment, and the calls among them.
    burst: (u64, u64),
    second: Second,
}

/// The present second of the run: its number, its events, and how many have a reason.
#[derive(Clone, Copy, Debug)]
struct Second {
    number: u64,
    events: u64,
    allowed: u64,
}

impl Default for Second {
    fn default() -> Self {
        Self { number: 0, events: 0, allowed: 10 * EVENTS_FREE }
    }
}

impl Liveness {
    #[inline]
    pub(super) fn event(
        &mut self,
        scene: &Scene,
        stamp: Stamp,
        event: &Event,
        docket: &mut Docket,
    ) {
        let submits = u64::from(matches!(event, Event::Submit { .. }));
        self.burst = (self.burst.0 + 1, self.burst.1 + submits);
        self.second.events += 1;
        self.second.allowed += submits * EVENTS_EACH;
        match *event {
            Event::Lease { call, .. } => {
                let waited = scene.calls.live(call).is_some_and(|book| book.waits());
                docket.sometimes(Law::L3, waited);
                self.progress(scene, stamp, docket);
            }
            Event::Reply { .. } | Event::Broke { .. } => {
                self.progress(scene, stamp, docket);
                if let (Some(lane), Event::Reply { .. }) = (stamp.lane, event) {
                    self.answered[lane as usize] = stamp.at;
                }
            }
            Event::Done { call, outcome, .. } => self.done(scene, stamp, call, outcome, docket),
            Event::Exit { worker, .. } => {
                let slot = scene.workers(stamp).and_then(|workers| workers.get(worker));
                if let (Some(lane), Some(stopped)) =
                    (stamp.lane, slot.and_then(|slot| slot.stopped))
                {
                    ended(scene, lane, stamp.at, stopped, docket);
                }
            }
            Event::Drain { .. } => {
                if let Some(lane) = stamp.lane.map(|lane| scene.lane(lane)) {
                    docket.sometimes(Law::L6, lane.waiting + lane.held > 0);
                }
            }
            Event::Drained => drained(scene, stamp, docket),
            _ => {}
        }
    }

    /// Time passes until `to`.
    pub(super) fn advance(&mut self, scene: &Scene, to: Moment, docket: &mut Docket) {
        let span = to.since(scene.now).as_nanos();
        for lane in [Lane::V2, Lane::V3] {
            conserves_work(scene, lane, docket);
            self.backlog(scene, lane, span, docket);
        }
        self.no_livelock(scene, to, docket);
    }

    /// L4: a rate, measured: ready workers are not idle, leaked or forgotten while calls wait.
    /// It holds for V3; V2's idle workers may have to leave what waits to others.
    fn backlog(&mut self, scene: &Scene, lane: Lane, span: u128, docket: &mut Docket) {
        let book = scene.lane(lane);
        let backlog = &mut self.backlogs[lane as usize];
        if lane == Lane::V3 && book.waiting > 0 {
            backlog.peak = backlog.peak.max(book.waiting);
            backlog.ready += span * book.workers.serving as u128;
            backlog.at_work += span * book.workers.at_work as u128;
        } else if backlog.peak > 0 {
            let Backlog { peak, ready, at_work } = std::mem::take(backlog);
            if ready < SHORT.as_nanos() {
                return;
            }
            let wasted = (ready - at_work) as f64 / ready as f64;
            docket.check(Law::L4, wasted <= SLACK, || {
                let percent = wasted * 100.0;
                format!("while up to {peak} calls waited, {percent:.0} % of ready time was lost")
            });
            docket.sometimes(Law::L4, peak >= book.workers.size());
        }
    }

    fn no_livelock(&mut self, scene: &Scene, to: Moment, docket: &mut Docket) {
        let (events, submits) = std::mem::take(&mut self.burst);
        let slots: u64 = scene.lanes.iter().map(|lane| lane.workers.slots().len() as u64).sum();
        let work = scene.calls.unfinished() + submits + slots;
        docket.check(Law::L9, events <= EVENTS_FREE + EVENTS_EACH * work, || {
            format!("{events} events in one moment, for {work} calls and workers")
        });
        docket.sometimes(Law::L9, events >= CROWDED);
        let second = to.as_nanos() / 1_000_000_000;
        if second > self.second.number {
            let Second { number, events, mut allowed } = self.second;
            if number == 0 {
                // Nobody knew before how many workers there are.
                allowed += 10 * EVENTS_EACH * slots;
            }
            docket.check(Law::L9, events <= allowed, || {
                format!("{events} events in second {number}, where {allowed} have a reason")
            });
            // Starts that fail at once are spaced by no more than their backoff.
            let allowed = 10 * (EVENTS_FREE + EVENTS_EACH * work);
            self.second = Second { number: second, events: 0, allowed };
        }
    }

    fn done(
        &mut self,
        scene: &Scene,
        stamp: Stamp,
        call: CallNo,
        outcome: Outcome,
        docket: &mut Docket,
    ) {
        let Some(book) = scene.calls.live(call) else { return };
        let Some(lane) = book.lane else { return };
        if outcome == Outcome::ExecTimeout {
            // Whether it comes in time is S13's to say.
            self.progress[lane as usize] = stamp.at;
        } else {
            self.progress(scene, Stamp { lane: Some(lane), ..stamp }, docket);
        }
        // It hung for all that time, and others were served.
        let others_served = self.answered[lane as usize] > book.leased;
        docket.sometimes(Law::L5, outcome == Outcome::ExecTimeout && others_served);
    }

    /// L5: whatever hangs, of the calls that workers have one ends within a call's time.
    fn progress(&mut self, scene: &Scene, stamp: Stamp, docket: &mut Docket) {
        let Some(lane) = stamp.lane else { return };
        let last = std::mem::replace(&mut self.progress[lane as usize], stamp.at);
        if scene.lane(lane).held > 0 {
            let limit = scene.latest(last + scene.ground.lane(lane).terms.run_timeout);
            docket.check(Law::L5, stamp.at <= limit, || {
                let held = scene.lane(lane).held;
                format!("{held} calls are with workers, and since {last:?} none of them ended")
            });
        }
    }

    pub(super) fn end(&mut self, scene: &Scene, docket: &mut Docket) {
        for lane in [Lane::V2, Lane::V3] {
            let book = scene.lane(lane);
            let over = book.draining.is_none() || book.drained;
            docket.check(Law::L6, over, || format!("the drain of {} never ended", lane.as_str()));
        }
        let now = scene.now;
        self.no_livelock(scene, now, docket);
    }
}

/// L3: time may not pass while a call waits and an idle worker may take it.
#[inline]
fn conserves_work(scene: &Scene, lane: Lane, docket: &mut Docket) {
    let book = scene.lane(lane);
    if book.waiting == 0 {
        return;
    }
    let workers = &book.workers;
    let shared = book.line.len() > 0 && workers.idle > 0;
    // Wherever a call is bound, its worker is idle if all are.
    let all_idle = workers.idle == workers.size() && workers.serving == workers.idle;
    docket.check(Law::L3, !shared && !all_idle && workers.idle_and_waited_for == 0, || {
        format!(
            "{} calls wait in {}, {} of them for any worker; {} workers are idle, {} of them \
             waited for",
            book.waiting,
            lane.as_str(),
            book.line.len(),
            workers.idle,
            workers.idle_and_waited_for
        )
    });
}

/// L6: a process that is told to stop does.
fn ended(
    scene: &Scene,
    lane: Lane,
    at: Moment,
    (told, how, stalled): (Moment, Stop, u64),
    docket: &mut Docket,
) {
    let ground = scene.ground.lane(lane);
    let graces = match how {
        Stop::Politely => ground.stop_grace + ground.kill_grace,
        Stop::Kill | Stop::DumpAndKill => Duration::ZERO,
    };
    let limit = scene.span(graces + ENDING + 2 * scene.ground.host_lag, stalled);
    docket.check(Law::L6, at <= told + limit, || {
        format!("told to end ({how:?}) at {told:?}, it took longer than {limit:?}")
    });
}

/// L6: a drain ends by its limit and what ending a worker may take.
fn drained(scene: &Scene, stamp: Stamp, docket: &mut Docket) {
    let Some(lane) = stamp.lane else { return };
    let Some((since, until, stalled)) = scene.lane(lane).draining else { return };
    let ground = scene.ground.lane(lane);
    let graces = ground.stop_grace + ground.kill_grace + ENDING + 4 * scene.ground.host_lag;
    let limit = until.max(since) + scene.span(graces, stalled);
    docket.check(Law::L6, stamp.at <= limit, || {
        format!("the drain was to give up at {until:?} and to be over by {limit:?}")
    });
}
