//! Takes settings out of a file and the environment, and remembers every problem.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use toml::de::{DeArray, DeTable, DeValue};
use toml::{Table, Value};

use crate::config::problem::{ConfigError, Problem};
use crate::config::setting::Setting;
use crate::config::survey::{Origin, Taken};

const ENV_PREFIX: &str = "POOLSHIFT__";

/// The variables of this process that are settings. One that is not UTF-8 is no reason to panic:
/// it is reported with all other problems, if it is a setting at all.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    all.filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect()
}

/// A suggestion that is less alike than this confuses more than it helps.
const ALIKE: f64 = 0.7;

/// The same with the section in front, which alone makes two names alike.
const ALIKE_IN_FULL: f64 = 0.9;

/// The file's values and lines, the environment, and what was wrong so far.
pub(super) struct Reader<'a> {
    file: &'a str,
    values: Table,
    lines: BTreeMap<Vec<String>, usize>,
    env: BTreeMap<String, String>,
    problems: Vec<Problem>,
    sections: Vec<&'static str>,
    /// Every key that was asked for, in order.
    taken: Vec<Taken>,
}

/// The items of one `[[section.NAME]]`.
pub(super) struct List {
    pub(super) name: String,
    pub(super) items: Vec<Value>,
    section: &'static str,
    /// The variable that set it, if none of the file's items count.
    variable: Option<String>,
}

