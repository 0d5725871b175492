//! A share of sessions, exact to the thousandth of a percent.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// Thousandths of a percent, from 0 to 100000; as many buckets go to V3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u32);

/// Text that is not a percentage.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a percentage: write 0 to 100 with at most three decimals, such as 12.5")]
pub struct BadPercent {
    text: String,
}

impl Percent {
    /// Nobody goes to V3.
    pub const ZERO: Self = Self(0);
    /// Everybody goes to V3.
    pub const HUNDRED: Self = Self(100_000);

    /// The number of buckets that go to V3.
    #[must_use]
    pub const fn buckets(self) -> u32 {
        self.0
    }

    /// The share, from 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::HUNDRED.0)
    }
}

/// Parsed from its decimal text, never through a float.
impl FromStr for Percent {
    type Err = BadPercent;

    fn from_str(text: &str) -> Result<Self, BadPercent> {
        let bad = || BadPercent { text: text.to_owned() };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str, max: usize| {
            (1..=max).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(whole, 3) || !digits(fraction, 3) {
            return Err(bad());
        }
        let whole: u32 = whole.parse().map_err(|_| bad())?;
        let thousandths: u32 = format!("{fraction:0<3}").parse().map_err(|_| bad())?;
        match whole * 1000 + thousandths {
            percent @ 0..=100_000 => Ok(Self(percent)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, thousandths) = (self.0 / 1000, self.0 % 1000);
        if thousandths == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{thousandths:03}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (f64::from(self.0) / 1000.0).serialize(serializer)
    }
}

/// From the number's shortest text, which for thousandths is the one they were written by.
impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        number.to_string().parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_percent_survives_json() {
        for thousandths in 0..=100_000 {
            let json = serde_json::to_string(&Percent(thousandths)).unwrap();
            assert_eq!(serde_json::from_str::<Percent>(&json).unwrap(), Percent(thousandths));
        }
        assert!(serde_json::from_str::<Percent>("1.2345").is_err());
    }

    #[test]
    fn r12_percent_is_exact_and_a_fourth_decimal_is_an_error() {
        for (text, buckets) in
            [("0", 0), ("100", 100_000), ("12.5", 12_500), ("0.001", 1), ("99.999", 99_999)]
        {
            let percent: Percent = text.parse().unwrap();
            assert_eq!((percent.buckets(), percent.to_string().as_str()), (buckets, text));
        }
        for text in ["", "100.001", "1.0001", "-1", "+1", "1e1", ".5", "5.", "101", " 1", "1,5"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }
}
