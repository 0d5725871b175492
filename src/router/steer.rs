//! Changes of stages and of the ramp: what the rollout file is to say after them.

use thiserror::Error;

use crate::call::Class;
use crate::router::file::RolloutFile;
use crate::router::percent::Percent;
use crate::router::policy::Percents;
use crate::router::ramp::{Ramp, RampMark};
use crate::router::stage::{By, Move, Refused, Stage, Stages};

/// A rollout that stands elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steer {
    /// What was done, for the audit.
    pub what: String,
    /// V3's shares, beneath the kill switch.
    pub percents: Percents,
    /// How far each class has come.
    pub stages: Stages,
    /// The ramp, if one is under way from now on.
    pub ramp: Option<RampMark>,
}

/// Why the rollout stays where it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unsteered {
    /// Only one party sets the shares.
    #[error(
        "a ramp sets the shares; `rollout ramp stop` ends it and leaves them to you, `rollout \
         rollback` takes everything back"
    )]
    UnderRamp,
    /// Only one ramp at a time.
    #[error("a ramp is under way already; `rollout rollback` or `rollout ramp stop` comes first")]
    Already,
    /// A ramp begins with everything in V2.
    #[error(
        "{} is {}, and a ramp begins with every class off; {}",
        class.as_str(), stage.as_str(), way_off(*stage)
    )]
    NotOff {
        /// The class.
        class: Class,
        /// Its stage.
        stage: Stage,
    },
    /// There is nothing to steer.
    #[error("no ramp is under way; `rollout ramp start PLAN` begins one")]
    NoRamp,
    /// A class cannot make that move.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A class has a stage in which its share stays.
    #[error(
        "{} is {}, in which its share stays at {share} %; {}",
        class.as_str(), stage.as_str(), way_on(*stage)
    )]
    Fixed {
        /// The class.
        class: Class,
        /// Its stage.
        stage: Stage,
        /// Its share.
        share: Percent,
    },
    /// A class is not all in V3.
    #[error("{} is at {share} %, and is complete at 100 %", class.as_str())]
    NotFull {
        /// The class.
        class: Class,
        /// Its share.
        share: Percent,
    },
    /// The kill switch has commands of its own.
    #[error("the kill switch is no stage; use `rollout kill` and `rollout unkill`")]
    KillSwitch,
}

fn way_off(stage: Stage) -> &'static str {
    match stage {
        Stage::RolledBack | Stage::Shadow => "`rollout stage off` clears it",
        _ => "`rollout rollback` comes first",
    }
}

fn way_on(stage: Stage) -> &'static str {
    match stage {
        Stage::RolledBack => "`rollout stage off` clears it",
        Stage::Complete => "`rollout rollback` is the way back",
        _ => "`rollout stage ramp` lets it move",
    }
}

impl Steer {
    /// To where a ramp stands now. One without a class that has come anywhere is over.
    #[must_use]
    pub fn ramp(what: &str, ramp: &Ramp, mark: &RampMark) -> Self {
        let stages = ramp.stages().with_kill_switch(false);
        let is_over = Class::ALL.iter().all(|class| stages.of(*class) == Stage::Off);
        Self {
            what: what.to_owned(),
            percents: ramp.shares(),
            stages,
            ramp: (!is_over).then(|| ramp.mark(&mark.plan, &mark.build)),
        }
    }

    /// The ramp is over; the shares stay, and are set by hand from now on.
    ///
    /// # Errors
    /// If there is none, or what it rolled back was not cleared.
    pub fn stop(file: &RolloutFile) -> Result<Self, Unsteered> {
        let percents = file.percents.unwrap_or_default();
        let (stages, class) = (file.stages(&percents), Class::Read);
        match file.ramp {
            None => Err(Unsteered::NoRamp),
            Some(_) if stages.of(class) == Stage::RolledBack => {
                let share = percents.of(class);
                Err(Unsteered::Fixed { class, stage: Stage::RolledBack, share })
            }
            Some(_) => Ok(Self {
                what: "ramp stop".to_owned(),
                percents,
                stages: Stages::implied_by(&percents),
                ramp: None,
            }),
        }
    }

    /// A human moves a class to a stage; without a class, every class that can make the move.
    ///
    /// # Errors
    /// If it cannot, with the reason; without a class, if none can.
    pub fn stage(file: &RolloutFile, to: Stage, class: Option<Class>) -> Result<Self, Unsteered> {
        let of = class.map_or(String::new(), |class| format!(" --class {}", class.as_str()));
        let what = format!("stage {}{of}", to.as_str());
        let asked = |from| move_to(from, to, file.ramp.is_some());
        Self::moved(file, what, class, asked)
    }

