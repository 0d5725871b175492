//! Why a call was slow, in a sentence.

use std::fmt::Write as _;

use crate::report::record::{Life, MarkKind, RunRecord, SlowCall};

/// What became of one of the slowest calls, with what went on meanwhile.
#[must_use]
pub(super) fn story(call: &SlowCall, record: &RunRecord) -> String {
    let SlowCall { id, command, kind, planned_ms, wait_ms, service_ms, lag_ms, .. } = call;
    let mut parts = kind.split('.');
    let (lane, ending) = (parts.next().unwrap_or_default(), parts.next_back().unwrap_or_default());
    let mut story = format!("{command} {id}");
    if let Some(session) = &call.session {
        let _ = write!(story, " of {session}");
    }
    let _ = write!(story, ", due at {:.3} s: ", planned_ms / 1e3);
    if *lag_ms >= 0.5 {
        let _ = write!(story, "submitted {lag_ms:.1} ms late, ");
    }
    match call.worker {
        Some(worker) => {
            let _ = write!(story, "waited {wait_ms:.1} ms for {lane}-{worker}, ");
            let _ = write!(story, "ran {service_ms:.1} ms, {ending}");
        }
        None => {
            let _ = write!(story, "waited {wait_ms:.1} ms in {lane} and had no worker, {ending}");
        }
    }
    if let Some(life) = began_with_it(call, lane, record) {
        let _ = write!(story, "; it was the first call of process {}", life.generation);
    }
    let until = planned_ms + call.response_ms;
    let meanwhile = record.marks.iter().filter(|mark| {
        let is_near = mark.lane.is_none_or(|marked| marked.as_str() == lane);
        let is_then = mark.from_ms <= until && mark.until_ms >= *planned_ms;
        mark.what != MarkKind::Step && is_near && is_then
    });
    for mark in meanwhile.take(2) {
        let _ = write!(story, "; at {:.3} s {}", mark.from_ms / 1e3, mark.label);
    }
    if let Some(error) = &call.error {
        let line = error.lines().next().unwrap_or_default();
        let _ = write!(story, "; \"{line}\"");
    }
    story
}

/// The life of the call's worker, if it began with this call and was not the slot's first.
fn began_with_it<'a>(call: &SlowCall, lane: &str, record: &'a RunRecord) -> Option<&'a Life> {
    let worker = call.worker?;
    let mut rows = record.workers.iter();
    let row = rows.find(|row| row.lane.as_str() == lane && row.slot == worker.slot)?;
    let life = row.lives.iter().find(|life| life.generation == worker.generation)?;
    let dispatched = call.planned_ms + call.lag_ms + call.wait_ms;
    (life.generation > 1 && (life.from_ms - dispatched).abs() < 0.001).then_some(life)
}