/// One section while its keys are taken.
pub(super) struct Section<'r, 'a> {
    reader: &'r mut Reader<'a>,
    path: Vec<String>,
    values: Table,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        file: &'a str,
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let values = text.parse::<Table>().map_err(|error| syntax_error(file, text, &error))?;
        let mut lines = BTreeMap::new();
        if let Ok(table) = DeTable::parse(text) {
            collect_lines(text, &mut Vec::new(), table.get_ref(), &mut lines);
        }
        let env = env.into_iter().filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect();
        let (problems, sections, taken) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { file, values, lines, env, problems, sections, taken })
    }

    /// Opens a section; a missing one is empty.
    pub(super) fn section(&mut self, name: &'static str) -> Section<'_, 'a> {
        self.sections.push(name);
        let path = vec![name.to_owned()];
        let values = match self.values.remove(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                let found = other.type_str();
                self.problem(&path, format!("[{name}] must be a section, not {found}"));
                Table::new()
            }
        };
        Section { reader: self, path, values, known: Vec::new() }
    }

    /// The names of the sub-sections of `[name.…]`, in the file or in the environment, whose
    /// names have no case and are taken as lower case.
    pub(super) fn names_in(&self, name: &str) -> BTreeSet<String> {
        let table = self.values.get(name).and_then(Value::as_table);
        let in_file = table.into_iter().flat_map(Table::keys).cloned();
        let prefix = format!("{ENV_PREFIX}{}__", name.to_uppercase());
        let in_env = self.env.keys().filter_map(|variable| {
            Some(variable.strip_prefix(&prefix)?.split_once("__")?.0.to_lowercase())
        });
        in_file.chain(in_env).collect()
    }

    /// Opens the sub-section `[parent.name]`.
    pub(super) fn subsection(&mut self, parent: &'static str, name: &str) -> Section<'_, 'a> {
        if !self.sections.contains(&parent) {
            self.sections.push(parent);
        }
        let path = vec![parent.to_owned(), name.to_owned()];
        let all = self.values.get_mut(parent).and_then(Value::as_table_mut);
        let values = match all.and_then(|table| table.remove(name)) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.problem(&path, format!("[{parent}.{name}] must be a section"));
                Table::new()
            }
        };
        Section { reader: self, path, values, known: Vec::new() }
    }

    /// Takes every list of a section that holds nothing else. A variable replaces a whole list.
    pub(super) fn take_lists(&mut self, section: &'static str) -> Vec<List> {
        self.sections.push(section);
        let mut lists: BTreeMap<String, (Value, Option<String>)> = BTreeMap::new();
        match self.values.remove(section) {
            None => {}
            Some(Value::Table(table)) => {
                lists.extend(table.into_iter().map(|(name, value)| (name, (value, None))));
            }
            Some(_) => {
                let message = format!("[{section}] must hold lists, as [[{section}.NAME]]");
                self.problem(&[section.to_owned()], message);
            }
        }
        let prefix = format!("{ENV_PREFIX}{}__", section.to_uppercase());
        let variables: Vec<String> =
            self.env.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
        for variable in variables {
            let text = self.env.remove(&variable).expect("it was there just now");
            let value = parse_text::<Value>(&text).expect("any text is a value");
            lists.insert(variable[prefix.len()..].to_lowercase(), (value, Some(variable)));
        }
        lists.into_iter().filter_map(|(name, found)| self.list(section, name, found)).collect()
    }

    fn list(
        &mut self,
        section: &'static str,
        name: String,
        (value, variable): (Value, Option<String>),
    ) -> Option<List> {
        let path = [section.to_owned(), name.clone()];
        let origin = match &variable {
            Some(variable) => Origin::Variable(variable.clone()),
            None => Origin::File(self.place(&path).1),
        };
        let (path_shown, schema) = (path.join("."), serde_json::Value::Null);
        let (shown, default) = (Some(value.clone()), None);
        self.taken.push(Taken { path: path_shown, value: shown, origin, default, schema });
        let mut list = List { name, items: Vec::new(), section, variable };
        match value {
            Value::Array(items) => list.items = items,
            other => {
                let message = format!("{other} is wrong: expected a list of rules");
                self.list_flaw(&list, 0, "", &message);
                return None;
            }
        }
        Some(list)
    }

    /// Reports a problem with an item of a list, or with one of its keys.
    pub(super) fn list_flaw(&mut self, list: &List, index: usize, key: &str, message: &str) {
        let List { name, section, variable, .. } = list;
        let colon = if key.is_empty() { "" } else { ": " };
        let message = format!("[[{section}.{name}]] rule {}: {key}{colon}{message}", index + 1);
        match variable {
            Some(place) => {
                self.problems.push(Problem { line: None, place: place.clone(), message });
            }
            None => {
                let path = [(*section).to_owned(), name.clone(), index.to_string(), key.to_owned()];
                self.problem(&path, message);
            }
        }
    }

    /// Adds a key that has no place in the file.
    pub(super) fn note(&mut self, taken: Taken) {
        self.taken.push(taken);
    }

    /// A parent whose sub-sections have all been taken is known and done with.
    pub(super) fn close_parent(&mut self, parent: &'static str) {
        if !self.sections.contains(&parent) {
            self.sections.push(parent);
        }
        self.values.remove(parent);
    }

    /// Every key that was asked for, and what is wrong; what was never asked for is unknown.
    pub(super) fn finish(mut self) -> (Vec<Taken>, Result<(), ConfigError>) {
        let verdict = self.verdict();
        (self.taken, verdict)
    }

    fn verdict(&mut self) -> Result<(), ConfigError> {
        let sections = self.sections.clone();
        for name in std::mem::take(&mut self.values).keys() {
            let hint = suggestion(name, &sections);
            self.problem(std::slice::from_ref(name), format!("unknown section [{name}]{hint}"));
        }
        for name in std::mem::take(&mut self.env).into_keys() {
            let hint = self.variable_meant_by(&name);
            let message = format!("no such setting; the form is POOLSHIFT__SECTION__KEY{hint}");
            self.problems.push(Problem { line: None, place: name, message });
        }
        if self.problems.is_empty() {
            return Ok(());
        }
        let mut problems = std::mem::take(&mut self.problems);
        problems.sort();
        Err(ConfigError { problems })
    }

    /// The variable of a known setting that is all but spelled like this one.
    fn variable_meant_by(&self, name: &str) -> String {
        let name = name.strip_prefix(ENV_PREFIX).unwrap_or(name);
        let known = self.taken.iter().map(|taken| taken.path.to_uppercase().replace('.', "__"));
        let scored = known.map(|known| (strsim::jaro_winkler(name, &known), known));
        let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
        let best = best.filter(|(score, _)| *score >= ALIKE_IN_FULL);
        best.map_or_else(String::new, |(_, known)| format!("; did you mean {ENV_PREFIX}{known}?"))
    }

    /// Where a key, or the closest of the sections around it, stands in the file.
    fn place(&self, path: &[String]) -> (Option<usize>, String) {
        let line = (1..=path.len()).rev().find_map(|end| self.lines.get(&path[..end])).copied();
        let place = line.map_or_else(|| self.file.to_owned(), |n| format!("{}:{n}", self.file));
        (line, place)
    }

    /// The variable that has given a key its value.
    fn variable(&self, path: &str) -> Option<String> {
        let taken = self.taken.iter().rev().find(|taken| taken.path == path)?;
        match &taken.origin {
            Origin::Variable(variable) => Some(variable.clone()),
            _ => None,
        }
    }

    fn problem(&mut self, path: &[String], message: String) {
        let (line, place) = self.place(path);
        self.problems.push(Problem { line, place, message });
    }
}

impl Section<'_, '_> {
    /// Takes a key; the environment beats the file, the file the default.
    pub(super) fn take<T: Setting>(&mut self, key: &'static str, default: T) -> T {
        let found = self.take_optional(key);
        self.assume(default.write());
        found.unwrap_or(default)
    }

