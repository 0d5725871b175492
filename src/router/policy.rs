//! Who goes where: percentages by class, one kill switch, and the decision for one call.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::call::{Call, Class, Lane};
use crate::router::bucket::draw;
use crate::router::percent::Percent;
use crate::router::rules::Rules;
use crate::router::stage::Stages;

/// V3's share of each class. Read never lags behind write, nor write behind critical, so the
/// sets of sessions in V3 are nested (R12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unordered")]
pub struct Percents {
    read: Percent,
    write: Percent,
    critical: Percent,
}

/// Percentages as they are read, before their order is checked.
#[derive(Deserialize)]
struct Unordered {
    read: Percent,
    write: Percent,
    critical: Percent,
}

impl TryFrom<Unordered> for Percents {
    type Error = Disorder;

    fn try_from(Unordered { read, write, critical }: Unordered) -> Result<Self, Disorder> {
        Self::new(read, write, critical)
    }
}

/// Percentages out of order.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "read {read} %, write {write} %, critical {critical} %: no class may be ahead of a safer one \
     (read >= write >= critical)"
)]
pub struct Disorder {
    read: Percent,
    write: Percent,
    critical: Percent,
}

impl Percents {
    /// The same share for all classes.
    #[must_use]
    pub const fn all(percent: Percent) -> Self {
        Self { read: percent, write: percent, critical: percent }
    }

    /// A share for each class.
    ///
    /// # Errors
    /// Unless read >= write >= critical.
    pub fn new(read: Percent, write: Percent, critical: Percent) -> Result<Self, Disorder> {
        if read >= write && write >= critical {
            return Ok(Self { read, write, critical });
        }
        Err(Disorder { read, write, critical })
    }

    /// The share of one class.
    #[must_use]
    pub const fn of(&self, class: Class) -> Percent {
        match class {
            Class::Read => self.read,
            Class::Write => self.write,
            Class::Critical => self.critical,
        }
    }

    /// The lower of the two, class by class.
    #[must_use]
    pub fn lower(self, other: Self) -> Self {
        Self {
            read: self.read.min(other.read),
            write: self.write.min(other.write),
            critical: self.critical.min(other.critical),
        }
    }

    /// Whether any class is under way, neither at 0 nor at 100.
    #[must_use]
    pub fn are_partial(&self) -> bool {
        let ends = [Percent::ZERO, Percent::HUNDRED];
        Class::ALL.iter().any(|class| !ends.contains(&self.of(*class)))
    }
}

/// What is in force. Replaced as a whole, never changed in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Counts the changes in this process, from 1; each decision names it.
    pub epoch: u64,
    /// The version that the rollout file gave itself.
    pub version: u64,
    /// The salt of every bucket.
    pub flag: Arc<str>,
    /// Everything goes to V2, whatever the rest says.
    pub killed: bool,
    /// V3's share of each class.
    pub percents: Percents,
    /// How far each class has come, beneath the kill switch.
    pub stages: Stages,
    /// Whether a drill has switched the canary, which nothing but drills looks at.
    pub canary: bool,
    /// Whether the lowest share governs a whole session.
    pub whole_sessions: bool,
    /// The calls that go by what they are, before any draw.
    pub rules: Arc<Rules>,
}

/// A change that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Illegal {
    /// All sessions would move at once.
    #[error(
        "the flag is {from:?} and cannot become {to:?} while a class is between 0 and 100 %: \
         every session would be drawn anew; finish or roll back first"
    )]
    FlagChange {
        /// The flag in force.
        from: Arc<str>,
        /// The flag that was asked for.
        to: Arc<str>,
    },
    /// The file is older than what is in force.
    #[error("version {to} is older than version {from}, which is in force")]
    OldVersion {
        /// The version in force.
        from: u64,
        /// The version that was asked for.
        to: u64,
    },
    /// A rule would never match.
    #[error(
        "rule {rule} asks for command {command:?}, which the config does not know: correct its \
         name, or give it a class in [commands.{command}]"
    )]
    UnknownCommand {
        /// The rule's number in the file, from 1.
        rule: usize,
        /// The command.
        command: String,
    },
}

impl Policy {
    /// The policy before any change: everything goes to V2.
    #[must_use]
    pub fn initial(flag: &str, whole_sessions: bool) -> Self {
        Self {
            epoch: 1,
            version: 0,
            flag: flag.into(),
            killed: false,
            percents: Percents::all(Percent::ZERO),
            stages: Stages::default(),
            canary: false,
            whole_sessions,
            rules: Arc::default(),
        }
    }

    /// The policy that replaces this one.
    ///
    /// # Errors
    /// If the change is not allowed; this policy then stays.
    pub fn replaced_by(&self, next: Self) -> Result<Self, Illegal> {
        if next.flag != self.flag && self.percents.are_partial() {
            let (from, to) = (Arc::clone(&self.flag), next.flag);
            return Err(Illegal::FlagChange { from, to });
        }
        if next.version < self.version {
            return Err(Illegal::OldVersion { from: self.version, to: next.version });
        }
        Ok(Self { epoch: self.epoch + 1, ..next })
    }

