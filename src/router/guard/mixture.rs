//! The evidence that bad events favour one arm: a mixture of conditional likelihood ratios.

use serde::{Deserialize, Serialize};

use crate::router::guard::arms::Arm;

/// What is looked for beyond the tolerated ratio, as its multiples: gross harm shows within a
/// few events, small harm at length, and no one has to guess which it will be.
const HARM: [f64; 6] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0];

/// What is looked for below the unacceptable ratio: as good as V2, or better.
const HARMLESS: [f64; 3] = [1.0, 0.75, 0.5];

/// An e-process over bad events, valid at every look.
///
/// Given that the next event is bad, it is the candidate's with chance
/// `p(r) = share r / (1 - share + share r)`, where `r` is the ratio of the arms' rates and
/// `share` the candidate's share of the units at risk just before. That is Cox's partial
/// likelihood, and the product of `p(r) / p(null)` the anytime-valid logrank test (ter Schure,
/// Pérez-Ortiz, Ly and Grünwald, NEJSDS 2(2), 2024). The mean over several `r` is an e-process
/// too. By Ville's inequality it ever reaches `1 / alpha` with chance `alpha` at most while the
/// null holds: also if that is looked at after each event, if the share moves, and if both
/// rates drift together.
///
/// State: one sum of logarithms for each alternative.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mixture {
    /// The ratio at the edge of the null.
    null: f64,
    /// The ratios in favour of which evidence is gathered.
    alternatives: Vec<f64>,
    /// For each, the sum of `ln p(alternative) / p(null)`.
    sums: Vec<f64>,
}

impl Mixture {
    /// Evidence that the candidate's rate is more than `tolerated` times the control's.
    #[must_use]
    pub fn of_harm(tolerated: f64) -> Self {
        Self::new(tolerated, HARM.map(|multiple| multiple * tolerated).to_vec())
    }

    /// Evidence that the candidate's rate is less than `unacceptable` times the control's.
    ///
    /// # Panics
    /// Unless `unacceptable` is above 1: that the arms are equal could not be told from it.
    #[must_use]
    pub fn of_harmlessness(unacceptable: f64) -> Self {
        assert!(unacceptable > 1.0, "{unacceptable} is no ratio to be ruled out");
        Self::new(unacceptable, HARMLESS.to_vec())
    }

    fn new(null: f64, alternatives: Vec<f64>) -> Self {
        assert!(null.is_finite() && null > 0.0, "{null} is no ratio of rates");
        let sums = vec![0.0; alternatives.len()];
        Self { null, alternatives, sums }
    }

    /// A bad event in this arm, when the candidate's share of what was at risk was `share`.
    ///
    /// # Panics
    /// Unless `share` is strictly between 0 and 1.
    pub fn bad(&mut self, share: f64, arm: Arm) {
        assert!(share > 0.0 && share < 1.0, "a share of {share} compares nothing");
        // With D(r) = 1 + share (r - 1): p(r) = share r / D(r), and 1 - p(r) = (1 - share) / D(r).
        let ln_d = |ratio: f64| libm::log1p(share * (ratio - 1.0));
        let at_null = ln_d(self.null);
        for (ratio, sum) in self.alternatives.iter().zip(&mut self.sums) {
            let favour = match arm {
                Arm::Control => 0.0,
                Arm::Candidate => libm::log(ratio / self.null),
            };
            *sum += favour + at_null - ln_d(*ratio);
        }
    }

    /// The natural logarithm of the e-value. Finite.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        ln_mean_exp(&self.sums)
    }

    /// The sum of logarithms for each alternative.
    #[must_use]
    pub fn sums(&self) -> &[f64] {
        &self.sums
    }

    /// Whether both look for the same.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.null == other.null && self.alternatives == other.alternatives
    }

    /// Adds the evidence that another process gathered from other units: the product of
    /// e-processes over disjoint events is one.
    ///
    /// # Panics
    /// Unless it [`Self::is_like`] this one.
    pub fn absorb(&mut self, other: &Self) {
        assert!(self.is_like(other), "evidence for different questions cannot be added up");
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, more)| *sum += more);
    }
}

/// `ln((1/n) sum exp(x))` without leaving the range of floats.
///
/// # Panics
/// If there is no term.
#[must_use]
pub fn ln_mean_exp(terms: &[f64]) -> f64 {
    let top = terms.iter().copied().reduce(f64::max).expect("a mean is of something");
    let sum: f64 = terms.iter().map(|term| libm::exp(term - top)).sum();
    top + libm::log(sum / terms.len() as f64)
}
