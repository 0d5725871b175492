//! Options by name.

use std::time::Duration;

use poolshift::Lane;
use poolshift::machine::OnCancel;
use thiserror::Error;

use crate::fault::{Fault, Strikes};
use crate::options::{Arrivals, Options};
use crate::rng::{Domain, Law, Seed, Stream};
use crate::workload::percent;

/// A named set of options; `swarm` draws it from the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Load on both lanes and nothing else.
    Plain,
    /// Every fault, every feature of the workload, every act of an operator.
    Full,
    /// A random subset of all that, at random rates.
    Swarm,
    /// One kind of fault on plain load.
    Only(Fault),
}

/// A scenario that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no scenario {name:?}: use plain, full, swarm, or a fault such as hang; {known}")]
pub struct UnknownScenario {
    name: String,
    known: String,
}

impl Scenario {
    /// The scenario of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(name: &str) -> Result<Self, UnknownScenario> {
        match name {
            "plain" => Ok(Self::Plain),
            "full" => Ok(Self::Full),
            "swarm" => Ok(Self::Swarm),
            name => Fault::named(name).map(Self::Only).ok_or_else(|| {
                let known = Fault::ALL.map(Fault::as_str).join(", ");
                UnknownScenario { name: name.to_owned(), known: format!("faults: {known}") }
            }),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Full => "full",
            Self::Swarm => "swarm",
            Self::Only(fault) => fault.as_str(),
        }
    }

    /// Its options, for a run of so many calls.
    #[must_use]
    pub fn options(self, seed: u64, calls: u64) -> Options {
        let plain = Options { calls, ..Options::default() };
        match self {
            Self::Plain => plain,
            Self::Full => full(plain),
            Self::Swarm => swarm(full(plain), &mut Seed(seed).stream(Domain::Swarm, 0, 0)),
            Self::Only(fault) => only(plain, fault),
        }
    }
}

/// Rates at which each fault happens often and the pools still get work done.
fn usual_rate(fault: Fault) -> u32 {
    match fault.strikes() {
        Strikes::Request => 150,
        Strikes::Start => 30_000,
        Strikes::Stop => 100_000,
        Strikes::Plan => 100,
        Strikes::Moment => match fault {
            Fault::HostStall => 10,
            Fault::AllDie => 20,
            _ => 60,
        },
    }
}

/// At higher rates nothing else would happen any more.
fn most_rate(fault: Fault) -> u32 {
    match fault.strikes() {
        Strikes::Request | Strikes::Plan => 50_000,
        Strikes::Start | Strikes::Stop => 200_000,
        Strikes::Moment => 600,
    }
}

fn full(mut options: Options) -> Options {
    for fault in Fault::ALL {
        options.faults.set(fault, usual_rate(fault));
    }
    options.mean_gap = Duration::from_millis(8);
    options.heal_after = 900_000;
    options.healed = Fault::ALL.into_iter().filter(|fault| fault.number() % 2 == 0).collect();
    options.recycles = 200;
    options.lags = 100_000;
    options.host_lag = Duration::from_micros(200);
    options.mix.budgets = (50_000, Duration::from_secs(2));
    options.mix.cancels = (20_000, Duration::from_millis(300));
    options.operators.change_every = Duration::from_secs(20);
    options.operators.resize_every = Duration::from_secs(60);
    options.operators.drain_before = [calls_before_end(&options, 1), calls_before_end(&options, 2)];
    for lane in [Lane::V2, Lane::V3] {
        options.lane_mut(lane).max_waiting = 60;
    }
    options
}

/// A few seconds' worth of calls, but never most of the run.
fn calls_before_end(options: &Options, seconds: u64) -> u64 {
    let per_second = 1_000_000_000 / (options.mean_gap.as_nanos() as u64).max(1);
    (per_second * seconds).min(options.calls / 10)
}

fn only(mut options: Options, fault: Fault) -> Options {
    let often = match fault.strikes() {
        Strikes::Request | Strikes::Plan => 2000,
        Strikes::Start => 300_000,
        Strikes::Stop => 500_000,
        Strikes::Moment => 720,
    };
    options.faults.set(fault, often);
    let needs_starts = matches!(fault.strikes(), Strikes::Start | Strikes::Stop);
    if needs_starts || fault == Fault::SpawnExhausted {
        options.recycles = 5000;
    }
    options
}

