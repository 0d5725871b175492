//! One call as one JSON line: the input of `poolshift run`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::call::{Args, Call};
use crate::error::BadCall;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    command: String,
    #[serde(default)]
    args: Option<Box<RawValue>>,
    session: Option<String>,
    id: Option<String>,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

impl Call {
    /// Reads a call from a line `{"command", "args"?, "session"?, "id"?, "attrs"?}`.
    ///
    /// # Errors
    /// If the line is no JSON object of these fields, or one of them cannot be what it is; the
    /// message names the column or the field.
    pub fn from_json(line: &str) -> Result<Self, BadCall> {
        let line: Line =
            serde_json::from_str(line).map_err(|error| BadCall::Json(error.to_string()))?;
        let args = line.args.map_or_else(|| Ok(Args::default()), Args::from_raw)?;
        let mut call = Self::new(line.command, args);
        if let Some(id) = &line.id {
            call = call.with_id(id)?;
        }
        if let Some(session) = &line.session {
            call = call.with_session(session)?;
        }
        call.attrs = line.attrs;
        Ok(call)
    }
}
