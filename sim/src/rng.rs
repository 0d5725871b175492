//! Randomness that can be asked for again: one stream for each (seed, domain, entity, n).
//!
//! An extra draw in one place therefore shifts nothing in another, which is what lets a failing
//! run be shrunk. The generator is ChaCha with 8 rounds, whose stream is frozen by its
//! specification; draws are integers, and the functions behind them are `libm`'s, which gives
//! the same digits on every host.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Domain {
    /// The options of a swarm's run.
    Swarm,
    /// One call of the plan.
    Call,
    /// What operators do.
    Operator,
    /// One attempt to run a call.
    Execution,
    /// One start of a worker.
    Birth,
    /// One kind of fault that strikes at any moment.
    Strike,
    /// The order of what is due at one moment.
    Order,
    /// How long the host takes to notice things, and which caller it wakes first.
    Lag,
    /// How often a task steps aside where work changes hands, in the shell rig.
    Handoff,
}

/// Where all streams of a run come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream of this purpose, always from its beginning.
    #[must_use]
    pub fn stream(self, domain: Domain, entity: u64, n: u64) -> Stream {
        let mut key = [0; 32];
        let words = [self.0, domain as u64, entity, n];
        for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Stream { rng: ChaCha8Rng::from_seed(key) }
    }

    /// The lots of this purpose.
    #[must_use]
    pub fn lots(self, domain: Domain) -> Lots {
        Lots { key: self.stream(domain, 0, 0).below(u64::MAX) }
    }
}

/// Lots for what is too frequent to have a stream of its own: each is a function of (seed,
/// domain, what it is for, when), so none depends on how many were drawn before it.
#[derive(Clone, Copy, Debug)]
pub struct Lots {
    key: u64,
}

impl Lots {
    /// The lot of this thing at this moment.
    #[must_use]
    #[inline]
    pub const fn draw(self, what: u64, at: u64) -> u64 {
        scrambled(scrambled(self.key ^ what).wrapping_add(at))
    }
}

/// The finaliser of SplitMix64 (Steele et al., 2014): integers alone, the same on every host.
#[inline]
const fn scrambled(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A stream of draws.
#[derive(Debug)]
pub struct Stream {
    rng: ChaCha8Rng,
}

impl Stream {
    /// 32 bits.
    #[inline]
    pub fn bits(&mut self) -> u32 {
        self.rng.next_u32()
    }

    /// A number from 0 to below `bound`, or 0 if that is 0. Multiply-shift: its bias is below
    /// `bound / 2^64`.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.rng.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True with this many chances in a million.
    #[inline]
    pub fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }

    /// A number in (0, 1], a multiple of 2^-53.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        ((self.rng.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Exponentially distributed nanoseconds.
    #[inline]
    pub fn exponential(&mut self, mean: u64) -> u64 {
        nanos(-libm::log(self.unit()) * mean as f64)
    }

    /// A standard normal draw (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(self.unit()));
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// One of these.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// Rounded to whole nanoseconds.
pub(crate) fn nanos(span: f64) -> u64 {
    (span + 0.5) as u64
}

/// How long work takes, as a shape around its mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Always the mean.
    Constant,
    /// Memoryless.
    Exponential,
    /// Lognormal with this coefficient of variation.
    Lognormal {
        /// Standard deviation over mean.
        cv: f64,
    },
    /// Nine in ten are short, the tenth is ten times as long.
    Bimodal,
    /// Heavy tail with this exponent, above 1; cut at a thousand means.
    Pareto {
        /// The tail's exponent.
        alpha: f64,
    },
}

impl Law {
    /// Draws a span with this mean, both in nanoseconds.
    #[inline]
    pub fn draw(self, mean: u64, stream: &mut Stream) -> u64 {
        let average = mean as f64;
        match self {
            Self::Constant => mean,
            Self::Exponential => stream.exponential(mean),
            Self::Lognormal { cv } => {
                let variance = libm::log(1.0 + cv * cv);
                let shift = libm::sqrt(variance) * stream.normal() - variance / 2.0;
                nanos(average * libm::exp(shift))
            }
            Self::Bimodal => {
                let short = average / 1.9;
                nanos(if stream.chance(100_000) { 10.0 * short } else { short })
            }
            Self::Pareto { alpha } => {
                let least = average * (alpha - 1.0) / alpha;
                nanos((least * libm::pow(stream.unit(), -1.0 / alpha)).min(1e3 * average))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_frozen() {
        // The first words of ChaCha8 with an all-zero key and nonce, from its test vectors.
        let mut stream = Seed(0).stream(Domain::Swarm, 0, 0);
        assert_eq!(stream.bits(), u32::from_le_bytes([0x3e, 0x00, 0xef, 0x2f]));
        assert_eq!(stream.bits(), u32::from_le_bytes([0x89, 0x5f, 0x40, 0xd6]));
    }

    #[test]
    fn lots_are_frozen_and_part_by_each_part_of_their_key() {
        // The first output of SplitMix64 from the state 0, as its authors publish it.
        assert_eq!(scrambled(0), 0xe220_a839_7b1d_cdaf);
        let lots = [(1, Domain::Order), (2, Domain::Order), (1, Domain::Lag)]
            .map(|(seed, domain)| Seed(seed).lots(domain));
        let mut draws: Vec<u64> = lots.iter().map(|lots| lots.draw(1, 1)).collect();
        draws.extend([lots[0].draw(2, 1), lots[0].draw(1, 2), lots[0].draw(1, 0)]);
        assert_eq!(draws.iter().collect::<std::collections::BTreeSet<_>>().len(), 6);
        assert_eq!(lots[0].draw(1, 1), draws[0], "whatever was drawn meanwhile");
    }

    #[test]
    fn streams_part_by_each_part_of_their_key() {
        let keys = [
            (1, Domain::Call, 1, 1),
            (2, Domain::Call, 1, 1),
            (1, Domain::Birth, 1, 1),
            (1, Domain::Call, 2, 1),
            (1, Domain::Call, 1, 2),
        ];
        let draw = |(seed, domain, entity, n)| Seed(seed).stream(domain, entity, n).below(u64::MAX);
        let draws: std::collections::BTreeSet<u64> = keys.map(draw).into();
        assert_eq!(draws.len(), keys.len());
        assert_eq!(draw(keys[0]), draw(keys[0]));
    }

    #[test]
    fn each_law_has_its_mean() {
        let mean = 50_000_000;
        for law in [
            Law::Constant,
            Law::Exponential,
            Law::Lognormal { cv: 1.5 },
            Law::Bimodal,
            Law::Pareto { alpha: 2.5 },
        ] {
            let mut stream = Seed(7).stream(Domain::Execution, 0, 0);
            let sum: u64 = (0..200_000).map(|_| law.draw(mean, &mut stream)).sum();
            let measured = sum as f64 / 200_000.0 / mean as f64;
            assert!((measured - 1.0).abs() < 0.02, "{law:?}: {measured}");
        }
    }
}