/// A random half of what `full` has, at rates from its own to many times that: short runs must
/// meet rare things too, and two of them at once.
fn swarm(mut options: Options, stream: &mut Stream) -> Options {
    let scale = |rate: u32, most: u32, stream: &mut Stream| match stream.chance(500_000) {
        true => (rate << stream.below(8)).min(most),
        false => 0,
    };
    for fault in Fault::ALL {
        options.faults.set(fault, scale(usual_rate(fault), most_rate(fault), stream));
    }
    options.healed = Fault::ALL.into_iter().filter(|_| stream.chance(500_000)).collect();
    options.heal_after = stream.between(300_000, 950_000) as u32;
    options.recycles = scale(options.recycles, 1_000_000, stream);
    options.lags = *stream.pick(&[0, 20_000, 300_000, 1_000_000]);
    options.host_lag = Duration::from_micros(*stream.pick(&[0, 1, 200, 5000]));
    let mix = &mut options.mix;
    mix.anonymous = *stream.pick(&[0, 100_000, 500_000, 1_000_000]);
    mix.sessions = stream.between(1, 400) as usize;
    mix.session_calls = stream.between(1, 60) as u32;
    mix.ends_sessions = *stream.pick(&[0, 500_000, 1_000_000]);
    mix.budgets.0 = *stream.pick(&[0, 50_000, 500_000]);
    mix.budgets.1 = Duration::from_millis(*stream.pick(&[3, 100, 2000]));
    mix.cancels.0 = *stream.pick(&[0, 20_000, 200_000]);
    mix.cancels.1 = Duration::from_millis(*stream.pick(&[0, 40, 300, 12_000]));
    options.arrivals = match stream.below(3) {
        0 => Arrivals::Poisson,
        1 => Arrivals::Constant,
        _ => Arrivals::Bursts(stream.between(2, 60) as u32),
    };
    options.service = *stream.pick(&[
        Law::Constant,
        Law::Exponential,
        Law::Lognormal { cv: 1.5 },
        Law::Bimodal,
        Law::Pareto { alpha: 2.2 },
    ]);
    options.whole_sessions = stream.chance(300_000);
    swarm_pools(&mut options, stream);
    options
}

fn swarm_pools(options: &mut Options, stream: &mut Stream) {
    for lane in [Lane::V2, Lane::V3] {
        let size = stream.between(1, 10) as usize;
        let max_waiting = *stream.pick(&[0, 3, 60, 1000]);
        let kill = stream.chance(300_000);
        let ground = options.lane_mut(lane);
        ground.terms.size = size;
        ground.max_waiting = max_waiting;
        ground.terms.on_cancel = if kill { OnCancel::Kill } else { OnCancel::Drain };
        ground.terms.run_timeout = Duration::from_millis(*stream.pick(&[300, 2000, 10_000]));
        ground.terms.queue_timeout = Duration::from_millis(*stream.pick(&[100, 2000, 10_000]));
        ground.terms.budget = ground.terms.run_timeout + ground.terms.queue_timeout;
        ground.session_idle = Duration::from_secs(*stream.pick(&[1, 30, 300]));
    }
    options.pin_ttl = options.lanes[0].session_idle.max(Duration::from_secs(60));
    let load = stream.between(20, 130);
    let workers: usize = options.lanes.iter().map(|lane| lane.terms.size).sum();
    let busy = options.mean_service.as_nanos() as u64 * 100;
    options.mean_gap = Duration::from_nanos((busy / (load * workers as u64)).max(1));
    let operators = &mut options.operators;
    operators.sizes.0 = stream.between(1, 4) as usize;
    operators.percent = percent(stream.pick::<&str>(&["0", "1", "50", "100"]));
    operators.change_every = Duration::from_millis(*stream.pick(&[0, 500, 20_000]));
    operators.resize_every = Duration::from_millis(*stream.pick(&[0, 300, 60_000]));
    operators.drain_timeout = Duration::from_millis(*stream.pick(&[0, 50, 1000, 30_000]));
    let tenth = options.calls / 10;
    operators.drain_before = [stream.between(0, tenth), stream.between(0, tenth)];
}
