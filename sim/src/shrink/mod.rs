//! From a failing run to a plan with little in it that breaks the same law.
//!
//! First options become smaller as a whole (`coarse`), then single events of the recorded plan
//! are left out (`ddmin`), then details of what is left. All of it is a function of the failing
//! run, and bounded by a [`Budget`].

mod coarse;
mod ddmin;

use std::time::Duration;

use poolshift::Lane;
use poolshift::clock::Moment;

pub use ddmin::ddmin;

use crate::hazard::Strike;
use crate::options::Options;
use crate::plan::Plan;
use crate::run::{Run, run};
use crate::workload::PlannedCall;
use crate::world::Rig;

/// How much may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// So many runs, at most.
    pub runs: u64,
    /// No run is begun after so many events in all.
    pub events: u64,
}

impl Budget {
    /// A release build spends it in some twenty seconds at most; most failures need a tenth.
    pub const USUAL: Self = Self { runs: 4000, events: 80_000_000 };

    /// What options may take: the other half is left for events.
    const fn half(self) -> Self {
        Self { runs: self.runs / 2, events: self.events / 2 }
    }
}

/// A run costs as much as so many events, beside its own.
const OVERHEAD: u64 = 1000;

/// A call has at least so many events, for runs that panic and so do not say.
const EVENTS_OF_A_CALL: u64 = 8;

/// A plan that was made small.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// It.
    pub plan: Plan,
    /// How many runs that took.
    pub runs: u64,
    /// Whether no single event can be left out; if not, the budget was spent before.
    pub is_minimal: bool,
}

/// What has been tried, and what may be.
struct Trial<'a, R> {
    rig: &'a R,
    law: &'a str,
    budget: Budget,
    spent: Budget,
}

impl<R: Rig> Trial<'_, R> {
    const fn is_spent(&self) -> bool {
        self.spent.runs >= self.budget.runs || self.spent.events >= self.budget.events
    }

    fn breaks(&mut self, calls: u64, run: impl FnOnce(&R) -> Run) -> bool {
        if self.is_spent() {
            return false;
        }
        self.spent.runs += 1;
        let run = run(self.rig);
        let events = run.ended.as_ref().map_or(EVENTS_OF_A_CALL * calls, |ended| ended.events);
        self.spent.events += events + OVERHEAD;
        run.verdict.broken.iter().any(|broken| broken.law == self.law)
    }

    fn plan_breaks(&mut self, plan: &Plan) -> bool {
        let calls = plan.calls.len() as u64;
        calls > 0 && self.breaks(calls, |rig| plan.replay(rig, &mut ()))
    }
}

/// Shrinks the run of this seed and these options, which breaks `law`; nothing if it does not,
/// or does so no more when it happens from a list.
pub fn shrink<R: Rig>(
    rig: &R,
    seed: u64,
    options: &Options,
    law: &str,
    budget: Budget,
) -> Option<Shrunk> {
    let nothing = Budget { runs: 0, events: 0 };
    let mut trial = Trial { rig, law, budget: budget.half(), spent: nothing };
    let small = coarse::coarse(options, |options| {
        trial.breaks(options.calls, |rig| run(rig, seed, options.clone()))
    });
    trial.budget = budget;
    let (whole, run) = Plan::record(rig, seed, &small);
    let broken = run.verdict.broken.iter().find(|broken| broken.law == law)?;
    let mut plan = Plan { law: Some(law.to_owned()), ..whole };
    let cut = until(&plan, Moment::from_nanos(broken.at_ns));
    if trial.plan_breaks(&cut) {
        plan = cut;
    } else if !trial.plan_breaks(&plan) {
        return None;
    }
    loop {
        plan = without_events(&plan, &mut trial);
        let simpler = without_details(&plan, &mut trial);
        match simpler {
            Some(simpler) => plan = simpler,
            None => break,
        }
    }
    Some(Shrunk { plan, runs: trial.spent.runs, is_minimal: !trial.is_spent() })
}

