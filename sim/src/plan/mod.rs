//! The plan of a run as an explicit list: every call, act, milestone and strike.
//!
//! A plan that was recorded from a run gives the same trace; one from which events were taken
//! leaves the rest as it was, since service times, lags and orders are drawn from the seed by
//! what they are for.

mod file;
mod setting;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use poolshift::clock::Moment;

pub use file::{BadPlan, FORMAT};

use crate::hazard::{Notes, Strike};
use crate::options::Options;
use crate::rng::Seed;
use crate::run::{Run, play};
use crate::source::{Milestone, Source, milestones};
use crate::trace::Watcher;
use crate::workload::{Act, Acts, PlannedCall, Workload};
use crate::world::Rig;

/// A run of which no end is known is recorded so far past its last call.
const PAST_THE_END: Duration = Duration::from_secs(60);

/// All that happens to a world from outside, and what the rest is drawn from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The law that the run broke, when it was recorded; nothing if it broke none.
    pub law: Option<String>,
    /// Decides service times, lags and orders.
    pub seed: u64,
    /// What the pools promise, and how workers and host behave. What is listed below is not
    /// drawn from it again.
    pub options: Options,
    /// The calls, by number and by moment.
    pub calls: Vec<PlannedCall>,
    /// What operators do, by moment.
    pub acts: Vec<(Moment, Act)>,
    /// What happens before a call of this number or a higher one.
    pub milestones: Vec<(u64, Milestone)>,
    /// Where faults strike.
    pub strikes: Vec<Strike>,
}

impl Plan {
    /// Runs a world and writes down all that happened to it from outside.
    pub fn record<R: Rig>(rig: &R, seed: u64, options: &Options) -> (Self, Run) {
        let notes: Notes = Rc::new(RefCell::new(Vec::new()));
        let source = Source::drawn(Seed(seed), options, Some(Rc::clone(&notes)));
        let run = play(rig, seed, options.clone(), source, &mut ());
        let calls: Vec<PlannedCall> = Workload::new(Seed(seed), options).collect();
        let last = calls.last().map_or(Moment::ZERO, |call| call.at) + PAST_THE_END;
        let end = run.ended.as_ref().map_or(last, |ended| Moment::ZERO + ended.lasted);
        let acts = Acts::new(Seed(seed), options).take_while(|(at, _)| *at <= end);
        let plan = Self {
            law: run.verdict.broken.first().map(|broken| broken.law.to_owned()),
            seed,
            options: setting::only(options),
            calls,
            acts: acts.collect(),
            milestones: milestones(options),
            strikes: notes.take(),
        };
        (plan, run)
    }

    /// Runs a world to which the plan happens, while `watcher` looks on.
    pub fn replay<R: Rig>(&self, rig: &R, watcher: &mut impl Watcher) -> Run {
        let Self { law: _, seed, options, calls, acts, milestones, strikes } = self.clone();
        let options = Options { calls: calls.len() as u64, ..options };
        let source = Source::listed(calls, acts, milestones, &strikes);
        play(rig, seed, options, source, watcher)
    }

    /// How many events it lists.
    #[must_use]
    pub fn events(&self) -> usize {
        let Self { calls, acts, milestones, strikes, .. } = self;
        calls.len() + acts.len() + milestones.len() + strikes.len()
    }
}
