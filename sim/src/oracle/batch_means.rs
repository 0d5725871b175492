//! How far a simulated average may be from the truth by chance.
//!
//! The waits of successive calls are far from independent, so their own scatter says too little.
//! The averages of a few long batches are nearly independent, and their scatter is the standard
//! error of the whole (Conway 1963; Law, Simulation Modeling and Analysis, chapter 9).

use super::error::OracleError;

/// Enough for a standard error good to 13 %, few enough for long batches.
pub const BATCHES: u32 = 30;

/// A measured and an exact value may be this many standard errors apart. With 29 degrees of
/// freedom, chance alone exceeds it once in 2,500 comparisons.
pub const MAX_STANDARD_ERRORS: f64 = 4.0;

/// A standard error above this share of the exact value would let too much pass.
pub const MAX_RELATIVE_ERROR: f64 = 0.03;

/// Which call of a run falls into which batch: `warm_up` calls are cut off, since the run starts
/// empty and not in its steady state; the rest makes [`BATCHES`] batches of equal length. What
/// does not divide evenly lengthens the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPlan {
    calls: u64,
    warm_up: u64,
    per_batch: u64,
}

impl BatchPlan {
    /// For a run of `calls` offered calls, counted in order of arrival.
    ///
    /// # Errors
    /// [`OracleError::OutOfRange`] if `warm_up` leaves no call for each batch.
    pub fn new(calls: u64, warm_up: u64) -> Result<Self, OracleError> {
        let per_batch = calls.saturating_sub(warm_up) / u64::from(BATCHES);
        if per_batch == 0 {
            let range = "warm-up calls + 30 or more";
            return Err(OracleError::OutOfRange { name: "calls", value: calls as f64, range });
        }
        Ok(Self { calls, warm_up: calls - per_batch * u64::from(BATCHES), per_batch })
    }

    /// Calls that are not measured.
    #[must_use]
    pub const fn warm_up(&self) -> u64 {
        self.warm_up
    }

    /// The batch of the `call`-th arrival, from 0; `None` during the warm-up.
    ///
    /// # Panics
    /// If the run has no such call: it was planned for fewer.
    #[must_use]
    pub fn batch(&self, call: u64) -> Option<usize> {
        assert!(call < self.calls, "call {call} of a run planned for {} calls", self.calls);
        let batch = call.checked_sub(self.warm_up)? / self.per_batch;
        Some(usize::try_from(batch).expect("below BATCHES, as `call` is below `calls`"))
    }
}

/// One average of a run, in bounded memory: the ratio of two sums, kept per batch.
///
/// A mean wait is (wait, 1) for every admitted call, a probability (0 or 1, 1) for every call
/// asked about, an average over time (integral, length) for every interval between arrivals.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchMeans {
    plan: BatchPlan,
    sums: [(f64, f64); BATCHES as usize],
}

impl BatchMeans {
    /// Nothing measured yet.
    #[must_use]
    pub const fn new(plan: BatchPlan) -> Self {
        Self { plan, sums: [(0.0, 0.0); BATCHES as usize] }
    }

    /// Adds `value`, that counts `weight` times (finite, `weight` at least 0), to the batch of
    /// the `call`-th arrival. Calls may come in any order; those of the warm-up are dropped.
    ///
    /// # Panics
    /// If the run has no such call.
    pub fn add(&mut self, call: u64, value: f64, weight: f64) {
        if let Some(batch) = self.plan.batch(call) {
            let (values, weights) = &mut self.sums[batch];
            *values += value;
            *weights += weight;
        }
    }

    /// The average over all batches, and how far off it is likely to be.
    ///
    /// With r the ratio of the totals, the standard error is that of the means of v - r w over
    /// the batches, divided by the mean weight (Cochran, Sampling Techniques, 6.2); if all
    /// batches weigh the same it is that of plain batch means.
    ///
    /// # Errors
    /// [`OracleError::OutOfRange`] if nothing with a weight was added.
    pub fn estimate(&self) -> Result<Estimate, OracleError> {
        let total = |(v, w): (f64, f64), (value, weight): &(f64, f64)| (v + value, w + weight);
        let (values, weights) = self.sums.iter().fold((0.0, 0.0), total);
        if weights <= 0.0 {
            let range = "above 0: nothing was measured after the warm-up";
            return Err(OracleError::OutOfRange { name: "weight", value: weights, range });
        }
        let mean = values / weights;
        let squares: f64 = self.sums.iter().map(|(v, w)| (v - mean * w).powi(2)).sum();
        let batches = f64::from(BATCHES);
        let standard_error = (squares * batches / (batches - 1.0)).sqrt() / weights;
        Ok(Estimate { mean, standard_error })
    }
}

/// A measured average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The average.
    pub mean: f64,
    /// Its standard error, in the same unit.
    pub standard_error: f64,
}

/// What a measured average says about an exact one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Close, and measured finely enough to say so.
    Agrees,
    /// More than [`MAX_STANDARD_ERRORS`] apart.
    Differs,
    /// The standard error is above [`MAX_RELATIVE_ERROR`] of the exact value: measure more calls.
    TooNoisy,
}

impl Estimate {
    /// The rule of acceptance: |measured - exact| <= 4 standard errors, and the standard error
    /// at most 3 % of the exact value. An exact 0 is met by 0 alone; a number that is none
    /// never agrees.
    #[must_use]
    pub fn judge(&self, exact: f64) -> Verdict {
        let close = (self.mean - exact).abs() <= MAX_STANDARD_ERRORS * self.standard_error;
        let fine = self.standard_error <= MAX_RELATIVE_ERROR * exact.abs();
        match (close, fine) {
            (false, _) => Verdict::Differs,
            (true, false) => Verdict::TooNoisy,
            (true, true) => Verdict::Agrees,
        }
    }
}
