//! One guard: does the candidate do worse than its control?

use serde::{Deserialize, Serialize};

use crate::router::guard::arms::{Arm, Arms, Shares};
use crate::router::guard::mixture::{Mixture, ln_mean_exp};

/// The evidence of one metric. Only bad events are told to it; each costs one step for each
/// alternative, and good ones nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Over all strata, each event with its own stratum's share.
    pooled: Mixture,
    /// For each stratum alone.
    by_stratum: Vec<Mixture>,
    /// Evidence of this step alone that the candidate is not worse.
    proof: Mixture,
    /// Bad units since the build came.
    bad: Arms,
    /// Of these, those of this step.
    step_bad: Arms,
    /// Bad candidates beyond those expected were both arms alike: the sum of `x - share`.
    excess: f64,
}

impl Comparison {
    /// No evidence yet: the candidate may have `tolerated` times the control's rate, and is
    /// proven once `unacceptable` times is ruled out.
    #[must_use]
    pub fn new(tolerated: f64, unacceptable: f64, strata: usize) -> Self {
        Self {
            pooled: Mixture::of_harm(tolerated),
            by_stratum: vec![Mixture::of_harm(tolerated); strata],
            proof: Mixture::of_harmlessness(unacceptable),
            bad: Arms::default(),
            step_bad: Arms::default(),
            excess: 0.0,
        }
    }

    /// A unit went bad in this stratum, when these were the candidate's shares there.
    /// `proving`: it belongs to what this step is to prove.
    pub fn bad(&mut self, stratum: usize, shares: Shares, arm: Arm, proving: bool) {
        self.bad.add(arm);
        if proving {
            self.step_bad.add(arm);
        }
        if let Some(share) = shares.high() {
            self.pooled.bad(share, arm);
            self.by_stratum[stratum].bad(share, arm);
            self.excess += f64::from(u8::from(arm == Arm::Candidate)) - share;
        }
        if let Some(share) = shares.low().filter(|_| proving) {
            self.proof.bad(share, arm);
        }
    }

    /// What is proven of a step says nothing about the next, which has another load. The
    /// evidence of harm stays.
    pub fn begin_step(&mut self, unacceptable: f64) {
        self.proof = Mixture::of_harmlessness(unacceptable);
        self.step_bad = Arms::default();
    }

    /// The logarithm of the evidence of harm: half for the pooled e-value, half for the mean of
    /// the strata's. Each is an e-process and so is their mean, at the price of `ln 2`; the
    /// first sees harm spread over all commands, the second harm in one of many.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        ln_mean_exp(&[self.pooled.ln_e(), self.mean_ln_e()])
    }

    /// The pooled evidence.
    #[must_use]
    pub const fn pooled(&self) -> &Mixture {
        &self.pooled
    }

    /// The mean of the strata's e-values, as its logarithm.
    #[must_use]
    pub fn mean_ln_e(&self) -> f64 {
        let each: Vec<f64> = self.by_stratum.iter().map(Mixture::ln_e).collect();
        ln_mean_exp(&each)
    }

    /// The stratum with the most evidence of harm, and its logarithm.
    #[must_use]
    pub fn worst(&self) -> (usize, f64) {
        let each = self.by_stratum.iter().map(Mixture::ln_e).enumerate();
        each.max_by(|(_, a), (_, b)| a.total_cmp(b)).expect("there is always a stratum")
    }

    /// This step's evidence that the candidate is not unacceptably worse.
    #[must_use]
    pub const fn proof(&self) -> &Mixture {
        &self.proof
    }

    /// Bad units since the build came.
    #[must_use]
    pub const fn bad_units(&self) -> Arms {
        self.bad
    }

    /// Bad units of this step.
    #[must_use]
    pub const fn step_bad(&self) -> Arms {
        self.step_bad
    }

    /// By how much the candidate's share of bad units is above the control's: the Mantel-Haenszel
    /// difference over strata with this weight, exact for anonymous calls and, while few of them
    /// are bad, close for sessions. None while nothing can be compared.
    #[must_use]
    pub fn difference(&self, weight: f64) -> Option<f64> {
        (weight > 0.0).then(|| self.excess / weight)
    }

    /// Whether both ask the same of the same strata.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.by_stratum.len() == other.by_stratum.len()
            && self.pooled.is_like(&other.pooled)
            && self.proof.is_like(&other.proof)
    }

    /// Adds the evidence of another process; what it says of another step proves nothing here.
    ///
    /// # Panics
    /// Unless it [`Self::is_like`] this one.
    pub fn absorb(&mut self, other: &Self, same_step: bool) {
        self.pooled.absorb(&other.pooled);
        for (ours, theirs) in self.by_stratum.iter_mut().zip(&other.by_stratum) {
            ours.absorb(theirs);
        }
        self.bad = self.bad.plus(other.bad);
        self.excess += other.excess;
        if same_step {
            self.proof.absorb(&other.proof);
            self.step_bad = self.step_bad.plus(other.step_bad);
        }
    }
}
