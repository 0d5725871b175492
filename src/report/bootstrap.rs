//! How far a difference of quantiles may be chance: a block bootstrap over slices of time.
//!
//! Response times of neighbouring calls are alike, since they meet the same queue; formulas for
//! independent calls would give intervals that are too narrow. So whole blocks of time are drawn
//! with replacement, as many as the run has, the quantiles of what was drawn are compared, and
//! that a thousand times (Carlstein, Annals of Statistics 14, 1986; percentile interval after
//! Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::meter::{Slices, SparseSeries};

/// How it is made, in words for a report.
pub const METHOD: &str = "95 % intervals by block bootstrap over time (Carlstein 1986; percentile \
                          method, Efron and Tibshirani 1993), 1000 draws";

/// How often blocks are drawn.
const DRAWS: usize = 1000;

/// The share of the draws that is cut off at each end.
const TAIL: f64 = 0.025;

/// Blocks of a run. More would be shorter, and depend on each other more.
const MOST_BLOCKS: usize = 30;

/// With fewer blocks that have calls, an interval would be a guess.
const LEAST_BLOCKS: usize = 15;

/// Fixed, so that a report of the same files says the same.
const SEED: u64 = 1;

/// A series, in blocks of time.
#[derive(Clone, Debug)]
pub struct Blocks {
    /// Value, block, count; by value.
    entries: Vec<(u64, u32, u64)>,
    /// Calls in each block.
    counts: Vec<u64>,
}

impl Blocks {
    /// The blocks of what `series` takes from each slice.
    pub fn of<T: Default + crate::meter::Merge>(
        slices: &Slices<T>,
        series: impl Fn(&T) -> SparseSeries,
    ) -> Self {
        let per_block = slices.len().div_ceil(MOST_BLOCKS).max(1);
        let mut counts = vec![0; slices.len().div_ceil(per_block)];
        let mut entries = Vec::new();
        for (index, slice) in slices.iter().enumerate() {
            let block = index / per_block;
            for (nanos, count) in series(slice).buckets() {
                entries.push((nanos, u32::try_from(block).expect("at most thirty"), count));
                counts[block] += count;
            }
        }
        entries.sort_unstable();
        Self { entries, counts }
    }

    /// Whether there are enough blocks with calls for an interval.
    #[must_use]
    pub fn suffice(&self) -> bool {
        self.counts.iter().filter(|count| **count > 0).count() >= LEAST_BLOCKS
    }

    /// The quantiles, in nanoseconds, if each block is there so many times; none if that leaves
    /// no call.
    fn quantiles(&self, times: &[u64], quantiles: &[f64]) -> Option<Vec<f64>> {
        let total: u64 = self.counts.iter().zip(times).map(|(count, times)| count * times).sum();
        if total == 0 {
            return None;
        }
        let wanted = |quantile: &f64| ((quantile * total as f64).ceil() as u64).max(1);
        let mut wanted = quantiles.iter().map(wanted).peekable();
        let (mut seen, mut found) = (0, Vec::with_capacity(quantiles.len()));
        for (nanos, block, count) in &self.entries {
            seen += count * times[*block as usize];
            while wanted.next_if(|wanted| seen >= *wanted).is_some() {
                found.push(*nanos as f64);
            }
        }
        Some(found)
    }
}

/// A difference, with the interval in which it is for 95 of 100 runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// Whether two series are of the same time, so that what shook one shook the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Two lanes of one run: the same blocks are drawn for both.
    SameTime,
    /// Two runs.
    Apart,
}

