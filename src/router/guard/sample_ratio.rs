//! Whether the share that was served is the share that was meant.

use serde::{Deserialize, Serialize};

use crate::router::guard::arms::Arms;
use crate::router::percent::Percent;

/// How many earlier draws at the intended share the prior is worth.
const PRIOR: f64 = 100.0;

/// Evidence that draws do not follow the percentage: a fault of the router, not of V3.
///
/// While draws are independent and V3's chance is the intended one, the likelihood under a Beta
/// prior over that at the intended chance is a martingale (the beta-binomial mixture of Robbins
/// 1970): `B(a + s, b + n - s) / B(a, b) / (p^s (1 - p)^(n - s))`. Needs the counts alone. A
/// session that comes back after its pin went is drawn again to the same lane; few sessions
/// that come back often look like a fault, which is a reason to hold, never to roll back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SampleRatio {
    intended: Percent,
    /// From stretches with other percentages.
    settled_ln_e: f64,
    /// Draws at this percentage.
    drawn: Arms,
    /// Draws that 0 or 100 % exclude.
    strays: u64,
}

impl SampleRatio {
    /// From here on, draws follow this percentage.
    pub fn intend(&mut self, percent: Percent) {
        if percent != self.intended {
            self.settled_ln_e = self.ln_e();
            (self.intended, self.drawn) = (percent, Arms::default());
        }
    }

    /// Draws since the last look.
    pub fn drew(&mut self, draws: Arms) {
        match self.intended {
            Percent::ZERO => self.strays += draws.candidate,
            Percent::HUNDRED => self.strays += draws.control,
            _ => self.drawn = self.drawn.plus(draws),
        }
    }

    /// Adds the draws of another process. One that has not caught up with the percentage, or is
    /// ahead, adds its evidence and not its draws.
    pub fn absorb(&mut self, other: &Self) {
        self.strays += other.strays;
        if self.intended == other.intended {
            self.settled_ln_e += other.settled_ln_e;
            self.drawn = self.drawn.plus(other.drawn);
        } else {
            self.settled_ln_e += other.ln_e();
        }
    }

    /// The percentage that draws should follow.
    #[must_use]
    pub const fn intended(&self) -> Percent {
        self.intended
    }

    /// Draws at this percentage.
    #[must_use]
    pub const fn drawn(&self) -> Arms {
        self.drawn
    }

    /// Draws that 0 or 100 % exclude: one is a proven fault.
    #[must_use]
    pub const fn strays(&self) -> u64 {
        self.strays
    }

    /// The logarithm of the evidence, over all stretches.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        let share = self.intended.share();
        if self.drawn == Arms::default() {
            return self.settled_ln_e;
        }
        let (v3, v2) = (self.drawn.candidate as f64, self.drawn.control as f64);
        let (a, b) = (PRIOR * share, PRIOR * (1.0 - share));
        let likelihood = v3 * libm::log(share) + v2 * libm::log1p(-share);
        self.settled_ln_e + ln_beta(a + v3, b + v2) - ln_beta(a, b) - likelihood
    }
}

fn ln_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}
