//! How soon the guards would see a regression: the real ones, on traffic like the recorded one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::call::{Class, Lane};
use crate::router::guard::comparison::Comparison;
use crate::router::guard::{Arm, Metric, Metrics, Settings, Shares};
use crate::router::policy::Percents;
use crate::router::ramp::replay::{Pool, Recorded, thresholds};

/// V3's rate as a multiple of V2's.
pub const RATIOS: [u32; 3] = [2, 5, 10];

/// Made-up runs for each answer; the median of so many is within a tenth or so.
const RUNS: u64 = 41;

/// V3's bad units in a run after which nothing is to be expected, and a hundredth of V2's: at a
/// share of 1 % there are as many.
const PATIENCE: u64 = 1000;

/// One command under one guard.
#[derive(Clone, Debug, Serialize)]
pub struct Outlook {
    /// The command.
    pub command: String,
    /// The guard.
    pub metric: Metric,
    /// Sessions that use the command, and anonymous calls of it, each second.
    pub units_per_s: f64,
    /// The share of them (0-1) that goes bad in V2.
    pub v2_bad: f64,
    /// V3's share of them (0-1).
    pub v3_share: f64,
    /// For each of [`RATIOS`], in its order.
    pub regressions: Vec<Sight>,
}

/// When a regression would be seen, if it is seen.
#[derive(Clone, Debug, Serialize)]
pub struct Sight {
    /// V3's rate as a multiple of V2's.
    pub ratio: u32,
    /// Until half of all runs have seen it; none if fewer do.
    pub median_s: Option<f64>,
    /// Until nine in ten have.
    pub p90_s: Option<f64>,
    /// V3's bad units until then, at the median.
    pub v3_bad: Option<u64>,
}

/// One command's units: how many come, and how many of them go bad in V2.
#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    rate: f64,
    bad: f64,
    share: f64,
}

/// What is to be expected at these shares, by command and guard. A command that never went bad in
/// V2 has no rate that could be multiplied: only limits and fuses see it, and it is left out.
#[must_use]
pub fn forecast(record: &[Recorded], settings: &Settings, percents: &Percents) -> Vec<Outlook> {
    let mut outlooks = Vec::new();
    for metric in settings.bounds.keys().filter(|metric| **metric != Metric::Mismatches) {
        let traffic = traffic(record, *metric, percents);
        let all: Vec<Traffic> = traffic.values().copied().collect();
        for (index, (command, of)) in traffic.iter().enumerate() {
            if of.bad == 0.0 || settings.bounds[metric].ignore.contains(command) {
                continue;
            }
            let sight = |ratio| see(&all, index, ratio, settings, *metric);
            outlooks.push(Outlook {
                command: command.clone(),
                metric: *metric,
                units_per_s: of.rate,
                v2_bad: of.bad,
                v3_share: of.share,
                regressions: RATIOS.into_iter().map(sight).collect(),
            });
        }
    }
    outlooks
}

fn traffic(record: &[Recorded], metric: Metric, percents: &Percents) -> BTreeMap<String, Traffic> {
    let ends = record.iter().map(|call| call.submitted + call.total);
    let lasted = ends.max().unwrap_or_default().max(Duration::from_millis(1)).as_secs_f64();
    let mut pool = Pool::new();
    for call in record {
        pool.entry((&call.command, call.lane)).or_default().push((call.outcome, call.total));
    }
    let slow = thresholds(&pool);
    let mut classes: BTreeMap<&str, Class> = BTreeMap::new();
    // Each unit once, with whether it ever went bad.
    let mut units: BTreeMap<(&str, &str, Lane), bool> = BTreeMap::new();
    for call in record {
        classes.insert(&call.command, call.class);
        let Some(bad) = Metrics::of(call.outcome, &call.command, call.total, &slow) else {
            continue;
        };
        let unit = call.session.as_ref().map_or(call.id.as_str(), |session| session.as_str());
        *units.entry((&call.command, unit, call.lane)).or_default() |= bad.has(metric);
    }
    let of = |(command, class): (&str, Class)| {
        let own = |lane: Option<Lane>| {
            let own = units.iter().filter(move |((name, ..), _)| *name == command);
            own.filter(move |((.., of), _)| lane.is_none_or(|lane| lane == *of))
        };
        let keys: BTreeSet<&str> = own(None).map(|((_, unit, _), _)| *unit).collect();
        let in_v2 = own(Some(Lane::V2)).count().max(1) as f64;
        let bad = own(Some(Lane::V2)).filter(|(_, bad)| **bad).count() as f64 / in_v2;
        let share = percents.of(class).share();
        (command.to_owned(), Traffic { rate: keys.len() as f64 / lasted, bad, share })
    };
    classes.into_iter().map(of).collect()
}