/// For each quantile (ascending), the intervals of `right - left` in nanoseconds and of
/// `right / left - 1`; none if either has too few blocks.
#[must_use]
pub fn intervals(
    left: &Blocks,
    right: &Blocks,
    pairing: Pairing,
    quantiles: &[f64],
) -> Option<Vec<(Interval, Interval)>> {
    if !left.suffice() || !right.suffice() {
        return None;
    }
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut draws = vec![(Vec::new(), Vec::new()); quantiles.len()];
    for _ in 0..DRAWS {
        let left_times = drawn(&mut rng, left.counts.len());
        let right_times = match pairing {
            Pairing::SameTime => left_times.clone(),
            Pairing::Apart => drawn(&mut rng, right.counts.len()),
        };
        let left = left.quantiles(&left_times, quantiles);
        let Some((left, right)) = left.zip(right.quantiles(&right_times, quantiles)) else {
            continue;
        };
        for ((differences, changes), (left, right)) in
            draws.iter_mut().zip(left.into_iter().zip(right))
        {
            differences.push(right - left);
            changes.push(right / left.max(1.0) - 1.0);
        }
    }
    Some(draws.into_iter().map(|(differences, changes)| (cut(differences), cut(changes))).collect())
}

/// How many times each of the blocks is drawn, in as many draws as there are.
fn drawn(rng: &mut StdRng, blocks: usize) -> Vec<u64> {
    let mut times = vec![0; blocks];
    for _ in 0..blocks {
        times[rng.random_range(0..blocks)] += 1;
    }
    times
}

fn cut(mut values: Vec<f64>) -> Interval {
    values.sort_unstable_by(f64::total_cmp);
    let cut = (values.len() as f64 * TAIL) as usize;
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    Interval { low: at(cut), high: at(values.len().saturating_sub(cut + 1)) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::meter::Merge;

    #[derive(Clone, Default)]
    struct One(SparseSeries);

    impl Merge for One {
        fn merge(&mut self, other: Self) {
            self.0.merge(other.0);
        }
    }

    /// Thirty slices of so many exponential times each, with this mean in microseconds.
    fn exponential(seed: u64, mean_us: f64, calls: u32) -> Blocks {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut slices: Slices<One> = Slices::new(Duration::from_millis(100));
        for slice in 0..30 {
            for _ in 0..calls {
                let drawn: f64 = rng.random_range(1e-12..1.0);
                let micros = -drawn.ln() * mean_us;
                let one = slices.at(Duration::from_millis(100) * slice);
                one.0.record(Duration::from_secs_f64(micros / 1e6));
            }
        }
        Blocks::of(&slices, |one| one.0.clone())
    }

    #[test]
    fn intervals_cover_the_truth_about_as_often_as_they_say() {
        let truth = std::f64::consts::LN_2 * (1500.0 - 1000.0) * 1e3;
        let covers = |seed: u64| {
            let (left, right) =
                (exponential(seed, 1000.0, 10), exponential(seed + 500, 1500.0, 10));
            let intervals = intervals(&left, &right, Pairing::Apart, &[0.5]).unwrap();
            let (Interval { low, high }, change) = intervals[0];
            assert!(low < high && change.low < change.high);
            (low..=high).contains(&truth)
        };
        let covered = (0..60).filter(|seed| covers(*seed)).count();
        // 57 expected; 5 sigma of 60 draws are 8.
        assert!(covered >= 49, "{covered} of 60");
    }

    #[test]
    fn what_shakes_both_lanes_is_no_difference() {
        let one = exponential(1, 1000.0, 20);
        let same = intervals(&one, &one, Pairing::SameTime, &[0.5, 0.9]).unwrap();
        assert!(same.iter().all(|(difference, _)| (difference.low, difference.high) == (0.0, 0.0)));
        let apart = intervals(&one, &one, Pairing::Apart, &[0.5]).unwrap();
        assert!(apart[0].0.low < 0.0 && apart[0].0.high > 0.0);
    }

    #[test]
    fn a_few_blocks_give_no_interval() {
        let mut slices: Slices<One> = Slices::new(Duration::from_millis(100));
        for slice in 0..14 {
            slices.at(Duration::from_millis(100) * slice).0.record(Duration::from_millis(1));
        }
        let few = Blocks::of(&slices, |one| one.0.clone());
        assert_eq!(intervals(&few, &few, Pairing::Apart, &[0.5]), None);
    }
}
