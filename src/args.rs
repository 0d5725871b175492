//! What a command is called with.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::error::BadCall;

/// A command's arguments: the text of one JSON object, checked but not taken apart.
#[derive(Clone, Debug)]
pub struct Args(Arc<RawValue>);

impl Args {
    /// Checks that `text` is one JSON object.
    ///
    /// # Errors
    /// If it is not JSON (`NaN` is not), or not an object.
    pub fn parse(text: &str) -> Result<Self, BadCall> {
        let raw: Box<RawValue> =
            serde_json::from_str(text).map_err(|error| BadCall::Json(error.to_string()))?;
        Self::from_raw(raw)
    }

    /// Takes over JSON that has been checked already.
    ///
    /// # Errors
    /// If it is not an object.
    pub fn from_raw(raw: Box<RawValue>) -> Result<Self, BadCall> {
        if raw.get().starts_with('{') {
            return Ok(Self(raw.into()));
        }
        Err(BadCall::NotAnObject { found: kind_of(raw.get()) })
    }

    /// The arguments' JSON text, from its opening to its closing brace.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// Writes the object with members added: `session_id`, and `extra` ones whose values are
    /// JSON. A worker reads the last of two equal keys, so they win over the caller's own.
    pub fn write_with(
        &self,
        session_id: Option<&str>,
        extra: Option<(&str, &str)>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(self.open().as_bytes());
        self.close_with(session_id, extra, out);
    }

    /// The object's text without the brace that closes it.
    #[must_use]
    pub fn open(&self) -> &str {
        self.as_json().strip_suffix('}').expect("from_raw admits objects only").trim_end()
    }

    /// Writes what follows on [`open`](Self::open): the added members and the brace.
    pub fn close_with(
        &self,
        session_id: Option<&str>,
        extra: Option<(&str, &str)>,
        out: &mut Vec<u8>,
    ) {
        let mut separator: &[u8] = if self.open() == "{" { b"" } else { b"," };
        let infallible = "writing to memory does not fail";
        if let Some(session_id) = session_id {
            out.extend_from_slice(separator);
            out.extend_from_slice(b"\"session_id\":");
            serde_json::to_writer(&mut *out, session_id).expect(infallible);
            separator = b",";
        }
        if let Some((key, json)) = extra {
            out.extend_from_slice(separator);
            serde_json::to_writer(&mut *out, key).expect(infallible);
            out.push(b':');
            out.extend_from_slice(json.as_bytes());
        }
        out.push(b'}');
    }
}

impl Default for Args {
    fn default() -> Self {
        Self::parse("{}").expect("an empty object is an object")
    }
}

fn kind_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}