fn see(all: &[Traffic], worse: usize, ratio: u32, settings: &Settings, metric: Metric) -> Sight {
    let mut seen: Vec<(f64, u64)> = Vec::new();
    // At no share and at the whole there is nothing to compare.
    let compared = all[worse].share > 0.0 && all[worse].share < 1.0;
    for run in (0..RUNS).filter(|_| compared) {
        let mut chance = Chance(run << 32 | (worse as u64) << 16 | u64::from(ratio));
        seen.extend(play(all, (worse, f64::from(ratio)), settings, metric, &mut chance));
    }
    seen.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at = |share: f64| seen.get((RUNS as f64 * share) as usize).copied();
    Sight {
        ratio,
        median_s: at(0.5).map(|(seconds, _)| seconds),
        p90_s: at(0.9).map(|(seconds, _)| seconds),
        v3_bad: at(0.5).map(|(_, bad)| bad),
    }
}

/// Bad units one after the other, each by chance of some command and lane, until the guard would
/// roll back: in seconds, and V3's bad units until then.
fn play(
    all: &[Traffic],
    (worse, ratio): (usize, f64),
    settings: &Settings,
    metric: Metric,
    chance: &mut Chance,
) -> Option<(f64, u64)> {
    let bounds = &settings.bounds[&metric];
    let mut comparison = Comparison::new(bounds.tolerated, bounds.unacceptable, all.len());
    // For each command V2's bad units a second, then V3's.
    let rates: Vec<f64> = all
        .iter()
        .enumerate()
        .flat_map(|(index, of)| {
            let times = if index == worse { ratio } else { 1.0 };
            let v3 = (of.bad * times).min(1.0) * of.share;
            [of.rate * of.bad * (1.0 - of.share), of.rate * v3]
        })
        .collect();
    let total: f64 = rates.iter().sum();
    // A second of traffic adds so much to the weight of a difference of shares.
    let weight: f64 = all.iter().map(|of| of.rate * of.share * (1.0 - of.share)).sum();
    let mut seconds = 0.0;
    while comparison.bad_units().candidate < PATIENCE
        && comparison.bad_units().control < 100 * PATIENCE
    {
        seconds -= libm::log(chance.unit()) / total;
        let mut lot = chance.unit() * total;
        let drawn = rates.iter().position(|rate| {
            lot -= rate;
            lot <= 0.0
        });
        let drawn = drawn.unwrap_or(rates.len() - 1);
        let (stratum, arm) = match drawn % 2 {
            0 => (drawn / 2, Arm::Control),
            _ => (drawn / 2, Arm::Candidate),
        };
        let share = all[stratum].share;
        let shares = Shares { intended: share, actual: Some(share), arrived: None };
        comparison.bad(stratum, shares, arm, false);
        // Evidence of harm only grows by V3's own.
        if arm == Arm::Candidate
            && comparison.ln_e() >= settings.ln_rollback()
            && comparison.difference(weight * seconds) >= Some(settings.floor)
        {
            return Some((seconds, comparison.bad_units().candidate));
        }
    }
    None
}

/// SplitMix64 (Steele, Lea and Flood 2014): the same runs each time, and chance is an argument.
struct Chance(u64);

impl Chance {
    /// Above 0 and at most 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}
