//! `[commands.NAME]`: what a command may change, and what it saves and loads.

use std::collections::BTreeMap;

use serde_json::json;
use toml::{Table, Value};

use crate::call::Class;
use crate::config::reader::{Reader, Section};
use crate::config::setting::Setting;
use crate::config::survey::Taken;
use crate::machine::retry::Share;
use crate::session::commands::{Command, Commands, LoadRule, Sampling, SaveRule, Source};

/// The built-in table with the config's rows over it; a known command keeps what its row does
/// not name.
pub(super) fn commands(reader: &mut Reader<'_>) -> Commands {
    let mut commands = Commands::default();
    let configured = reader.names_in("commands");
    for name in &configured {
        let command = command(&mut reader.subsection("commands", name), commands.get(name));
        commands.set(name, command);
    }
    for (name, command) in Commands::default().by_name() {
        if !configured.contains(name) {
            reader.note(Taken::built_in(format!("commands.{name}.class"), command.class.write()));
        }
    }
    reader.close_parent("commands");
    commands
}

fn command(section: &mut Section<'_, '_>, known: &Command) -> Command {
    let class = section.take_optional("class");
    let implied = class.map_or_else(|| known.clone(), Command::of);
    let saves = section.take_shaped::<Value>("saves", saves_schema());
    let loads = section.take_shaped::<Value>("loads", loads_schema());
    Command {
        class: implied.class,
        idempotent: section.take("idempotent", implied.idempotent),
        ends_session: section.take("ends_session", known.ends_session),
        shadow: shadow(section, implied.class).or(known.shadow),
        saves: rule(section, "saves", saves, save_rule).or_else(|| known.saves.clone()),
        loads: rule(section, "loads", loads, load_rule).or_else(|| known.loads.clone()),
    }
}

/// R16: only reads are shadowed.
fn shadow(section: &mut Section<'_, '_>, class: Class) -> Option<Sampling> {
    let sampling = section.take_optional("shadow")?;
    if class != Class::Read && sampling != Sampling::Share(Share::NONE) {
        section.flaw("shadow", format!("only reads are shadowed, and this is {}", class.as_str()));
    }
    Some(sampling)
}

fn rule<T>(
    section: &mut Section<'_, '_>,
    key: &str,
    value: Option<Value>,
    parse: fn(&Table) -> Result<T, String>,
) -> Option<T> {
    let parsed = match value? {
        Value::Table(table) => parse(&table),
        other => Err(format!("{other} is wrong: expected a table")),
    };
    parsed.map_err(|message| section.flaw(key, message)).ok()
}

fn save_rule(table: &Table) -> Result<SaveRule, String> {
    only(table, &["table", "key", "row", "remove"])?;
    let row = match (table.get("row"), table.get("remove")) {
        (Some(Value::Table(row)), None) => Some(columns(row)),
        (None, Some(Value::Boolean(true))) => None,
        _ => return Err("needs either row = { … } or remove = true".to_owned()),
    };
    Ok(SaveRule { table: text(table, "table")?, key: source(&text(table, "key")?), row })
}

fn load_rule(table: &Table) -> Result<LoadRule, String> {
    only(table, &["table", "key", "into"])?;
    let key = source(&text(table, "key")?);
    if !matches!(key, Source::Args(_)) {
        return Err("key must be args.NAME, since there is no result yet".to_owned());
    }
    Ok(LoadRule { table: text(table, "table")?, key, into: text(table, "into")? })
}

fn saves_schema() -> serde_json::Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "properties": {
            "table": text, "key": text, "remove": {"const": true},
            "row": {"type": "object", "additionalProperties": true},
        },
        "required": ["table", "key"],
        "oneOf": [{"required": ["row"]}, {"required": ["remove"]}],
        "additionalProperties": false,
    })
}

fn loads_schema() -> serde_json::Value {
    let (text, key) = (json!({"type": "string"}), json!({"type": "string", "pattern": r"^args\."}));
    json!({
        "type": "object",
        "properties": {"table": text, "key": key, "into": text},
        "required": ["table", "key", "into"],
        "additionalProperties": false,
    })
}

fn only(table: &Table, known: &[&str]) -> Result<(), String> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("has no {key}; known are {}", known.join(", "))),
        None => Ok(()),
    }
}

fn text(table: &Table, key: &str) -> Result<String, String> {
    let text = table.get(key).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| format!("needs {key} = \"…\""))
}

fn columns(row: &Table) -> BTreeMap<String, Source> {
    row.iter().map(|(name, value)| (name.clone(), column(value))).collect()
}

fn column(value: &Value) -> Source {
    match value.as_str() {
        Some(text) => source(text),
        None => Source::Literal(serde_json::to_value(value).unwrap_or_default()),
    }
}

fn source(text: &str) -> Source {
    match text.split_once('.') {
        Some(("args", name)) => Source::Args(name.to_owned()),
        Some(("result", name)) => Source::Result(name.to_owned()),
        _ if text == "now" => Source::Now,
        _ => Source::Literal(serde_json::Value::from(text)),
    }
}
