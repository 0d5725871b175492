//! What must happen for a bug to show, each by itself: in a quiet world no bug that needs one
//! does anything, and one that needs two does nothing if either is missing.

use std::time::Duration;

use poolshift::Lane;

use crate::fault::Fault;
use crate::options::{Arrivals, Options};
use crate::rng::Law;

/// Strikes an hour: one a second.
const EACH_SECOND: u32 = 3600;

/// A kind of event that the quiet world does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A caller goes away.
    Cancel,
    /// A call finds no worker and waits, instead of being rejected.
    Queue,
    /// Calls belong to sessions.
    Session,
    /// An operator sets shares, or throws the kill switch.
    Policy,
    /// An operator resizes V3.
    Resize,
    /// A pool drains while calls still arrive.
    Drain,
    /// Workers die, idle or at work.
    Death,
    /// A worker sends something that is no reply.
    Garbage,
    /// A worker never answers.
    Hang,
    /// A worker does not become ready.
    StartFailure,
    /// A worker asks to be replaced.
    Recycle,
    /// An idle worker speaks unasked, and its next probe fails.
    BadProbe,
    /// The host stands still.
    Stall,
    /// A call brings its own, short budget.
    Budget,
}

impl Trigger {
    /// Lets it happen.
    pub fn allow(self, options: &mut Options) {
        let faults = &mut options.faults;
        match self {
            Self::Cancel => options.mix.cancels = (300_000, Duration::from_millis(60)),
            Self::Queue => each_lane(options, |lane| lane.max_waiting = 20),
            Self::Session => options.mix.anonymous = 200_000,
            Self::Policy => options.operators.change_every = Duration::from_millis(300),
            Self::Resize => options.operators.resize_every = Duration::from_millis(60),
            Self::Drain => {
                options.operators.drain_before = [options.calls / 4; 2];
                options.operators.drain_timeout = Duration::from_millis(20);
            }
            Self::Death => {
                faults.set(Fault::CrashAfterRead, 30_000);
                faults.set(Fault::DeathWhileIdle, 2 * EACH_SECOND);
            }
            Self::Garbage => faults.set(Fault::Garbage, 30_000),
            Self::Hang => faults.set(Fault::Hang, 30_000),
            Self::StartFailure => faults.set(Fault::CrashLoop, 500_000),
            Self::Recycle => options.recycles = 50_000,
            Self::BadProbe => {
                faults.set(Fault::Unsolicited, 10 * EACH_SECOND);
                let after = Some(Duration::from_millis(20));
                each_lane(options, |lane| lane.terms.probe_after = after);
            }
            Self::Stall => faults.set(Fault::HostStall, EACH_SECOND),
            Self::Budget => options.mix.budgets = (300_000, Duration::from_millis(100)),
        }
    }
}

fn each_lane(options: &mut Options, change: impl Fn(&mut crate::trace::LaneGround)) {
    [Lane::V2, Lane::V3].into_iter().for_each(|lane| change(options.lane_mut(lane)));
}

/// A world in which calls come and are answered or rejected, and nothing else happens, but for
/// these triggers.
#[must_use]
pub fn quiet_but_for(triggers: &[Trigger], calls: u64) -> Options {
    let millis = Duration::from_millis;
    let mut options = Options {
        calls,
        arrivals: Arrivals::Poisson,
        mean_gap: millis(12),
        service: Law::Exponential,
        mean_startup: millis(10),
        lags: 300_000,
        host_lag: millis(1),
        ..Options::default()
    };
    options.mix.anonymous = 1_000_000;
    options.mix.sessions = 10;
    options.mix.session_calls = 10;
    options.operators.sizes = (1, 4);
    each_lane(&mut options, |lane| {
        lane.max_waiting = 0;
        lane.terms.size = 2;
        lane.terms.queue_timeout = millis(100);
        lane.terms.run_timeout = millis(300);
        lane.terms.budget = millis(400);
        lane.terms.probe_after = None;
    });
    triggers.iter().for_each(|trigger| trigger.allow(&mut options));
    options
}
