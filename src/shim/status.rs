//! What a running process tells of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::{Class, Lane};
use crate::pool::PoolStatus;
use crate::router::pins::PinCensus;
use crate::router::policy::{Percents, Policy};
use crate::router::ramp::Verdict;
use crate::router::shadow::ShadowStatus;
use crate::router::source::SourceStatus;
use crate::router::stage::{Stage, Stages};

/// One process that serves calls: the content of `FILE.d/PID.json`, written anew on each change
/// of the policy and each second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// The process's id.
    pub pid: u32,
    /// When the process started, in the kernel's ticks since boot: with the id it names one
    /// process for as long as the machine runs.
    pub start_ticks: u64,
    /// The version of poolshift that it runs.
    pub poolshift: String,
    /// When this was written, in UTC (RFC 3339).
    pub written_at: String,
    /// How long the pools have been up.
    pub uptime_s: f64,
    /// The rollout as it is in force in this process.
    pub rollout: RolloutStatus,
    /// First calls of sessions and anonymous calls so far, by lane.
    pub draws: BTreeMap<Lane, u64>,
    /// Calls so far whose lane their caller forced; they are no draws.
    pub forced: u64,
    /// Calls so far whose lane a rule gave; they are no draws either.
    pub ruled: u64,
    /// Live sessions by the lane of their reads.
    pub pins: BTreeMap<Lane, PinStatus>,
    /// Pins that went because there were more than `max_pins`.
    pub evicted_pins: u64,
    /// Both pools.
    pub lanes: BTreeMap<Lane, PoolStatus>,
    /// What has become of shadows; none where nothing is shadowed.
    #[serde(default)]
    pub shadow: Option<ShadowStatus>,
    /// What was said last about the ramp; only the one process that steers it says so.
    pub last_verdict: Option<Verdict>,
    /// Where the canary call of a drill would go.
    pub canary: Lane,
}

/// The rollout as it is in force in one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutStatus {
    /// The version of the rollout file that is in force; 0 before there is one.
    pub version: u64,
    /// Counts the changes in this process, from 1.
    pub epoch: u64,
    /// How far the rollout has come, in one word,
    pub stage: Stage,
    /// and class by class.
    pub stages: Stages,
    /// The salt of every bucket.
    pub flag: String,
    /// Whether everything goes to V2.
    pub killed: bool,
    /// V3's share of each class, in percent.
    pub percents: Percents,
    /// Why a source as it is now is not in force, though it should be.
    pub refused: Option<String>,
    /// Where the rollout comes from: the first one in force counts, and any kill switch.
    pub sources: Vec<SourceStatus>,
}

/// The live sessions of one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PinStatus {
    /// How many there are.
    pub count: usize,
    /// Since the first call of the oldest.
    pub oldest_s: f64,
    /// Since their first calls, on average.
    pub mean_age_s: f64,
    /// Since the last call of the one that has been silent longest.
    pub longest_idle_s: f64,
}

impl RolloutStatus {
    /// The policy in force, and how the sources stand that it comes from.
    #[must_use]
    pub fn of(policy: &Policy, sources: Vec<SourceStatus>) -> Self {
        let Policy { epoch, version, ref flag, killed, percents, .. } = *policy;
        let stages = policy.stages.with_kill_switch(killed);
        let (stage, flag) = (stages.overall(), flag.to_string());
        let refused = sources.iter().find_map(|source| source.refused.clone());
        Self { version, epoch, stage, stages, flag, killed, percents, refused, sources }
    }

    /// V3's share of a class, in percent.
    #[must_use]
    pub fn percent(&self, class: Class) -> String {
        self.percents.of(class).to_string()
    }
}

impl From<PinCensus> for PinStatus {
    fn from(census: PinCensus) -> Self {
        let mean = census.ages.checked_div(u32::try_from(census.count).unwrap_or(u32::MAX));
        Self {
            count: census.count,
            oldest_s: census.oldest.as_secs_f64(),
            mean_age_s: mean.unwrap_or(Duration::ZERO).as_secs_f64(),
            longest_idle_s: census.longest_idle.as_secs_f64(),
        }
    }
}
