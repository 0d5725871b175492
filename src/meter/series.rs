//! Durations of one kind: a histogram, with its exact maximum beside it.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Microseconds with three significant digits; an hour is the longest that keeps them.
const LONGEST_US: u64 = 3_600_000_000;

/// A histogram of durations in microseconds. Its quantiles are bucket edges, within 0.1 %;
/// count and maximum are exact.
#[derive(Clone, Debug)]
pub struct Series {
    histogram: Histogram<u64>,
    max: Duration,
}

impl Series {
    /// A series of which buckets (microseconds, count) and the longest duration are known.
    #[must_use]
    pub fn of(longest: Duration, buckets: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut series = Self { max: longest, ..Self::default() };
        for (micros, count) in buckets {
            series.histogram.saturating_record_n(micros, count);
        }
        series
    }

    /// Counts one duration.
    pub fn record(&mut self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(LONGEST_US);
        self.histogram.saturating_record(micros);
        self.max = self.max.max(span);
    }

    /// Adds another series. Histograms are merged; percentiles are never averaged.
    pub fn merge(&mut self, other: &Self) {
        let same = "all series have one range";
        self.histogram.add(&other.histogram).expect(same);
        self.max = self.max.max(other.max);
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The duration below which the share `quantile` (0 to 1) of all lies.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.histogram.value_at_quantile(quantile)).min(self.max)
    }

    /// The histogram itself, in microseconds.
    #[must_use]
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }
}

impl Default for Series {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 3);
        Self { histogram: histogram.expect("the bounds are legal"), max: Duration::ZERO }
    }
}
