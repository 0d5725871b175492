//! Calls that kill whoever runs them.

use std::time::Duration;

use crate::clock::Moment;
use crate::error::Refusal;
use crate::machine::Digest;
use crate::machine::idle::IdleMap;
use crate::pool::WorkerId;

/// How many suspects are remembered: each cost a worker its life within the window, so a pool
/// that has more of them has another problem. The one that killed longest ago goes first.
const MAX_SUSPECTS: usize = 1000;

/// How many deaths make a call poison, and within what time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantineTerms {
    /// Worker deaths; at least 1.
    pub deaths: usize,
    /// How long a death is held against the call.
    pub window: Duration,
}

/// Which calls were in flight when workers died by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    terms: Option<QuarantineTerms>,
    suspects: IdleMap<Digest, Vec<Death>>,
}

/// One worker that died with the call in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Death {
    at: Moment,
    worker: WorkerId,
}

impl Quarantine {
    /// Nobody is suspected; without terms nobody ever is.
    #[must_use]
    pub fn new(terms: Option<QuarantineTerms>) -> Self {
        Self { terms, suspects: IdleMap::new() }
    }

    /// A worker died by itself while it had this call.
    pub fn died(&mut self, now: Moment, digest: Option<Digest>, worker: WorkerId) {
        let (Some(terms), Some(digest)) = (self.terms, digest) else { return };
        let expired = |at: Moment| at + terms.window <= now;
        while self.suspects.forget_idle(expired).is_some() {}
        if self.suspects.get(&digest).is_none() {
            if self.suspects.len() >= MAX_SUSPECTS {
                self.suspects.forget_idle(|_| true);
            }
            self.suspects.insert(digest, now, Vec::new());
        }
        let deaths = self.suspects.touch(&digest, now).expect("it was inserted above");
        deaths.push(Death { at: now, worker });
        // More than the last ones change nothing.
        deaths.drain(..deaths.len().saturating_sub(terms.deaths));
    }

    /// Why this call is refused, if it is.
    #[must_use]
    pub fn refusal(&self, now: Moment, digest: Option<Digest>) -> Option<Refusal> {
        let (terms, digest) = (self.terms?, digest?);
        let (_, deaths) = self.suspects.get(&digest)?;
        let recent = deaths.iter().filter(|death| now < death.at + terms.window);
        let history: Vec<(WorkerId, Duration)> =
            recent.map(|death| (death.worker, now.since(death.at))).collect();
        let poison = history.len() >= terms.deaths;
        poison.then_some(Refusal::Quarantined { history, window: terms.window })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(ms)
    }

    proptest! {
        /// Against the list of all deaths that ever were.
        #[test]
        fn a_call_is_refused_while_enough_deaths_lie_within_the_window(
            limit in 1_usize..4,
            deaths in prop::collection::vec((0_u128..4, 0_u64..60), 1..60),
        ) {
            let window = Duration::from_millis(100);
            let terms = QuarantineTerms { deaths: limit, window };
            let mut quarantine = Quarantine::new(Some(terms));
            let mut all: Vec<(Moment, u128)> = Vec::new();
            let (mut now, mut generation) = (Moment::ZERO, 0);
            for (digest, later) in deaths {
                now = now + Duration::from_millis(later);
                generation += 1;
                all.push((now, digest));
                quarantine.died(now, Some(Digest(digest)), WorkerId { slot: 0, generation });
                for digest in 0..4 {
                    let within = |(at, of): &&(Moment, u128)| *of == digest && now < *at + window;
                    let count = all.iter().filter(within).count();
                    let refused = quarantine.refusal(now, Some(Digest(digest)));
                    prop_assert_eq!(refused.is_some(), count >= limit, "{} of {}", count, limit);
                }
            }
        }
    }

    #[test]
    fn the_refusal_tells_the_history() {
        let window = Duration::from_secs(1);
        let mut quarantine = Quarantine::new(Some(QuarantineTerms { deaths: 2, window }));
        let poison = Some(Digest(7));
        for (ms, slot) in [(0, 3), (100, 1), (400, 2)] {
            quarantine.died(at(ms), poison, WorkerId { slot, generation: 1 });
        }
        let refusal = quarantine.refusal(at(500), poison).expect("two are recent");
        let text = refusal.to_string();
        assert!(text.contains("1.1 (400ms ago), 2.1 (100ms ago)"), "{text}");
        assert!(quarantine.refusal(at(1100), poison).is_none(), "one more try");
    }

    #[test]
    fn suspects_are_bounded_and_none_is_kept_when_it_is_off() {
        let window = Duration::from_secs(3600);
        let mut quarantine = Quarantine::new(Some(QuarantineTerms { deaths: 1, window }));
        let worker = WorkerId { slot: 0, generation: 1 };
        for n in 0..MAX_SUSPECTS as u64 + 10 {
            quarantine.died(at(n), Some(Digest(n.into())), worker);
        }
        assert_eq!(quarantine.suspects.len(), MAX_SUSPECTS);
        assert!(quarantine.refusal(at(5000), Some(Digest(9))).is_none(), "the oldest went");
        assert!(quarantine.refusal(at(5000), Some(Digest(10))).is_some());
        let mut off = Quarantine::new(None);
        off.died(at(0), Some(Digest(1)), worker);
        assert!(off.suspects.is_empty() && off.refusal(at(0), Some(Digest(1))).is_none());
    }
}
