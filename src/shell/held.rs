//! The desk while somebody holds its lock.

use std::hint::spin_loop;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, TryLockError};

use crate::shell::desk::Desk;
use crate::worker::Spawner;

/// Pauses of the processor between looks at a lock that is taken, some microseconds in all. A call
/// holds it for one or two; to sleep for it costs more, and to wake who sleeps costs the holder as
/// much, until everybody sleeps: a crowd of callers then takes three times as long. Who looks in
/// vain, as behind a status or a holder who has lost its processor, sleeps after all.
const PAUSES: [u32; 12] = [1, 2, 4, 8, 16, 32, 64, 64, 64, 64, 64, 64];

/// The lock on a desk. Callers who got mail under it are woken when it has been let go: a
/// wake-up is a system call, and whoever wakes would else meet the lock that is still held.
pub(super) struct HeldDesk<'a, M, S: Spawner> {
    /// Here until the drop.
    guard: Option<MutexGuard<'a, Desk<M, S>>>,
}

impl<'a, M, S: Spawner> HeldDesk<'a, M, S> {
    /// Waits for the lock; nothing if an assertion failed while it was held.
    pub(super) fn of(desk: &'a Mutex<Desk<M, S>>) -> Option<Self> {
        let mut tried = desk.try_lock();
        for pauses in PAUSES {
            if !matches!(tried, Err(TryLockError::WouldBlock)) {
                break;
            }
            (0..pauses).for_each(|_| spin_loop());
            tried = desk.try_lock();
        }
        let guard = match tried {
            Err(TryLockError::WouldBlock) => desk.lock().ok(),
            tried => tried.ok(),
        };
        guard.map(|guard| Self { guard: Some(guard) })
    }
}

impl<M, S: Spawner> Drop for HeldDesk<'_, M, S> {
    fn drop(&mut self) {
        let Some(mut guard) = self.guard.take() else { return };
        // Mostly there is one or none, and the list stays where it is with the room that it has.
        let last = guard.rings.pop();
        let others =
            if guard.rings.is_empty() { Vec::new() } else { std::mem::take(&mut guard.rings) };
        drop(guard);
        others.iter().chain(&last).for_each(|bell| bell.ring());
    }
}

impl<M, S: Spawner> Deref for HeldDesk<'_, M, S> {
    type Target = Desk<M, S>;

    fn deref(&self) -> &Desk<M, S> {
        self.guard.as_ref().expect("it is held until the drop")
    }
}

impl<M, S: Spawner> DerefMut for HeldDesk<'_, M, S> {
    fn deref_mut(&mut self) -> &mut Desk<M, S> {
        self.guard.as_mut().expect("it is held until the drop")
    }
}
