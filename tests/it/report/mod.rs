//! Latency reports: what is recorded, what is written, and what is made of it.

mod command;
mod files;
mod outputs;
mod recorder;
mod verdict;

use std::time::Duration;

use poolshift::call::Timing;
use poolshift::clock::Moment;
use poolshift::report::kind::{Ending, Kind};
use poolshift::report::ledger::Audit;
use poolshift::report::record::{ClockKind, Load, Origin};
use poolshift::report::recorder::{Past, Recorder, Story};
use poolshift::report::run::Run;
use poolshift::{Class, Lane, Outcome, WorkerId};

pub(super) const MS: Duration = Duration::from_millis(1);

pub(super) fn at(since_start: Duration) -> Moment {
    Moment::ZERO + since_start
}

/// A call by what there is to say of it; all times from the run's start, or from its arrival.
#[derive(Clone, Copy)]
pub(super) struct Sketch {
    pub(super) lane: Lane,
    pub(super) outcome: Outcome,
    pub(super) planned: Duration,
    pub(super) lag: Duration,
    pub(super) wait: Duration,
    /// Nothing if it never had a worker.
    pub(super) service: Option<Duration>,
    pub(super) worker: WorkerId,
}

impl Sketch {
    pub(super) fn ok(lane: Lane, planned: Duration, service: Duration) -> Self {
        let worker = WorkerId { slot: 0, generation: 1 };
        let (lag, wait, service) = (Duration::ZERO, Duration::ZERO, Some(service));
        Self { lane, outcome: Outcome::Ok, planned, lag, wait, service, worker }
    }

    pub(super) fn past(self) -> Past {
        let Self { lane, outcome, planned, lag, wait, service, worker } = self;
        let submitted = planned + lag;
        let taken = submitted + wait;
        Past {
            kind: Kind { lane: Some(lane), class: Class::Read, ending: Ending::Told(outcome) },
            timing: Timing {
                planned: at(planned),
                submitted: at(submitted),
                dispatched: service.map(|_| at(taken)),
                finished: at(taken + service.unwrap_or_default()),
            },
            lag,
            worker: service.map(|_| worker),
        }
    }

    pub(super) fn told_to(self, recorder: &mut Recorder) {
        recorder.finish(&self.past(), || Story {
            id: format!("at {:?}", self.planned),
            command: "echo <b>".to_owned(),
            session: None,
            reason: Some("percent".to_owned()),
            error: None,
        });
    }
}

pub(super) fn recorder() -> Recorder {
    Recorder::new(Moment::ZERO, Duration::from_millis(1_700_000_000_123))
}

pub(super) fn close(recorder: Recorder, offered_per_s: f64) -> Run {
    let origin = Origin {
        title: "a test".to_owned(),
        command: "poolshift run 'a file'".to_owned(),
        tool: "poolshift test".to_owned(),
        seed: Some(7),
        clock: ClockKind::Real,
    };
    let load = Load::Open { offered_per_s };
    recorder.close("a test".to_owned(), origin, load, Some(Audit::default()))
}

/// Three seconds at 1000 calls a second, alternately in both lanes: what `shape` makes of each
/// call's number is V3's service time, and twice as much is V2's.
pub(super) fn steady(shape: impl Fn(u32) -> Duration) -> Run {
    let mut recorder = recorder();
    for n in 0..3000 {
        let (lane, times) = if n % 2 == 0 { (Lane::V2, 2) } else { (Lane::V3, 1) };
        Sketch::ok(lane, MS * n, shape(n) * times).told_to(&mut recorder);
    }
    close(recorder, 1000.0)
}

/// Something like chance, the same each time: 100 to 355 us.
pub(super) fn jitter(n: u32) -> Duration {
    Duration::from_micros(100 + u64::from(n.wrapping_mul(2_654_435_761) >> 24))
}
