//! Sessions in the host's memory.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde_json::value::RawValue;

use crate::call::SessionId;
use crate::clock::Moment;
use crate::error::Refusal;
use crate::machine::idle::IdleMap;
use crate::session::store::{SessionStore, Stored};

/// Rows that one session may hold. A caller that makes a row for each call would else grow its
/// session for as long as it lives; the oldest row goes first.
const MAX_ROWS: usize = 10_000;

/// Expired sessions dropped by one open, so that no call pays for many.
const SWEEP: usize = 8;

/// Answers at once. A full store evicts the longest-idle session that has no call in flight.
#[derive(Debug)]
pub struct MemoryStore {
    shelf: Mutex<Shelf>,
    ttl: Duration,
    max_sessions: usize,
}

#[derive(Debug, Default)]
struct Shelf {
    /// By when their last call began; one with a call in flight is in use for ever.
    sessions: IdleMap<SessionId, Session>,
    anonymous: Rows,
}

#[derive(Debug, Default)]
struct Session {
    rows: Rows,
    in_flight: usize,
    last_began: Moment,
    /// Ended while calls were in flight: forgotten with the last of them.
    ended: bool,
}

#[derive(Debug, Default)]
struct Rows {
    by_key: BTreeMap<(String, String), (u64, Box<RawValue>)>,
    by_age: BTreeMap<u64, (String, String)>,
    saves: u64,
}

impl MemoryStore {
    /// At most `max_sessions`, each forgotten `ttl` after its last call.
    #[must_use]
    pub fn new(ttl: Duration, max_sessions: usize) -> Self {
        Self { shelf: Mutex::default(), ttl, max_sessions }
    }

    /// How many sessions are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Whether no session is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().expect("nothing panics while it moves rows about")
    }

    fn try_open(&self, session: &SessionId, now: Moment) -> Result<(), Refusal> {
        let mut shelf = self.lock();
        let expired = |used: Moment| used + self.ttl <= now;
        let swept = std::iter::from_fn(|| shelf.sessions.forget_idle(expired));
        swept.take(SWEEP).for_each(drop);
        // One look-up, which is what the call of a known session pays for.
        let known = shelf.sessions.touch_again(session, Moment::NEVER);
        if let Some((_, entry)) = known.filter(|(used, _)| !expired(*used)) {
            entry.call_begins(now);
            return Ok(());
        }
        // It may have expired and not been swept away yet.
        shelf.sessions.remove(session);
        shelf.make_room(self.max_sessions)?;
        shelf.sessions.insert(session.clone(), now, Session::default());
        let entry = shelf.sessions.touch(session, Moment::NEVER).expect("it was inserted above");
        entry.call_begins(now);
        Ok(())
    }
}

impl Session {
    fn call_begins(&mut self, now: Moment) {
        self.in_flight += 1;
        self.last_began = now;
        self.ended = false;
    }
}

impl Shelf {
    /// A full store evicts the longest idle session, never one with a call in flight.
    fn make_room(&mut self, max: usize) -> Result<(), Refusal> {
        if self.sessions.len() < max {
            return Ok(());
        }
        let idlest = self.sessions.forget_idle(|used| used != Moment::NEVER);
        let idlest = idlest.ok_or(Refusal::SessionsFull { max })?;
        tracing::info!(session = %idlest.0, "evicted the longest idle session");
        Ok(())
    }

    fn rows(&mut self, session: Option<&SessionId>) -> Option<&mut Rows> {
        match session {
            None => Some(&mut self.anonymous),
            Some(session) => self.sessions.get_mut(session).map(|session| &mut session.rows),
        }
    }
}

impl Rows {
    fn put(&mut self, key: (String, String), row: Option<Box<RawValue>>) {
        if let Some((age, _)) = self.by_key.remove(&key) {
            self.by_age.remove(&age);
        }
        let Some(row) = row else { return };
        self.saves += 1;
        self.by_age.insert(self.saves, key.clone());
        self.by_key.insert(key, (self.saves, row));
        if self.by_key.len() > MAX_ROWS
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_key.remove(&oldest);
        }
    }
}

impl SessionStore for MemoryStore {
    fn open<'a>(&'a self, session: &'a SessionId, now: Moment) -> Stored<'a, Result<(), Refusal>> {
        Box::pin(async move { self.try_open(session, now) })
    }

