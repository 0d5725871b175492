//! Where a run's calls, acts and strikes come from: drawn as it goes on, or read from a plan.
//! The world cannot tell, so what is replayed is what has run.

use std::collections::VecDeque;

use poolshift::Lane;
use poolshift::clock::Moment;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::hazard::{Hazard, Notes, Strike};
use crate::options::Options;
use crate::rng::Seed;
use crate::workload::{Act, Acts, PlannedCall, Workload};

/// All that happens to a world from outside.
#[derive(Debug)]
pub struct Source {
    pub(crate) calls: Feed<Workload>,
    pub(crate) acts: Feed<Acts>,
    pub(crate) milestones: VecDeque<(u64, Milestone)>,
    pub(crate) hazard: Hazard,
}

/// Something that happens just before the first call of this number or a higher one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Milestone {
    /// These kinds of fault strike no more.
    Heal(Vec<Fault>),
    /// A pool drains.
    Drain(Lane),
}

/// Items one after another.
#[derive(Debug)]
pub(crate) enum Feed<D: Iterator> {
    /// As they are drawn.
    Drawn(D),
    /// As they are listed.
    Listed(std::vec::IntoIter<D::Item>),
}

impl<D: Iterator> Iterator for Feed<D> {
    type Item = D::Item;

    #[inline]
    fn next(&mut self) -> Option<D::Item> {
        match self {
            Self::Drawn(drawn) => drawn.next(),
            Self::Listed(listed) => listed.next(),
        }
    }
}

impl Source {
    /// Everything is drawn; strikes are noted if somebody asks for them.
    #[must_use]
    pub fn drawn(seed: Seed, options: &Options, notes: Option<Notes>) -> Self {
        Self {
            calls: Feed::Drawn(Workload::new(seed, options)),
            acts: Feed::Drawn(Acts::new(seed, options)),
            milestones: milestones(options).into(),
            hazard: Hazard::drawn(seed, &options.faults, notes),
        }
    }

    /// Everything is listed.
    #[must_use]
    pub fn listed(
        calls: Vec<PlannedCall>,
        acts: Vec<(Moment, Act)>,
        milestones: Vec<(u64, Milestone)>,
        strikes: &[Strike],
    ) -> Self {
        Self {
            calls: Feed::Listed(calls.into_iter()),
            acts: Feed::Listed(acts.into_iter()),
            milestones: milestones.into(),
            hazard: Hazard::listed(strikes),
        }
    }
}

/// What happens at a call's number, in order. Those of the number after the last never do: both
/// pools are drained then.
pub(crate) fn milestones(options: &Options) -> Vec<(u64, Milestone)> {
    let calls = options.calls;
    let heal = u128::from(calls) * u128::from(options.heal_after) / 1_000_000;
    let rates = |fault: &Fault| options.faults.of(*fault) > 0;
    let healed = options.healed.iter().copied().filter(rates).collect();
    let [v2, v3] = options.operators.drain_before.map(|before| calls.saturating_sub(before));
    let mut milestones = vec![
        (heal as u64, Milestone::Heal(healed)),
        (v2, Milestone::Drain(Lane::V2)),
        (v3, Milestone::Drain(Lane::V3)),
    ];
    milestones.retain(|(call, _)| *call < calls);
    milestones.sort_by_key(|(call, _)| *call);
    milestones
}
