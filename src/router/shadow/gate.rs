//! Whether another shadow may be tried now: so many a second, and none while they keep failing.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::clock::Moment;

/// Faults in a row that open the breaker.
const FAULTS: u32 = 5;

/// How long it is open then, and how much longer at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A part of the second's shadows that is kept for those that are never to be left out.
const KEPT: f64 = 0.1;

/// Why no shadow is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shut {
    /// There were as many in the last second as there may be.
    Rate,
    /// The last ones failed, and not by their answers.
    Breaker,
}

/// A second's worth of shadows, and a breaker. Time is told to it.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    per_s: f64,
    saved: f64,
    filled: Moment,
    faults: u32,
    /// When it may be tried again, while the breaker is open.
    retry_at: Option<Moment>,
}

impl Gate {
    /// A full second's worth is there to begin with.
    pub(super) fn new(per_s: usize, now: Moment) -> Self {
        let per_s = per_s as f64;
        Self { per_s, saved: per_s, filled: now, faults: 0, retry_at: None }
    }

    /// Takes one shadow out of the second's worth. While the breaker is open, one at a time is
    /// let through once its pause is over; the others are left out until that one has ended.
    pub(super) fn enter(&mut self, now: Moment, always: bool) -> Result<(), Shut> {
        let gained = now.since(self.filled).as_secs_f64() * self.per_s;
        (self.saved, self.filled) = ((self.saved + gained).min(self.per_s), now);
        if self.retry_at.is_some_and(|at| now < at) {
            return Err(Shut::Breaker);
        }
        let kept = if always { 0.0 } else { KEPT * self.per_s };
        if self.saved < 1.0 || self.saved - 1.0 < kept && self.per_s >= 1.0 / KEPT {
            return Err(Shut::Rate);
        }
        self.saved -= 1.0;
        if self.retry_at.is_some() {
            self.retry_at = Some(now + self.pause());
        }
        Ok(())
    }

    /// A shadow has ended, with an answer or by a fault of its lane.
    pub(super) fn heard(&mut self, now: Moment, answered: bool) {
        if answered {
            (self.faults, self.retry_at) = (0, None);
            return;
        }
        self.faults = self.faults.saturating_add(1);
        if self.faults >= FAULTS {
            self.retry_at = Some(now + self.pause());
        }
    }

    /// Whether shadows are left out because they failed.
    pub(super) fn is_open(&self) -> bool {
        self.retry_at.is_some()
    }

    /// Twice as long after each fault more.
    fn pause(&self) -> Duration {
        let (first, longest) = PAUSE;
        let doublings = self.faults.saturating_sub(FAULTS).min(16);
        (first * 2_u32.pow(doublings)).min(longest)
    }
}

/// No await happens under this lock.
pub(super) fn lock(gate: &Mutex<Gate>) -> MutexGuard<'_, Gate> {
    gate.lock().expect("nothing panics while it counts")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn so_many_a_second_and_a_tenth_for_those_that_come_rarely() {
        let mut gate = Gate::new(20, at(0));
        let entered = (0..100).filter(|_| gate.enter(at(0), false).is_ok()).count();
        assert_eq!(entered, 18);
        assert_eq!(gate.enter(at(0), false), Err(Shut::Rate));
        assert_eq!((0..9).filter(|_| gate.enter(at(0), true).is_ok()).count(), 2);
        assert_eq!(gate.enter(at(49), true), Err(Shut::Rate));
        assert_eq!(gate.enter(at(51), true), Ok(()));
        // However long nobody came, no more than a second's worth is there.
        assert_eq!((0..100).filter(|_| gate.enter(at(60_000), true).is_ok()).count(), 20);
        // Over ten seconds it is the rate.
        let mut gate = Gate::new(3, at(0));
        let entered = (0..10_000).filter(|ms| gate.enter(at(*ms), false).is_ok()).count();
        assert!((32..=33).contains(&entered), "{entered}");
    }

    #[test]
    fn the_breaker_opens_by_faults_in_a_row_and_tries_one_at_a_time() {
        let mut gate = Gate::new(1000, at(0));
        for n in 0..FAULTS - 1 {
            gate.heard(at(u64::from(n)), false);
        }
        gate.heard(at(4), true);
        (0..FAULTS - 1).for_each(|_| gate.heard(at(5), false));
        assert_eq!((gate.enter(at(5), false), gate.is_open()), (Ok(()), false));
        gate.heard(at(10), false);
        assert_eq!((gate.enter(at(1009), true), gate.is_open()), (Err(Shut::Breaker), true));
        assert_eq!(gate.enter(at(1010), false), Ok(()), "one");
        assert_eq!(gate.enter(at(1010), false), Err(Shut::Breaker), "and no other meanwhile");
        gate.heard(at(1020), false);
        assert_eq!(gate.enter(at(3019), false), Err(Shut::Breaker), "twice as long");
        assert_eq!(gate.enter(at(3020), false), Ok(()));
        gate.heard(at(3030), true);
        assert_eq!((gate.enter(at(3030), false), gate.is_open()), (Ok(()), false));
    }
}
