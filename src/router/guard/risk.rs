//! Who could have gone bad: the units at risk, by cohort, stratum and arm.

use serde::{Deserialize, Serialize};

use crate::call::Class;
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
    /// Sessions that used a command of the class, each once, in the order of [`Class::ALL`].
    by_class: [Arms; 3],
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
    /// Whether V3 has failed it before.
    failed: bool,
    /// The strata that it has used, as bits.
    used: u64,
    /// Of these, those in which it is the candidate's.
    candidate: u64,
}

impl Marks {
    /// V3 has failed the session; whether it had before.
    pub(super) fn failed_again(&mut self) -> bool {
        std::mem::replace(&mut self.failed, true)
    }

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
            let by_class = Default::default();
            self.cohorts.push(Cohort { percents, sessions, anonymous, by_class });
        }
    }

    /// The marks of a session that is drawn now; none if it will not be judged.
    #[must_use]
    pub fn mark(&self) -> Option<Marks> {
        let latest = self.cohorts.len().checked_sub(1).filter(|_| !self.full)?;
        let (cohort, bad) = (latest as u16, Metrics::NONE);
        Some(Marks { cohort, bad, failed: false, used: 0, candidate: 0 })
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
        let class = self.strata.class(stratum);
        let is_first = marks.used & self.strata.of_class(class) == 0;
        marks.used |= 1 << stratum;
        marks.candidate |= u64::from(arm == Arm::Candidate) << stratum;
        let Some(cohort) = self.cohorts.get_mut(usize::from(marks.cohort)) else { return };
        if is_first {
            cohort.by_class[class as usize].add(arm);
        }
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
        Some(Shares { intended, actual: at_risk.share(), arrived: None })
    }

    /// The units of this one's cohort and stratum that have come so far, at risk or not.
    #[must_use]
    pub fn arrived(&self, unit: &Unit<'_>, stratum: usize) -> Option<Arms> {
        Some(match unit {
            Unit::Anonymous => self.cohorts.last()?.anonymous[stratum],
            Unit::Session(marks) => {
                self.cohorts.get(usize::from(marks.cohort))?.sessions[stratum].entered
            }
        })
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

    /// The sessions of the latest cohort that used these classes, and its anonymous calls of them.
    ///
    /// A session is one however many commands it used: that none of them failed is one good sign,
    /// not many. How many used several classes is not known, so the class with the most counts.
    #[must_use]
    pub fn latest(&self, classes: &[Class]) -> Arms {
        let Some(cohort) = self.cohorts.last().filter(|_| !self.full) else {
            return Arms::default();
        };
        let sessions = classes.iter().map(|class| cohort.by_class[*class as usize]);
        let anonymous = cohort.anonymous.iter().enumerate();
        let anonymous = anonymous.filter(|(index, _)| classes.contains(&self.strata.class(*index)));
        let sessions = sessions.fold(Arms::default(), Arms::higher);
        anonymous.map(|(_, arms)| *arms).fold(sessions, Arms::plus)
    }

    /// The units of all cohorts.
    #[must_use]
    pub fn units(&self) -> Arms {
        let units = self.cohorts.iter().map(Cohort::units);
        units.fold(Arms::default(), Arms::plus)
    }
}

impl Cohort {
    fn units(&self) -> Arms {
        let sessions = self.sessions.iter().map(|cell| cell.entered);
        sessions.chain(self.anonymous.iter().copied()).fold(Arms::default(), Arms::plus)
    }
}