    /// A human stops the ramp for a while, or lets it go on.
    ///
    /// # Errors
    /// If there is none, or no class of it can make the move.
    pub fn pause(file: &RolloutFile, paused: bool) -> Result<Self, Unsteered> {
        if file.ramp.is_none() {
            return Err(Unsteered::NoRamp);
        }
        let (what, asked) = match paused {
            true => ("ramp pause", Move::Hold),
            false => ("ramp resume", Move::Resume),
        };
        Self::moved(file, what.to_owned(), None, |_| Ok(asked))
    }

    fn moved(
        file: &RolloutFile,
        what: String,
        class: Option<Class>,
        asked: impl Fn(Stage) -> Result<Move, Unsteered>,
    ) -> Result<Self, Unsteered> {
        let percents = file.percents.unwrap_or_default();
        let mut stages = file.stages(&percents).with_kill_switch(file.killed);
        let was = stages;
        let mut refused = None;
        for class in class.map_or(Class::ALL.to_vec(), |class| vec![class]) {
            let made = asked(stages.beneath(class))
                .and_then(|asked| make(&mut stages, asked, class, percents.of(class)));
            refused = refused.or(made.err());
        }
        if let Some(error) = refused.filter(|_| stages == was) {
            return Err(error);
        }
        let stages = stages.with_kill_switch(false);
        let share = |class| match stages.of(class).may_use_v3() {
            true => percents.of(class),
            false => Percent::ZERO,
        };
        let [read, write, critical] = Class::ALL.map(share);
        let percents = Percents::new(read, write, critical).expect("no stage is ahead of another");
        let is_over = Class::ALL.iter().all(|class| stages.of(*class) == Stage::Off);
        let back = Class::ALL.iter().any(|class| {
            stages.of(*class) == Stage::RolledBack && was.beneath(*class) != Stage::RolledBack
        });
        // A position that was rolled back is another one: verdicts about it count no more.
        let ramp = file.ramp.clone().filter(|_| !is_over);
        let ramp = ramp.map(|mark| RampMark { number: mark.number + u64::from(back), ..mark });
        Ok(Self { what, percents, stages, ramp })
    }
}

/// The move that leads from one stage to another.
fn move_to(from: Stage, to: Stage, under_ramp: bool) -> Result<Move, Unsteered> {
    let asked = match (from, to) {
        (_, Stage::Killed) => return Err(Unsteered::KillSwitch),
        (_, Stage::Shadow) => Move::Shadow,
        (Stage::Shadow, Stage::Off) => Move::Stop,
        (_, Stage::Off) => Move::Clear,
        (Stage::Hold, Stage::Ramp) => Move::Resume,
        (_, Stage::Ramp) => Move::Ramp,
        (_, Stage::Hold) => Move::Hold,
        (_, Stage::Complete) => Move::Complete,
        (_, Stage::RolledBack) => Move::RollBack,
    };
    match asked {
        Move::Shadow | Move::Stop | Move::Ramp | Move::Complete if under_ramp => {
            Err(Unsteered::UnderRamp)
        }
        asked => Ok(asked),
    }
}

fn make(stages: &mut Stages, asked: Move, class: Class, share: Percent) -> Result<(), Unsteered> {
    let mut moved = *stages;
    moved.make(asked, class, By::Human)?;
    if asked == Move::Complete && share != Percent::HUNDRED {
        return Err(Unsteered::NotFull { class, share });
    }
    *stages = moved;
    Ok(())
}

/// Whether a ramp may begin.
///
/// # Errors
/// If one is under way, or a class has come anywhere by hand.
pub fn may_begin(file: &RolloutFile) -> Result<(), Unsteered> {
    let percents = file.percents.unwrap_or_default();
    let stages = file.stages(&percents);
    let begun = Class::ALL.into_iter().map(|class| (class, stages.of(class)));
    let begun = begun.filter(|(_, stage)| *stage != Stage::Off).max_by_key(|(class, _)| *class);
    match (&file.ramp, begun) {
        (Some(_), Some((_, stage))) if stage != Stage::RolledBack => Err(Unsteered::Already),
        (_, Some((class, stage))) => Err(Unsteered::NotOff { class, stage }),
        (_, None) => Ok(()),
    }
}

/// Whether shares may be set by hand: not while a ramp sets them, nor against a stage.
///
/// # Errors
/// If not.
pub fn may_set(before: &RolloutFile, after: &RolloutFile) -> Result<(), Unsteered> {
    if before.ramp.is_some() {
        return Err(Unsteered::UnderRamp);
    }
    let Some(stages) = before.stages else { return Ok(()) };
    let (was, is) = (before.percents.unwrap_or_default(), after.percents.unwrap_or_default());
    let fixed = Class::ALL.into_iter().find(|class| {
        let (changed, stage) = (was.of(*class) != is.of(*class), stages.of(*class));
        changed && stage != Stage::Ramp
    });
    match fixed {
        Some(class) => {
            let (stage, share) = (stages.of(class), was.of(class));
            Err(Unsteered::Fixed { class, stage, share })
        }
        None => Ok(()),
    }
}