    /// Whether a bucket of this class is V3's under the given shares.
    #[must_use]
    pub fn lane(&self, percents: &Percents, class: Class, bucket: u32) -> Lane {
        let class = if self.whole_sessions { Class::Critical } else { class };
        if bucket < percents.of(class).buckets() { Lane::V3 } else { Lane::V2 }
    }

    /// Where a call goes that no caller has made: it is V3's unless a drill has switched the
    /// canary, which is to it what the kill switch is to all others.
    #[must_use]
    pub fn decide_canary(&self) -> Lane {
        let percents = Percents::all(Percent::HUNDRED);
        let policy = Self { killed: self.canary, percents, ..self.clone() };
        policy.decide_anonymous("canary", Class::Read).lane
    }

    /// The lane of a call that is not drawn, strongest first: because of the kill switch, because
    /// its caller forces a lane, or because a rule gives it one (R12). Allocates nothing.
    #[must_use]
    pub fn directed(&self, call: &Call) -> Option<Decision> {
        if self.killed {
            return Some(self.decision(Lane::V2, Reason::Killed));
        }
        if let Some(lane) = call.forced.or_else(|| self.rules.forced(call)) {
            return Some(self.decision(lane, Reason::Forced));
        }
        let rule = self.rules.first(call)?;
        let lane = self.rules.list()[usize::from(rule)].lane.lane()?;
        Some(Decision { rule: Some(rule), ..self.decision(lane, Reason::Rule) })
    }

    const fn decision(&self, lane: Lane, reason: Reason) -> Decision {
        Decision { lane, reason, epoch: self.epoch, drawn: false, rule: None }
    }

    /// The lane of a call without a session, which is drawn by its id.
    #[must_use]
    pub fn decide_anonymous(&self, id: &str, class: Class) -> Decision {
        if self.killed {
            return self.decision(Lane::V2, Reason::Killed);
        }
        let lane = self.lane(&self.percents, class, draw(&self.flag, id).bucket);
        Decision { drawn: true, ..self.decision(lane, Reason::Percent) }
    }
}

/// Where one call goes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Where.
    pub lane: Lane,
    /// Why.
    pub reason: Reason,
    /// The policy's epoch.
    pub epoch: u64,
    /// Whether it was a draw: an anonymous call, or a session's first.
    pub drawn: bool,
    /// The rule that gave it the lane, from 0, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<u8>,
}

impl Decision {
    /// Whether chance gave the lane. If not, the call says nothing about V3 beside V2: whoever
    /// sent it there chose which calls those are.
    #[must_use]
    pub const fn is_by_chance(&self) -> bool {
        matches!(self.reason, Reason::Pinned | Reason::Percent)
    }
}

/// Why a call goes where it goes, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The kill switch is on.
    Killed,
    /// The caller forced a lane.
    Forced,
    /// A rule says so.
    Rule,
    /// The session was drawn earlier.
    Pinned,
    /// The percentage of its class.
    Percent,
}

impl Reason {
    /// The name used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Forced => "forced",
            Self::Rule => "rule",
            Self::Pinned => "pinned",
            Self::Percent => "percent",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn percent(thousandths: u32) -> Percent {
        format!("{}.{:03}", thousandths / 1000, thousandths % 1000).parse().unwrap()
    }

    proptest! {
        #[test]
        fn r12_the_sets_of_v3_are_nested(
            low in 0_u32..=100_000, more in 0_u32..=100_000, bucket in 0_u32..100_000,
        ) {
            let high = percent((low + more).min(100_000));
            let low = percent(low);
            let policy = Policy::initial("f", false);
            let of = |percents: Percents, class| policy.lane(&percents, class, bucket);
            // Raising only adds.
            if of(Percents::all(low), Class::Read) == Lane::V3 {
                prop_assert_eq!(of(Percents::all(high), Class::Read), Lane::V3);
            }
            // A riskier class is never ahead of a safer one.
            let ordered = Percents::new(high, low, low).unwrap();
            if of(ordered, Class::Write) == Lane::V3 {
                prop_assert_eq!(of(ordered, Class::Read), Lane::V3);
            }
            // 0 and 100 are exact.
            prop_assert_eq!(of(Percents::all(Percent::ZERO), Class::Read), Lane::V2);
            prop_assert_eq!(of(Percents::all(Percent::HUNDRED), Class::Read), Lane::V3);
        }
    }

    #[test]
    fn r12_no_class_is_ahead_of_a_safer_one() {
        assert!(Percents::new(percent(10), percent(20), percent(5)).is_err());
        assert!(Percents::new(percent(20), percent(10), percent(11)).is_err());
    }

    #[test]
    fn r12_the_flag_stays_while_a_rollout_is_under_way() {
        let half = Percents::all(percent(50_000));
        let under_way = Policy { percents: half, ..Policy::initial("a", false) };
        let renamed = Policy { flag: "b".into(), ..under_way.clone() };
        assert!(matches!(under_way.replaced_by(renamed.clone()), Err(Illegal::FlagChange { .. })));
        assert!(Policy::initial("a", false).replaced_by(renamed).is_ok());
    }
}
