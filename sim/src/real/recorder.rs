//! The trace of a real run, judged as it is told.

use std::io;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use poolshift::clock::{Clock, Moment};
use poolshift::{Lane, WorkerId};

use crate::checkers::Law;
use crate::real::ledgers::{Ledgers, Note};
use crate::shell_rig::onlooker::Onlooker;
use crate::trace::{Closing, Event, Ground, Stamp, Watcher};

/// How much later than at once a caller may be told on a machine that has other work, too.
const SLACK: Duration = Duration::from_secs(2);

/// Puts what callers, operators and ledgers say into one order, and has it watched. Nothing is
/// kept here: the onlooker forgets a call a minute after its end, and `watcher` keeps what it
/// wants.
#[derive(Debug)]
pub struct Recorder<W> {
    clock: Clock,
    book: Mutex<Book<W>>,
}

#[derive(Debug)]
struct Book<W> {
    seq: u64,
    both: (Onlooker, W),
    ledgers: Ledgers,
}

impl<W: Watcher> Recorder<W> {
    /// For the run that the shim of this clock begins.
    pub fn begin(clock: Clock, ground: &Ground, ledgers: Ledgers, watcher: W) -> Self {
        let mut both = (Onlooker::of_real_time(SLACK), watcher);
        both.begin(ground);
        Self { clock, book: Mutex::new(Book { seq: 0, both, ledgers }) }
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Something happened, now.
    pub fn tell(&self, lane: Option<Lane>, event: Event) {
        let mut book = self.lock();
        // Read under the lock, so that moments never go back.
        book.tell(self.clock.now(), lane, event);
    }

    /// A caller was told what came of its call. What its worker noted comes before: it noted the
    /// call before it answered.
    pub fn done(&self, lane: Lane, worker: Option<WorkerId>, route: Event, done: Event) {
        let mut book = self.lock();
        let now = self.clock.now();
        let notes = worker.map_or(Ok(Vec::new()), |worker| book.ledgers.of_worker(lane, worker));
        book.note(now, notes);
        book.tell(now, None, route);
        book.tell(now, Some(lane), done);
    }

    /// Reads on in all ledgers.
    pub fn sweep(&self) {
        let mut book = self.lock();
        let notes = book.ledgers.all();
        book.note(self.clock.now(), notes);
    }

    /// A law of which no event tells.
    pub fn judge(&self, law: Law, holds: bool, what: impl FnOnce() -> String) {
        self.lock().both.0.judge(law, holds, what);
    }

    /// Asks those who look on.
    pub fn ask<T>(&self, ask: impl FnOnce(&Onlooker, &mut W) -> T) -> T {
        let mut book = self.lock();
        let (onlooker, watcher) = &mut book.both;
        ask(onlooker, watcher)
    }

    /// The run is over. Gives its judge, and who else looked on.
    pub fn end(self, closing: &Closing) -> (Onlooker, W) {
        self.sweep();
        let mut book = self.book.into_inner().expect("nothing panics while it writes");
        book.both.end(closing);
        book.both
    }

    fn lock(&self) -> MutexGuard<'_, Book<W>> {
        self.book.lock().expect("nothing panics while it writes")
    }
}

impl<W: Watcher> Book<W> {
    fn tell(&mut self, at: Moment, lane: Option<Lane>, event: Event) {
        let stamp = Stamp { at, seq: self.seq, lane };
        self.seq += 1;
        self.both.event(stamp, &event);
    }

    fn note(&mut self, now: Moment, notes: io::Result<Vec<Note>>) {
        match notes {
            Ok(notes) => {
                for Note { lane, worker, call } in notes {
                    self.tell(now, Some(lane), Event::Executes { call, worker });
                }
            }
            Err(error) => {
                let what = || format!("the workers' ledgers cannot be read: {error}");
                self.both.0.judge(Law::S14, false, what);
            }
        }
    }
}