    /// Takes a key that may be missing.
    pub(super) fn take_optional<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        self.take_shaped(key, T::schema())
    }

    /// Takes a key that may be missing, with a JSON Schema of its own.
    pub(super) fn take_shaped<T: Setting>(
        &mut self,
        key: &'static str,
        schema: serde_json::Value,
    ) -> Option<T> {
        self.known.push(key);
        let (value, origin) = self.look_up(key);
        let path = format!("{}.{key}", self.path.join("."));
        let shown = value.as_ref().map(T::write);
        let taken = Taken { path, value: shown, origin, default: None, schema };
        self.reader.taken.push(taken);
        value
    }

    /// The key taken last has this value where nobody sets it.
    pub(super) fn assume(&mut self, default: Value) {
        let taken = self.reader.taken.last_mut().expect("a key was taken before");
        taken.default = Some(default);
    }

    fn look_up<T: Setting>(&mut self, key: &'static str) -> (Option<T>, Origin) {
        let from_file = self.values.remove(key);
        let variable = format!("{ENV_PREFIX}{}__{key}", self.path.join("__")).to_uppercase();
        if let Some(text) = self.reader.env.remove(&variable) {
            let whole = !text.contains(char::REPLACEMENT_CHARACTER);
            let read = parse_text(&text).filter(|_| whole);
            let origin = Origin::Variable(variable.clone());
            if read.is_none() {
                let shown = if key == "env" { "its table".to_owned() } else { format!("{text:?}") };
                let message = format!("{shown} is wrong: expected {}", T::EXPECTED);
                self.reader.problems.push(Problem { line: None, place: variable, message });
            }
            return (read, origin);
        }
        let Some(value) = from_file else { return (None, Origin::Default) };
        let read = T::read(&value);
        if read.is_none() {
            // A table of variables may hold secrets.
            let shown = if key == "env" { "its table".to_owned() } else { value.to_string() };
            self.flaw(key, format!("{shown} is wrong: expected {}", T::EXPECTED));
        }
        let path: Vec<String> = self.path.iter().cloned().chain([key.to_owned()]).collect();
        (read, Origin::File(self.reader.place(&path).1))
    }

    /// Reports a problem with a key's value.
    pub(super) fn flaw(&mut self, key: &str, message: String) {
        let section = self.path.join(".");
        let path: Vec<String> = self.path.iter().cloned().chain([key.to_owned()]).collect();
        let message = format!("[{section}] {key}: {message}");
        match self.reader.variable(&format!("{section}.{key}")) {
            Some(place) => self.reader.problems.push(Problem { line: None, place, message }),
            None => self.reader.problem(&path, message),
        }
    }
}

impl Drop for Section<'_, '_> {
    /// What is left over is unknown.
    fn drop(&mut self) {
        for key in std::mem::take(&mut self.values).keys() {
            let hint = suggestion(key, &self.known);
            self.flaw(key, format!("no such key{hint}"));
        }
    }
}

/// A value of the environment: as TOML if that gives the wanted type, else as plain text.
fn parse_text<T: Setting>(text: &str) -> Option<T> {
    let table: Option<Table> = format!("value = {text}").parse().ok();
    let value = table.and_then(|table| table.get("value").and_then(T::read));
    value.or_else(|| T::read(&Value::String(text.to_owned())))
}

pub(super) fn suggestion(name: &str, known: &[&'static str]) -> String {
    let scored = known.iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    match best {
        Some((score, known)) if score >= ALIKE => format!("; did you mean {known}?"),
        _ => format!("; known are {}", known.join(", ")),
    }
}

fn syntax_error(file: &str, text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map(|span| line_at(text, span.start));
    let place = line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
    let message = error.message().to_owned();
    ConfigError { problems: vec![Problem { line, place, message }] }
}

fn collect_lines(
    text: &str,
    path: &mut Vec<String>,
    table: &DeTable<'_>,
    lines: &mut BTreeMap<Vec<String>, usize>,
) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        lines.insert(path.clone(), line_at(text, key.span().start));
        match value.get_ref() {
            DeValue::Table(inner) => collect_lines(text, path, inner, lines),
            DeValue::Array(items) => collect_item_lines(text, path, items, lines),
            _ => {}
        }
        path.pop();
    }
}

/// The tables of a list are known by their numbers.
fn collect_item_lines(
    text: &str,
    path: &mut Vec<String>,
    items: &DeArray<'_>,
    lines: &mut BTreeMap<Vec<String>, usize>,
) {
    for (index, item) in items.iter().enumerate() {
        path.push(index.to_string());
        lines.insert(path.clone(), line_at(text, item.span().start));
        if let DeValue::Table(inner) = item.get_ref() {
            collect_lines(text, path, inner, lines);
        }
        path.pop();
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}
