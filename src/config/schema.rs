//! The JSON Schema of `poolshift.toml`, made from the keys that the reader asks for.

use serde_json::{Map, Value, json};

use crate::config::about::about;
use crate::config::compare::rules_schema;
use crate::config::survey::{Taken, take};
use crate::machine::MAX_SIZE;

/// The smallest and the largest value of some numbers. What depends on two keys is left to
/// `config check`.
const RANGES: [(&str, u64, u64); 9] = [
    ("worker.max_frame_bytes", 1024, u32::MAX as u64),
    ("v2.size", 1, MAX_SIZE as u64),
    ("v3.size", 1, MAX_SIZE as u64),
    ("v3.min_ready", 1, MAX_SIZE as u64),
    ("session.max_sessions", 1, i64::MAX as u64),
    ("rollout.max_pins", 1, i64::MAX as u64),
    ("shadow.max_per_s", 1, i64::MAX as u64),
    ("shadow.store_max_bytes", 1024 * 1024, i64::MAX as u64),
    ("shadow.max_compare_bytes", 1, i64::MAX as u64),
];

/// Defaults that differ from machine to machine, and so are in no schema.
const LOCAL: [&str; 1] = ["v3.size"];

/// The schema (JSON Schema 2020-12). The committed copy is `docs/config.schema.json`.
#[must_use]
pub fn schema() -> Value {
    let (_, taken) = take("schema", "[commands.NAME]\n", []);
    let mut sections = Map::new();
    let mut command = Map::new();
    for taken in taken.iter().filter(|taken| !taken.schema.is_null()) {
        let (section, key) = taken.path.rsplit_once('.').expect("every key is in a section");
        let keys = match section.strip_prefix("commands.") {
            Some(_) => &mut command,
            None => properties(&mut sections, section),
        };
        keys.insert(key.to_owned(), property(taken));
    }
    let command = closed(command);
    sections.insert(
        "commands".to_owned(),
        json!({
            "description": "What each command may change, saves and loads.",
            "type": "object",
            "additionalProperties": command,
        }),
    );
    sections.insert(
        "compare".to_owned(),
        json!({
            "description": about("compare.*"),
            "type": "object",
            "additionalProperties": rules_schema(),
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "poolshift.toml",
        "description": "Settings of poolshift; `poolshift config check` also checks combinations.",
        "type": "object",
        "properties": sections,
        "additionalProperties": false,
    })
}

fn properties<'a>(sections: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let section = sections.entry(name).or_insert_with(|| closed(Map::new()));
    section["properties"].as_object_mut().expect("a section has properties")
}

fn closed(properties: Map<String, Value>) -> Value {
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn property(taken: &Taken) -> Value {
    let mut schema = taken.schema.clone();
    let members = schema.as_object_mut().expect("a key's schema is an object");
    members.insert("description".to_owned(), about(&taken.path).into());
    if let Some((_, min, max)) = RANGES.iter().find(|(path, ..)| *path == taken.path) {
        members.insert("minimum".to_owned(), (*min).into());
        members.insert("maximum".to_owned(), (*max).into());
    }
    let default = taken.default.as_ref().filter(|_| !LOCAL.contains(&taken.path.as_str()));
    if let Some(default) = default.filter(|_| !taken.path.starts_with("commands.")) {
        let default = serde_json::to_value(default).expect("a default is plain data");
        members.insert("default".to_owned(), default);
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn ranges_are_those_that_the_check_knows() {
        for (path, min, max) in RANGES {
            let (section, key) = path.split_once('.').unwrap();
            let good = |value: u64| {
                // Of pools as large as can be, so that only this key decides.
                let other = if path == "v3.min_ready" { "size = 1024\n" } else { "" };
                let text = format!("[{section}]\n{other}{key} = {value}\n");
                Config::parse("test", &text, []).is_ok()
            };
            assert!(good(min) && !good(min - 1), "{path} from {min}");
            assert!(good(max) && (max > i64::MAX as u64 - 1 || !good(max + 1)), "{path} to {max}");
        }
    }
}
