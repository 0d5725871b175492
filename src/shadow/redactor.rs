//! What samples do not tell: secrets by their keys and places, and wherever they are echoed.

use serde_json::{Map, Value};

use crate::router::compare::glob::{BadGlob, Glob};
use crate::worker::redaction::{Redaction, SECRETS};

/// Stands for what is left out.
pub const HIDDEN: &str = "***";

/// A shorter text is no secret that could be told from other texts where it is echoed.
const SHORTEST: usize = 4;

/// A part of a secret is told more easily from other texts if it is longer.
const SHORTEST_PART: usize = 6;

/// A call with more secrets than this has nothing but secrets: its samples tell no values.
const MOST: usize = 1000;

/// Which members are left out.
#[derive(Clone, Debug)]
pub struct Redactor {
    names: Redaction,
    fields: Vec<Glob>,
}

/// The texts that one call's args and answers have under hidden keys, longest first.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    texts: Vec<String>,
}

impl Redactor {
    /// Leaves out [`SECRETS`], and what `own` names: parts of keys, or globs from a slash on.
    ///
    /// # Errors
    /// If a glob is none.
    pub fn new(own: &[String]) -> Result<Self, BadGlob> {
        let (globs, names): (Vec<&String>, Vec<&String>) =
            own.iter().partition(|text| text.starts_with('/'));
        let fields = globs.into_iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        let secrets = SECRETS.into_iter().chain(names.into_iter().map(String::as_str));
        Ok(Self { names: Redaction::of(secrets.map(str::to_owned)), fields })
    }

    /// Hides members, and remembers their texts as secrets.
    pub fn hide(&self, value: &mut Value, secrets: &mut Secrets) {
        let mut path = Vec::new();
        self.walk(value, &mut path, secrets);
        secrets.settle();
    }

    fn walk(&self, value: &mut Value, path: &mut Vec<String>, secrets: &mut Secrets) {
        if self.hides(path) {
            secrets.take(value);
            *value = Value::from(HIDDEN);
            return;
        }
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    path.push(key.clone());
                    self.walk(member, path, secrets);
                    path.pop();
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    path.push(index.to_string());
                    self.walk(item, path, secrets);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    /// Whether the last of these keys is hidden, not one above it.
    fn hides(&self, path: &[String]) -> bool {
        if path.last().is_some_and(|key| self.names.hides_key(key)) {
            return true;
        }
        if self.fields.is_empty() {
            return false;
        }
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        self.fields.iter().any(|field| field.matches(&path))
    }

    /// A pointer as it may be told: keys below a hidden one are hidden too.
    #[must_use]
    pub fn cover(&self, pointer: &str) -> String {
        let plain = |part: &str| part.replace("~1", "/").replace("~2", "*").replace("~0", "~");
        let mut path: Vec<String> = Vec::new();
        let mut end = 0;
        for part in pointer.split('/').skip(1) {
            path.push(plain(part));
            end += 1 + part.len();
            if self.hides(&path) && end < pointer.len() {
                return format!("{}/**", &pointer[..end]);
            }
        }
        pointer.to_owned()
    }
}

impl Secrets {
    fn take(&mut self, value: &Value) {
        if self.texts.len() > MOST {
            return;
        }
        match value {
            Value::String(text) => self.add(text),
            Value::Number(number) => self.add(&number.to_string()),
            Value::Array(items) => items.iter().for_each(|item| self.take(item)),
            Value::Object(members) => {
                for (key, member) in members {
                    self.add(key);
                    self.take(member);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Programs quote what they tell: Python's repr and JSON write some characters otherwise, so
    /// what stands between these is a secret by itself, and so is each in JSON's ASCII. Pointers
    /// and globs write keys in their own way.
    fn add(&mut self, text: &str) {
        let parts = text.split(|char: char| char.is_control() || "\"'\\".contains(char));
        let parts = parts.filter(|part| part.len() >= SHORTEST_PART);
        let whole = Some(text).filter(|text| text.len() >= SHORTEST && *text != HIDDEN);
        for part in whole.into_iter().chain(parts).take(MOST) {
            if !part.is_ascii() {
                self.texts.push(ascii(part));
            }
            if part.contains(['~', '/', '*']) {
                let pointer = part.replace('~', "~0").replace('/', "~1");
                self.texts.extend([pointer.replace('*', "~2"), pointer]);
            }
            self.texts.push(part.to_owned());
        }
    }

    /// Longest first: a secret within another must not leave the other's rest.
    fn settle(&mut self) {
        self.texts.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.texts.dedup();
    }

    /// A text without the secrets that it echoes.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        if self.texts.len() > MOST {
            return HIDDEN.to_owned();
        }
        let hide = |text: String, secret: &String| match text.contains(secret.as_str()) {
            true => text.replace(secret.as_str(), HIDDEN),
            false => text,
        };
        self.texts.iter().fold(text.to_owned(), hide)
    }

    /// A value without the secrets that its texts, numbers and keys echo.
    #[must_use]
    pub fn scrub_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::from(self.scrub(text)),
            Value::Number(number) => {
                let text = number.to_string();
                let scrubbed = self.scrub(&text);
                if scrubbed == text { value.clone() } else { Value::from(scrubbed) }
            }
            Value::Array(items) => items.iter().map(|item| self.scrub_value(item)).collect(),
            Value::Object(members) => {
                let scrubbed =
                    members.iter().map(|(key, value)| (self.scrub(key), self.scrub_value(value)));
                Value::Object(scrubbed.collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }
}

/// As `json.dumps` writes a text unless told otherwise.
fn ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(2 * text.len());
    for unit in text.encode_utf16() {
        match u8::try_from(unit).ok().filter(u8::is_ascii) {
            Some(byte) => ascii.push(char::from(byte)),
            None => ascii.push_str(&format!("\\u{unit:04x}")),
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_hidden_by_key_and_place_and_where_they_are_echoed() {
        let own = ["/patients/*/name".to_owned(), "ssn".to_owned()];
        let redactor = Redactor::new(&own).unwrap();
        let mut secrets = Secrets::default();
        let mut args = json!({"API_KEY": "sk-12345", "pin_token": 987_654, "ssn": ["a-ssn", "xy"],
                              "patients": [{"name": "Ada L"}], "credentials": {"user-7": "sk-1"}});
        redactor.hide(&mut args, &mut secrets);
        assert_eq!(args.to_string().matches(HIDDEN).count(), 5, "{args}");
        let echoed = json!({"error": "bad key sk-12345 of Ada L", "n": 987_654, "user-7": true,
                            "sk-12345": ["a-ssn", "xy"]});
        let expected = json!({"error": "bad key *** of ***", "n": "***", "***": ["***", "xy"]});
        let mut told = secrets.scrub_value(&echoed);
        // Two keys that are hidden become one.
        assert!(told["***"] == json!(true) || told["***"] == json!(["***", "xy"]));
        told["***"] = json!(["***", "xy"]);
        assert_eq!(told, expected);
    }

    #[test]
    fn keys_below_a_hidden_one_are_not_told() {
        let redactor = Redactor::new(&["/people/*".to_owned()]).unwrap();
        for (pointer, told) in [
            ("/a/b", "/a/b"),
            ("/tokens", "/tokens"),
            ("/tokens/alice", "/tokens/**"),
            ("/people/0/x/y", "/people/0/**"),
            ("/people", "/people"),
            ("error", "error"),
            ("", ""),
        ] {
            assert_eq!(redactor.cover(pointer), told);
        }
    }
}
