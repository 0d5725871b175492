//! Who could have gone bad: the units at risk, by cohort, stratum and arm.

use serde::{Deserialize, Serialize};

use crate::router::guard::arms::{Arm, Arms, Shares};
use crate::router::guard::metric::{Metric, Metrics};
use crate::router::guard::strata::Strata;
use crate::router::policy::Percents;

/// Cohorts kept in one ramp. A plan has at most 32 steps; the rest is for changes by hand and
/// for restarts, and sessions beyond it are not judged.
const MAX_COHORTS: usize = 128;

/// The units at risk.
///
/// A **unit** is a session in one command, or an anonymous call. Sessions are compared with
/// those that were drawn under the same percentage, their **cohort**: who came earlier is older,
/// mostly in V2, and leaves at other times. A session goes bad once for each metric, and is not
/// at risk after that; so however many calls a poisoned session makes, it is one event.
///
/// A good call of a session that has used the command before changes nothing here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RiskSets {
    strata: Strata,
    cohorts: Vec<Cohort>,
    /// Whether more cohorts were asked for than are kept.
    full: bool,
}

/// Units drawn under one percentage, by stratum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cohort {
    percents: Percents,
    sessions: Vec<Cell>,
    anonymous: Vec<Arms>,
}

/// The sessions of one stratum.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cell {
    /// Those that used the command.
    entered: Arms,
    /// Of these, those that are bad already, for each metric.
    bad: [Arms; Metric::ALL.len()],
}

/// What a live session carries, beside its pin: 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    cohort: u16,
    bad: Metrics,
    /// The strata that it has used, as bits.
    used: u64,
    /// Of these, those in which it is the candidate's.
    candidate: u64,
}

impl Marks {
    /// Whether the session has used this command: if so, a good call need not be told.
    #[must_use]
    pub const fn has_used(&self, stratum: usize) -> bool {
        self.used & (1 << stratum) != 0
    }
}

/// Whose call it was.
#[derive(Debug)]
pub enum Unit<'a> {
    /// A session that was drawn since the ramp began.
    Session(&'a mut Marks),
    /// A call without a session.
    Anonymous,
}

impl RiskSets {
    /// Nobody at risk, and no cohort yet.
    #[must_use]
    pub const fn new(strata: Strata) -> Self {
        Self { strata, cohorts: Vec::new(), full: false }
    }

    /// Whoever is drawn from here on, by these percentages, is a new cohort.
    pub fn begin_cohort(&mut self, percents: Percents) {
        self.full = self.cohorts.len() == MAX_COHORTS;
        if !self.full {
            let sessions = vec![Cell::default(); self.strata.count()];
            let anonymous = vec![Arms::default(); self.strata.count()];
            self.cohorts.push(Cohort { percents, sessions, anonymous });
        }
    }

    /// The marks of a session that is drawn now; none if it will not be judged.
    #[must_use]
    pub fn mark(&self) -> Option<Marks> {
        let latest = self.cohorts.len().checked_sub(1).filter(|_| !self.full)?;
        Some(Marks { cohort: latest as u16, bad: Metrics::NONE, used: 0, candidate: 0 })
    }

    /// A unit is at risk from here on: a session's first call of the command, or any anonymous
    /// call. Told again of the same session, it changes nothing.
    pub fn enter(&mut self, unit: &mut Unit<'_>, stratum: usize, arm: Arm) {
        let marks = match unit {
            Unit::Anonymous if self.full => return,
            Unit::Anonymous => {
                if let Some(cohort) = self.cohorts.last_mut() {
                    cohort.anonymous[stratum].add(arm);
                }
                return;
            }
            Unit::Session(marks) => marks,
        };
        if marks.has_used(stratum) {
            return;
        }
        marks.used |= 1 << stratum;
        marks.candidate |= u64::from(arm == Arm::Candidate) << stratum;
        let Some(cohort) = self.cohorts.get_mut(usize::from(marks.cohort)) else { return };
        let cell = &mut cohort.sessions[stratum];
        cell.entered.add(arm);
        for metric in marks.bad.iter() {
            cell.bad[metric as usize].add(arm);
        }
    }

    /// The candidate's shares of those at risk with this unit; none if it is not judged.
    #[must_use]
    pub fn shares(&self, unit: &Unit<'_>, stratum: usize, metric: Metric) -> Option<Shares> {
        let (cohort, at_risk) = match unit {
            Unit::Anonymous => {
                let cohort = self.cohorts.last().filter(|_| !self.full)?;
                // A call is over at once, so its share is that of arrivals.
                (cohort, cohort.anonymous[stratum])
            }
            Unit::Session(marks) => {
                let cohort = self.cohorts.get(usize::from(marks.cohort))?;
                let cell = &cohort.sessions[stratum];
                (cohort, cell.entered.less(cell.bad[metric as usize]))
            }
        };
        let intended = cohort.percents.of(self.strata.class(stratum)).share();
        Some(Shares { intended, actual: at_risk.share() })
    }

    /// A unit that has entered went bad. None if it was bad already, or is not judged; else
    /// whether its cohort is the latest.
    pub fn bad(&mut self, unit: &mut Unit<'_>, metric: Metric) -> Option<bool> {
        let last = self.cohorts.len().checked_sub(1)?;
        let marks = match unit {
            Unit::Anonymous => return (!self.full).then_some(true),
            Unit::Session(marks) => marks,
        };
        let cohort = self.cohorts.get_mut(usize::from(marks.cohort))?;
        if marks.bad.has(metric) {
            return None;
        }
        marks.bad = marks.bad.with(Metrics::only(metric));
        let used = (0..self.strata.count()).filter(|stratum| marks.has_used(*stratum));
        for stratum in used {
            let candidate = marks.candidate & (1 << stratum) != 0;
            let arm = if candidate { Arm::Candidate } else { Arm::Control };
            cohort.sessions[stratum].bad[metric as usize].add(arm);
        }
        Some(usize::from(marks.cohort) == last && !self.full)
    }

    /// The weight of all strata and cohorts in a difference of shares ([`Arms::weight`]).
    #[must_use]
    pub fn weight(&self) -> f64 {
        let of = |cohort: &Cohort| -> f64 {
            let sessions = cohort.sessions.iter().map(|cell| cell.entered);
            sessions.chain(cohort.anonymous.iter().copied()).map(Arms::weight).sum()
        };
        self.cohorts.iter().map(of).sum()
    }

    /// The units of the latest cohort, in the strata that are asked for.
    #[must_use]
    pub fn latest(&self, wanted: impl Fn(usize) -> bool) -> Arms {
        self.cohorts
            .last()
            .filter(|_| !self.full)
            .map_or(Arms::default(), |cohort| cohort.units(wanted))
    }

    /// The units of all cohorts.
    #[must_use]
    pub fn units(&self) -> Arms {
        let units = self.cohorts.iter().map(|cohort| cohort.units(|_| true));
        units.fold(Arms::default(), Arms::plus)
    }
}

impl Cohort {
    fn units(&self, wanted: impl Fn(usize) -> bool) -> Arms {
        let strata = (0..self.sessions.len()).filter(|stratum| wanted(*stratum));
        let of = |stratum: usize| self.sessions[stratum].entered.plus(self.anonymous[stratum]);
        strata.map(of).fold(Arms::default(), Arms::plus)
    }
}
