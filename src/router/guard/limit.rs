//! The candidate against a fixed limit, which needs no baseline.

use crate::router::guard::mixture::ln_mean_exp;

/// Multiples of the limit's odds in favour of which evidence of harm is gathered.
const ABOVE: [f64; 6] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0];

/// The same for the proof that the candidate keeps below the limit.
const BELOW: [f64; 3] = [0.5, 0.25, 0.125];

/// The logarithm of the evidence that more than `limit` of the candidate's units are bad.
///
/// Wald's likelihood ratio of independent units, averaged over alternatives: a supermartingale
/// while the share of bad ones is at most `limit`, so Ville's inequality holds at every look.
/// A unit whose fate is open counts as good, which makes the evidence weaker, never stronger.
#[must_use]
pub fn ln_e_above(limit: f64, units: u64, bad: u64) -> f64 {
    ln_e(limit, &ABOVE, units, bad)
}

/// The logarithm of the evidence that less than `limit` of the candidate's units are bad.
#[must_use]
pub fn ln_e_below(limit: f64, units: u64, bad: u64) -> f64 {
    ln_e(limit, &BELOW, units, bad)
}

/// How many units without a bad one prove, with error `beta`, that less than `limit` of all
/// are bad: the least `n` with `(1 - limit)^n <= beta`.
#[must_use]
pub fn zero_failures(limit: f64, beta: f64) -> u64 {
    (libm::log(beta) / libm::log1p(-limit)).ceil() as u64
}

/// With odds `o` at the limit and `k o` at the alternative, each unit adds
/// `ln (1 + o) / (1 + k o)`, and each bad one `ln k` beyond that; no alternative leaves (0, 1).
fn ln_e(limit: f64, multiples: &[f64], units: u64, bad: u64) -> f64 {
    assert!(limit > 0.0 && limit < 1.0, "a limit of {limit} is none");
    let odds = limit / (1.0 - limit);
    let terms: Vec<f64> = multiples
        .iter()
        .map(|multiple| {
            let each = libm::log1p(odds) - libm::log1p(multiple * odds);
            units as f64 * each + bad as f64 * libm::log(*multiple)
        })
        .collect();
    ln_mean_exp(&terms)
}
