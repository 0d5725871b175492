//! What compared answers say, by command, path and kind: as text, JSON and a page.

mod page;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::clock::millis;
use crate::meter::Series;
use crate::report::markup::utc;
use crate::report::quantiles::is_shown;
use crate::router::compare::Kind;
use crate::router::compare::interval::{Interval, Share, Z};
use crate::router::compare::noise::{Standing, judge, proposals};
use crate::shadow::Evidence;
use crate::shadow::sample::Sample;
use crate::shadow::tally::{Arm, CommandTally, PathTally};

/// Everything there is to say. `compared` = `matched` + `mismatched` + `undecided` + `noise`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ShadowReport {
    /// All pairs of both lanes.
    #[serde(flatten)]
    pub pairs: Pairs,
    /// Each command, by name.
    pub commands: Vec<CommandReport>,
    /// Every path that differs: mismatches first, the most frequent first.
    pub by_path: Vec<PathReport>,
    /// Rules that silence what differs by itself, as they stand in the config.
    pub proposals: String,
    /// Samples that cannot be read.
    pub damaged_samples: u64,
}

/// What came of the pairs of both lanes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pairs {
    /// Pairs with a verdict.
    pub compared: u64,
    /// Both lanes answered alike, rules considered.
    pub matched: u64,
    /// At least one path is a mismatch.
    pub mismatched: u64,
    /// No mismatch, but a path of which nobody can say whether it is noise.
    pub undecided: u64,
    /// They differ only where a lane differs from itself.
    pub noise: u64,
    /// Those of the matched that are alike only by the rules.
    pub ignored: u64,
    /// Both lanes timed out.
    pub unknown: u64,
    /// Not compared, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Pairs of a lane with itself.
    pub noise_pairs: u64,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommandReport {
    /// Its name.
    pub command: String,
    /// What came of its pairs.
    #[serde(flatten)]
    pub pairs: Pairs,
    /// The share of mismatched pairs among the compared.
    pub rate: Rate,
    /// How long V2 took.
    pub v2: Times,
    /// How long V3 took for the same calls.
    pub v3: Times,
}

/// A share with its 99 % interval (Wilson's).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// From 0 to 1; 0 of none.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// Times of calls that both lanes answered. None where too few calls lie beyond a percentile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Times {
    /// How many calls.
    pub calls: u64,
    /// The median.
    pub p50_ms: Option<f64>,
    /// 90 % took at most this long.
    pub p90_ms: Option<f64>,
    /// 99 % took at most this long.
    pub p99_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
}

/// One path and kind of one command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PathReport {
    /// The command.
    pub command: String,
    /// A JSON Pointer with `*` for indices, or `error`.
    pub path: String,
    /// How it differs.
    pub kind: Kind,
    /// What is thought of it.
    pub standing: Standing,
    /// Pairs of both lanes that differ there.
    pub count: u64,
    /// Of so many.
    pub compared: u64,
    /// Their share.
    pub rate: Rate,
    /// Pairs of a lane with itself that differ there.
    pub noise_count: u64,
    /// Of so many.
    pub noise_pairs: u64,
    /// Their share.
    pub noise_rate: Rate,
    /// The id of the first call that differed there.
    pub first: Option<String>,
    /// When that was, in seconds since the Unix epoch.
    pub first_seen_s: Option<f64>,
    /// When it last did, in seconds since the Unix epoch.
    pub last_seen_s: Option<f64>,
    /// The newest sample.
    pub sample: Option<Sample>,
    /// All that are kept, oldest first: the first ones, some of those between, the newest.
    pub samples: Vec<Sample>,
}

impl ShadowReport {
    /// From what stores hold.
    #[must_use]
    pub fn of(evidence: &Evidence) -> Self {
        let mut report = Self { damaged_samples: evidence.damaged, ..Self::default() };
        for (name, tally) in &evidence.tally.commands {
            let standings: Vec<Standing> =
                tally.paths.iter().map(|path| standing(tally, path)).collect();
            let pairs = Pairs::of(tally, &standings);
            report.pairs.add(&pairs);
            for (path, standing) in tally.paths.iter().zip(&standings) {
                let samples = kept(&evidence.samples, name, path);
                report.by_path.push(PathReport::of(name, tally, path, *standing, samples));
            }
            let noise = tally.paths.iter().zip(&standings);
            let noise = noise.filter(|(_, standing)| **standing == Standing::Noise);
            let noise = noise.map(|(path, _)| (path.shape.as_str(), path.kind));
            for rule in proposals(noise) {
                let gap = if report.proposals.is_empty() { "" } else { "\n" };
                report.proposals.extend([gap, &rule.to_toml(name)]);
            }
            let rate = Rate::of(Share { count: pairs.mismatched, of: pairs.compared });
            let (v2, v3) = (Times::of(&tally.v2), Times::of(&tally.v3));
            report.commands.push(CommandReport { command: name.clone(), pairs, rate, v2, v3 });
        }
        report.by_path.sort_by(|a, b| {
            let order = a.standing.cmp(&b.standing).then(b.count.cmp(&a.count));
            order.then_with(|| (&a.command, &a.path, a.kind).cmp(&(&b.command, &b.path, b.kind)))
        });
        report
    }

