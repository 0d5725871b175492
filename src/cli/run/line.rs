//! The line of output that each line of input gets.

use poolshift::clock::{Moment, millis};
use poolshift::router::Routed;
use poolshift::router::policy::Reason;
use poolshift::{Call, CallError, Lane};
use serde::Serialize;
use serde_json::value::RawValue;

/// A line of the output.
#[derive(Debug, Serialize)]
pub(super) struct Output<'a> {
    id: Option<&'a str>,
    command: Option<&'a str>,
    session: Option<&'a str>,
    class: Option<&'static str>,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'a str>,
    outcome: &'static str,
    ran: &'static str,
    lane: Option<Lane>,
    reason: Option<Reason>,
    /// Counted from 1, as people count the rules in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<u8>,
    epoch: Option<u64>,
    worker: Option<String>,
    submitted_ms: f64,
    queued_ms: f64,
    total_ms: f64,
}

/// Who called: what is printed of a call beside what came of it.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) id: String,
    pub(super) command: String,
    pub(super) session: Option<String>,
}

impl Caller {
    pub(super) fn of(call: &Call) -> Self {
        Self {
            id: call.id.to_string(),
            command: call.command.to_string(),
            session: call.session.as_ref().map(ToString::to_string),
        }
    }
}

/// The output line of a call that went through the router, in a run that began at `first`.
pub(super) fn answered(caller: &Caller, routed: &Routed, first: Moment) -> String {
    let Routed { decision, class, answer } = routed;
    let error = answer.result.as_ref().err();
    let error_type = match error {
        Some(CallError::Raised { error_type, .. }) => error_type.as_deref(),
        _ => None,
    };
    let timing = answer.timing;
    print(&Output {
        id: Some(&caller.id),
        command: Some(&caller.command),
        session: caller.session.as_deref(),
        class: Some(class.as_str()),
        ok: error.is_none(),
        result: answer.result.as_deref().ok(),
        error: error.map(ToString::to_string),
        error_type,
        outcome: answer.outcome().as_str(),
        ran: error.map_or("yes", |error| error.ran().as_str()),
        lane: Some(decision.lane),
        reason: Some(decision.reason),
        rule: decision.rule.map(|rule| rule + 1),
        epoch: Some(decision.epoch),
        worker: answer.worker.map(|worker| format!("{}-{worker}", decision.lane)),
        submitted_ms: millis(timing.submitted.since(first)),
        queued_ms: millis(timing.queued()),
        total_ms: millis(timing.total()),
    })
}

/// The output line of a line that holds no call.
pub(super) fn refused(place: &str, error: &str) -> String {
    print(&Output {
        id: None,
        command: None,
        session: None,
        class: None,
        ok: false,
        result: None,
        error: Some(format!("{place}: {error}")),
        error_type: None,
        outcome: "rejected",
        ran: "no",
        lane: None,
        reason: None,
        rule: None,
        epoch: None,
        worker: None,
        submitted_ms: 0.0,
        queued_ms: 0.0,
        total_ms: 0.0,
    })
}

fn print(output: &Output<'_>) -> String {
    serde_json::to_string(output).expect("an output line is plain data")
}
