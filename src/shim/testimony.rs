//! What processes know of V3, each in a file of its own that outlives it.
//!
//! Evidence of a process that has ended counts on: what it saw has happened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::router::guard::Evidence;
use crate::router::guard::slow::Thresholds;
use crate::router::paths::RolloutPaths;
use crate::router::ramp::RampMark;
use crate::router::shelf::write_json;
use crate::shim::board::start_ticks;

/// More processes than one ramp sees; what is beyond is a reason to hold.
const MAX_FILES: usize = 1000;

/// What one process knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Testimony {
    /// The process's id,
    pub pid: u32,
    /// and when it started, in the kernel's ticks since boot.
    pub start_ticks: u64,
    /// Which of the process's ramps it is about; the highest is the one under way.
    pub serial: u64,
    /// What counts as slow, frozen when the ramp began.
    pub thresholds: Thresholds,
    /// What its guards have seen.
    pub evidence: Evidence,
}

impl Testimony {
    /// Whether the process still runs, and has not begun another ramp since.
    fn is_live(&self, all: &[Self]) -> bool {
        let later = |other: &Self| {
            (other.pid, other.start_ticks) == (self.pid, self.start_ticks)
                && other.serial > self.serial
        };
        start_ticks(self.pid) == Some(self.start_ticks) && !all.iter().any(later)
    }
}

/// What all processes know together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// The sum; none if nobody has told anything.
    pub evidence: Option<Evidence>,
    /// The live processes that have told something.
    pub live: Vec<u32>,
    /// Why the sum is not to be relied on for going on.
    pub doubts: Vec<String>,
}

/// The evidence about one build of V3 under one plan.
#[derive(Clone, Debug)]
pub struct Testimonies {
    folder: PathBuf,
}

impl Testimonies {
    /// The evidence that a ramp is judged by.
    #[must_use]
    pub fn of(paths: &RolloutPaths, mark: &RampMark) -> Self {
        Self { folder: paths.evidence(&mark.plan, &mark.build) }
    }

    /// Replaces what a process told.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, testimony: &Testimony) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let Testimony { pid, start_ticks, serial, .. } = testimony;
        write_json(&self.folder.join(format!("{pid}-{start_ticks}-{serial}.json")), testimony)
    }

    /// The thresholds that another process froze when the ramp began: whoever joins later has
    /// seen too little of V2 alone, and is judged by the same ones.
    #[must_use]
    pub fn thresholds(&self) -> Option<Thresholds> {
        let all = self.read().ok()?;
        all.into_iter().map(|testimony| testimony.thresholds).find(|all| !all.is_empty())
    }

    /// Adds up what all processes know. `step` is where the ramp is.
    #[must_use]
    pub fn hear(&self, step: u64) -> Heard {
        let mut heard = Heard::default();
        let all = match self.read() {
            Ok(all) => all,
            Err(error) => {
                heard.doubts.push(error.to_string());
                return heard;
            }
        };
        if all.len() >= MAX_FILES {
            heard.doubts.push(format!("more than {MAX_FILES} processes have told something"));
        }
        // The first one says of which step the sum is. A live process that has not heard of this
        // step comes before all, and so holds the ramp; one that has ended, after all.
        let rank = |told: &Testimony| match (told.is_live(&all), told.evidence.step() == step) {
            (true, false) => 0,
            (_, true) => 1,
            (false, false) => 2,
        };
        let mut ranked: Vec<(u8, &Testimony)> = all.iter().map(|told| (rank(told), told)).collect();
        ranked.sort_by_key(|(rank, told)| (*rank, told.pid, told.start_ticks, told.serial));
        for (_, told) in ranked {
            heard.live.extend(told.is_live(&all).then_some(told.pid));
            match &mut heard.evidence {
                None => heard.evidence = Some(told.evidence.clone()),
                Some(sum) => {
                    let error = sum.absorb(&told.evidence).err();
                    let error = error.map(|error| format!("process {}: {error}", told.pid));
                    heard.doubts.extend(error);
                }
            }
        }
        heard
    }

    fn read(&self) -> io::Result<Vec<Testimony>> {
        let at = |path: &Path, error: io::Error| {
            io::Error::other(format!("cannot read {}: {error}", path.display()))
        };
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| at(&self.folder, error))?,
        };
        let mut all = Vec::new();
        for entry in entries.take(MAX_FILES) {
            let path = entry.map_err(|error| at(&self.folder, error))?.path();
            if path.extension().is_some_and(|end| end == "json") {
                let json = fs::read(&path).map_err(|error| at(&path, error))?;
                let told = serde_json::from_slice(&json).map_err(io::Error::other);
                all.push(told.map_err(|error| at(&path, error))?);
            }
        }
        Ok(all)
    }
}