    /// The share of pairs that are mismatched or undecided, from 0 to 1: what a gate goes by,
    /// since not knowing is no pass. None if nothing was compared.
    #[must_use]
    pub fn worst_share(&self) -> Option<f64> {
        let Pairs { compared, mismatched, undecided, .. } = self.pairs;
        (compared > 0).then(|| (mismatched + undecided) as f64 / compared as f64)
    }

    /// For a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        text::text(self)
    }

    /// One page that needs nothing else.
    #[must_use]
    pub fn html(&self) -> String {
        page::html(self)
    }
}

fn standing(tally: &CommandTally, path: &PathTally) -> Standing {
    let lanes = Share { count: path.count, of: tally.lanes.compared };
    judge(lanes, Share { count: path.noise_count, of: tally.noise.compared })
}

fn kept(samples: &[Sample], command: &str, path: &PathTally) -> Vec<Sample> {
    let of_path = samples.iter().filter(|sample| {
        sample.command == command && sample.kind == path.kind && sample.shape == path.shape
    });
    let mut of_path: Vec<Sample> = of_path.cloned().collect();
    of_path.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    of_path
}

impl Pairs {
    fn of(tally: &CommandTally, standings: &[Standing]) -> Self {
        let Arm { compared, matched, excused, unknown, skipped, patterns, unlisted } = &tally.lanes;
        // Of what has no name, the worst is thought.
        let mut by_standing = BTreeMap::from([(Standing::Mismatch, *unlisted)]);
        for pattern in patterns {
            let worst = pattern.paths.iter().filter_map(|path| standings.get(*path)).min();
            *by_standing.entry(*worst.unwrap_or(&Standing::Mismatch)).or_default() += pattern.pairs;
        }
        let of = |standing| by_standing.get(&standing).copied().unwrap_or(0);
        Self {
            compared: *compared,
            matched: *matched,
            mismatched: of(Standing::Mismatch),
            undecided: of(Standing::Undecided),
            noise: of(Standing::Noise),
            ignored: *excused,
            unknown: *unknown,
            skipped: skipped.clone(),
            noise_pairs: tally.noise.compared,
        }
    }

    fn add(&mut self, other: &Self) {
        self.compared += other.compared;
        self.matched += other.matched;
        self.mismatched += other.mismatched;
        self.undecided += other.undecided;
        self.noise += other.noise;
        self.ignored += other.ignored;
        self.unknown += other.unknown;
        self.noise_pairs += other.noise_pairs;
        for (reason, count) in &other.skipped {
            *self.skipped.entry(reason.clone()).or_default() += count;
        }
    }
}

impl Rate {
    fn of(share: Share) -> Self {
        let Interval { low, high } = share.interval(Z);
        Self { value: share.value(), low, high }
    }
}

impl Times {
    fn of(series: &Series) -> Self {
        let calls = series.count();
        let shown =
            |quantile: f64| is_shown(calls, quantile).then(|| millis(series.quantile(quantile)));
        let max_ms = (calls > 0).then(|| millis(series.max()));
        let (p50_ms, p90_ms, p99_ms) = (shown(0.5), shown(0.9), shown(0.99));
        Self { calls, p50_ms, p90_ms, p99_ms, max_ms }
    }
}

impl PathReport {
    fn of(
        command: &str,
        tally: &CommandTally,
        path: &PathTally,
        standing: Standing,
        samples: Vec<Sample>,
    ) -> Self {
        let (compared, noise_pairs) = (tally.lanes.compared, tally.noise.compared);
        Self {
            command: command.to_owned(),
            path: path.shape.clone(),
            kind: path.kind,
            standing,
            count: path.count,
            compared,
            rate: Rate::of(Share { count: path.count, of: compared }),
            noise_count: path.noise_count,
            noise_pairs,
            noise_rate: Rate::of(Share { count: path.noise_count, of: noise_pairs }),
            first: path.first.clone(),
            first_seen_s: path.first_seen_s,
            last_seen_s: path.last_seen_s,
            sample: samples.last().cloned(),
            samples,
        }
    }

    /// The name of a path that is not empty.
    fn shown_path(&self) -> &str {
        if self.path.is_empty() { "(the answer)" } else { &self.path }
    }
}

/// When something was seen, if it was.
fn moment(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), utc)
}

/// A text cut to so many characters, which says so.
fn short(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
