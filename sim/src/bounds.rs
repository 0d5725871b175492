//! What options may be: beyond, a run would stand for nothing, or for more than fits in memory.

use std::time::Duration;

use poolshift::Lane;
use thiserror::Error;

use crate::fault::{Fault, Strikes};
use crate::options::{Arrivals, Options, PerMillion};
use crate::rng::Law;
use crate::trace::LaneGround;

/// Calls of a run: more would not fit into the numbers by which they are told apart.
pub const MOST_CALLS: u64 = 1 << 40;

/// Workers of a lane: sixteen times as many as the largest pool that was measured.
pub const MOST_WORKERS: usize = 65_536;

/// Calls that may wait: a hundred times as many as the longest queue that was measured.
pub const MOST_WAITING: usize = 10_000_000;

/// The longest of the spans that end a call, a worker or a drain: a run that is not over an
/// hour after its last call counts as stuck, and several of them may follow each other.
pub const LONGEST: Duration = Duration::from_secs(600);

/// No pin and no binding lives longer without a call.
const LONGEST_IDLE: Duration = Duration::from_secs(7 * 86_400);

/// The last moment of a plan, ten years: far from where nanoseconds end.
pub const LAST_MOMENT_NS: u64 = 10 * 365 * 86_400 * 1_000_000_000;

/// The most strikes an hour of a kind that strikes at any moment: one a millisecond.
const MOST_AN_HOUR: u32 = 3_600_000;

/// The highest probability.
const MILLION: PerMillion = 1_000_000;

/// Options that no run can have.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Impossible {
    /// A count that is too small or too large.
    #[error("{name} is {value}: {least} to {most} are possible")]
    Count {
        /// Which.
        name: String,
        /// What it is.
        value: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A span that is too short or too long.
    #[error("{name} is {value:?}: {least:?} to {most:?} are possible")]
    Span {
        /// Which.
        name: String,
        /// What it is.
        value: Duration,
        /// The least.
        least: Duration,
        /// The most.
        most: Duration,
    },
    /// More than a million in a million, alone or together.
    #[error("{name} is {value} in a million: at most 1000000 are possible")]
    Chance {
        /// Which, or which together.
        name: String,
        /// What it is.
        value: u64,
    },
    /// A law of service times that has no mean, or none that can be drawn.
    #[error(
        "service {law:?}: a lognormal law needs a cv from 0.01 to 100, a Pareto law an alpha above \
         1, at most 100"
    )]
    Service {
        /// The law.
        law: Law,
    },
    /// A smallest size above the largest one.
    #[error("operators set sizes from {low} to {high}: swap them")]
    Sizes {
        /// The smallest.
        low: usize,
        /// The largest.
        high: usize,
    },
    /// Text that is no percentage.
    #[error("{0}")]
    Percent(#[from] poolshift::router::percent::BadPercent),
}

/// Whether a run can have these options.
///
/// # Errors
/// The first that is impossible, with what would be possible.
pub fn check(options: &Options) -> Result<(), Impossible> {
    count("calls", options.calls, 1, MOST_CALLS)?;
    let gap = Duration::from_nanos(LAST_MOMENT_NS / options.calls);
    span("mean_gap", options.mean_gap, Duration::ZERO, gap)?;
    if let Arrivals::Bursts(size) = options.arrivals {
        count("a burst", size.into(), 1, 1_000_000)?;
    }
    let known = match options.service {
        Law::Lognormal { cv } => (0.01..=100.0).contains(&cv),
        Law::Pareto { alpha } => alpha > 1.0 && alpha <= 100.0,
        Law::Constant | Law::Exponential | Law::Bimodal => true,
    };
    if !known {
        return Err(Impossible::Service { law: options.service });
    }
    span("mean_service", options.mean_service, Duration::ZERO, LONGEST)?;
    span("mean_startup", options.mean_startup, Duration::ZERO, LONGEST)?;
    span("host_lag", options.host_lag, Duration::ZERO, LONGEST)?;
    span("pin_ttl", options.pin_ttl, Duration::from_nanos(1), LONGEST_IDLE)?;
    count("max_pins", options.max_pins as u64, 1, MOST_CALLS)?;
    chances(options)?;
    faults(options)?;
    operators(options)?;
    for (lane, ground) in [Lane::V2, Lane::V3].iter().zip(&options.lanes) {
        check_lane(*lane, ground)?;
    }
    Ok(())
}

