//! Which differences a lane shows with itself: they are no finding about the other lane.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::router::compare::Kind;
use crate::router::compare::glob::Glob;
use crate::router::compare::interval::{Share, Z};
use crate::router::compare::rule::{ERROR, Effect, Place, Rule};

/// Fewer pairs than this are an anecdote, whatever an interval says.
pub const LEAST: u64 = 3;

/// What is thought of one path and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It differs more often between the lanes than a lane does from itself, or nobody has
    /// looked whether a lane differs from itself.
    Mismatch,
    /// It differs, but so rarely, or noise is known so little, that it may be noise.
    Undecided,
    /// It differs by itself.
    Noise,
}

/// Judges a path from its counts: pairs of both lanes that differ there, and pairs of one lane.
///
/// A mismatch is claimed from [`LEAST`] pairs on, if the 99 % interval of the difference of the
/// two shares ([`Share::less`]) lies above zero. It is made for looking at now and then; what
/// decides by itself and looks all the time needs a test that allows it.
#[must_use]
pub fn judge(lanes: Share, noise: Share) -> Standing {
    if noise.of == 0 {
        return Standing::Mismatch;
    }
    if lanes.count >= LEAST && lanes.less(noise, Z).low > 0.0 {
        return Standing::Mismatch;
    }
    if noise.count >= LEAST { Standing::Noise } else { Standing::Undecided }
}

/// The rules that silence exactly the given noise, and nothing else at or below those paths.
/// None for errors against values, of which no rule can speak.
#[must_use]
pub fn proposals<'a>(noise: impl IntoIterator<Item = (&'a str, Kind)>) -> Vec<Rule> {
    let mut kinds: BTreeMap<&str, Vec<Kind>> = BTreeMap::new();
    let mut rules = Vec::new();
    for (shape, kind) in noise {
        match kind {
            Kind::Error => {}
            Kind::Order => rules.extend(rule(shape, Effect::Unordered)),
            other => kinds.entry(shape).or_default().push(other),
        }
    }
    let ignored = kinds.into_iter().map(|(shape, kinds)| rule(shape, Effect::IgnoreKinds(kinds)));
    rules.extend(ignored.flatten());
    rules
}

fn rule(shape: &str, effect: Effect) -> Option<Rule> {
    let at = match shape {
        ERROR => Place::Error,
        // A pointer deeper than a rule may be has no rule.
        shape => Place::Value(shape.parse::<Glob>().ok()?),
    };
    Some(Rule { at, effect })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(count: u64, of: u64, noise: u64, noise_of: u64) -> Standing {
        judge(Share { count, of }, Share { count: noise, of: noise_of })
    }

    #[test]
    fn a_path_is_judged_by_counts_and_an_interval() {
        use Standing::{Mismatch, Noise, Undecided};
        for (count, of, noise, noise_of, expected) in [
            (1, 1000, 0, 0, Mismatch),
            (200, 200, 0, 50, Mismatch),
            (200, 200, 50, 50, Noise),
            (20, 200, 0, 50, Undecided),
            (20, 200, 0, 200, Mismatch),
            (2, 2, 0, 100_000, Undecided),
            (3, 3, 0, 100_000, Mismatch),
            (60, 100, 30, 100, Mismatch),
            (40, 100, 30, 100, Noise),
            (3, 100, 2, 100, Undecided),
            // Twice the share, and no proof: raw ratios would cry out.
            (4, 100, 2, 100, Undecided),
        ] {
            assert_eq!(
                judged(count, of, noise, noise_of),
                expected,
                "{count}/{of} beside {noise}/{noise_of}"
            );
        }
    }
}
