//! Something for each slice of a run's time: a run of any length has at most [`Slices::MOST`].

use std::time::Duration;

/// What two neighbours of become one.
pub trait Merge {
    /// Takes the other in.
    fn merge(&mut self, other: Self);
}

/// Slices of equal width from the run's start on. When a moment lies beyond the last that there
/// may be, neighbours become one and the width doubles.
#[derive(Clone, Debug, PartialEq)]
pub struct Slices<T> {
    width: Duration,
    slices: Vec<T>,
}

impl<T: Default + Merge> Slices<T> {
    /// Twice as many as a chart a hand wide can tell apart, and enough blocks for a bootstrap.
    pub const MOST: usize = 120;

    /// No slice yet; the first will have this width, which is above zero.
    #[must_use]
    pub fn new(width: Duration) -> Self {
        assert!(!width.is_zero(), "a slice has a width");
        Self { width, slices: Vec::new() }
    }

    /// The slices that there are, each of this width.
    ///
    /// # Panics
    /// If the width is zero.
    #[must_use]
    pub fn from_parts(width: Duration, slices: Vec<T>) -> Self {
        assert!(!width.is_zero(), "a slice has a width");
        Self { width, slices }
    }

    /// The slice of a moment, counted from the run's start.
    pub fn at(&mut self, since_start: Duration) -> &mut T {
        while self.index(since_start) >= Self::MOST {
            self.coarsen();
        }
        let index = self.index(since_start);
        if index >= self.slices.len() {
            self.slices.resize_with(index + 1, T::default);
        }
        &mut self.slices[index]
    }

    fn index(&self, since_start: Duration) -> usize {
        let index = since_start.as_nanos() / self.width.as_nanos();
        usize::try_from(index).unwrap_or(usize::MAX)
    }

    fn coarsen(&mut self) {
        self.width *= 2;
        let mut fine = std::mem::take(&mut self.slices).into_iter();
        while let Some(mut slice) = fine.next() {
            if let Some(next) = fine.next() {
                slice.merge(next);
            }
            self.slices.push(slice);
        }
    }

    /// Every slice that `from` to `until` overlaps, with how long.
    pub fn spread(
        &mut self,
        from: Duration,
        until: Duration,
        mut note: impl FnMut(&mut T, Duration),
    ) {
        // The end first, so that the width is the final one.
        self.at(until);
        let mut at = from;
        while at < until {
            let end = self.width * u32::try_from(self.index(at) + 1).expect("at most MOST");
            let end = end.min(until);
            note(self.at(at), end - at);
            at = end;
        }
    }

    /// The same slices of something else.
    pub fn map<U: Default + Merge>(self, change: impl FnMut(T) -> U) -> Slices<U> {
        Slices { width: self.width, slices: self.slices.into_iter().map(change).collect() }
    }

    /// How long each slice is.
    #[must_use]
    pub const fn width(&self) -> Duration {
        self.width
    }

    /// How many there are: up to the last that was asked for.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.slices.len()
    }

    /// Whether none was asked for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// The slices, from the run's start on.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.slices.iter()
    }

    /// The slices with when each begins.
    pub fn timed(&self) -> impl Iterator<Item = (Duration, &T)> {
        let start = |index| self.width * u32::try_from(index).expect("at most MOST");
        self.slices.iter().enumerate().map(move |(index, slice)| (start(index), slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Merge for u64 {
        fn merge(&mut self, other: Self) {
            *self += other;
        }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_long_run_has_few_slices_and_loses_nothing() {
        let mut slices: Slices<u64> = Slices::new(MS);
        for millis in 0..1000 {
            *slices.at(MS * millis) += 1;
            assert!(slices.len() <= Slices::<u64>::MOST);
        }
        assert_eq!(slices.width(), MS * 16);
        assert_eq!(slices.iter().sum::<u64>(), 1000);
        assert!(slices.iter().take(62).all(|count| *count == 16));
        *slices.at(Duration::from_secs(3600 * 24 * 365)) += 1;
        assert_eq!(slices.iter().sum::<u64>(), 1001);
    }

    #[test]
    fn what_lasts_is_spread_over_the_slices_that_it_overlaps() {
        let mut slices: Slices<u64> = Slices::new(MS);
        let note = |slice: &mut u64, span: Duration| *slice += span.as_micros() as u64;
        slices.spread(MS / 2, MS * 5 / 2, note);
        assert_eq!(slices.iter().copied().collect::<Vec<_>>(), [500, 1000, 500]);
        slices.spread(MS * 50, MS * 500, note);
        assert_eq!(slices.iter().sum::<u64>(), 452_000);
        slices.spread(MS * 7, MS * 7, note);
        assert_eq!(slices.iter().sum::<u64>(), 452_000);
    }
}