/// Without what comes after this moment.
fn until(plan: &Plan, end: Moment) -> Plan {
    let mut cut = plan.clone();
    cut.calls.retain(|call| call.at <= end);
    cut.acts.retain(|(at, _)| *at <= end);
    let last = cut.calls.last().map_or(0, |call| call.call.0);
    cut.milestones.retain(|(call, _)| *call <= last);
    cut.strikes.retain(|strike| match strike {
        Strike::Request { call, .. } => *call <= last,
        Strike::Moment { at_ns, .. } => *at_ns <= end.as_nanos(),
        Strike::Start { .. } | Strike::Stop { .. } => true,
    });
    cut
}

fn without_events<R: Rig>(plan: &Plan, trial: &mut Trial<'_, R>) -> Plan {
    let all = (0..plan.events()).collect();
    let kept = ddmin(all, |kept: &[usize]| trial.plan_breaks(&only(plan, kept)));
    only(plan, &kept)
}

/// Only these of its events, counted through its lists.
fn only(plan: &Plan, kept: &[usize]) -> Plan {
    fn pick<T: Clone>(from: &[T], start: &mut usize, kept: &[usize]) -> Vec<T> {
        let end = *start + from.len();
        let first = kept.partition_point(|index| index < start);
        let last = kept.partition_point(|index| *index < end);
        let picked = kept[first..last].iter().map(|index| from[index - *start].clone()).collect();
        *start = end;
        picked
    }
    let mut start = 0;
    Plan {
        calls: pick(&plan.calls, &mut start, kept),
        acts: pick(&plan.acts, &mut start, kept),
        milestones: pick(&plan.milestones, &mut start, kept),
        strikes: pick(&plan.strikes, &mut start, kept),
        ..plan.clone()
    }
}

/// With fewer workers, and calls of which less is to say; nothing if all of it is needed.
fn without_details<R: Rig>(plan: &Plan, trial: &mut Trial<'_, R>) -> Option<Plan> {
    let mut simplest = plan.clone();
    let mut is_simpler = false;
    let mut take = |simplest: &mut Plan, tried: Plan| {
        let breaks = trial.plan_breaks(&tried);
        if breaks {
            *simplest = tried;
            is_simpler = true;
        }
        breaks
    };
    for lane in [Lane::V2, Lane::V3] {
        let size = simplest.options.lanes[lane as usize].terms.size;
        let smaller = (1..size).find(|size| {
            let mut tried = simplest.clone();
            tried.options.lane_mut(lane).terms.size = *size;
            take(&mut simplest, tried)
        });
        debug_assert!(smaller.is_none_or(|smaller| smaller < size));
    }
    for drop in [drop_lags, drop_raises, drop_recycles] {
        let mut tried = simplest.clone();
        if drop(&mut tried.options) {
            take(&mut simplest, tried);
        }
    }
    for index in 0..simplest.calls.len() {
        for drop in [drop_cancel, drop_budget, drop_end, drop_session, drop_poison] {
            let mut tried = simplest.clone();
            if drop(&mut tried.calls[index]) {
                take(&mut simplest, tried);
            }
        }
    }
    is_simpler.then_some(simplest)
}

fn drop_lags(options: &mut Options) -> bool {
    options.host_lag = Duration::ZERO;
    std::mem::take(&mut options.lags) > 0
}

fn drop_raises(options: &mut Options) -> bool {
    std::mem::take(&mut options.raises) > 0
}

fn drop_recycles(options: &mut Options) -> bool {
    std::mem::take(&mut options.recycles) > 0
}

const fn drop_cancel(call: &mut PlannedCall) -> bool {
    call.leaves.take().is_some()
}

const fn drop_budget(call: &mut PlannedCall) -> bool {
    call.budget.take().is_some()
}

const fn drop_end(call: &mut PlannedCall) -> bool {
    std::mem::replace(&mut call.ends_session, false)
}

fn drop_session(call: &mut PlannedCall) -> bool {
    call.ends_session = false;
    call.session.take().is_some()
}

const fn drop_poison(call: &mut PlannedCall) -> bool {
    std::mem::replace(&mut call.is_poison, false)
}
