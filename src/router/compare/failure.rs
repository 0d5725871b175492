//! When two errors are the same.

use crate::error::{CallError, Outcome};
use crate::router::compare::rule::{ERROR, Effect, Place, Rules, normalised_message};
use crate::router::compare::{Difference, Found, Kind, Verdict};

pub(super) fn compare(rules: &Rules, v2: &CallError, v3: &CallError) -> Verdict {
    let timed_out =
        |error: &CallError| matches!(error.outcome(), Outcome::QueueTimeout | Outcome::ExecTimeout);
    if timed_out(v2) && timed_out(v3) {
        return Verdict::Unknown;
    }
    if class(v2) != class(v3) {
        return differs(Kind::Error);
    }
    if message(v2) == message(v3) {
        return Verdict::Same;
    }
    let normal = |error| normalised_message(rules, message(error));
    if normal(v2) == normal(v3) || messages_are_ignored(rules) {
        return Verdict::Excused;
    }
    differs(Kind::Changed)
}

/// No rule speaks for an error against a value, or for another class.
pub(super) fn differs(kind: Kind) -> Verdict {
    let (path, shape) = (ERROR.to_owned(), ERROR.to_owned());
    let listed = vec![Difference { path, shape, kind }];
    Verdict::Differs(Found { listed, beyond: 0 })
}

fn class(error: &CallError) -> (Outcome, Option<&str>) {
    match error {
        CallError::Raised { error_type, .. } => (Outcome::Raised, error_type.as_deref()),
        other => (other.outcome(), None),
    }
}

/// Only the worker's own words are compared: the host's name times and processes.
fn message(error: &CallError) -> &str {
    match error {
        CallError::Raised { message, .. } => message,
        _ => "",
    }
}

fn messages_are_ignored(rules: &Rules) -> bool {
    let mut at_error = rules.rules.iter().filter(|rule| rule.at == Place::Error);
    at_error.any(|rule| match &rule.effect {
        Effect::Ignore => true,
        Effect::IgnoreKinds(kinds) => kinds.contains(&Kind::Changed),
        _ => false,
    })
}
