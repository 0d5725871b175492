//! How long a slot waits before it starts a worker again.

use std::time::Duration;

/// Exponential delays with jitter, a pure function of (seed, slot, failures).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub base: Duration,
    /// The longest delay.
    pub cap: Duration,
    /// Makes two pools wait differently.
    pub seed: u64,
}

impl Backoff {
    /// At most this share of a delay is taken off, so slots that failed together part.
    pub const JITTER: f64 = 0.25;

    /// The delay after the `failures`-th failure in a row (from 1):
    /// `min(cap, base * 2^(failures - 1))`, less at most [`Self::JITTER`] of it.
    #[must_use]
    pub fn delay(&self, slot: u32, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let full = self.base.saturating_mul(1 << doublings).min(self.cap);
        full.mul_f64(1.0 - Self::JITTER * unit(self.seed, slot, failures))
    }
}

/// A number in [0, 1) drawn by (seed, slot, n): the finaliser of SplitMix64 (Steele et al., 2014),
/// which needs no state, so machines stay comparable and replayable.
#[must_use]
pub fn unit(seed: u64, slot: u32, n: u32) -> f64 {
    let mut bits =
        seed ^ (u64::from(slot) << 32 | u64::from(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r6_delays_double_up_to_the_cap_less_the_jitter() {
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(30));
        let backoff = Backoff { base, cap, seed: 7 };
        for failures in 1..40 {
            let full = base.saturating_mul(1 << (failures - 1).min(20)).min(cap);
            let delay = backoff.delay(3, failures);
            assert!(delay <= full && delay >= full.mul_f64(0.75), "{failures}: {delay:?}");
        }
    }

    /// The draws of a SplitMix64 in another language, as 53-bit numbers: a machine that is
    /// replayed years later must draw the same.
    #[test]
    fn draws_are_the_published_ones() {
        let known = [
            ((7, 3, 5), 0x1448c2cd53ca5f_u64),
            ((1, 0, 1), 0x1c9b2e2ee36ca5_u64),
            ((u64::MAX, 1023, 40), 0x1f1650f601bb81_u64),
            ((0, 1, 2), 0x1cfff029c3b334_u64),
        ];
        for ((seed, slot, n), bits) in known {
            assert_eq!(unit(seed, slot, n) * (1_u64 << 53) as f64, bits as f64);
        }
    }

    #[test]
    fn slots_that_failed_together_part() {
        let draws: std::collections::BTreeSet<u64> =
            (0..100).map(|slot| (unit(1, slot, 1) * 1e9) as u64).collect();
        assert!(draws.len() > 95);
        assert!((0..100).all(|slot| (0.0..1.0).contains(&unit(1, slot, 1))));
    }
}
