//! What a run knows beside its histograms: the companion file of a log, as JSON.
//!
//! A log `a.hlog` has its record in `a.run.json`. Every list in it is bounded; what was left out
//! is counted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::call::Lane;
use crate::pool::WorkerId;

/// The format that is written, and the only one that is read.
pub const FORMAT: u32 = 1;

/// A run, but for its histograms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// How it came about.
    pub origin: Origin,
    /// How its calls arrived.
    pub load: Load,
    /// When it began on the wall's clock; a fixed moment for virtual time.
    pub began_unix_s: f64,
    /// From its start until its last call was over.
    pub lasted_s: f64,
    /// Every call accounted for.
    pub books: Books,
    /// The exact maximum of each histogram, which a log gives to a bucket's width.
    pub exact_max_ms: BTreeMap<String, f64>,
    /// How long each slice of time is.
    pub slice_ms: f64,
    /// What went on in each lane, slice by slice.
    pub flows: BTreeMap<Lane, Vec<Flow>>,
    /// What happened to the run: ramp steps, kills, faults.
    pub marks: Vec<Mark>,
    /// What each worker did.
    pub workers: Vec<WorkerRow>,
    /// The calls that took longest, the longest first.
    pub slowest: Vec<SlowCall>,
    /// What a formula expects, where one is known.
    #[serde(default)]
    pub predictions: Vec<Prediction>,
    /// Why there is no exact prediction, where somebody might expect one.
    #[serde(default)]
    pub unpredicted: Option<String>,
    /// Marks and workers that were too many to be kept.
    pub left_out: LeftOut,
}

/// How a run came about, and how to make it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// What to call it.
    pub title: String,
    /// The command line that repeats it.
    pub command: String,
    /// The tool and its version.
    pub tool: String,
    /// What drew everything that was left to chance, if anything was.
    pub seed: Option<u64>,
    /// Which time it is in.
    pub clock: ClockKind,
}

/// Which time a run is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockKind {
    /// That of the machine, which lags.
    Real,
    /// That of a simulator, in which nothing lags.
    Virtual,
}

/// How calls arrived.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Load {
    /// By a plan that was made before the run: nobody waits for earlier calls.
    Open {
        /// The plan's rate.
        offered_per_s: f64,
    },
    /// Each of so many callers begins its next call when its last is over. A slow service then
    /// slows its own load down, and hides the waits that it would have caused.
    Closed {
        /// How many callers.
        concurrency: u64,
    },
}

/// Every call accounted for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Books {
    /// Every call that was made.
    pub submitted: u64,
    /// What their callers were told.
    pub outcomes: BTreeMap<String, u64>,
    /// Calls that were alive when the run ended.
    pub censored: u64,
    /// Calls that were refused before they were due, as the run was told to stop. Their outcomes
    /// are counted, their times are not.
    pub undue: u64,
    /// Calls without an outcome, by the ledgers (R18).
    pub lost: u64,
    /// Calls that were told or run twice, by the ledgers (R18).
    pub duplicated: u64,
    /// Calls answered well that no worker's ledger has: how often they ran cannot be told.
    pub unexecuted: u64,
    /// Whether ledgers were compared at all.
    pub audited: bool,
}

impl Books {
    /// Whether every call is in exactly one place.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.outcomes.values().sum::<u64>() + self.censored == self.submitted
    }

    /// Calls whose times were measured.
    #[must_use]
    pub const fn measured(&self) -> u64 {
        self.submitted.saturating_sub(self.undue)
    }
}

/// What went on in one lane during one slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// Calls whose planned arrival was in it.
    pub arrived: u64,
    /// Calls over in it.
    pub finished: u64,
    /// Calls that waited for a worker at its end.
    pub waiting: u64,
    /// Calls that were with a worker at its end.
    pub running: u64,
}

/// Something that happened to the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// What kind of thing.
    pub what: MarkKind,
    /// In which lane, if in one.
    pub lane: Option<Lane>,
    /// From when.
    pub from_ms: f64,
    /// Until when.
    pub until_ms: f64,
    /// In words.
    pub label: String,
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// A percentage was in force.
    Step,
    /// A worker was killed; until its slot answered again.
    Kill,
    /// Something else went wrong.
    Fault,
}

/// One slot of a pool, over the whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerRow {
    /// Its lane.
    pub lane: Lane,
    /// Its index in the pool.
    pub slot: u32,
    /// The share of each slice in which it had a call, 0 to 1.
    pub busy: Vec<f32>,
    /// The processes that it had; the last ones are left out beyond [`MOST_LIVES`].
    pub lives: Vec<Life>,
    /// Calls that its processes had.
    pub calls: u64,
}

/// One process, as callers saw it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Life {
    /// The slot's how many-th process it is, from 1.
    pub generation: u32,
    /// When it was given its first call.
    pub from_ms: f64,
    /// When it was done with its last.
    pub until_ms: f64,
}

/// One of the calls that took longest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlowCall {
    /// Its id.
    pub id: String,
    /// Its command.
    pub command: String,
    /// Its session, if it had one.
    pub session: Option<String>,
    /// Lane, class and ending, as in a tag.
    pub kind: String,
    /// The worker that had it last.
    pub worker: Option<WorkerId>,
    /// Why the router sent it there.
    pub reason: Option<String>,
    /// Its planned arrival, from the run's start.
    pub planned_ms: f64,
    /// From there to its end.
    pub response_ms: f64,
    /// What of this was waiting.
    pub wait_ms: f64,
    /// What of this was a worker's.
    pub service_ms: f64,
    /// What of this was the generator's.
    pub lag_ms: f64,
    /// What its caller was told, if it was an error.
    pub error: Option<String>,
}

/// A figure that a formula gives, beside the same as it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prediction {
    /// Which lane.
    pub lane: Lane,
    /// Which figure, with its unit.
    pub figure: String,
    /// As measured.
    pub measured: f64,
    /// As expected.
    pub expected: f64,
    /// By which formula, and what it takes for granted.
    pub by: String,
}

/// What was too much to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Marks.
    pub marks: u64,
    /// Slots.
    pub workers: u64,
    /// Processes of slots that are kept.
    pub lives: u64,
}

/// Marks of a run: a chart a hand wide shows no more.
pub const MOST_MARKS: usize = 200;

/// Slots whose work is shown.
pub const MOST_WORKERS: usize = 64;

/// Processes of one slot that are shown.
pub const MOST_LIVES: usize = 100;

/// The slowest calls that are told.
pub const MOST_SLOWEST: usize = 10;

impl RunRecord {
    /// Where the record of a log is.
    #[must_use]
    pub fn path(hlog: &Path) -> PathBuf {
        hlog.with_extension("run.json")
    }
}
