//! A plan as a file: JSON with one event a line, so that two plans can be compared by eye.

use std::fmt::Write as _;
use std::time::Duration;

use poolshift::Class;
use poolshift::clock::Moment;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bounds::{self, Impossible};
use crate::hazard::Strike;
use crate::plan::Plan;
use crate::plan::setting::Setting;
use crate::source::Milestone;
use crate::trace::{CallNo, SessionNo};
use crate::workload::{Act, Leaves, PlannedCall, session_id};

/// The version of the format that is written, and the only one that is read.
pub const FORMAT: u32 = 1;

/// How far apart the numbers of calls may be: they have one ring, and all may be under way.
const MOST_APART: u64 = 1 << 22;

/// Why a plan cannot be used.
#[derive(Debug, Error)]
pub enum BadPlan {
    /// It was written by another version.
    #[error(
        "it has format {found}, and this build reads format {FORMAT}: replay it with the build \
         that wrote it, or let the run that is named in it write it anew"
    )]
    Format {
        /// Its version.
        found: u32,
    },
    /// It does not end.
    #[error(
        "it ends in the middle, at line {line}, column {column}: it was cut off; copy it again, or \
         let the run write it anew"
    )]
    Truncated {
        /// Where the text ends.
        line: usize,
        /// And in which column.
        column: usize,
    },
    /// It is not what a plan looks like.
    #[error("{0}: correct that place, or let the run write the plan anew")]
    Syntax(serde_json::Error),
    /// Its options can be no run's.
    #[error("its setting: {0}")]
    Options(#[from] Impossible),
    /// It says something that cannot be.
    #[error("{list}[{index}] {what}")]
    Event {
        /// Which list.
        list: &'static str,
        /// Which of its events, from 0.
        index: usize,
        /// What is wrong, and what would be right.
        what: String,
    },
}

/// What all versions have.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    format: u32,
    law: Option<String>,
    seed: u64,
    setting: Setting,
    calls: Vec<Call>,
    acts: Vec<TimedAct>,
    milestones: Vec<NumberedMilestone>,
    strikes: Vec<Strike>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    call: u64,
    at_ns: u64,
    class: Class,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<u64>,
    #[serde(default, skip_serializing_if = "is_false")]
    idempotent: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    ends_session: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    poison: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    budget_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancel_after_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "is_false")]
    cancel_at_hand_off: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimedAct {
    at_ns: u64,
    act: Act,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberedMilestone {
    before_call: u64,
    milestone: Milestone,
}

impl Call {
    fn of(planned: &PlannedCall) -> Self {
        let PlannedCall { call, at, session, class, idempotent, .. } = planned;
        let PlannedCall { ends_session, budget, leaves, is_poison, .. } = planned;
        let nanos = |span: &Duration| span.as_nanos() as u64;
        Self {
            call: call.0,
            at_ns: at.as_nanos(),
            class: *class,
            session: session.as_ref().map(|(number, _)| number.0),
            idempotent: *idempotent,
            ends_session: *ends_session,
            poison: *is_poison,
            budget_ns: budget.as_ref().map(nanos),
            cancel_after_ns: after(*leaves).as_ref().map(nanos),
            cancel_at_hand_off: *leaves == Some(Leaves::AtHandOff),
        }
    }

    fn planned(&self) -> PlannedCall {
        let session = self.session.map(SessionNo);
        let after = self.cancel_after_ns.map(|nanos| Leaves::After(Duration::from_nanos(nanos)));
        let at_hand_off = self.cancel_at_hand_off.then_some(Leaves::AtHandOff);
        PlannedCall {
            call: CallNo(self.call),
            at: Moment::from_nanos(self.at_ns),
            session: session.map(|number| (number, session_id(number))),
            class: self.class,
            idempotent: self.idempotent,
            ends_session: self.ends_session,
            budget: self.budget_ns.map(Duration::from_nanos),
            leaves: after.or(at_hand_off),
            is_poison: self.poison,
        }
    }
}

/// The span after which a caller goes away, if it goes by the clock.
const fn after(leaves: Option<Leaves>) -> Option<Duration> {
    match leaves {
        Some(Leaves::After(span)) => Some(span),
        Some(Leaves::AtHandOff) | None => None,
    }
}

impl Plan {
    /// The plan as the text of its file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { law, seed, options, calls, acts, milestones, strikes } = self;
        let mut text = format!("{{\n\"format\": {FORMAT},\n");
        let _ = writeln!(text, "\"law\": {},", json(law));
        let _ = writeln!(text, "\"seed\": {seed},");
        let setting = serde_json::to_string_pretty(&Setting::of(options));
        let _ = writeln!(text, "\"setting\": {},", setting.expect("a setting is plain data"));
        list(&mut text, "calls", calls.iter().map(Call::of), ",");
        let timed = |(at, act): &(Moment, Act)| TimedAct { at_ns: at.as_nanos(), act: *act };
        list(&mut text, "acts", acts.iter().map(timed), ",");
        let numbered = |(call, milestone): &(u64, Milestone)| NumberedMilestone {
            before_call: *call,
            milestone: milestone.clone(),
        };
        list(&mut text, "milestones", milestones.iter().map(numbered), ",");
        list(&mut text, "strikes", strikes.iter(), "");
        text.push_str("}\n");
        text
    }

    /// The plan in the text of a file.
    ///
    /// # Errors
    /// If it is of another version, cut off, malformed, or says what cannot be; the error names
    /// the place.
    pub fn parse(text: &str) -> Result<Self, BadPlan> {
        let syntax = |error: serde_json::Error| match error.is_eof() {
            true => BadPlan::Truncated { line: error.line(), column: error.column() },
            false => BadPlan::Syntax(error),
        };
        let Head { format } = serde_json::from_str(text).map_err(syntax)?;
        if format != FORMAT {
            return Err(BadPlan::Format { found: format });
        }
        let whole: Whole = serde_json::from_str(text).map_err(syntax)?;
        let Whole { format: _, law, seed, setting, calls, acts, milestones, strikes } = whole;
        let options = setting.options();
        bounds::check(&options)?;
        let acts = acts.into_iter().map(|it| (Moment::from_nanos(it.at_ns), it.act));
        let numbered = |it: NumberedMilestone| (it.before_call, it.milestone);
        let plan = Self {
            law,
            seed,
            options,
            calls: calls.iter().map(Call::planned).collect(),
            acts: acts.collect(),
            milestones: milestones.into_iter().map(numbered).collect(),
            strikes,
        };
        plan.check()?;
        Ok(plan)
    }

    /// What a list alone cannot say of itself.
    fn check(&self) -> Result<(), BadPlan> {
        let Self { calls, acts, milestones, strikes, .. } = self;
        let wrong = |list, index, what| Err(BadPlan::Event { list, index, what });
        if calls.is_empty() {
            return wrong("calls", 0, "is missing: a plan has at least one call".to_owned());
        }
        let (first, last) = (calls[0].call.0, calls[calls.len() - 1].call.0);
        if last.saturating_sub(first) > MOST_APART {
            let what = format!("is {} calls after the first: at most {MOST_APART}", last - first);
            return wrong("calls", calls.len() - 1, what);
        }
        for (index, call) in calls.iter().enumerate() {
            let earlier = index.checked_sub(1).map(|before| &calls[before]);
            if let Some(what) = wrong_call(call, earlier) {
                return wrong("calls", index, what);
            }
        }
        for (index, (at, act)) in acts.iter().enumerate() {
            if let Some(what) = wrong_act(*at, act) {
                return wrong("acts", index, what);
            }
        }
        if let Some(at) = acts.windows(2).position(|pair| pair[1].0 < pair[0].0) {
            return wrong("acts", at + 1, "is before the act above it: sort by at_ns".to_owned());
        }
        if let Some(at) = milestones.windows(2).position(|pair| pair[1].0 < pair[0].0) {
            let what = "is before the milestone above it: sort by before_call".to_owned();
            return wrong("milestones", at + 1, what);
        }
        let mut latest = std::collections::BTreeMap::new();
        for (index, strike) in strikes.iter().enumerate() {
            if strike.fault().strikes() != strike.when() {
                let fault = strike.fault().as_str();
                let what = format!("has {fault}, which does not strike there: move it");
                return wrong("strikes", index, what);
            }
            let Strike::Moment { at_ns, fault, .. } = strike else { continue };
            if *at_ns > bounds::LAST_MOMENT_NS {
                return wrong("strikes", index, too_late("at_ns", *at_ns));
            }
            if latest.insert(*fault, *at_ns).is_some_and(|before| *at_ns < before) {
                let what = "is before the strike of its kind above it: sort by at_ns".to_owned();
                return wrong("strikes", index, what);
            }
        }
        Ok(())
    }
}

