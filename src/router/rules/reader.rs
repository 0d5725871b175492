//! The rules of a rollout file's text, taken apart and checked.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

use crate::call::{Class, SessionId};
use crate::router::reader::Reader;
use crate::router::rules::{MAX_ATTRS, MAX_RULES, MAX_VALUES, Rule, Rules, Target, Written};

const KEYS: [&str; 6] = ["name", "commands", "classes", "sessions", "attrs", "lane"];
const TARGETS: [Target; 3] = [Target::V2, Target::V3, Target::Draw];

/// Reads `rules`, `force_attrs` and `rules_suspended`, and notes all that is wrong with them.
pub(in super::super) fn read(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Rules {
    let suspended = reader.take(table, "rules_suspended", "true or false", |value| value.as_bool());
    let mut rules = Vec::new();
    let is_list = |value: &DeValue<'_>| value.as_array().map(|_| ());
    if reader.take(table, "rules", "a list of [[rules]]", is_list).is_some() {
        let list = table.get("rules").and_then(|value| value.get_ref().as_array());
        for written in list.into_iter().flatten() {
            match written.get_ref().as_table() {
                Some(table) => rules.extend(rule(reader, written.span().start, table)),
                None => reader.problem(written.span().start, "a rule is a table: write [[rules]]"),
            }
        }
    }
    let force_attrs = texts(reader, table, "force_attrs");
    check_sizes(reader, table, &rules, &force_attrs);
    // A refused file has no rules in force, and an index has room for so many.
    rules.truncate(MAX_RULES);
    Rules::new(Written { rules, force_attrs, suspended: suspended.unwrap_or_default() })
}

fn rule(reader: &mut Reader<'_>, start: usize, table: &DeTable<'_>) -> Option<Rule> {
    reader.only(table, &KEYS);
    let name = reader.take(table, "name", "a text", |value| value.as_str().map(str::to_owned));
    let (commands, sessions) = (texts(reader, table, "commands"), texts(reader, table, "sessions"));
    let (classes, attrs) = (classes(reader, table), attrs(reader, table));
    let conditions = ["commands", "classes", "sessions", "attrs"];
    if !conditions.iter().any(|key| table.contains_key(*key)) {
        reader.problem(start, "a rule without a condition is for all calls; use percent instead");
    }
    if !table.contains_key("lane") {
        reader.problem(start, "a rule without a lane; write lane = \"v2\", \"v3\" or \"draw\"");
    }
    let lane = reader.take(table, "lane", "\"v2\", \"v3\" or \"draw\"", |value| {
        TARGETS.into_iter().find(|target| value.as_str() == Some(target.as_str()))
    })?;
    Some(Rule { name, commands, classes, sessions, attrs, lane })
}

fn classes(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Vec<Class> {
    let named = |name: &str| Class::ALL.into_iter().find(|class| class.as_str() == name);
    let taken = reader.take(table, "classes", "a list of read, write and critical", |value| {
        list(value)?.iter().map(|name| named(name)).collect()
    });
    taken.unwrap_or_default()
}

fn attrs(reader: &mut Reader<'_>, table: &DeTable<'_>) -> BTreeMap<String, Vec<String>> {
    let is_table = |value: &DeValue<'_>| value.as_table().filter(|it| !it.is_empty()).map(|_| ());
    if reader.take(table, "attrs", "a table of attrs and their values", is_table).is_none() {
        return BTreeMap::new();
    }
    let asked = table.get("attrs").and_then(|value| value.get_ref().as_table());
    let names = asked.into_iter().flat_map(|asked| {
        asked.keys().map(move |name| (name.get_ref().as_ref().to_owned(), asked))
    });
    names.map(|(name, asked)| (name.clone(), texts(reader, asked, &name))).collect()
}

/// A text, or a list of some.
fn texts(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str) -> Vec<String> {
    let expected = "a text or a list of texts, each of 1 to 256 bytes";
    reader.take(table, key, expected, list).unwrap_or_default()
}

fn list(value: &DeValue<'_>) -> Option<Vec<String>> {
    let text = |value: &DeValue<'_>| {
        // As long as a session's name may be.
        let fits = |text: &&str| (1..=SessionId::MAX_BYTES).contains(&text.len());
        value.as_str().filter(fits).map(str::to_owned)
    };
    match value.as_array() {
        None => Some(vec![text(value)?]),
        // An empty list would never be met, and nobody means that.
        Some(list) if list.is_empty() => None,
        Some(list) => list.iter().map(|value| text(value.get_ref())).collect(),
    }
}

fn check_sizes(reader: &mut Reader<'_>, table: &DeTable<'_>, rules: &[Rule], forcing: &[String]) {
    let lists = rules.iter().flat_map(|rule| {
        let attrs = rule.attrs.values().map(Vec::len);
        attrs.chain([rule.commands.len(), rule.sessions.len()])
    });
    let values: usize = lists.sum();
    let attrs: BTreeSet<&String> = rules.iter().flat_map(|rule| rule.attrs.keys()).collect();
    let start = |key: &str| table.get(key).map_or(0, |value| value.span().start);
    for (key, what, found, most) in [
        ("rules", "rules", rules.len(), MAX_RULES),
        ("rules", "values in the conditions of all rules", values, MAX_VALUES),
        ("rules", "different attrs in all rules", attrs.len(), MAX_ATTRS),
        ("force_attrs", "attrs that force a lane", forcing.len(), MAX_ATTRS),
    ] {
        if found > most {
            reader.problem(start(key), &format!("{found} {what} are more than {most}"));
        }
    }
}
