//! Intervals for shares and for the difference of two shares, from counts.

use serde::Serialize;

/// 99 % confidence: with a report of twenty noisy paths, a false alarm in one of ten reports.
pub const Z: f64 = 2.575_829_303_548_901;

/// From the lower to the upper end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// How many it were.
    pub count: u64,
    /// Of how many.
    pub of: u64,
}

impl Share {
    /// The share, from 0 to 1; 0 of none.
    #[must_use]
    pub fn value(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.count as f64 / self.of as f64 }
    }

    /// Wilson's score interval (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927, 209-212): it keeps
    /// within 0 and 1, and says something at 0 of n. Of none, it is everything.
    #[must_use]
    pub fn interval(self, z: f64) -> Interval {
        if self.of == 0 {
            return Interval { low: 0.0, high: 1.0 };
        }
        let (n, p, zz) = (self.of as f64, self.value(), z * z);
        let centre = p + zz / (2.0 * n);
        let reach = z * (p * (1.0 - p) / n + zz / (4.0 * n * n)).sqrt();
        let scale = 1.0 + zz / n;
        let low = if self.count == 0 { 0.0 } else { (centre - reach) / scale };
        let high = if self.count == self.of { 1.0 } else { (centre + reach) / scale };
        Interval { low, high }
    }

    /// Newcombe's hybrid score interval for the difference of two independent shares, this one
    /// less the other (R. G. Newcombe, Statistics in Medicine 17, 1998, 873-890, method 10).
    #[must_use]
    pub fn less(self, other: Self, z: f64) -> Interval {
        let (mine, theirs) = (self.interval(z), other.interval(z));
        let (p, q) = (self.value(), other.value());
        let (down, up) =
            ((p - mine.low).hypot(theirs.high - q), (mine.high - p).hypot(q - theirs.low));
        Interval { low: p - q - down, high: p - q + up }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const Z95: f64 = 1.959_963_984_540_054;

    fn close(found: Interval, low: f64, high: f64) {
        let near = |a: f64, b: f64| (a - b).abs() < 5e-5;
        assert!(near(found.low, low) && near(found.high, high), "{found:?}, not {low} to {high}");
    }

    /// Newcombe's own table II, method 10.
    #[test]
    fn differences_of_shares_are_as_published() {
        for ((a, m), (b, n), low, high) in [
            ((56, 70), (48, 80), 0.0524, 0.3339),
            ((9, 10), (3, 10), 0.1705, 0.8090),
            ((6, 7), (2, 7), 0.0582, 0.8062),
            ((5, 56), (0, 29), -0.0381, 0.1926),
            ((0, 10), (0, 20), -0.1611, 0.2775),
            ((0, 10), (0, 10), -0.2775, 0.2775),
            ((10, 10), (0, 20), 0.6791, 1.0),
            ((10, 10), (0, 10), 0.6075, 1.0),
        ] {
            let (one, other) = (Share { count: a, of: m }, Share { count: b, of: n });
            close(one.less(other, Z95), low, high);
        }
    }

    #[test]
    fn of_none_everything_is_possible() {
        close(Share::default().interval(Z), 0.0, 1.0);
        assert_eq!(Share::default().value(), 0.0);
        close(Share { count: 81, of: 263 }.interval(Z95), 0.2553, 0.3662);
    }
}
