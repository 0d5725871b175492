//! What is kept of compared answers: exact counts of everything, and a few samples of what
//! differs, redacted before they reach a disk.

mod error;
mod journal;
pub mod quota;
pub mod recorder;
pub mod redactor;
pub mod room;
pub mod sample;
mod store;
pub mod tally;

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::call::{Answer, Args, CallId, Lane, SessionId};
use crate::error::CallError;
use crate::router::compare::rule::RuleBook;
use crate::router::compare::{Told, Verdict, compare};
pub use crate::shadow::error::StoreError;
pub use crate::shadow::store::{Evidence, Limits, Store};

/// One call that two workers answered.
#[derive(Debug)]
pub struct Trial {
    /// The call's command.
    pub command: Arc<str>,
    /// The call's id.
    pub id: CallId,
    /// The caller's session.
    pub session: Option<SessionId>,
    /// The call's args, as the caller gave them.
    pub args: Args,
    /// What the caller was told.
    pub control: Side,
    /// What the caller was not told. In control's own lane, the pair is a sample of noise.
    pub candidate: Side,
    /// When control had answered, since the Unix epoch.
    pub at: Duration,
}

/// One lane's part in a trial.
#[derive(Clone, Debug)]
pub struct Side {
    /// Which lane it is.
    pub lane: Lane,
    /// Its answer.
    pub answer: Result<Box<RawValue>, CallError>,
    /// From a worker's taking the call to the outcome, if one took it. What a queue adds is left
    /// out: shadows never wait in one.
    pub took: Option<Duration>,
}

impl Side {
    /// A lane's answer to a call.
    #[must_use]
    pub fn of(lane: Lane, answer: Answer) -> Self {
        let took = answer.timing.dispatched.map(|_| answer.timing.service());
        Self { lane, answer: answer.result, took }
    }

    /// What it said.
    pub fn told(&self) -> Told<'_> {
        self.answer.as_deref()
    }
}

impl Trial {
    /// Whether a lane was compared with itself.
    #[must_use]
    pub fn is_noise(&self) -> bool {
        self.control.lane == self.candidate.lane
    }

    /// V2's side and V3's, whoever of them answered the caller; so "missing" always means that
    /// V3 lacks it. Of one lane with itself, control comes first.
    #[must_use]
    pub fn by_lane(&self) -> [&Side; 2] {
        match self.control.lane > self.candidate.lane {
            true => [&self.candidate, &self.control],
            false => [&self.control, &self.candidate],
        }
    }

    /// About how many bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let sides = [&self.control, &self.candidate]
            .map(|side| side.answer.as_ref().map_or(0, |answer| answer.get().len()));
        size_of::<Self>() + self.args.as_json().len() + sides.iter().sum::<usize>()
    }

    /// Compares both answers under the rules of the call's command.
    #[must_use]
    pub fn verdict(&self, rules: &RuleBook) -> Verdict {
        let [v2, v3] = self.by_lane();
        compare(rules.of(&self.command), v2.told(), v3.told())
    }
}
