//! Whether another shadow may be tried now: so many a second, and none in a lane while they keep
//! failing there.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::call::Lane;
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

/// A second's worth of shadows, and a breaker for each lane. Time is told to it.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    per_s: f64,
    saved: f64,
    filled: Moment,
    breakers: [Breaker; 2],
}

/// One lane's: what the other one answers says nothing of it.
#[derive(Clone, Copy, Debug, Default)]
struct Breaker {
    faults: u32,
    /// When it may be tried again, while it is open.
    retry_at: Option<Moment>,
}

impl Gate {
    /// A full second's worth is there to begin with.
    pub(super) fn new(per_s: usize, now: Moment) -> Self {
        let per_s = per_s as f64;
        Self { per_s, saved: per_s, filled: now, breakers: Default::default() }
    }

    /// Takes one shadow out of the second's worth. While its lane's breaker is open, one at a time
    /// is let through once the pause is over; the others are left out until that one has ended.
    pub(super) fn enter(&mut self, now: Moment, lane: Lane, always: bool) -> Result<(), Shut> {
        let gained = now.since(self.filled).as_secs_f64() * self.per_s;
        (self.saved, self.filled) = ((self.saved + gained).min(self.per_s), now);
        let breaker = &mut self.breakers[lane as usize];
        if breaker.retry_at.is_some_and(|at| now < at) {
            return Err(Shut::Breaker);
        }
        let kept = if always { 0.0 } else { KEPT * self.per_s };
        if self.saved < 1.0 || self.saved - 1.0 < kept && self.per_s >= 1.0 / KEPT {
            return Err(Shut::Rate);
        }
        self.saved -= 1.0;
        if breaker.retry_at.is_some() {
            breaker.retry_at = Some(now + breaker.pause());
        }
        Ok(())
    }

    /// A lane's shadow has ended, with an answer or by a fault of the lane.
    pub(super) fn heard(&mut self, now: Moment, lane: Lane, answered: bool) {
        let breaker = &mut self.breakers[lane as usize];
        if answered {
            *breaker = Breaker::default();
            return;
        }
        breaker.faults = breaker.faults.saturating_add(1);
        if breaker.faults >= FAULTS {
            breaker.retry_at = Some(now + breaker.pause());
        }
    }

    /// Whether shadows of a lane are left out because they failed.
    pub(super) fn is_open(&self) -> bool {
        self.breakers.iter().any(|breaker| breaker.retry_at.is_some())
    }
}

impl Breaker {
    /// Twice as long after each fault more.
    fn pause(self) -> Duration {
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
    use Lane::{V2, V3};

    fn at(ms: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn so_many_a_second_and_a_tenth_for_those_that_come_rarely() {
        let mut gate = Gate::new(20, at(0));
        let entered = (0..100).filter(|_| gate.enter(at(0), V3, false).is_ok()).count();
        assert_eq!(entered, 18);
        assert_eq!(gate.enter(at(0), V3, false), Err(Shut::Rate));
        assert_eq!((0..9).filter(|_| gate.enter(at(0), V3, true).is_ok()).count(), 2);
        assert_eq!(gate.enter(at(49), V3, true), Err(Shut::Rate));
        assert_eq!(gate.enter(at(51), V3, true), Ok(()));
        // However long nobody came, no more than a second's worth is there.
        assert_eq!((0..100).filter(|_| gate.enter(at(60_000), V3, true).is_ok()).count(), 20);
        // Over ten seconds it is the rate.
        let mut gate = Gate::new(3, at(0));
        let entered = (0..10_000).filter(|ms| gate.enter(at(*ms), V3, false).is_ok()).count();
        assert!((32..=33).contains(&entered), "{entered}");
    }

    #[test]
    fn the_breaker_opens_by_faults_in_a_row_and_tries_one_at_a_time() {
        let mut gate = Gate::new(1000, at(0));
        for n in 0..FAULTS - 1 {
            gate.heard(at(u64::from(n)), V3, false);
        }
        gate.heard(at(4), V3, true);
        (0..FAULTS - 1).for_each(|_| gate.heard(at(5), V3, false));
        assert_eq!((gate.enter(at(5), V3, false), gate.is_open()), (Ok(()), false));
        gate.heard(at(10), V3, false);
        assert_eq!((gate.enter(at(1009), V3, true), gate.is_open()), (Err(Shut::Breaker), true));
        assert_eq!(gate.enter(at(1010), V3, false), Ok(()), "one");
        assert_eq!(gate.enter(at(1010), V3, false), Err(Shut::Breaker), "and no other meanwhile");
        // The other lane is another matter, and what it answers no news of this one.
        assert_eq!(gate.enter(at(1010), V2, false), Ok(()));
        gate.heard(at(1015), V2, true);
        gate.heard(at(1020), V3, false);
        assert_eq!(gate.enter(at(3019), V3, false), Err(Shut::Breaker), "twice as long");
        assert_eq!(gate.enter(at(3020), V3, false), Ok(()));
        gate.heard(at(3030), V3, true);
        assert_eq!((gate.enter(at(3030), V3, false), gate.is_open()), (Ok(()), false));
    }
}
