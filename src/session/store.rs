//! Where sessions live.

use std::future::Future;
use std::pin::Pin;

use serde_json::value::RawValue;

use crate::call::SessionId;
use crate::clock::Moment;
use crate::error::Refusal;

/// What a store's async methods return.
pub type Stored<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A store of sessions: tables of rows by key. `None` in place of a session is the one global
/// record that anonymous calls of both lanes share.
///
/// Saves are upserts of single rows, so calls of one session that overlap lose nothing.
pub trait SessionStore: Send + Sync {
    /// A call of the session begins; creates the session if it is not there.
    ///
    /// # Errors
    /// If there is no room and no idle session to evict, or the store cannot be reached.
    fn open<'a>(&'a self, session: &'a SessionId, now: Moment) -> Stored<'a, Result<(), Refusal>>;

    /// The call is over. Synchronous, because it happens in drops.
    fn close(&self, session: &SessionId);

    /// One row, if it is there.
    ///
    /// # Errors
    /// If the store cannot be reached.
    fn load<'a>(
        &'a self,
        session: Option<&'a SessionId>,
        table: &'a str,
        key: &'a str,
    ) -> Stored<'a, Result<Option<Box<RawValue>>, Refusal>>;

    /// Writes one row, or removes it if `row` is `None`.
    ///
    /// # Errors
    /// If the session is gone or has no room, or the store cannot be reached.
    fn save<'a>(
        &'a self,
        session: Option<&'a SessionId>,
        table: &'a str,
        key: &'a str,
        row: Option<Box<RawValue>>,
    ) -> Stored<'a, Result<(), Refusal>>;

    /// Forgets the session.
    fn end<'a>(&'a self, session: &'a SessionId) -> Stored<'a, ()>;
}
