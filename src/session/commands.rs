//! The command table: what each command may change, and what it saves and loads.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::call::Class;

/// One command's row.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// How much it may change.
    pub class: Class,
    /// Whether it may run twice. Implied by [`Class::Read`] unless set otherwise.
    pub idempotent: bool,
    /// Whether a good answer ends the call's session (R14).
    pub ends_session: bool,
    /// What a good answer leaves in the session store.
    pub saves: Option<SaveRule>,
    /// What the session store adds to the args before they are written.
    pub loads: Option<LoadRule>,
}

/// What a good answer leaves in the session store.
#[derive(Clone, Debug, PartialEq)]
pub struct SaveRule {
    /// The table of the session, such as `programs`.
    pub table: String,
    /// Where the row's key is found.
    pub key: Source,
    /// The row's new content; `None` removes the row.
    pub row: Option<BTreeMap<String, Source>>,
}

/// What the session store adds to the args.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadRule {
    /// The table of the session.
    pub table: String,
    /// Where the row's key is found; in the args, since there is no result yet.
    pub key: Source,
    /// The member of the args that receives the row; left out if there is no such row.
    pub into: String,
}

/// Where a key or a column comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// `args.NAME`: a member of the call's args.
    Args(String),
    /// `result.NAME`: a member of the worker's result.
    Result(String),
    /// `now`: whole seconds since the Unix epoch.
    Now,
    /// Any other value in the config is meant literally.
    Literal(Value),
}