fn too_late(name: &str, value: u64) -> String {
    format!("has {name} {value}: at most {}, ten years, is possible", bounds::LAST_MOMENT_NS)
}

fn wrong_call(call: &PlannedCall, earlier: Option<&PlannedCall>) -> Option<String> {
    let number = call.call.0;
    let spans = [("budget_ns", call.budget), ("cancel_after_ns", after(call.leaves))];
    let long = spans.into_iter().find(|(_, span)| span.is_some_and(|span| span > bounds::LONGEST));
    match earlier {
        Some(earlier) if earlier.call >= call.call => Some(format!(
            "has number {number}, and the call above it {}: numbers go up",
            earlier.call.0
        )),
        Some(earlier) if earlier.at > call.at => {
            Some(format!("(call {number}) is before the call above it: sort by at_ns"))
        }
        _ if number >= bounds::MOST_CALLS => {
            Some(format!("has number {number}: below {} is possible", bounds::MOST_CALLS))
        }
        _ if call.at.as_nanos() > bounds::LAST_MOMENT_NS => {
            Some(too_late("at_ns", call.at.as_nanos()))
        }
        _ if call.ends_session && call.session.is_none() => {
            Some(format!("(call {number}) ends a session and has none: give it one"))
        }
        _ => long.map(|(name, span)| {
            let (span, most) = (span.unwrap_or_default(), bounds::LONGEST);
            format!("(call {number}) has {name} of {span:?}: at most {most:?} is possible")
        }),
    }
}

fn wrong_act(at: Moment, act: &Act) -> Option<String> {
    if at.as_nanos() > bounds::LAST_MOMENT_NS {
        return Some(too_late("at_ns", at.as_nanos()));
    }
    let Act::Resize(size) = act else { return None };
    let most = bounds::MOST_WORKERS;
    let possible = (1..=most).contains(size);
    (!possible).then(|| format!("resizes to {size} workers: 1 to {most} are possible"))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it is plain data with string keys")
}

fn list<T: Serialize>(text: &mut String, name: &str, items: impl Iterator<Item = T>, end: &str) {
    let lines: Vec<String> = items.map(|item| json(&item)).collect();
    let _ = match lines.is_empty() {
        true => writeln!(text, "\"{name}\": []{end}"),
        false => writeln!(text, "\"{name}\": [\n{}\n]{end}", lines.join(",\n")),
    };
}
