//! `[[compare.NAME]]`: what does not count as a difference in a command's answers, and
//! `[shadow]`: what is kept of those that differ.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;
use serde_json::json;
use toml::{Table, Value};

use crate::config::ShadowConfig;
use crate::config::reader::{Reader, suggestion};
use crate::router::compare::Kind;
use crate::router::compare::glob::Glob;
use crate::router::compare::rule::{
    ERROR, EVERY_COMMAND, Effect, MAX_RULES, Pattern, Place, Rule, RuleBook,
};

/// The keys that say what a rule forgives; but for abs and rel, one of them.
const EFFECTS: [&str; 7] = ["ignore", "abs", "rel", "unordered", "key", "regex", "loose_numbers"];

/// All keys of a rule.
const KEYS: [&str; 9] =
    ["at", "ignore", "abs", "rel", "unordered", "key", "regex", "with", "loose_numbers"];

const LEAST_STORE: usize = 1024 * 1024;

pub(super) fn shadow(reader: &mut Reader<'_>) -> ShadowConfig {
    let default = ShadowConfig::default();
    let lists = rules(reader);
    let section = &mut reader.section("shadow");
    let config = ShadowConfig {
        sample: section.take("sample", default.sample),
        noise: section.take("noise", default.noise),
        reserve: section.take("reserve", default.reserve),
        max_per_s: section.take("max_per_s", default.max_per_s),
        timeout: section.take("timeout", default.timeout),
        store: section.take("store", default.store),
        store_max_bytes: section.take("store_max_bytes", default.store_max_bytes),
        redact: section.take("redact", default.redact),
        rules: RuleBook::new(lists, section.take("max_compare_bytes", default.rules.max_bytes())),
    };
    if config.store_max_bytes < LEAST_STORE {
        let message =
            format!("{} holds no samples; at least {LEAST_STORE}", config.store_max_bytes);
        section.flaw("store_max_bytes", message);
    }
    if config.rules.max_bytes() == 0 {
        section.flaw("max_compare_bytes", "0 would compare nothing at all".to_owned());
    }
    if config.max_per_s == 0 {
        let message = "0 admits no shadow; set sample = 0 to have none".to_owned();
        section.flaw("max_per_s", message);
    }
    if config.timeout == Duration::ZERO {
        section.flaw("timeout", "0s is over before a worker could answer".to_owned());
    }
    for field in &config.redact {
        let flaw = match field.as_str() {
            "" => Some("an empty text is part of every key; leave it out".to_owned()),
            glob if glob.starts_with('/') => {
                glob.parse::<Glob>().err().map(|error| error.to_string())
            }
            _ => None,
        };
        if let Some(message) = flaw {
            section.flaw("redact", message);
        }
    }
    config
}

fn rules(reader: &mut Reader<'_>) -> BTreeMap<String, Vec<Rule>> {
    let lists = reader.take_lists("compare");
    let every = lists.iter().find(|list| list.name == EVERY_COMMAND);
    let every = every.map_or(0, |list| list.items.len());
    let mut rules = BTreeMap::new();
    for list in lists {
        let of_this = list.items.iter().enumerate().filter_map(|(index, item)| {
            let read = rule(item);
            read.map_err(|(key, message)| reader.list_flaw(&list, index, key, &message)).ok()
        });
        let of_this: Vec<Rule> = of_this.collect();
        if list.items.len() + every > MAX_RULES {
            reader.list_flaw(&list, 0, "", &format!("a command has at most {MAX_RULES} rules"));
        }
        rules.insert(list.name, of_this);
    }
    rules
}

/// The key that is wrong, and why.
type Flaw = (&'static str, String);

fn rule(item: &Value) -> Result<Rule, Flaw> {
    let Value::Table(table) = item else {
        return Err(("", format!("{item} is wrong: expected a rule, as {{ at = \"/x\", … }}")));
    };
    if let Some(unknown) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(("", format!("{unknown}: no such key{}", suggestion(unknown, &KEYS))));
    }
    let at = place(table)?;
    let effect = effect(table)?;
    let fits = match &effect {
        _ if at != Place::Error => true,
        Effect::Ignore | Effect::Normalise { .. } => true,
        Effect::IgnoreKinds(kinds) => kinds.as_slice() == [Kind::Changed],
        _ => false,
    };
    match fits {
        true => Ok(Rule { at, effect }),
        false => Err(("at", format!("{ERROR:?} takes ignore = true, or regex and with"))),
    }
}

fn place(table: &Table) -> Result<Place, Flaw> {
    let at = table.get("at").and_then(Value::as_str);
    let at = at.ok_or(("at", "needs at = \"/…\", or at = \"error\"".to_owned()))?;
    if at == ERROR {
        return Ok(Place::Error);
    }
    at.parse().map(Place::Value).map_err(|error| ("at", format!("{error}")))
}

