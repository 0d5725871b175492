//! What is compared: a candidate beside its control, and how many units each has.

use serde::{Deserialize, Serialize};

use crate::call::Lane;

/// One side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// V2, or a comparison of V2 with itself, whose mismatches are noise.
    Control,
    /// V3, or a comparison of V3 with V2.
    Candidate,
}

impl From<Lane> for Arm {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::V2 => Self::Control,
            Lane::V3 => Self::Candidate,
        }
    }
}

/// The candidate's share of what could have gone bad, as it was meant and as it was.
///
/// Both are right while draws follow the percentage and all units are alike, and neither is
/// when they do not: the counts move by chance while they are small, and lag where units come
/// and go; the percentage knows nothing of sessions that come back. Evidence of harm falls as
/// the share rises, evidence of harmlessness as it falls, so each takes the share that makes it
/// weaker, and is valid if either is right.
///
/// Comparisons have a third one. What is drawn to be compared is compared only if its lane has a
/// spare worker, so neither need be right where nearly every unit goes bad with its first pair and
/// nobody is at risk: the share of those that came does not depend on how many of them went bad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// The percentage by which the unit was drawn, from 0 to 1.
    pub intended: f64,
    /// Of the units at risk just before; none while there was nobody.
    pub actual: Option<f64>,
    /// The units that have come so far, where their share is not that of the draws.
    pub arrived: Option<Arms>,
}

impl Shares {
    /// The higher one, strictly between 0 and 1; none if nothing can be compared.
    #[must_use]
    pub fn high(self) -> Option<f64> {
        // With one more of the candidate's: few units tell little about a share.
        let arrived = self.arrived.map(|Arms { control, candidate }| {
            (candidate + 1) as f64 / (control + candidate + 1) as f64
        });
        let shares = [self.actual, arrived].into_iter().flatten();
        Some(shares.fold(self.intended, f64::max)).filter(|share| *share > 0.0 && *share < 1.0)
    }

    /// The lower one, strictly between 0 and 1; none if nothing can be compared.
    #[must_use]
    pub fn low(self) -> Option<f64> {
        let arrived = self.arrived.map(|arms| arms.candidate as f64 / (arms.total() + 1) as f64);
        let low = self.actual.map(|actual| actual.min(self.intended));
        let low = low.map(|low| arrived.map_or(low, |arrived| arrived.min(low)));
        low.filter(|share| *share > 0.0 && *share < 1.0)
    }
}

/// A count for each arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arms {
    /// The control's.
    pub control: u64,
    /// The candidate's.
    pub candidate: u64,
}

impl Arms {
    /// One more in this arm.
    pub fn add(&mut self, arm: Arm) {
        match arm {
            Arm::Control => self.control += 1,
            Arm::Candidate => self.candidate += 1,
        }
    }

    /// Both together.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.control + self.candidate
    }

    /// Arm by arm, the sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { control: self.control + other.control, candidate: self.candidate + other.candidate }
    }

    /// Arm by arm, what is left; nothing below zero.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self {
            control: self.control.saturating_sub(other.control),
            candidate: self.candidate.saturating_sub(other.candidate),
        }
    }

    /// Arm by arm, the higher one.
    #[must_use]
    pub fn higher(self, other: Self) -> Self {
        Self {
            control: self.control.max(other.control),
            candidate: self.candidate.max(other.candidate),
        }
    }

    /// The candidate's share, from 0 to 1; none of nothing.
    #[must_use]
    pub fn share(self) -> Option<f64> {
        (self.total() > 0).then(|| self.candidate as f64 / self.total() as f64)
    }

    /// The weight `n2 n3 / (n2 + n3)` of this stratum in a difference of shares (Mantel and
    /// Haenszel 1959, for differences Greenland and Robins, Biometrics 41, 1985).
    #[must_use]
    pub fn weight(self) -> f64 {
        self.share().map_or(0.0, |share| share * self.control as f64)
    }
}
