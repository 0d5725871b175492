//! How far each class of commands has come: the stages, and the moves between them.
//!
//! ```text
//!        Shadow         Ramp          Complete
//!   off ───────> shadow ────> ramp ────────────> complete
//!    ^             │          │ ^ Resume            │
//!    │             │    Hold  v │ (human)           │
//!    │             │          hold                  │
//!    │ Clear       │ RollBack  │ RollBack  RollBack │
//!    │ (human)     v           v                    v
//!    └───────────────────── rolled_back <───────────┘
//! ```
//!
//! `write` and `critical` go from off to ramp, since only read calls are shadowed (R16). The kill
//! switch lies above all of it: while it is on, every class is killed, and only a rollback is
//! still noted.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::call::Class;
use crate::router::percent::Percent;
use crate::router::policy::Percents;

/// How far a class has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// All in V2.
    Off,
    /// All in V2; copies of some calls are compared in V3.
    Shadow,
    /// A share is in V3, and may be raised.
    Ramp,
    /// The share stays as it is until a human resumes.
    Hold,
    /// All in V3; V2 stays up.
    Complete,
    /// All back in V2, until a human clears it.
    RolledBack,
    /// The kill switch is on: all in V2, whatever the stage beneath.
    Killed,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 7] = [
        Self::Off,
        Self::Shadow,
        Self::Ramp,
        Self::Hold,
        Self::Complete,
        Self::RolledBack,
        Self::Killed,
    ];

    /// The name used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::Ramp => "ramp",
            Self::Hold => "hold",
            Self::Complete => "complete",
            Self::RolledBack => "rolled_back",
            Self::Killed => "killed",
        }
    }

    /// Whether calls of the class may be in V3.
    #[must_use]
    pub const fn may_use_v3(self) -> bool {
        matches!(self, Self::Ramp | Self::Hold | Self::Complete)
    }
}

/// What can be asked for a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Move {
    /// Begin to compare.
    Shadow,
    /// Stop comparing, and stay in V2.
    Stop,
    /// Begin to send calls to V3.
    Ramp,
    /// Stop raising.
    Hold,
    /// Go on raising; a human's word.
    Resume,
    /// It is all in V3, and stays there.
    Complete,
    /// Everything back to V2, riskier classes too.
    RollBack,
    /// It was rolled back, and may be tried again; a human's word.
    Clear,
}

impl Move {
    /// Every move.
    pub const ALL: [Self; 8] = [
        Self::Shadow,
        Self::Stop,
        Self::Ramp,
        Self::Hold,
        Self::Resume,
        Self::Complete,
        Self::RollBack,
        Self::Clear,
    ];

    /// The name used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Stop => "stop",
            Self::Ramp => "ramp",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Complete => "complete",
            Self::RollBack => "roll back",
            Self::Clear => "clear",
        }
    }

    /// The stage that this move leads to from another, if it does.
    const fn from(self, stage: Stage, class: Class) -> Option<Stage> {
        let shadowed = matches!(class, Class::Read);
        match (stage, self) {
            (Stage::Off, Self::Shadow) if shadowed => Some(Stage::Shadow),
            (Stage::Off, Self::Ramp) if !shadowed => Some(Stage::Ramp),
            (Stage::Shadow, Self::Stop) => Some(Stage::Off),
            (Stage::Shadow, Self::Ramp) => Some(Stage::Ramp),
            (Stage::Ramp, Self::Hold) => Some(Stage::Hold),
            (Stage::Hold, Self::Resume) => Some(Stage::Ramp),
            (Stage::Ramp, Self::Complete) => Some(Stage::Complete),
            (
                Stage::Shadow | Stage::Ramp | Stage::Hold | Stage::Complete | Stage::RolledBack,
                Self::RollBack,
            ) => Some(Stage::RolledBack),
            (Stage::RolledBack, Self::Clear) => Some(Stage::Off),
            _ => None,
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A person.
    Human,
    /// The ramp, by its guards.
    Ramp,
}

/// A move that is not made. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// The kill switch is on.
    #[error(
        "{} cannot {}: the kill switch is on; a human takes it back first with \
         `poolshift rollout unkill`",
        class.as_str(), asked.as_str()
    )]
    Killed {
        /// The class.
        class: Class,
        /// The move.
        asked: Move,
    },
    /// No such move from here.
    #[error(
        "{} is {} and cannot {}; from there it can {}",
        class.as_str(), from.as_str(), asked.as_str(), list(*class, *from)
    )]
    NotFromHere {
        /// The class.
        class: Class,
        /// Its stage.
        from: Stage,
        /// The move.
        asked: Move,
    },
    /// The guards may not make this move.
    #[error("{} is {}: only a human may {} it", class.as_str(), from.as_str(), asked.as_str())]
    HumanOnly {
        /// The class.
        class: Class,
        /// Its stage.
        from: Stage,
        /// The move.
        asked: Move,
    },
    /// A safer class has not come so far.
    #[error(
        "{} cannot {} while {} is {}: no class may be ahead of a safer one",
        class.as_str(), asked.as_str(), safer.as_str(), stage.as_str()
    )]
    Ahead {
        /// The class.
        class: Class,
        /// The move.
        asked: Move,
        /// The safer class.
        safer: Class,
        /// Its stage.
        stage: Stage,
    },
    /// Nobody took the kill switch.
    #[error("the kill switch is not on")]
    NotKilled,
    /// The guards may not take the kill switch back.
    #[error("only a human may take the kill switch back")]
    KillIsHuman,
}

fn list(class: Class, from: Stage) -> String {
    let legal = Move::ALL.iter().filter(|legal| legal.from(from, class).is_some());
    legal.map(|legal| legal.as_str()).collect::<Vec<_>>().join(" or ")
}

