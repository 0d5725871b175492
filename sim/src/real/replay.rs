//! A plan in the real world: its calls, acts and strikes on real Python workers, and how each call
//! ended beside how it ends in the simulated world.

use std::sync::Arc;
use std::time::Duration;

use poolshift::WorkerId;
use poolshift::clock::Moment;
use poolshift::machine::OnCancel;

use crate::bounds::{Impossible, count, span};
use crate::hazard::Strike;
use crate::plan::Plan;
use crate::real::caller::COMMANDS;
use crate::real::ending::{Ending, Endings};
use crate::real::error::RealError;
use crate::real::kernel::leftovers;
use crate::real::site::Site;
use crate::real::stop::Stop;
use crate::real::{means, stage};
use crate::timeline::Opening;
use crate::trace::CallNo;
use crate::verdict::Broken;
use crate::world::Product;

/// A plan that takes longer is for the simulated world.
pub const LONGEST: Duration = Duration::from_secs(600);

/// What an interpreter may take to come up, at least: that is no time of the plan's.
const STARTUP: Duration = Duration::from_secs(20);

/// More workers than a host has room for.
pub const MOST_WORKERS: u64 = 64;

/// One call in both worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The call.
    pub call: CallNo,
    /// How it ends in the simulated world.
    pub simulated: Option<Ending>,
    /// How it ended on real processes.
    pub real: Option<Ending>,
    /// Whether both must be the same: it comes before every event that has no real means.
    pub is_comparable: bool,
}

impl Compared {
    /// Whether it did not end as it must.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.is_comparable && self.simulated != self.real
    }
}

/// What came of a plan in both worlds.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Each call, in the plan's order.
    pub calls: Vec<Compared>,
    /// Events that have no real means, each with the reason.
    pub missing: Vec<String>,
    /// Laws that were broken in the real one.
    pub broken: Vec<Broken>,
    /// What happened there.
    pub trace: Opening,
}

impl Replayed {
    /// Whether every call ended alike, and no law was broken.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.broken.is_empty() && !self.calls.iter().any(Compared::differs)
    }
}

/// Runs the plan in both worlds; in the real one all its spans are `slower` times as long. Must not
/// be called from within a tokio runtime: it has its own.
///
/// # Errors
/// If there can be no such run, or it was told to stop.
pub fn replay(plan: &Plan, slower: u32, stop: &Stop) -> Result<Replayed, RealError> {
    check(plan, slower)?;
    let mut simulated = Endings::default();
    plan.replay(&Product, &mut simulated);
    let (real, trace, broken) = play(plan, slower, stop)?;
    let (missing, parting) = means::missing(plan);
    let compared = plan.calls.iter().map(|call| Compared {
        call: call.call,
        simulated: simulated.of(call.call),
        real: real.of(call.call),
        is_comparable: call.at < parting,
    });
    Ok(Replayed { calls: compared.collect(), missing, broken, trace })
}

fn play(plan: &Plan, slower: u32, stop: &Stop) -> Result<stage::Played, RealError> {
    let site = Arc::new(Site::open()?);
    let config = site.config(&settings(plan, slower))?;
    for strike in &plan.strikes {
        if let Strike::Start { lane, slot, generation, fault } = *strike
            && let Ok(birth) = means::at_start(fault)
        {
            site.bear(lane, WorkerId { slot, generation }, birth)?;
        }
    }
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let first = runtime()?;
    let played = first.block_on(async {
        tokio::select! {
            biased;
            // Dropped here: callers, pools and strikes, with the runtime that they are in.
            () = stop.asked() => Err(RealError::Interrupted),
            played = stage::play(plan, slower, &site, &config) => played,
        }
    });
    if played.is_err() {
        // The workers die with their runtime; what they write to goes after them.
        drop(first);
        runtime()?.block_on(leftovers(&site.mark(), |_| false))?;
    }
    played
}

