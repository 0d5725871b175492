//! Who is where, when V2 would be empty, and what a rollback would move: from what running
//! processes tell.

use serde::Serialize;

use crate::call::Lane;
use crate::shim::status::{PinStatus, ProcessStatus};

/// The live sessions of all processes, and what is to be expected of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Drain {
    /// Sessions with at least their reads in V2.
    pub v2: PinStatus,
    /// Those in V3.
    pub v3: PinStatus,
    /// How long after the last session was drawn to V2 its sessions would be gone; 0 if there are
    /// none.
    ///
    /// Taken that sessions end at a constant rate, their mean age is how long each goes on, and
    /// the last of `n` ends after `1 + 1/2 + … + 1/n` times that.
    pub v2_empty_s: f64,
    /// Sessions that a rollback would move to V2, each at its next call.
    pub rollback_moves: usize,
    /// Calls that wait or run in V3 now; a rollback lets them finish there.
    pub rollback_leaves: usize,
}

impl Drain {
    /// Of all these processes together.
    #[must_use]
    pub fn of<'a>(processes: impl IntoIterator<Item = &'a ProcessStatus>) -> Self {
        let mut drain = Self::default();
        for process in processes {
            let pins = |lane| process.pins.get(&lane).copied().unwrap_or_default();
            drain.v2 = together(drain.v2, pins(Lane::V2));
            drain.v3 = together(drain.v3, pins(Lane::V3));
            let v3 = process.lanes.get(&Lane::V3);
            drain.rollback_leaves += v3.map_or(0, |pool| pool.queue_size + pool.busy);
        }
        drain.rollback_moves = drain.v3.count;
        drain.v2_empty_s = drain.v2.mean_age_s * harmonic(drain.v2.count);
        drain
    }
}

fn together(one: PinStatus, other: PinStatus) -> PinStatus {
    let count = one.count + other.count;
    let ages = one.mean_age_s * one.count as f64 + other.mean_age_s * other.count as f64;
    PinStatus {
        count,
        oldest_s: one.oldest_s.max(other.oldest_s),
        mean_age_s: ages / count.max(1) as f64,
        longest_idle_s: one.longest_idle_s.max(other.longest_idle_s),
    }
}

/// `1 + 1/2 + … + 1/n`, within a hundredth.
fn harmonic(n: usize) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    if n == 0 {
        return 0.0;
    }
    let n = n as f64;
    n.ln() + EULER + 1.0 / (2.0 * n) - 1.0 / (12.0 * n * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmonic_numbers_are_what_their_sums_are() {
        let mut sum = 0.0;
        assert_eq!(harmonic(0), 0.0);
        for n in 1..2000_usize {
            sum += 1.0 / n as f64;
            assert!((harmonic(n) / sum - 1.0).abs() < 0.01, "{n}: {} {sum}", harmonic(n));
        }
    }

    #[test]
    fn pins_of_processes_are_added_up_by_their_weight() {
        let pins = |count, oldest_s, mean_age_s| {
            let longest_idle_s = oldest_s / 2.0;
            PinStatus { count, oldest_s, mean_age_s, longest_idle_s }
        };
        let both = together(pins(1, 10.0, 10.0), pins(3, 8.0, 2.0));
        assert_eq!(both, pins(4, 10.0, 4.0));
        assert_eq!(together(PinStatus::default(), both), both);
    }
}
