//! Counts of everything that was compared, and the times of both lanes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::meter::Series;
use crate::router::compare::{Found, Kind, Verdict};
use crate::shadow::Trial;
use crate::shadow::sample::Redacted;

/// Commands come from callers, so their number is bounded; further ones share a name.
const MAX_COMMANDS: usize = 100;

/// The name that further commands share.
pub const OTHERS: &str = "(others)";

/// Keys of answers may be data, so the paths of a command are bounded; further ones are counted
/// without a name.
const MAX_PATHS: usize = 500;

/// So are the sets of paths that differed together.
const MAX_PATTERNS: usize = 500;

/// A pair that differs in more places than this differs altogether.
const MAX_PATTERN: usize = 64;

/// A longer path has no name.
const MAX_SHAPE: usize = 512;

/// All counts, by command.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Of each command.
    pub commands: BTreeMap<String, CommandTally>,
}

/// The counts of one command.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CommandTally {
    /// V2 against V3.
    pub lanes: Arm,
    /// A lane against itself.
    pub noise: Arm,
    /// How long V2's workers took for calls that workers of both lanes took.
    #[serde(with = "buckets")]
    pub v2: Series,
    /// How long V3's took for the same calls.
    #[serde(with = "buckets")]
    pub v3: Series,
    /// Every path and kind that ever differed; others refer to it by its index.
    pub paths: Vec<PathTally>,
}

/// The pairs of one sort.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Arm {
    /// Pairs with a verdict: the same, excused or different.
    pub compared: u64,
    /// Those that are the same, rules considered.
    pub matched: u64,
    /// Those of the matched ones that are the same only by the rules.
    pub excused: u64,
    /// Pairs of which nobody knows: both timed out.
    pub unknown: u64,
    /// Pairs that were not compared, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// How many pairs differed in exactly these paths.
    pub patterns: Vec<Pattern>,
    /// Pairs that differed in paths without a name, or in a set of paths that is not kept.
    pub unlisted: u64,
}

/// Paths that differed together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// Indices into the command's paths, in order.
    pub paths: Vec<usize>,
    /// In how many pairs.
    pub pairs: u64,
}

/// One path and kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathTally {
    /// The place in every answer, a glob.
    pub shape: String,
    /// How it differs.
    pub kind: Kind,
    /// Pairs of both lanes that differ there.
    pub count: u64,
    /// Pairs of one lane that differ there.
    pub noise_count: u64,
    /// The first call of both lanes that differed there, if there was one.
    pub first: Option<String>,
    /// When that was, in seconds since the Unix epoch.
    pub first_seen_s: Option<f64>,
    /// When it last did, in seconds since the Unix epoch.
    pub last_seen_s: Option<f64>,
}

impl Tally {
    /// The counts of a command, perhaps under the name that further ones share.
    pub fn command(&mut self, name: &str) -> &mut CommandTally {
        let full = self.commands.len() >= MAX_COMMANDS && !self.commands.contains_key(name);
        self.commands.entry(if full { OTHERS } else { name }.to_owned()).or_default()
    }

    /// The counts that hold those of a command, and their name, once it has been counted.
    #[must_use]
    pub fn under<'a>(&'a self, name: &'a str) -> (&'a str, &'a CommandTally) {
        let own = self.commands.get(name).map(|tally| (name, tally));
        own.or_else(|| self.commands.get(OTHERS).map(|tally| (OTHERS, tally)))
            .expect("a command that was counted has counts")
    }

    /// Adds the counts of another store.
    pub fn merge(&mut self, other: &Self) {
        for (name, theirs) in &other.commands {
            self.command(name).merge(theirs);
        }
    }
}

impl CommandTally {
    /// Counts one pair; one that differs has been redacted before, as its paths get names.
    pub fn count(&mut self, trial: &Trial, verdict: &Verdict, redacted: Option<&Redacted<'_>>) {
        let [v2, v3] = trial.by_lane();
        if let (false, Some(v2), Some(v3)) = (trial.is_noise(), v2.took, v3.took) {
            self.v2.record(v2);
            self.v3.record(v3);
        }
        let arm = if trial.is_noise() { &mut self.noise } else { &mut self.lanes };
        match verdict {
            Verdict::Same | Verdict::Excused => {
                arm.compared += 1;
                arm.matched += 1;
                arm.excused += u64::from(*verdict == Verdict::Excused);
            }
            Verdict::Unknown => arm.unknown += 1,
            Verdict::Skipped(why) => arm.skip(why.as_str()),
            Verdict::Differs(found) => {
                arm.compared += 1;
                let redacted = redacted.expect("a pair that differs has been redacted");
                let named = self.note(trial, found, redacted);
                self.arm(trial.is_noise()).add(named, 1);
            }
        }
    }

    fn arm(&mut self, noise: bool) -> &mut Arm {
        if noise { &mut self.noise } else { &mut self.lanes }
    }