fn effect(table: &Table) -> Result<Effect, Flaw> {
    let effects = table.keys().filter(|key| !["at", "with", "rel"].contains(&key.as_str()));
    let mut names: Vec<&str> = effects.map(String::as_str).collect();
    if table.contains_key("rel") && !names.contains(&"abs") {
        names.push("rel");
    }
    if table.contains_key("with") && names != ["regex"] {
        return Err(("with", "belongs to regex".to_owned()));
    }
    if table.contains_key("rel") && names.len() > 1 {
        return Err(("", "has more than one effect; write a rule for each".to_owned()));
    }
    match names.as_slice() {
        ["ignore"] => ignore(&table["ignore"]),
        ["abs" | "rel"] => {
            Ok(Effect::Tolerance { abs: tolerance(table, "abs")?, rel: tolerance(table, "rel")? })
        }
        ["unordered"] => flag(table, "unordered", Effect::Unordered),
        ["loose_numbers"] => flag(table, "loose_numbers", Effect::Loose),
        ["key"] => key(&table["key"]),
        ["regex"] => normalise(table),
        [] => Err(("", format!("has no effect; give it one of {}", EFFECTS.join(", ")))),
        _ => Err(("", "has more than one effect; write a rule for each".to_owned())),
    }
}

fn ignore(value: &Value) -> Result<Effect, Flaw> {
    // A lane that fails where the other answers is never forgiven.
    let kinds = &Kind::ALL[..6];
    let named = |value: &Value| {
        let name = value.as_str()?;
        kinds.iter().find(|kind| kind.as_str() == name).copied()
    };
    let listed = |values: &Vec<Value>| values.iter().map(named).collect::<Option<Vec<Kind>>>();
    match value {
        Value::Boolean(true) => Some(Effect::Ignore),
        Value::Array(values) if !values.is_empty() => listed(values).map(Effect::IgnoreKinds),
        _ => None,
    }
    .ok_or_else(|| {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        ("ignore", format!("{value} is wrong: expected true, or a list of {}", names.join(", ")))
    })
}

fn tolerance(table: &Table, key: &'static str) -> Result<f64, Flaw> {
    let Some(value) = table.get(key) else { return Ok(0.0) };
    let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
    let good = number.filter(|number| *number >= 0.0 && number.is_finite());
    good.ok_or_else(|| (key, format!("{value} is wrong: expected a number from 0")))
}

fn flag(table: &Table, key: &'static str, effect: Effect) -> Result<Effect, Flaw> {
    match table[key].as_bool() {
        Some(true) => Ok(effect),
        _ => Err((key, format!("{} is wrong: expected true", table[key]))),
    }
}

fn key(value: &Value) -> Result<Effect, Flaw> {
    let text = value.as_str().unwrap_or_default();
    text.parse::<Glob>().map_err(|error| ("key", error.to_string()))?;
    if text.is_empty() || text.contains('*') || text.contains("~2") {
        return Err(("key", format!("{value} names no one member; write it as \"/id\"")));
    }
    Ok(Effect::Keyed(text.to_owned()))
}

fn normalise(table: &Table) -> Result<Effect, Flaw> {
    let text = |key: &'static str| {
        let text = table.get(key).and_then(Value::as_str);
        text.ok_or((key, format!("needs {key} = \"…\"")))
    };
    let regex = Regex::new(text("regex")?).map_err(|error| {
        // The last line says what is wrong, those before it draw where.
        let told = error.to_string();
        let why = told.lines().last().unwrap_or_default().trim_start_matches("error: ");
        ("regex", format!("{} is no pattern: {why}", table["regex"]))
    })?;
    Ok(Effect::Normalise { regex: Pattern(regex), with: text("with")?.to_owned() })
}

/// The JSON Schema of one command's rules.
pub(super) fn rules_schema() -> serde_json::Value {
    let kinds: Vec<&str> = Kind::ALL[..6].iter().map(|kind| kind.as_str()).collect();
    let distance = json!({"type": "number", "minimum": 0});
    let any_of: Vec<_> = EFFECTS.iter().map(|key| json!({"required": [key]})).collect();
    json!({
        "type": "array",
        "maxItems": MAX_RULES,
        "items": {
            "type": "object",
            "properties": {
                "at": {"type": "string", "pattern": "^(/.*|error|)$",
                       "description": "A JSON Pointer; * is any text, ** any segments."},
                "ignore": {"oneOf": [
                    {"const": true},
                    {"type": "array", "items": {"enum": kinds}, "minItems": 1},
                ]},
                "abs": distance, "rel": distance,
                "unordered": {"const": true},
                "key": {"type": "string", "pattern": "^/"},
                "regex": {"type": "string"}, "with": {"type": "string"},
                "loose_numbers": {"const": true},
            },
            "required": ["at"],
            "anyOf": any_of,
            "dependentRequired": {"regex": ["with"], "with": ["regex"]},
            "additionalProperties": false,
        },
    })
}
