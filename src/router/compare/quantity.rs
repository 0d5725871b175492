//! Numbers, and how far they are apart.

use serde_json::Number;

/// A number of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Quantity {
    /// Kept whole: above 2^53, floats lie further apart than ids do.
    Whole(i128),
    Float(f64),
}

impl Quantity {
    pub(super) fn of(number: &Number) -> Option<Self> {
        match number.as_i128() {
            Some(whole) => Some(Self::Whole(whole)),
            None => number.as_f64().map(Self::Float),
        }
    }

    /// From a text that is a number and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(whole) = text.parse() {
            return Some(Self::Whole(whole));
        }
        text.parse().ok().filter(|number: &f64| number.is_finite()).map(Self::Float)
    }

    /// Zero only if both are the same number, as far as they can be told apart.
    pub(super) fn apart(self, other: Self) -> f64 {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one.abs_diff(other) as f64,
            _ => (self.value() - other.value()).abs(),
        }
    }

    pub(super) fn size(self) -> f64 {
        self.value().abs()
    }

    fn value(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Float(float) => float,
        }
    }
}