    /// Counts each path of a pair once; their indices, or none if not all have a name.
    fn note(
        &mut self,
        trial: &Trial,
        found: &Found,
        redacted: &Redacted<'_>,
    ) -> Option<Vec<usize>> {
        let mut paths = Vec::new();
        let mut complete = found.beyond == 0;
        for difference in &found.listed {
            match self.path(&redacted.path(&difference.shape), difference.kind) {
                Some(path) => paths.push(path),
                None => complete = false,
            }
        }
        paths.sort_unstable();
        paths.dedup();
        for path in &paths {
            let path = &mut self.paths[*path];
            if trial.is_noise() {
                path.noise_count += 1;
                continue;
            }
            path.count += 1;
            path.first.get_or_insert_with(|| redacted.id());
            path.seen(trial.at.as_secs_f64());
        }
        (complete && paths.len() <= MAX_PATTERN).then_some(paths)
    }

    /// Whether a path and kind has a name here.
    #[must_use]
    pub fn names(&self, shape: &str, kind: Kind) -> bool {
        self.position(shape, kind).is_some()
    }

    fn position(&self, shape: &str, kind: Kind) -> Option<usize> {
        self.paths.iter().position(|path| path.kind == kind && path.shape == shape)
    }

    fn path(&mut self, shape: &str, kind: Kind) -> Option<usize> {
        let index = self.position(shape, kind);
        if index.is_some() || self.paths.len() >= MAX_PATHS || shape.len() > MAX_SHAPE {
            return index;
        }
        self.paths.push(PathTally {
            shape: shape.to_owned(),
            kind,
            count: 0,
            noise_count: 0,
            first: None,
            first_seen_s: None,
            last_seen_s: None,
        });
        Some(self.paths.len() - 1)
    }

    fn merge(&mut self, other: &Self) {
        let ours: Vec<Option<usize>> =
            other.paths.iter().map(|path| self.path(&path.shape, path.kind)).collect();
        for (path, index) in other.paths.iter().zip(&ours) {
            if let Some(index) = index {
                self.paths[*index].merge(path);
            }
        }
        self.lanes.merge(&other.lanes, &ours);
        self.noise.merge(&other.noise, &ours);
        self.v2.merge(&other.v2);
        self.v3.merge(&other.v3);
    }
}

impl PathTally {
    /// In seconds since the Unix epoch, as the file has them: it may have been changed.
    fn seen(&mut self, at: f64) {
        self.first_seen_s = Some(self.first_seen_s.map_or(at, |first| first.min(at)));
        self.last_seen_s = Some(self.last_seen_s.map_or(at, |last| last.max(at)));
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.noise_count += other.noise_count;
        if other.first_seen_s.is_some_and(|theirs| self.first_seen_s.is_none_or(|at| theirs < at)) {
            self.first.clone_from(&other.first);
        }
        for at in [other.first_seen_s, other.last_seen_s].into_iter().flatten() {
            self.seen(at);
        }
    }
}

impl Arm {
    /// Counts a pair that was not compared.
    pub fn skip(&mut self, reason: &str) {
        *self.skipped.entry(reason.to_owned()).or_default() += 1;
    }

    fn add(&mut self, paths: Option<Vec<usize>>, pairs: u64) {
        let Some(paths) = paths else {
            self.unlisted += pairs;
            return;
        };
        match self.patterns.iter().position(|pattern| pattern.paths == paths) {
            Some(known) => self.patterns[known].pairs += pairs,
            None if self.patterns.len() < MAX_PATTERNS => {
                self.patterns.push(Pattern { paths, pairs });
            }
            None => self.unlisted += pairs,
        }
    }

    fn merge(&mut self, other: &Self, ours: &[Option<usize>]) {
        self.compared += other.compared;
        self.matched += other.matched;
        self.excused += other.excused;
        self.unknown += other.unknown;
        self.unlisted += other.unlisted;
        for (reason, count) in &other.skipped {
            *self.skipped.entry(reason.clone()).or_default() += count;
        }
        for Pattern { paths, pairs } in &other.patterns {
            let paths: Option<Vec<usize>> =
                paths.iter().map(|path| ours.get(*path).copied().flatten()).collect();
            let sorted = paths.map(|mut paths| {
                paths.sort_unstable();
                paths
            });
            self.add(sorted, *pairs);
        }
    }
}

/// A series as its filled buckets: `[longest_us, [[us, count], …]]`.
mod buckets {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::meter::Series;

    pub(super) fn serialize<S: Serializer>(series: &Series, to: S) -> Result<S::Ok, S::Error> {
        let max = series.max().as_secs_f64() * 1e6;
        let filled = series.histogram().iter_recorded();
        let filled: Vec<(u64, u64)> = filled
            .map(|bucket| (bucket.value_iterated_to(), bucket.count_since_last_iteration()))
            .collect();
        (max, filled).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Series, D::Error> {
        let (max, filled) = <(f64, Vec<(u64, u64)>)>::deserialize(from)?;
        let longest = Duration::try_from_secs_f64(max / 1e6).map_err(serde::de::Error::custom)?;
        Ok(Series::of(longest, filled))
    }
}
