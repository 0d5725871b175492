//! How many calls may be tried again: a share of the traffic, so that retries cannot storm (R15).

use crate::error::{Outcome, Ran};

/// One retry, or one call's worth of a whole share.
const ONE: u64 = 1_000_000;

/// What a quiet spell may save up: a burst of so many retries harms no pool.
const MOST: u64 = 10 * ONE;

/// A part of one, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    millionths: u32,
}

impl Share {
    /// Nothing of it.
    pub const NONE: Self = Self { millionths: 0 };

    /// The share, unless it is not 0 to 1.
    #[must_use]
    pub fn new(share: f64) -> Option<Self> {
        let millionths = (share * ONE as f64).round() as u32;
        (0.0..=1.0).contains(&share).then_some(Self { millionths })
    }

    /// As a number from 0 to 1.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from(self.millionths) / ONE as f64
    }
}

/// How often calls are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryTerms {
    /// How often one call is tried again at most.
    pub attempts: usize,
    /// How many retries there may be for each call.
    pub budget: Share,
}

/// Whether what came of a call is a reason to try it again in the same lane: what it met there
/// has gone, and it has not run or may run twice.
///
/// A refusal, a timeout in the queue and a drain would only come again; a lost session must be
/// told; and a Python error is an answer.
#[must_use]
pub fn is_retryable(outcome: Outcome, ran: Ran, idempotent: bool) -> bool {
    let gone = matches!(outcome, Outcome::WorkerLost | Outcome::ExecTimeout | Outcome::Protocol);
    gone && (ran == Ran::No || idempotent)
}

/// What may be spent on retries: at most one, and the share of the calls so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    share: Share,
    saved: u64,
}

impl RetryBudget {
    /// One retry is there to begin with.
    #[must_use]
    pub const fn new(share: Share) -> Self {
        Self { share, saved: ONE }
    }

    /// A call is tried for the first time.
    pub fn earn(&mut self) {
        self.saved = (self.saved + u64::from(self.share.millionths)).min(MOST);
    }

    /// A call is to be tried again; whether there is budget for it, which is then spent.
    pub fn spend(&mut self) -> bool {
        let enough = self.saved >= ONE;
        self.saved -= if enough { ONE } else { 0 };
        enough
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn r15_retries_are_at_most_one_and_the_share_of_the_calls(
            share in 0.0_f64..1.0,
            steps in prop::collection::vec(any::<bool>(), 1..2000),
        ) {
            let share = Share::new(share).expect("it is one");
            let mut budget = RetryBudget::new(share);
            let (mut calls, mut retries) = (0.0, 0.0);
            for asks in steps {
                if asks {
                    retries += f64::from(u8::from(budget.spend()));
                } else {
                    calls += 1.0;
                    budget.earn();
                }
                prop_assert!(retries <= 1.0 + share.get() * calls + 1e-6);
            }
        }
    }

    #[test]
    fn r15_a_storm_gets_no_more_than_its_share() {
        let mut budget = RetryBudget::new(Share::new(0.1).expect("it is one"));
        let mut retries = 0;
        for _ in 0..1000 {
            budget.earn();
            retries += (0..3).filter(|_| budget.spend()).count();
        }
        assert!((99..=101).contains(&retries), "{retries} for 1000 calls that all fail thrice");
    }

    #[test]
    fn a_share_is_a_part_of_one() {
        assert!(Share::new(-0.1).is_none() && Share::new(1.1).is_none());
        assert!(Share::new(f64::NAN).is_none());
        assert_eq!(Share::new(0.1).expect("it is one").get(), 0.1);
    }

    #[test]
    fn r15_only_what_has_not_run_or_may_run_twice_is_tried_again() {
        for outcome in Outcome::ALL {
            let gone =
                [Outcome::WorkerLost, Outcome::ExecTimeout, Outcome::Protocol].contains(&outcome);
            assert_eq!(is_retryable(outcome, Ran::No, false), gone);
            assert_eq!(is_retryable(outcome, Ran::Maybe, true), gone);
            assert!(!is_retryable(outcome, Ran::Maybe, false));
        }
    }
}
