//! Durations of one kind in little room, for many short series: one for each slice of time.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::meter::slices::Merge;

/// An hour in nanoseconds: what takes longer counts as that, but for the exact maximum.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Significant digits.
const DIGITS: u8 = 3;

/// Values below 2^11 have a bucket each, and others as many in each power of two: three
/// significant digits, as an HdrHistogram of this range has them.
const SUB_BUCKET_BITS: u32 = 11;

/// Counts of nanoseconds in an HdrHistogram's buckets, kept only where there is something.
/// Quantiles are bucket edges, within 0.1 %; count and maximum are exact.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseSeries {
    /// By each bucket's lowest value; at most 1024 for each of 32 powers of two.
    counts: BTreeMap<u64, u64>,
    count: u64,
    max_ns: u64,
}

impl SparseSeries {
    /// Counts one duration.
    pub fn record(&mut self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.add(nanos.min(LONGEST_NS), 1);
        self.max_ns = self.max_ns.max(nanos);
    }

    /// What a histogram as [`SparseSeries::histogram`] makes them has counted; `max` is what is
    /// known of its longest. Nothing if it has other buckets.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>, max: Duration) -> Option<Self> {
        if (histogram.low(), histogram.high(), histogram.sigfig()) != (1, LONGEST_NS, DIGITS) {
            return None;
        }
        let mut series = Self::default();
        for bucket in histogram.iter_recorded() {
            series.add(bucket.value_iterated_to(), bucket.count_at_value());
        }
        series.max_ns = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX);
        Some(series)
    }

    fn add(&mut self, nanos: u64, count: u64) {
        *self.counts.entry(lowest(nanos)).or_default() += count;
        self.count += count;
    }

    /// The same as an HdrHistogram of nanoseconds, from 1 to an hour with three digits.
    #[must_use]
    pub fn histogram(&self) -> Histogram<u64> {
        let mut histogram =
            Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("the bounds are legal");
        for (nanos, count) in &self.counts {
            histogram.record_n(*nanos, *count).expect("nothing counted is above the bound");
        }
        histogram
    }

    /// How many durations were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether none was.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The longest, exactly.
    #[must_use]
    pub const fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }

    /// Replaces the longest by one that is known more exactly than to a bucket.
    pub fn set_max(&mut self, max: Duration) {
        self.max_ns = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX);
    }

    /// The arithmetic mean, from the buckets' middles, and so no longer than the longest; zero if
    /// there is none.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let middle = |nanos: u64| (nanos as f64 + highest(nanos) as f64) / 2.0;
        let sum: f64 =
            self.counts.iter().map(|(nanos, count)| middle(*nanos) * *count as f64).sum();
        Duration::from_nanos((sum / self.count.max(1) as f64) as u64).min(self.max())
    }

    /// The duration that the share `quantile` (0 to 1) of all does not exceed.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        let wanted = ((quantile * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (nanos, count) in &self.counts {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(highest(*nanos).min(self.max_ns));
            }
        }
        self.max()
    }

    /// Each bucket that holds something, in order: its highest value in nanoseconds, its count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.counts.iter().map(|(nanos, count)| (highest(*nanos), *count))
    }
}

impl Merge for SparseSeries {
    /// Histograms are merged; percentiles are never averaged.
    fn merge(&mut self, other: Self) {
        for (nanos, count) in other.counts {
            self.add(nanos, count);
        }
        self.max_ns = self.max_ns.max(other.max_ns);
    }
}

/// By how many bits the bucket of a value is wider than one.
const fn width_bits(nanos: u64) -> u32 {
    (u64::BITS - nanos.leading_zeros()).saturating_sub(SUB_BUCKET_BITS)
}

const fn lowest(nanos: u64) -> u64 {
    let bits = width_bits(nanos);
    nanos >> bits << bits
}

const fn highest(lowest: u64) -> u64 {
    lowest + (1 << width_bits(lowest)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_buckets_are_those_of_an_hdr_histogram() {
        let mut series = SparseSeries::default();
        let mut dense: Histogram<u64> = Histogram::new_with_bounds(1, LONGEST_NS, 3).unwrap();
        // Both sides of each power of two, and values in between.
        let around = |bits: u32| [(1u64 << bits) - 1, 1 << bits, (1 << bits) + (1 << bits) / 3];
        for nanos in (0..41).flat_map(around) {
            series.record(Duration::from_nanos(nanos));
            dense.record(nanos).unwrap();
            assert_eq!(lowest(nanos), dense.lowest_equivalent(nanos), "{nanos}");
            assert_eq!(highest(lowest(nanos)), dense.highest_equivalent(nanos), "{nanos}");
        }
        assert_eq!(series.histogram(), dense);
        assert_eq!(SparseSeries::of(&dense, series.max()), Some(series.clone()));
        let other: Histogram<u64> = Histogram::new_with_bounds(1, LONGEST_NS * 2, 3).unwrap();
        assert_eq!(SparseSeries::of(&other, series.max()), None);
        for quantile in [0.0, 0.1, 0.5, 0.9, 0.99] {
            let expected = dense.value_at_quantile(quantile);
            assert_eq!(series.quantile(quantile).as_nanos() as u64, expected, "{quantile}");
        }
    }

    #[test]
    fn the_longest_is_exact_even_beyond_the_range() {
        let mut series = SparseSeries::default();
        series.record(Duration::from_nanos(123_456_789));
        assert_eq!(series.quantile(1.0), Duration::from_nanos(123_456_789));
        series.record(Duration::from_secs(7200));
        assert_eq!(series.max(), Duration::from_secs(7200));
        assert_eq!(series.histogram().len(), 2);
    }

    #[test]
    fn the_mean_is_within_a_bucket() {
        let mut series = SparseSeries::default();
        assert_eq!(series.mean(), Duration::ZERO);
        let mut one = SparseSeries::default();
        one.record(Duration::from_nanos(1 << 20));
        assert_eq!(one.mean(), one.max());
        for millis in 1..=100 {
            series.record(Duration::from_millis(millis));
        }
        let error = series.mean().as_secs_f64() / 0.0505 - 1.0;
        assert!(error.abs() < 0.001, "{error}");
    }
}
