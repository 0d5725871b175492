//! The ramp: which step is in force, and what may change that.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::call::Class;
use crate::clock::Wall;
use crate::router::percent::Percent;
use crate::router::policy::Percents;
use crate::router::ramp::mark::RampMark;
use crate::router::ramp::plan::{Plan, Proof, Step};
use crate::router::ramp::verdict::{Check, Says, Verdict};
use crate::router::stage::{By, Move, Refused, Stage, Stages};

/// Where a ramp stands in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Before the first step: nothing in V3 but shadows.
    Shadow,
    /// A step, from 0.
    Step(usize),
    /// Beyond the last step, whose shares stay.
    Done,
}

/// A plan under way. It goes one step at a time, from which it only ever goes back to nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ramp {
    plan: Plan,
    stages: Stages,
    position: Position,
    since: Wall,
    /// Counts the changes of position, so that each has a number of its own.
    number: u64,
}

/// Why the ramp does not do what it was asked. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotNow {
    /// A class cannot make that move.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The verdict is about another step.
    #[error("the verdict is about step number {verdict}, and the ramp is at number {ramp} by now")]
    Stale {
        /// The verdict's step.
        verdict: u64,
        /// The ramp's step.
        ramp: u64,
    },
    /// The plan has no further step.
    #[error("the last step of the plan is done")]
    NoStepLeft,
    /// More than patience and proof is missing.
    #[error("a human may go on without time, units and proof, but not against this: {reasons}")]
    Unsafe {
        /// What stands against it.
        reasons: String,
    },
    /// No class is on its way, or holds.
    #[error("no class is {}, so there is nothing to {}", wanted.as_str(), asked.as_str())]
    Nothing {
        /// The stage that a class would have to have.
        wanted: Stage,
        /// The move.
        asked: Move,
    },
}

impl Ramp {
    /// Begins a plan, in the shadow stage.
    #[must_use]
    pub fn start(plan: Plan, now: Wall) -> Self {
        let mut stages = Stages::default();
        stages.make(Move::Shadow, Class::Read, By::Human).expect("reads go from off to shadow");
        Self { plan, stages, position: Position::Shadow, since: now, number: 1 }
    }

    /// The ramp that a rollout file tells of; none if its plan has no such step.
    #[must_use]
    pub fn of(plan: Plan, mark: &RampMark, stages: Stages) -> Option<Self> {
        let RampMark { position, number, since_ms: since, .. } = *mark;
        let exists = !matches!(position, Position::Step(index) if index >= plan.steps.len());
        exists.then_some(Self { plan, stages, position, since, number })
    }

    /// What a rollout file says of it.
    #[must_use]
    pub fn mark(&self, plan: &Arc<str>, build: &Arc<str>) -> RampMark {
        let (plan, build) = (Arc::clone(plan), Arc::clone(build));
        RampMark { plan, build, position: self.position, number: self.number, since_ms: self.since }
    }

    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How far each class has come.
    #[must_use]
    pub const fn stages(&self) -> &Stages {
        &self.stages
    }

    /// Where it stands.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Since when.
    #[must_use]
    pub const fn since(&self) -> Wall {
        self.since
    }

    /// The number of the position that it has: guards are told it with each step.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The step in force, the last one if all are done.
    #[must_use]
    pub fn step(&self) -> Option<&Step> {
        match self.position {
            Position::Shadow => None,
            Position::Step(index) => self.plan.steps.get(index),
            Position::Done => self.plan.steps.last(),
        }
    }

    /// What must be shown before it goes on; nothing if the plan asks for no shadow.
    #[must_use]
    pub fn proof(&self) -> Option<Proof> {
        match self.position {
            Position::Shadow => self.plan.shadow,
            Position::Step(index) => self.plan.steps.get(index).map(|step| step.proof),
            Position::Done => None,
        }
    }

    /// The shares that should be in force: none while the kill switch is on.
    #[must_use]
    pub fn percents(&self) -> Percents {
        if self.stages.are_killed() { Percents::default() } else { self.shares() }
    }

    /// The shares beneath the kill switch.
    #[must_use]
    pub fn shares(&self) -> Percents {
        let share = |class: Class| match (self.stages.beneath(class).may_use_v3(), self.step()) {
            (true, Some(step)) => step.percents.of(class),
            _ => Percent::ZERO,
        };
        let [read, write, critical] = Class::ALL.map(share);
        Percents::new(read, write, critical)
            .expect("no stage is ahead of a safer one, and no step of the plan either")
    }