fn chances(options: &Options) -> Result<(), Impossible> {
    let mix = &options.mix;
    for (name, value) in [
        ("raises", options.raises),
        ("recycles", options.recycles),
        ("lags", options.lags),
        ("heal_after", options.heal_after),
        ("anonymous", mix.anonymous),
        ("ends_sessions", mix.ends_sessions),
        ("idempotent", mix.idempotent),
        ("budgets", mix.budgets.0),
        ("cancels", mix.cancels.0),
    ] {
        chance(name, value.into())?;
    }
    chance("writes and criticals together", u64::from(mix.writes) + u64::from(mix.criticals))?;
    span("budgets", mix.budgets.1, Duration::ZERO, LONGEST)?;
    span("cancels", mix.cancels.1, Duration::ZERO, LONGEST)?;
    count("sessions", mix.sessions as u64, 1, 10_000_000)?;
    count("session_calls", mix.session_calls.into(), 1, u64::from(u32::MAX))
}

fn faults(options: &Options) -> Result<(), Impossible> {
    for when in [Strikes::Request, Strikes::Start, Strikes::Stop, Strikes::Plan] {
        let kinds = Fault::ALL.into_iter().filter(|fault| fault.strikes() == when);
        let total = kinds.map(|fault| u64::from(options.faults.of(fault))).sum();
        chance(&format!("the faults that strike at one {when:?} together"), total)?;
    }
    for fault in Fault::ALL.into_iter().filter(|fault| fault.strikes() == Strikes::Moment) {
        let rate = options.faults.of(fault);
        count(&format!("{} an hour", fault.as_str()), rate.into(), 0, MOST_AN_HOUR.into())?;
    }
    Ok(())
}

fn operators(options: &Options) -> Result<(), Impossible> {
    let operators = &options.operators;
    let (low, high) = operators.sizes;
    if low > high {
        return Err(Impossible::Sizes { low, high });
    }
    count("the smallest size", low as u64, 1, MOST_WORKERS as u64)?;
    count("the largest size", high as u64, 1, MOST_WORKERS as u64)?;
    for before in operators.drain_before {
        count("drain_before", before, 0, options.calls)?;
    }
    span("change_every", operators.change_every, Duration::ZERO, LONGEST_IDLE)?;
    span("resize_every", operators.resize_every, Duration::ZERO, LONGEST_IDLE)?;
    span("drain_timeout", operators.drain_timeout, Duration::ZERO, LONGEST)
}

fn check_lane(lane: Lane, ground: &LaneGround) -> Result<(), Impossible> {
    let name = |name: &str| format!("{lane}.{name}");
    let terms = &ground.terms;
    count(&name("size"), terms.size as u64, 1, MOST_WORKERS as u64)?;
    count(&name("max_starting"), terms.max_starting as u64, 1, u64::MAX)?;
    count(&name("max_waiting"), ground.max_waiting as u64, 0, MOST_WAITING as u64)?;
    let short = Duration::from_nanos(1);
    for (what, value) in [
        ("budget", terms.budget),
        ("queue_timeout", terms.queue_timeout),
        ("run_timeout", terms.run_timeout),
        ("startup_timeout", ground.startup_timeout),
        ("health_timeout", ground.health_timeout),
        ("backoff_base", terms.backoff.base),
        ("backoff_cap", terms.backoff.cap),
    ] {
        span(&name(what), value, short, LONGEST)?;
    }
    span(&name("stop_grace"), ground.stop_grace, Duration::ZERO, LONGEST)?;
    span(&name("kill_grace"), ground.kill_grace, Duration::ZERO, LONGEST)?;
    span(&name("session_idle"), ground.session_idle, short, LONGEST_IDLE)?;
    let probes = terms.probe_after.unwrap_or(LONGEST);
    span(&name("probe_after"), probes, Duration::from_millis(1), LONGEST_IDLE)
}

pub(crate) fn count(name: &str, value: u64, least: u64, most: u64) -> Result<(), Impossible> {
    let name = || name.to_owned();
    let possible = (least..=most).contains(&value);
    possible.then_some(()).ok_or_else(|| Impossible::Count { name: name(), value, least, most })
}

pub(crate) fn span(
    name: &str,
    value: Duration,
    least: Duration,
    most: Duration,
) -> Result<(), Impossible> {
    let name = || name.to_owned();
    let possible = (least..=most).contains(&value);
    possible.then_some(()).ok_or_else(|| Impossible::Span { name: name(), value, least, most })
}

fn chance(name: &str, value: u64) -> Result<(), Impossible> {
    let possible = value <= u64::from(MILLION);
    possible.then_some(()).ok_or_else(|| Impossible::Chance { name: name.to_owned(), value })
}
