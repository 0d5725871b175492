//! The thread that compares pairs and keeps what they show, away from every caller.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Moment};
use crate::router::compare::Verdict;
use crate::router::compare::rule::RuleBook;
use crate::shadow::room::Room;
use crate::shadow::tally::{Arm, CommandTally};
use crate::shadow::{Store, StoreError, Trial};

/// Pairs that wait to be compared: what a moment's work of the thread is.
const WAITING: usize = 32;

/// Bytes of these, and of the pair that is being compared. No rule bounds an answer that nobody
/// was told.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;

/// How late the counts may reach the disk.
const FLUSH: Duration = Duration::from_secs(1);

/// Compares pairs under rules and writes them into a store. Dropping it ends the thread once the
/// pairs that wait have been written.
#[derive(Debug)]
pub struct Recorder {
    /// Until it is closed.
    trials: Mutex<Option<SyncSender<Handed>>>,
    bytes: Arc<AtomicUsize>,
    thread: Mutex<Option<JoinHandle<()>>>,
    books: Arc<Mutex<RecorderBooks>>,
}

/// Who hears what a pair came to, before it is kept.
pub type Told = Box<dyn FnOnce(&Verdict) + Send>;

/// A pair, who hears of it, and the room that it takes while it waits.
type Handed = (Trial, Option<Told>, Room);

/// What a recorder has seen, beside what earlier ones left in its store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecorderBooks {
    /// By command; as many as the store has names for.
    pub commands: BTreeMap<String, ComparedCounts>,
    /// Pairs of which nothing but the counts was kept, since the disk refused.
    pub unwritten: u64,
    /// Why it last refused.
    pub error: Option<String>,
}

/// How many pairs of one command were compared, and how many of them are alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparedCounts {
    /// Pairs of both lanes with a verdict.
    pub compared: u64,
    /// Those that are alike, rules considered.
    pub matched: u64,
    /// Pairs of a lane with itself.
    pub noise_compared: u64,
    /// Those that are alike.
    pub noise_matched: u64,
}

impl ComparedCounts {
    fn of(tally: &CommandTally) -> Self {
        let counts = |arm: &Arm| (arm.compared, arm.matched);
        let (compared, matched) = counts(&tally.lanes);
        let (noise_compared, noise_matched) = counts(&tally.noise);
        Self { compared, matched, noise_compared, noise_matched }
    }
}

impl Recorder {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the operating system has no thread for it.
    pub fn start(store: Store, rules: RuleBook, clock: Clock) -> io::Result<Self> {
        let (trials, received) = sync_channel(WAITING);
        let books = Arc::new(Mutex::new(RecorderBooks::of(&store)));
        let desk = Desk { store, rules, books: Arc::clone(&books), clock, flushed: clock.now() };
        let thread = thread::Builder::new().name("shadow".to_owned());
        let thread = thread.spawn(move || desk.run(&received))?;
        let (trials, thread) = (Mutex::new(Some(trials)), Mutex::new(Some(thread)));
        Ok(Self { trials, bytes: Arc::default(), thread, books })
    }

    /// Hands a pair over if there is room for it; whether there was. Never waits.
    #[must_use]
    pub fn offer(&self, trial: Trial, told: Option<Told>) -> bool {
        let Some(room) = Room::of(&self.bytes, trial.bytes(), MAX_BYTES) else { return false };
        let trials = lock(&self.trials);
        trials.as_ref().is_some_and(|trials| trials.try_send((trial, told, room)).is_ok())
    }

    /// What it has seen.
    #[must_use]
    pub fn books(&self) -> RecorderBooks {
        lock(&self.books).clone()
    }

    /// Takes no more pairs, and waits until every one has been written. Blocks.
    pub fn close(&self) {
        drop(lock(&self.trials).take());
        let thread = lock(&self.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that compares answers has panicked");
        }
    }
}

impl RecorderBooks {
    fn of(store: &Store) -> Self {
        let commands = store.tally().commands.iter();
        let counts = |(name, tally): (&String, &_)| (name.clone(), ComparedCounts::of(tally));
        Self { commands: commands.map(counts).collect(), ..Self::default() }
    }
}

/// What the thread works with.
struct Desk {
    store: Store,
    rules: RuleBook,
    books: Arc<Mutex<RecorderBooks>>,
    clock: Clock,
    flushed: Moment,
}

impl Desk {
    fn run(mut self, trials: &Receiver<Handed>) {
        loop {
            match trials.recv_timeout(FLUSH) {
                Ok((trial, told, _room)) => self.record(&trial, told),
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => return self.flush(),
            }
            if self.clock.now().since(self.flushed) >= FLUSH {
                self.flush();
            }
        }
    }

    fn record(&mut self, trial: &Trial, told: Option<Told>) {
        let verdict = trial.verdict(&self.rules);
        if let Some(told) = told {
            told(&verdict);
        }
        let written = self.store.record(trial, &verdict);
        let (name, tally) = self.store.tally().under(&trial.command);
        let counts = ComparedCounts::of(tally);
        let mut books = lock(&self.books);
        books.commands.insert(name.to_owned(), counts);
        books.unwritten += u64::from(written.is_err());
        drop(books);
        self.heed(written);
    }

    fn flush(&mut self) {
        self.flushed = self.clock.now();
        let written = self.store.flush();
        self.heed(written);
    }

    /// A disk that refuses costs samples, and nobody a call. Counts reach it later.
    fn heed(&self, written: Result<(), StoreError>) {
        let Err(error) = written else { return };
        let mut books = lock(&self.books);
        if books.error.replace(error.to_string()).is_none() {
            tracing::warn!(%error, "compared answers cannot be kept; they are still counted");
        }
    }
}

/// Nothing is half-written under these locks, so a thread that panicked has left it whole.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