    /// Does what a verdict says. Whether anything changed.
    ///
    /// To go back is never too late: a kill or a rollback counts whichever step it was about.
    ///
    /// # Errors
    /// If it says to go on from another step, or a class cannot make the move.
    pub fn follow(&mut self, verdict: &Verdict, now: Wall) -> Result<bool, NotNow> {
        match verdict.verdict {
            Says::Kill => {
                let changed = !self.stages.are_killed();
                self.stages.kill();
                Ok(changed)
            }
            Says::Rollback if self.stages.beneath(Class::Read) == Stage::RolledBack => Ok(false),
            Says::Rollback => self.roll_back(By::Ramp, now).map(|()| true),
            Says::Hold => Ok(false),
            Says::Advance => {
                self.check_current(verdict)?;
                self.go_on(now).map(|()| true)
            }
        }
    }

    /// A human goes on to the next step without waiting for time, units or proof.
    ///
    /// # Errors
    /// If anything else stands against it in the latest verdict.
    pub fn promote(&mut self, verdict: &Verdict, now: Wall) -> Result<(), NotNow> {
        self.check_current(verdict)?;
        let against = |check: Check, says: Says| says > Says::Advance && !check.may_be_waived();
        let against = verdict.findings.iter().filter(|f| against(f.check, f.says));
        let reasons: Vec<&str> = against.map(|finding| finding.reason.as_str()).collect();
        if !reasons.is_empty() {
            return Err(NotNow::Unsafe { reasons: reasons.join("; ") });
        }
        self.go_on(now)
    }

    /// Stops raising; everything stays as it is, and the guards go on watching.
    ///
    /// # Errors
    /// If no class is on its way.
    pub fn pause(&mut self, by: By) -> Result<(), NotNow> {
        self.make_all(Stage::Ramp, Move::Hold, by)
    }

    /// Goes on raising after a pause.
    ///
    /// # Errors
    /// If no class holds, or it is no human who asks.
    pub fn resume(&mut self, by: By) -> Result<(), NotNow> {
        self.make_all(Stage::Hold, Move::Resume, by)
    }

    /// Everything back to V2, also of classes that were complete: the pooled evidence does not
    /// tell which of them is safe.
    ///
    /// # Errors
    /// If there is nothing to roll back.
    pub fn roll_back(&mut self, by: By, now: Wall) -> Result<(), NotNow> {
        self.stages.make(Move::RollBack, Class::Read, by)?;
        (self.since, self.number) = (now, self.number + 1);
        Ok(())
    }

    /// What was rolled back may be tried again, by a new ramp.
    ///
    /// # Errors
    /// If nothing was rolled back, or it is no human who asks.
    pub fn clear(&mut self, by: By) -> Result<(), NotNow> {
        self.make_all(Stage::RolledBack, Move::Clear, by)
    }

    /// The kill switch on; never refused.
    pub const fn kill(&mut self) {
        self.stages.kill();
    }

    /// The kill switch off; the ramp is paused then.
    ///
    /// # Errors
    /// Unless it is on and a human asks.
    pub fn unkill(&mut self, by: By) -> Result<(), NotNow> {
        Ok(self.stages.unkill(by)?)
    }

    fn check_current(&self, verdict: &Verdict) -> Result<(), NotNow> {
        if verdict.step == self.number {
            return Ok(());
        }
        Err(NotNow::Stale { verdict: verdict.step, ramp: self.number })
    }

    /// To the next step, and to no other.
    fn go_on(&mut self, now: Wall) -> Result<(), NotNow> {
        let next = match self.position {
            Position::Shadow => 0,
            Position::Step(index) => index + 1,
            Position::Done => return Err(NotNow::NoStepLeft),
        };
        // Made on a copy: either every class can make its move, or nothing changes.
        let mut stages = self.stages;
        for class in Class::ALL {
            let full = self.step().is_some_and(|step| step.percents.of(class) == Percent::HUNDRED);
            if full && stages.of(class) != Stage::Complete {
                stages.make(Move::Complete, class, By::Ramp)?;
            }
        }
        let step = self.plan.steps.get(next);
        for class in step.map_or(&[][..], |step| &step.classes) {
            if stages.of(*class) != Stage::Ramp {
                stages.make(Move::Ramp, *class, By::Ramp)?;
            }
        }
        self.stages = stages;
        self.position = if step.is_some() { Position::Step(next) } else { Position::Done };
        (self.since, self.number) = (now, self.number + 1);
        Ok(())
    }

    fn make_all(&mut self, wanted: Stage, asked: Move, by: By) -> Result<(), NotNow> {
        let mut stages = self.stages;
        let classes = Class::ALL.into_iter().filter(|class| stages.beneath(*class) == wanted);
        let classes: Vec<Class> = classes.collect();
        for class in &classes {
            stages.make(asked, *class, by)?;
        }
        if classes.is_empty() {
            return Err(NotNow::Nothing { wanted, asked });
        }
        self.stages = stages;
        Ok(())
    }
}
