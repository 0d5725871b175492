//! What is measured while a chaos run goes on: how soon killed workers are replaced, and what the
//! kernel has of them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::meter::Series;
use poolshift::{PoolStatus, WorkerId};

use crate::checkers::Law;
use crate::real::kernel::{Kin, kin};

/// A worker in one of these states has become ready.
const READY: [&str; 4] = ["idle", "busy", "abandoned", "probing"];

/// How often the kernel is asked again when too many workers seem to live: a look takes a while, in
/// which a worker that was counted may end and its successor start. Those who stay are too many.
const LOOKS: usize = 5;

/// A process that has ended is reaped much sooner, on any machine.
const REAPED_WITHIN: Duration = Duration::from_secs(5);

/// Looks at pools and kernel; bounded by the number of slots, of processes, and of buckets.
#[derive(Debug, Default)]
pub(super) struct Watchman {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// V3's slots whose worker was killed: its generation, and when.
    vacant: BTreeMap<u32, (u32, Moment)>,
    recovery: Series,
    /// Since when they are known to have ended.
    zombies: BTreeMap<u32, Moment>,
}

impl Watchman {
    /// A ready worker of V3 is killed. V2 replaces a worker when it is needed next, so the time
    /// until then would measure the load.
    pub(super) fn killed(&self, now: Moment, worker: WorkerId, state: &str) {
        if READY.contains(&state) {
            let vacant = &mut self.lock().vacant;
            vacant.entry(worker.slot).or_insert((worker.generation, now));
        }
    }

    /// Which killed workers of V3 have a successor that is ready: in their slot or, if that stays
    /// vacant, in another's, where it was started to relieve somebody, and then replaces two.
    pub(super) fn look(&self, now: Moment, v3: &PoolStatus) {
        let mut book = self.lock();
        let Book { vacant, recovery, .. } = &mut *book;
        let is_whole = v3.ready >= v3.size;
        for worker in &v3.workers {
            let state = &*worker.health_status;
            let (id, ready) = (worker.id, READY.contains(&state));
            let is_replaced = |(generation, _): &(u32, Moment)| {
                ready && id.generation > *generation || state == "vacant" && is_whole
            };
            if let Some((_, since)) = vacant.get(&id.slot).copied().filter(is_replaced) {
                recovery.record(now.since(since));
                vacant.remove(&id.slot);
            }
        }
    }

    /// S10 and S17 by the kernel's count: at most `most` workers live, and the dead are reaped.
    ///
    /// # Errors
    /// If the kernel cannot be asked.
    pub(super) fn count(
        &self,
        now: Moment,
        mark: &str,
        most: usize,
        mut judge: impl FnMut(Law, bool, String),
    ) -> io::Result<()> {
        let living = |kin: &[Kin]| kin.iter().filter(|kin| kin.is_worker()).count();
        let mut seen = kin(mark)?;
        for _ in 1..LOOKS {
            if living(&seen) > most {
                seen = kin(mark)?;
            }
        }
        let (living, kin) = (living(&seen), seen);
        judge(Law::S10, living <= most, format!("{living} workers live where {most} may"));
        let mut book = self.lock();
        let dead: Vec<u32> = kin.iter().filter(|kin| kin.is_zombie).map(|kin| kin.pid).collect();
        book.zombies.retain(|pid, _| dead.contains(pid));
        for pid in dead {
            let since = *book.zombies.entry(pid).or_insert(now);
            let waits = now.since(since);
            judge(Law::S17, waits < REAPED_WITHIN, format!("{pid} ended {waits:?} ago, unreaped"));
        }
        Ok(())
    }

    /// From a kill to a ready successor.
    pub(super) fn recovery(&self) -> Series {
        self.lock().recovery.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nothing panics while it writes")
    }
}
