//! One difference as it is kept: redacted, cut short, and never anything else.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::CallError;
use crate::router::compare::rule::ERROR;
use crate::router::compare::{Difference, Kind};
use crate::shadow::Trial;
use crate::shadow::quota::Slot;
use crate::shadow::redactor::{HIDDEN, Redactor, Secrets};

/// A text in a sample is cut after so many bytes: one looks at it, and gets the rest by its id.
const LONGEST: usize = 1024;

/// One difference of one pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The call's command, or the name that further ones share.
    pub command: String,
    /// The place in every answer, a glob.
    pub shape: String,
    /// How they differ.
    pub kind: Kind,
    /// The place in this answer, a JSON Pointer.
    pub path: String,
    /// Of which pair with this shape and kind it is, from 0.
    pub n: u64,
    /// Where it is kept.
    pub slot: Slot,
    /// When control had answered, in seconds since the Unix epoch.
    pub at_s: f64,
    /// The call's id.
    pub id: String,
    /// The caller's session.
    pub session: Option<String>,
    /// The call's args.
    pub args: String,
    /// What V2 has in this place, if it has anything.
    pub v2: Option<String>,
    /// What V3 has in this place, if it has anything.
    pub v3: Option<String>,
}

/// A pair of answers without its secrets. The only way from answers to samples and counts.
#[derive(Debug)]
pub struct Redacted<'a> {
    redactor: &'a Redactor,
    secrets: Secrets,
    trial: &'a Trial,
    args: String,
    answers: [Result<Value, String>; 2],
}

impl<'a> Redacted<'a> {
    /// Hides what is to be hidden.
    #[must_use]
    pub fn of(redactor: &'a Redactor, trial: &'a Trial) -> Self {
        let mut secrets = Secrets::default();
        let mut plain = |json: &str| {
            // What cannot be read cannot be redacted, so it is not told.
            let mut value = serde_json::from_str(json).unwrap_or_else(|_| Value::from(HIDDEN));
            redactor.hide(&mut value, &mut secrets);
            value
        };
        let args = plain(trial.args.as_json());
        let answers = trial.by_lane().map(|side| side.told().map(|raw| plain(raw.get())));
        let told = |answer: Result<Value, &CallError>| match answer {
            Ok(value) => Ok(secrets.scrub_value(&value)),
            Err(error) => Err(secrets.scrub(&failure(error))),
        };
        let answers = answers.map(told);
        let args = cut(secrets.scrub_value(&args).to_string());
        Self { redactor, secrets, trial, args, answers }
    }

    /// A path as it may be told.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        self.secrets.scrub(&self.redactor.cover(path))
    }

    /// The call's id as it may be told.
    #[must_use]
    pub fn id(&self) -> String {
        self.secrets.scrub(&self.trial.id.to_string())
    }

    /// One difference as it is kept, under the name that its command has in the counts.
    #[must_use]
    pub fn sample(&self, command: &str, difference: &Difference, n: u64, slot: Slot) -> Sample {
        let [v2, v3] = [0, 1].map(|side| self.at(side, difference));
        Sample {
            command: command.to_owned(),
            shape: self.path(&difference.shape),
            kind: difference.kind,
            path: self.path(&difference.path),
            n,
            slot,
            at_s: self.trial.at.as_secs_f64(),
            id: self.id(),
            session: self.trial.session.as_ref().map(|name| self.secrets.scrub(name.as_str())),
            args: self.args.clone(),
            v2,
            v3,
        }
    }

    fn at(&self, side: usize, difference: &Difference) -> Option<String> {
        match &self.answers[side] {
            Err(error) => Some(cut(error.clone())),
            Ok(value) if difference.path == ERROR => Some(cut(value.to_string())),
            Ok(_) if self.path(&difference.path) != difference.path => Some(HIDDEN.to_owned()),
            Ok(value) => value.pointer(&difference.path).map(|value| cut(value.to_string())),
        }
    }
}

/// What the worker raised, without its traceback; or what the host says.
fn failure(error: &CallError) -> String {
    match error {
        CallError::Raised { message, error_type: Some(class), .. } => format!("{class}: {message}"),
        other => format!("{}: {other}", other.outcome().as_str()),
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}