    fn close(&self, session: &SessionId) {
        let mut shelf = self.lock();
        let over = |entry: &mut Session| {
            entry.in_flight = entry.in_flight.saturating_sub(1);
            if entry.in_flight > 0 { Moment::NEVER } else { entry.last_began }
        };
        let entry = shelf.sessions.touch_as(session, over);
        if entry.is_some_and(|(_, entry)| entry.in_flight == 0 && entry.ended) {
            shelf.sessions.remove(session);
        }
    }

    fn load<'a>(
        &'a self,
        session: Option<&'a SessionId>,
        table: &'a str,
        key: &'a str,
    ) -> Stored<'a, Result<Option<Box<RawValue>>, Refusal>> {
        let key = (table.to_owned(), key.to_owned());
        let mut shelf = self.lock();
        let row = shelf.rows(session).and_then(|rows| rows.by_key.get(&key));
        Box::pin(ready(Ok(row.map(|(_, row)| row.clone()))))
    }

    fn save<'a>(
        &'a self,
        session: Option<&'a SessionId>,
        table: &'a str,
        key: &'a str,
        row: Option<Box<RawValue>>,
    ) -> Stored<'a, Result<(), Refusal>> {
        let mut shelf = self.lock();
        let saved = match shelf.rows(session) {
            Some(rows) => {
                rows.put((table.to_owned(), key.to_owned()), row);
                Ok(())
            }
            None => Err(Refusal::Store("the session ended meanwhile".to_owned())),
        };
        Box::pin(ready(saved))
    }

    fn end<'a>(&'a self, session: &'a SessionId) -> Stored<'a, ()> {
        let mut shelf = self.lock();
        if let Some(entry) = shelf.sessions.get_mut(session) {
            if entry.in_flight > 0 {
                entry.ended = true;
                entry.rows = Rows::default();
            } else {
                shelf.sessions.remove(session);
            }
        }
        Box::pin(ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> SessionId {
        SessionId::new(name).unwrap()
    }

    fn second(n: u64) -> Moment {
        Moment::from_nanos(n * 1_000_000_000)
    }

    fn row(json: &str) -> Option<Box<RawValue>> {
        Some(RawValue::from_string(json.to_owned()).unwrap())
    }

    async fn loaded(store: &MemoryStore, session: Option<&SessionId>) -> Option<String> {
        store.load(session, "t", "k").await.unwrap().map(|row| row.get().to_owned())
    }

    #[tokio::test]
    async fn r11_a_full_store_evicts_the_longest_idle_session_without_a_call_in_flight() {
        let store = MemoryStore::new(Duration::from_secs(3600), 2);
        let (a, b, c) = (id("a"), id("b"), id("c"));
        store.open(&a, second(1)).await.unwrap();
        store.save(Some(&a), "t", "k", row("1")).await.unwrap();
        store.open(&b, second(2)).await.unwrap();
        assert_eq!(store.open(&c, second(3)).await, Err(Refusal::SessionsFull { max: 2 }));
        store.close(&b);
        store.open(&c, second(4)).await.unwrap();
        assert_eq!(loaded(&store, Some(&a)).await.as_deref(), Some("1"));
        assert!(store.save(Some(&b), "t", "k", row("2")).await.is_err());
        assert_eq!(store.len(), 2);
    }

    #[tokio::test]
    async fn r14_a_session_is_forgotten_its_ttl_after_its_last_call() {
        let store = MemoryStore::new(Duration::from_secs(10), 100);
        let (a, b) = (id("a"), id("b"));
        store.open(&a, second(0)).await.unwrap();
        store.close(&a);
        store.open(&b, second(9)).await.unwrap();
        assert_eq!(store.len(), 2);
        store.open(&b, second(10)).await.unwrap();
        assert_eq!(store.len(), 1);
    }

    #[tokio::test]
    async fn r11_anonymous_rows_are_shared_and_rows_are_bounded() {
        let store = MemoryStore::new(Duration::from_secs(10), 1);
        store.save(None, "t", "k", row("1")).await.unwrap();
        for n in 0..MAX_ROWS {
            store.save(None, "t", &n.to_string(), row("0")).await.unwrap();
        }
        assert_eq!(loaded(&store, None).await, None);
        assert_eq!(store.lock().anonymous.by_key.len(), MAX_ROWS);
    }

    #[tokio::test]
    async fn a_session_ended_in_mid_call_is_forgotten_with_the_call() {
        let store = MemoryStore::new(Duration::from_secs(10), 1);
        let a = id("a");
        store.open(&a, second(0)).await.unwrap();
        store.save(Some(&a), "t", "k", row("1")).await.unwrap();
        store.end(&a).await;
        assert_eq!(loaded(&store, Some(&a)).await, None);
        store.close(&a);
        assert!(store.is_empty());
    }
}
