//! Whether V2 could take everything back, from what processes tell at moments of their own.

use std::collections::{BTreeMap, VecDeque};

use crate::call::Lane;
use crate::pool::PoolStatus;
use crate::router::ramp::Capacity;

/// How many looks at a lane count: five minutes of them, one each second.
const LOOKS: usize = 300;

/// How busy the lanes of all live processes were at the last looks.
///
/// Each process tells of itself once a second and each lane is asked after the other, so no two
/// numbers are of one moment, and their sum at one look may miss a load that moves between them.
/// Therefore the highest of each lane is taken first, and the sum after it: never less than the
/// sum at any look, nor than that of numbers from different looks. Bounded by live processes.
#[derive(Debug, Default)]
pub(super) struct Loads(BTreeMap<(u32, Lane), VecDeque<usize>>);

impl Loads {
    /// What V2 could take, and what it would have to; none if nobody runs. `lanes` are those of
    /// all live processes as they were told last.
    pub(super) fn look(&mut self, lanes: &[((u32, Lane), &PoolStatus)]) -> Option<Capacity> {
        // A process that has ended takes its load with it, or brings it to others, where it shows.
        self.0.retain(|key, _| lanes.iter().any(|(lane, _)| lane == key));
        for (lane, pool) in lanes {
            let looks = self.0.entry(*lane).or_default();
            if looks.len() == LOOKS {
                looks.pop_front();
            }
            looks.push_back(pool.busy);
        }
        let highest = self.0.values().filter_map(|looks| looks.iter().max());
        let busy_workers = highest.sum::<usize>() as f64;
        let v2 = lanes.iter().filter(|((_, lane), _)| *lane == Lane::V2);
        let v2_workers = v2.map(|(_, pool)| pool.ready as u64).sum();
        (!lanes.is_empty()).then_some(Capacity { v2_workers, busy_workers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(busy: usize) -> PoolStatus {
        PoolStatus { busy, ready: 4, ..PoolStatus::default() }
    }

    fn look(loads: &mut Loads, busy: &[((u32, Lane), usize)]) -> Option<Capacity> {
        let pools: Vec<PoolStatus> = busy.iter().map(|(_, busy)| pool(*busy)).collect();
        let lanes: Vec<_> = busy.iter().map(|(lane, _)| *lane).zip(&pools).collect();
        loads.look(&lanes)
    }

    #[test]
    fn loads_that_were_told_at_different_moments_count_together() {
        let mut loads = Loads::default();
        assert_eq!(look(&mut loads, &[]), None);
        let [one, other] = [(1, Lane::V2), (2, Lane::V3)];
        // Told so that at no look both are busy, though both may have been so all the time.
        look(&mut loads, &[(one, 3), (other, 0)]);
        let both = look(&mut loads, &[(one, 0), (other, 4)]);
        assert_eq!(both, Some(Capacity { v2_workers: 4, busy_workers: 7.0 }));
        // What was at its highest five minutes ago counts no more.
        for _ in 2..LOOKS {
            assert_eq!(look(&mut loads, &[(one, 1), (other, 4)]).unwrap().busy_workers, 7.0);
        }
        assert_eq!(look(&mut loads, &[(one, 1), (other, 4)]).unwrap().busy_workers, 5.0);
        let alone = look(&mut loads, &[(one, 2)]);
        assert_eq!(alone, Some(Capacity { v2_workers: 4, busy_workers: 2.0 }));
    }
}
