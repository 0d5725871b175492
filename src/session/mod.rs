//! What must outlive a worker: a caller's named state, and the rules that move it in and out
//! of calls (R11).

pub mod commands;
mod marks;
pub mod memory;
pub mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::call::{Call, SessionId};
use crate::clock::Moment;
use crate::error::Refusal;
use crate::session::commands::{Commands, LoadRule, SaveRule, Source};
use crate::session::marks::SaveMarks;
use crate::session::store::SessionStore;
use crate::tape::Taped;

/// The session store together with the command table's rules. Both lanes share one.
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    commands: Arc<Commands>,
    marks: SaveMarks,
}

/// A row of the session store, and the member of the args that receives it.
pub type Loaded<'a> = (&'a str, Box<RawValue>);

/// Marks one call of a session as in flight, so that the session is not evicted meanwhile.
/// Dropping it takes the mark back.
pub struct Visit<'a> {
    store: &'a dyn SessionStore,
    session: Option<&'a SessionId>,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session {
            self.store.close(session);
        }
    }
}

impl Sessions {
    /// Applies the rules of `commands` to `store`.
    #[must_use]
    pub fn new(store: Arc<dyn SessionStore>, commands: Arc<Commands>) -> Self {
        Self { store, commands, marks: SaveMarks::new() }
    }

    /// The command table.
    #[must_use]
    pub fn commands(&self) -> &Commands {
        &self.commands
    }

    /// A call of the session begins.
    ///
    /// # Errors
    /// If the store is full of sessions that have calls in flight, or cannot be reached.
    pub async fn begin<'a>(
        &'a self,
        now: Moment,
        session: Option<&'a SessionId>,
    ) -> Result<Visit<'a>, Refusal> {
        let store = self.store.as_ref();
        if let Some(session) = session {
            // Dropped here: a store marks nothing before its future completes.
            store.open(session, now).await?;
        }
        Ok(Visit { store, session })
    }

    /// Counts what may have changed a session, or what calls without one share. Two equal
    /// numbers mean that nothing was saved in between; two others, that something may have been.
    #[must_use]
    pub fn saves(&self, session: Option<&SessionId>) -> u64 {
        self.marks.of(session)
    }

    /// What the store adds to the call's args. The lease holder asks right before it writes.
    ///
    /// # Errors
    /// If the store cannot be read: the call must not run without its state.
    pub async fn enrich(&self, call: &Call) -> Result<Option<Loaded<'_>>, Refusal> {
        let Some(tape) = &call.tape else { return self.load(call).await };
        // Before the row is read, so that a save that comes between is noticed.
        let saves = self.saves(call.session.as_ref());
        // Dropped here: nothing was written to the worker.
        let row = self.load(call).await?;
        let loaded = row.as_ref().map(|(into, row)| ((*into).to_owned(), row.clone()));
        tape.keep(Taped { loaded, saves });
        Ok(row)
    }

    async fn load(&self, call: &Call) -> Result<Option<Loaded<'_>>, Refusal> {
        let Some(rule) = &self.commands.get(&call.command).loads else { return Ok(None) };
        // Boxed, as a save is: few commands have a rule. Dropped here: as in it.
        Box::pin(self.load_by(rule, call)).await
    }

    async fn load_by<'a>(
        &self,
        rule: &'a LoadRule,
        call: &Call,
    ) -> Result<Option<Loaded<'a>>, Refusal> {
        let args = members(call.args.as_json());
        let Some(key) = key_of(&rule.key, &args, &BTreeMap::new()) else { return Ok(None) };
        // Dropped here: nothing was written to the worker.
        let row = self.store.load(call.session.as_ref(), &rule.table, &key).await?;
        Ok(row.map(|row| (rule.into.as_str(), row)))
    }

    /// Applies the command's save rule. Never fails a call that has run: what cannot be saved is
    /// logged, and the session's next call does without it.
    pub async fn record(&self, call: &Call, result: &RawValue, unix: Duration) {
        let Some(rule) = &self.commands.get(&call.command).saves else { return };
        // Dropped here: the save may be lost.
        Box::pin(self.record_by(rule, call, result, unix)).await;
    }

    async fn record_by(&self, rule: &SaveRule, call: &Call, result: &RawValue, unix: Duration) {
        let args = members(call.args.as_json());
        let result = members(result.get());
        let Some(key) = key_of(&rule.key, &args, &result) else {
            tracing::warn!(command = %call.command, call_id = %call.id, "nothing to save by");
            return;
        };
        let row = row_of(rule, &args, &result, unix);
        // Around the save, so that whoever has read the row of before knows it for old as soon as
        // the new one is there.
        let _mark = self.marks.save(call.session.as_ref());
        // Dropped here: the save may be lost; the caller that dropped it gets no answer either.
        if let Err(error) = self.store.save(call.session.as_ref(), &rule.table, &key, row).await {
            tracing::warn!(command = %call.command, call_id = %call.id, %key, %error, "not saved");
        }
    }

    /// Forgets the session.
    pub async fn end(&self, session: &SessionId) {
        let _mark = self.marks.save(Some(session));
        self.store.end(session).await;
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Visit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visit").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Only the top level is looked at; what is not an object has no members.
fn members(json: &str) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(json).unwrap_or_default()
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// A row's key is text; numbers are taken by their own text.
fn key_of(source: &Source, args: &Members<'_>, result: &Members<'_>) -> Option<String> {
    let key = resolve(source, args, result, Duration::ZERO)?;
    match serde_json::from_str(key.get()) {
        Ok(Value::String(text)) if !text.is_empty() => Some(text),
        Ok(Value::Number(_)) => Some(key.get().to_owned()),
        _ => None,
    }
}

/// Values are moved as their own text, so that no number changes on the way.
fn row_of(
    rule: &SaveRule,
    args: &Members<'_>,
    result: &Members<'_>,
    unix: Duration,
) -> Option<Box<RawValue>> {
    let columns = rule.row.as_ref()?.iter();
    let row: BTreeMap<&String, Option<Box<RawValue>>> =
        columns.map(|(name, source)| (name, resolve(source, args, result, unix))).collect();
    serde_json::value::to_raw_value(&row).ok()
}

fn resolve(
    source: &Source,
    args: &Members<'_>,
    result: &Members<'_>,
    unix: Duration,
) -> Option<Box<RawValue>> {
    let member = |members: &Members<'_>, name| members.get(name).map(|raw| (*raw).to_owned());
    match source {
        Source::Args(name) => member(args, name.as_str()),
        Source::Result(name) => member(result, name.as_str()),
        Source::Now => serde_json::value::to_raw_value(&unix.as_secs()).ok(),
        Source::Literal(value) => serde_json::value::to_raw_value(value).ok(),
    }
}
