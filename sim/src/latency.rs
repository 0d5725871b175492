//! A simulated run's latency report: the same as a real run's, in virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

use poolshift::call::Timing;
use poolshift::clock::Moment;
use poolshift::report::kind::{Ending, Kind};
use poolshift::report::record::{Load, Origin};
use poolshift::report::recorder::{Past, Recorder, Story};
use poolshift::report::run::Run;
use poolshift::router::policy::Reason;
use poolshift::{Class, Lane, WorkerId};

use crate::trace::{CallNo, Event, Ground, SessionNo, Stamp, Watcher};
use crate::window::Window;

/// Virtual time has no date; logs must have one, and equal runs the same.
const BEGAN_UNIX: Duration = Duration::from_secs(1_000_000_000);

/// Looks on and records what callers see.
#[derive(Clone, Debug)]
pub struct Latency {
    recorder: Recorder,
    alive: Window<Alive>,
    /// Workers that were told to stop: their end is no accident.
    stopping: BTreeSet<(Lane, WorkerId)>,
    mean_gap: Duration,
    /// When something happened last.
    now: Moment,
}

/// A call that is not over.
#[derive(Clone, Copy, Debug)]
struct Alive {
    planned: Moment,
    submitted: Moment,
    class: Class,
    session: Option<SessionNo>,
    routed: Option<(Lane, Reason)>,
    leased: Option<Moment>,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            recorder: Recorder::new(Moment::ZERO, BEGAN_UNIX),
            alive: Window::new(),
            stopping: BTreeSet::new(),
            mean_gap: Duration::ZERO,
            now: Moment::ZERO,
        }
    }
}

impl Latency {
    /// The run, as a report sees it.
    #[must_use]
    pub fn close(mut self, name: String, origin: Origin) -> Run {
        // A run that a broken law ends, or a planted bug, leaves calls behind.
        for (_, alive) in self.alive.iter() {
            let lane = alive.routed.map(|(lane, _)| lane);
            self.recorder.censor(lane, alive.class, alive.planned, self.now);
        }
        let offered_per_s = 1.0 / self.mean_gap.as_secs_f64().max(1e-9);
        self.recorder.close(name, origin, Load::Open { offered_per_s }, None)
    }

    fn done(&mut self, at: Moment, call: CallNo, ending: Ending, worker: Option<WorkerId>) {
        let Some(alive) = self.alive.remove(call.0) else { return };
        let Alive { planned, submitted, class, session, routed, leased } = alive;
        let kind = Kind { lane: routed.map(|(lane, _)| lane), class, ending };
        let timing = Timing { planned, submitted, dispatched: leased, finished: at };
        let past = Past { kind, timing, lag: submitted.since(planned), worker };
        self.recorder.finish(&past, || Story {
            id: call.0.to_string(),
            command: class.as_str().to_owned(),
            session: session.map(|session| format!("session {}", session.0)),
            reason: routed.map(|(_, reason)| reason.as_str().to_owned()),
            error: None,
        });
    }

    fn world(&mut self, Stamp { at, lane, .. }: Stamp, event: &Event) {
        match *event {
            Event::Config { percents, killed, .. } => {
                self.recorder.policy(at, percents, killed);
            }
            Event::Stall { until } => {
                self.recorder.fault(None, at, until, "the host stands still".to_owned());
            }
            Event::Fault { fault, worker } => {
                let whom = lane.zip(worker).map(|(lane, worker)| format!(" at {lane}-{worker}"));
                let label = format!("{}{}", fault.as_str(), whom.unwrap_or_default());
                self.recorder.fault(lane, at, at, label);
            }
            _ => {}
        }
    }

    fn process(&mut self, at: Moment, lane: Lane, event: &Event) {
        match *event {
            Event::Stop { worker, .. } => drop(self.stopping.insert((lane, worker))),
            Event::Exit { worker, .. } if !self.stopping.contains(&(lane, worker)) => {
                self.recorder.kill(lane, worker, at);
            }
            Event::Reaped { worker } | Event::StartFailed { worker, .. } => {
                self.stopping.remove(&(lane, worker));
            }
            _ => {}
        }
    }
}

impl Watcher for Latency {
    fn begin(&mut self, ground: &Ground) {
        self.mean_gap = ground.mean_gap;
    }

    fn event(&mut self, stamp: Stamp, event: &Event) {
        let at = stamp.at;
        self.now = at;
        match *event {
            Event::Submit { call, session, class, planned, .. } => {
                let (submitted, routed, leased) = (at, None, None);
                let alive = Alive { planned, submitted, class, session, routed, leased };
                self.alive.insert(call.0, alive);
            }
            Event::Route { call, lane, reason, .. } => {
                self.change(call, |alive| alive.routed = Some((lane, reason)));
            }
            Event::Lease { call, .. } => self.change(call, |alive| alive.leased = Some(at)),
            Event::Enqueue { call, .. } => self.change(call, |alive| alive.leased = None),
            Event::Done { call, outcome, worker, .. } => {
                self.done(at, call, Ending::Told(outcome), worker);
            }
            _ => match stamp.lane {
                Some(lane) if !matches!(event, Event::Fault { .. }) => {
                    self.process(at, lane, event);
                }
                _ => self.world(stamp, event),
            },
        }
    }
}

impl Latency {
    fn change(&mut self, call: CallNo, change: impl FnOnce(&mut Alive)) {
        if let Some(alive) = self.alive.get_mut(call.0) {
            change(alive);
        }
    }
}