fn check(plan: &Plan, slower: u32) -> Result<(), Impossible> {
    let last = plan.calls.last().map_or(Moment::ZERO, |call| call.at);
    span("its last call's moment", last.since(Moment::ZERO) * slower, Duration::ZERO, LONGEST)?;
    let sizes = plan.options.lanes.iter().map(|lane| lane.terms.size as u64);
    sizes.max().map_or(Ok(()), |size| count("a lane's size", size, 1, MOST_WORKERS))
}

/// The plan's setting as a config. A limit of V3 on a call's run has no key of its own, so it is
/// in the whole time; no waiting call at all is not to be had in V2, where 0 is no limit.
fn settings(plan: &Plan, slower: u32) -> String {
    let span = |span: Duration| format!("\"{}ns\"", (span * slower).as_nanos());
    let [v2, v3] = &plan.options.lanes;
    let on_cancel = |on_cancel| if on_cancel == OnCancel::Kill { "kill" } else { "drain" };
    let startup = |limit: Duration| format!("\"{}ns\"", (limit * slower).max(STARTUP).as_nanos());
    let waiting = |most: usize| if most == usize::MAX { 0 } else { most.max(1) };
    let whole = v3.terms.budget.min(v3.terms.queue_timeout + v3.terms.run_timeout);
    let starting = Some(v3.terms.max_starting).filter(|most| *most < v3.terms.size).unwrap_or(0);
    let probe = v3.terms.probe_after.unwrap_or_default();
    format!(
        "[worker]\nhealth_timeout = {}\nstop_grace = {}\nkill_grace = {}\ndrain_timeout = {}\n\
         [v2]\nsize = {}\nstartup_timeout = {}\ncheckout_timeout = {}\noperation_timeout = {}\n\
         session_idle = {}\nmax_queue_size = {}\non_cancel = {:?}\n\
         [v3]\nsize = {}\nmax_starting = {starting}\n\
         startup_timeout = {}\nqueue_timeout = {}\ntimeout = {}\n\
         health_check_interval = {}\nmax_queue_size = {}\non_cancel = {:?}\n\
         restart_backoff = [{}, {}]\nbreaker_failures = 0\n\
         [session]\nttl = {}\n[rollout]\nmax_pins = {}\nsession_lane = {:?}\n{COMMANDS}",
        span(v3.health_timeout),
        span(v3.stop_grace),
        span(v3.kill_grace),
        span(plan.options.operators.drain_timeout),
        v2.terms.size,
        startup(v2.startup_timeout),
        span(v2.terms.queue_timeout),
        span(v2.terms.run_timeout),
        span(v2.session_idle),
        waiting(v2.max_waiting),
        on_cancel(v2.terms.on_cancel),
        v3.terms.size,
        startup(v3.startup_timeout),
        span(v3.terms.queue_timeout.min(whole)),
        span(whole),
        span(probe),
        v3.max_waiting,
        on_cancel(v3.terms.on_cancel),
        span(v3.terms.backoff.base),
        span(v3.terms.backoff.cap),
        span(plan.options.pin_ttl),
        plan.options.max_pins,
        if plan.options.whole_sessions { "whole" } else { "per_class" },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = include_str!("../../tests/plans/half_sent_again.json");

    #[test]
    fn every_term_of_a_plan_that_has_a_key_is_in_its_settings() {
        let mut plan = Plan::parse(PLAN).unwrap();
        let terms = &mut plan.options.lanes[1].terms;
        (terms.size, terms.max_starting) = (3, 2);
        // The world lets both end together, the config reader would take it for a mistake.
        (terms.budget, terms.queue_timeout) = (Duration::from_secs(1), Duration::from_secs(2));
        let config = Site::open().unwrap().config(&settings(&plan, 2)).unwrap();
        assert_eq!((config.v3.size, config.v3.max_starting), (3, 2));
        assert_eq!(
            (config.v3.timeout, config.v3.queue_timeout),
            (Duration::from_secs(2), Duration::from_secs(2))
        );
        plan.options.lanes[1].terms.max_starting = usize::MAX;
        let config = Site::open().unwrap().config(&settings(&plan, 1)).unwrap();
        assert_eq!(config.v3.max_starting, 0, "all at once");
    }
}