/// The stages of all classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ByClass", into = "ByClass")]
pub struct Stages {
    /// Beneath the kill switch, in the order of [`Class::ALL`]; never [`Stage::Killed`].
    beneath: [Stage; 3],
    killed: bool,
}

/// Stages as they are written, before it is checked that they can be.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ByClass {
    read: Stage,
    write: Stage,
    critical: Stage,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    killed: bool,
}

impl From<Stages> for ByClass {
    fn from(Stages { beneath: [read, write, critical], killed }: Stages) -> Self {
        Self { read, write, critical, killed }
    }
}

impl TryFrom<ByClass> for Stages {
    type Error = String;

    fn try_from(ByClass { read, write, critical, killed }: ByClass) -> Result<Self, String> {
        let beneath = [read, write, critical];
        if beneath.contains(&Stage::Killed) {
            return Err("the kill switch is no stage of one class; write killed = true".to_owned());
        }
        if critical == Stage::Shadow || write == Stage::Shadow {
            return Err("only read calls are compared in shadow".to_owned());
        }
        if !beneath.is_sorted_by_key(|stage| !stage.may_use_v3()) {
            let names = beneath.map(Stage::as_str);
            return Err(format!("{}: no class may be ahead of a safer one", names.join(", ")));
        }
        Ok(Self { beneath, killed })
    }
}

impl Default for Stages {
    fn default() -> Self {
        Self { beneath: [Stage::Off; 3], killed: false }
    }
}

impl Stages {
    /// The stages that shares tell by themselves, where nobody set any.
    #[must_use]
    pub fn implied_by(percents: &Percents) -> Self {
        let implied = |class| match percents.of(class) {
            Percent::ZERO => Stage::Off,
            Percent::HUNDRED => Stage::Complete,
            _ => Stage::Ramp,
        };
        Self { beneath: Class::ALL.map(implied), killed: false }
    }

    /// The same, under the kill switch or not.
    #[must_use]
    pub const fn with_kill_switch(self, killed: bool) -> Self {
        Self { killed, ..self }
    }

    /// The one word for all classes: what needs a human first, then what all have in common.
    #[must_use]
    pub fn overall(&self) -> Stage {
        let any = |stage| self.beneath.contains(&stage);
        let all = |stage| self.beneath.iter().all(|other| *other == stage);
        let ends = [Stage::Off, Stage::Complete];
        match self.killed {
            true => Stage::Killed,
            false => [Stage::RolledBack, Stage::Hold]
                .into_iter()
                .find(|stage| any(*stage))
                .or_else(|| ends.into_iter().find(|stage| all(*stage)))
                .or_else(|| (!any(Stage::Ramp) && any(Stage::Shadow)).then_some(Stage::Shadow))
                .unwrap_or(Stage::Ramp),
        }
    }

    /// The stage of a class.
    #[must_use]
    pub const fn of(&self, class: Class) -> Stage {
        if self.killed { Stage::Killed } else { self.beneath(class) }
    }

    /// The stage that a class has beneath the kill switch.
    #[must_use]
    pub const fn beneath(&self, class: Class) -> Stage {
        self.beneath[class as usize]
    }

    /// Whether the kill switch is on.
    #[must_use]
    pub const fn are_killed(&self) -> bool {
        self.killed
    }

    /// Makes a move.
    ///
    /// # Errors
    /// If it is not legal; nothing changes then.
    pub fn make(&mut self, asked: Move, class: Class, by: By) -> Result<(), Refused> {
        if self.killed && asked != Move::RollBack {
            return Err(Refused::Killed { class, asked });
        }
        let from = self.beneath(class);
        let Some(to) = asked.from(from, class) else {
            return Err(Refused::NotFromHere { class, from, asked });
        };
        if by != By::Human && matches!(asked, Move::Resume | Move::Clear) {
            return Err(Refused::HumanOnly { class, from, asked });
        }
        self.check_safer(asked, class)?;
        self.beneath[class as usize] = to;
        if asked == Move::RollBack {
            self.roll_back_riskier(class);
        }
        Ok(())
    }

    /// The kill switch on; never refused.
    pub const fn kill(&mut self) {
        self.killed = true;
    }

    /// The kill switch off. A class that was on its way holds, until a human resumes it too.
    ///
    /// # Errors
    /// Unless it is on and a human asks.
    pub fn unkill(&mut self, by: By) -> Result<(), Refused> {
        if !self.killed {
            return Err(Refused::NotKilled);
        }
        if by != By::Human {
            return Err(Refused::KillIsHuman);
        }
        self.killed = false;
        for stage in self.beneath.iter_mut().filter(|stage| **stage == Stage::Ramp) {
            *stage = Stage::Hold;
        }
        Ok(())
    }

    fn check_safer(&self, asked: Move, class: Class) -> Result<(), Refused> {
        let suffices = |stage| match asked {
            Move::Complete => stage == Stage::Complete,
            Move::Ramp | Move::Resume => matches!(stage, Stage::Ramp | Stage::Complete),
            _ => true,
        };
        let safer = Class::ALL.into_iter().filter(|safer| *safer < class);
        let lagging = safer.map(|safer| (safer, self.beneath(safer)));
        match lagging.into_iter().find(|(_, stage)| !suffices(*stage)) {
            Some((safer, stage)) => Err(Refused::Ahead { class, asked, safer, stage }),
            None => Ok(()),
        }
    }

    /// The shares of V3 are nested (R12): none is left ahead of the class that went back.
    fn roll_back_riskier(&mut self, class: Class) {
        for riskier in Class::ALL.into_iter().filter(|riskier| *riskier > class) {
            let stage = &mut self.beneath[riskier as usize];
            if stage.may_use_v3() {
                *stage = Stage::RolledBack;
            }
        }
    }
}
