//! A plan in the real world: its calls, acts and strikes on real Python workers, and how each call
//! ended beside how it ends in the simulated world.

use std::io;
use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::config::ConfigError;
use poolshift::machine::OnCancel;
use poolshift::{ShimError, WorkerId};
use thiserror::Error;

use crate::hazard::Strike;
use crate::plan::Plan;
use crate::real::caller::COMMANDS;
use crate::real::ending::{Ending, Endings};
use crate::real::site::Site;
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
pub const MOST_WORKERS: usize = 64;

/// Why a plan was not run.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It asks too much of a real host.
    #[error("{what} is {value}: at most {most} is possible on real processes")]
    TooMuch {
        /// What.
        what: &'static str,
        /// How much.
        value: String,
        /// What is possible.
        most: String,
    },
    /// The config reader refuses its setting.
    #[error("its setting is no config: {0}")]
    Config(#[from] ConfigError),
    /// The pools did not start.
    #[error(transparent)]
    Shim(#[from] ShimError),
    /// The temp folder or `/proc` cannot be used.
    #[error(
        "cannot look at a run from outside: {0}; it needs /proc, and a temp folder to write to"
    )]
    Io(#[from] io::Error),
}

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
/// If there can be no such run.
pub fn replay(plan: &Plan, slower: u32) -> Result<Replayed, ReplayError> {
    check(plan, slower)?;
    let mut simulated = Endings::default();
    plan.replay(&Product, &mut simulated);
    let site = Site::open()?;
    let config = site.config(&settings(plan, slower))?;
    for strike in &plan.strikes {
        if let Strike::Start { lane, slot, generation, fault } = *strike
            && let Ok(birth) = means::at_start(fault)
        {
            site.bear(lane, WorkerId { slot, generation }, birth)?;
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (real, trace, broken) = runtime.block_on(stage::play(plan, slower, site, &config))?;
    let (missing, parting) = means::missing(plan);
    let compared = plan.calls.iter().map(|call| Compared {
        call: call.call,
        simulated: simulated.of(call.call),
        real: real.of(call.call),
        is_comparable: call.at < parting,
    });
    Ok(Replayed { calls: compared.collect(), missing, broken, trace })
}

fn check(plan: &Plan, slower: u32) -> Result<(), ReplayError> {
    let last = plan.calls.last().map_or(Moment::ZERO, |call| call.at);
    let lasts = last.since(Moment::ZERO) * slower;
    let size = plan.options.lanes.iter().map(|lane| lane.terms.size).max().unwrap_or(0);
    let too_much = |what, value: String, most: String| ReplayError::TooMuch { what, value, most };
    if lasts > LONGEST {
        return Err(too_much("its last call", format!("{lasts:?}"), format!("{LONGEST:?}")));
    }
    if size > MOST_WORKERS {
        return Err(too_much("a lane's size", size.to_string(), MOST_WORKERS.to_string()));
    }
    Ok(())
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
    let probe = v3.terms.probe_after.unwrap_or_default();
    format!(
        "[worker]\nhealth_timeout = {}\nstop_grace = {}\nkill_grace = {}\ndrain_timeout = {}\n\
         [v2]\nsize = {}\nstartup_timeout = {}\ncheckout_timeout = {}\noperation_timeout = {}\n\
         session_idle = {}\nmax_queue_size = {}\non_cancel = {:?}\n\
         [v3]\nsize = {}\nstartup_timeout = {}\nqueue_timeout = {}\ntimeout = {}\n\
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
        span(v3.terms.queue_timeout),
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
