//! A session store that takes its time, where a lease begins and before a reply is reported, and
//! notes what it is told to save.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use poolshift::SessionId;
use poolshift::clock::Moment;
use poolshift::error::Refusal;
use poolshift::session::memory::MemoryStore;
use poolshift::session::store::{SessionStore, Stored};
use serde_json::value::RawValue;

use crate::shell_rig::handoff::{Handoff, Yields};
use crate::shell_rig::journal::Journal;

/// The product's store in memory, which lets others go first.
pub(super) struct UnhurriedStore {
    store: MemoryStore,
    journal: Arc<Journal>,
    yields: Yields,
    visits: AtomicU64,
}

impl UnhurriedStore {
    pub(super) fn new(store: MemoryStore, journal: Arc<Journal>, yields: Yields) -> Self {
        Self { store, journal, yields, visits: AtomicU64::new(0) }
    }

    async fn step_aside(&self, at: Handoff) {
        let visit = self.visits.fetch_add(1, Ordering::Relaxed);
        self.yields.step_aside(at, u64::MAX, visit).await;
    }
}

impl SessionStore for UnhurriedStore {
    fn open<'a>(&'a self, session: &'a SessionId, now: Moment) -> Stored<'a, Result<(), Refusal>> {
        // It marks nothing before it completes, so what is dropped while aside is not marked.
        Box::pin(async move {
            self.step_aside(Handoff::Caller).await;
            self.store.open(session, now).await
        })
    }

    fn close(&self, session: &SessionId) {
        self.store.close(session);
    }

    fn load<'a>(
        &'a self,
        session: Option<&'a SessionId>,
        table: &'a str,
        key: &'a str,
    ) -> Stored<'a, Result<Option<Box<RawValue>>, Refusal>> {
        Box::pin(async move {
            self.step_aside(Handoff::Lease).await;
            self.store.load(session, table, key).await
        })
    }

    fn save<'a>(
        &'a self,
        session: Option<&'a SessionId>,
        table: &'a str,
        key: &'a str,
        row: Option<Box<RawValue>>,
    ) -> Stored<'a, Result<(), Refusal>> {
        Box::pin(async move {
            self.step_aside(Handoff::Report).await;
            let of = session.map_or(SessionId::ANONYMOUS, SessionId::as_str);
            self.journal.saves(format!("{of}/{table}/{key}"));
            self.store.save(session, table, key, row).await
        })
    }

    fn end<'a>(&'a self, session: &'a SessionId) -> Stored<'a, ()> {
        self.store.end(session)
    }
}
