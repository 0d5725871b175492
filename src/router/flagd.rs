//! The policy as a flagd definition, for services of other languages that must agree with us.
//!
//! <https://flagd.dev/reference/flag-definitions/>. flagd from its evaluation engine 0.1 on hashes
//! `[flag, targetingKey]` as we do, so a `fractional` of all buckets, V3 first, gives each
//! session the lane that a draw here gives it. Earlier ones hash otherwise, and would not agree.

use serde_json::{Value, json};
use thiserror::Error;

use crate::call::{Class, Lane};
use crate::router::bucket::BUCKETS;
use crate::router::policy::Policy;
use crate::router::rules::{Rule, Target};

/// Where flagd's schema for what is exported is found.
const SCHEMA: &str = "https://flagd.dev/schema/v0/flags.json";

/// A policy that flagd cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Untold {
    /// flagd reads a dot as a step into an object.
    #[error(
        "a rule looks at attr {attr:?}, whose dot flagd takes for a path: rename it, or take the \
         rule out of the file"
    )]
    Dotted {
        /// The attr's name.
        attr: String,
    },
}

/// The definition. Its evaluation context is the call's: `targetingKey` is the session, or the id
/// of a call without one; `session` repeats it for a call that has one; `command`, `class` and the
/// object `attrs` say the rest. Pins and lanes that code forces are beyond it: it says where a
/// session goes that begins now.
///
/// # Errors
/// If it cannot be said in flagd's words.
pub fn definition(policy: &Policy) -> Result<Value, Untold> {
    let flag = policy.flag.as_ref();
    Ok(json!({
        "$schema": SCHEMA,
        "flags": { flag: {
            "state": "ENABLED",
            "variants": { "v2": "v2", "v3": "v3" },
            "defaultVariant": "v2",
            "targeting": targeting(policy)?,
        } },
        "metadata": { "version": policy.version.to_string() },
    }))
}

fn targeting(policy: &Policy) -> Result<Value, Untold> {
    if policy.killed {
        return Ok(json!("v2"));
    }
    let mut branches = Vec::new();
    for attr in policy.rules.force_attrs() {
        for lane in [Lane::V2, Lane::V3] {
            branches.push(json!({ "==": [attr_of(attr)?, lane] }));
            branches.push(json!(lane));
        }
    }
    let draw = draw(policy);
    let rules = policy.rules.list().iter().filter(|_| !policy.rules.are_suspended());
    for rule in rules {
        branches.push(condition(rule)?);
        branches.push(match rule.lane {
            Target::V2 | Target::V3 => json!(rule.lane),
            Target::Draw => draw.clone(),
        });
    }
    if branches.is_empty() {
        return Ok(draw);
    }
    branches.push(draw);
    Ok(json!({ "if": branches }))
}

/// By percentage; by class, if classes differ and no session is governed as a whole.
fn draw(policy: &Policy) -> Value {
    let of = |class: Class| {
        let v3 = policy.percents.of(class).buckets();
        json!({ "fractional": [["v3", v3], ["v2", BUCKETS - v3]] })
    };
    let critical = of(Class::Critical);
    if policy.whole_sessions || Class::ALL.iter().all(|class| of(*class) == critical) {
        return critical;
    }
    let is = |class: Class| json!({ "==": [{ "var": "class" }, class] });
    json!({ "if": [
        is(Class::Read), of(Class::Read),
        is(Class::Write), of(Class::Write),
        critical,
    ] })
}

fn condition(rule: &Rule) -> Result<Value, Untold> {
    let mut all = Vec::new();
    let mut ask = |var: Value, values: Value| {
        if values.as_array().is_some_and(|values| !values.is_empty()) {
            all.push(json!({ "in": [var, values] }));
        }
    };
    ask(json!({ "var": "command" }), json!(rule.commands));
    ask(json!({ "var": "class" }), json!(rule.classes));
    ask(json!({ "var": "session" }), json!(rule.sessions));
    for (attr, values) in &rule.attrs {
        ask(attr_of(attr)?, json!(values));
    }
    Ok(json!({ "and": all }))
}

fn attr_of(attr: &str) -> Result<Value, Untold> {
    match attr.contains('.') {
        true => Err(Untold::Dotted { attr: attr.to_owned() }),
        false => Ok(json!({ "var": format!("attrs.{attr}") })),
    }
}
