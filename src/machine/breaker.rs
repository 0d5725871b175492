//! When starting workers is no use for now, and when to try again (R6).

use std::time::Duration;

use crate::clock::Moment;

/// When a pool's breaker opens, and how often it tries then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerTerms {
    /// It opens after this many failed starts in a row, of whichever slots; at least 1.
    pub failures: u32,
    /// From a failed start to the next try, while it is open.
    pub probe: Duration,
}

/// Counts failures to become ready across a pool's slots.
///
/// Closed, each slot starts by its own backoff. Open, the pool tries one start at a time,
/// [`BreakerTerms::probe`] after the last one failed; the first worker that becomes ready
/// closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    terms: Option<BreakerTerms>,
    failures: u32,
    probe_at: Option<Moment>,
}

impl Breaker {
    /// Closed; without terms it never opens.
    #[must_use]
    pub const fn new(terms: Option<BreakerTerms>) -> Self {
        Self { terms, failures: 0, probe_at: None }
    }

    /// A worker did not become ready. Returned is when the next start may be tried, if it is
    /// open now.
    pub fn failed(&mut self, now: Moment) -> Option<Moment> {
        self.failures = self.failures.saturating_add(1);
        let terms = self.terms.filter(|terms| self.failures >= terms.failures)?;
        self.probe_at = Some(now + terms.probe);
        self.probe_at
    }

    /// A worker has become ready. Returned is whether that closed it.
    pub fn ready(&mut self) -> bool {
        self.failures = 0;
        self.probe_at.take().is_some()
    }

    /// Whether starting workers is no use for now.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.probe_at.is_some()
    }

    /// When the next start may be tried, while it is open.
    #[must_use]
    pub const fn probe_at(&self) -> Option<Moment> {
        self.probe_at
    }

    /// Failed starts since a worker last became ready.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the whole history, looked through from its end.
        #[test]
        fn r6_it_is_open_while_the_last_starts_all_failed(
            limit in 1_u32..6,
            starts in prop::collection::vec((any::<bool>(), 0_u64..1000), 1..60),
        ) {
            let probe = Duration::from_nanos(300);
            let mut breaker = Breaker::new(Some(BreakerTerms { failures: limit, probe }));
            let mut now = Moment::ZERO;
            let mut failed_at: Vec<Moment> = Vec::new();
            for (becomes_ready, later) in starts {
                now = now + Duration::from_nanos(later);
                let was_open = failed_at.len() >= limit as usize;
                if becomes_ready {
                    failed_at.clear();
                    prop_assert_eq!(breaker.ready(), was_open);
                } else {
                    failed_at.push(now);
                    prop_assert_eq!(breaker.failed(now), breaker.probe_at());
                }
                let open = failed_at.len() >= limit as usize;
                let probe_at = failed_at.last().filter(|_| open).map(|at| *at + probe);
                prop_assert_eq!((breaker.is_open(), breaker.probe_at()), (open, probe_at));
                prop_assert_eq!(breaker.failures() as usize, failed_at.len());
            }
        }
    }

    #[test]
    fn without_terms_it_never_opens() {
        let mut breaker = Breaker::new(None);
        assert!((0..100).all(|_| breaker.failed(Moment::ZERO).is_none()));
        assert!(!breaker.is_open() && !breaker.ready());
    }
}
