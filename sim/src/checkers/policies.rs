//! The policies that were in force.

/// What is in force now, and the lowest shares since any earlier epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies {
    pub(super) epoch: u64,
    pub(super) percents: [u32; 3],
    pub(super) killed: bool,
    /// How many policies had the kill switch on.
    pub(super) kills: u64,
    /// For each class, epochs whose share was lower than every later one; shares grow with
    /// epochs, so there are at most as many as shares.
    minima: [Vec<(u64, u32)>; 3],
}

impl Policies {
    pub(super) fn replace(&mut self, epoch: u64, percents: [u32; 3], killed: bool) {
        (self.epoch, self.percents, self.killed) = (epoch, percents, killed);
        self.kills += u64::from(killed);
        for (minima, share) in self.minima.iter_mut().zip(percents) {
            while minima.last().is_some_and(|(_, later)| *later >= share) {
                minima.pop();
            }
            minima.push((epoch, share));
        }
    }

    /// The lowest share of each class in the policies from `epoch` until now.
    pub(super) fn lowest_since(&self, epoch: u64) -> [u32; 3] {
        let lowest = |minima: &Vec<(u64, u32)>| {
            let at = minima.partition_point(|(last, _)| *last < epoch);
            minima.get(at).map_or(0, |(_, share)| *share)
        };
        self.minima.each_ref().map(lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_share_since_an_epoch_is_that_of_a_plain_scan() {
        let shares = [5, 50, 20, 70, 20, 10, 90, 100, 0, 30];
        let mut policies = Policies::default();
        for now in 1..=shares.len() {
            policies.replace(now as u64, [shares[now - 1]; 3], false);
            for since in 1..=now {
                let scanned = shares[since - 1..now].iter().min().copied();
                assert_eq!(policies.lowest_since(since as u64), [scanned.unwrap_or(0); 3]);
            }
        }
    }
}
