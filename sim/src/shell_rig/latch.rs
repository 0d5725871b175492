//! Something that happens once, and that any number of tasks wait for.
//!
//! tokio's `watch` wakes its receivers in an order that it draws anew in each process; here they
//! wake in the order in which they came.

use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

/// Unset, then set for ever.
#[derive(Debug)]
pub(super) struct Latch<T> {
    value: Mutex<Option<T>>,
    set: Notify,
}

impl<T: Copy> Latch<T> {
    pub(super) fn new() -> Self {
        Self { value: Mutex::new(None), set: Notify::new() }
    }

    /// Sets it, unless it is set already.
    pub(super) fn set(&self, value: T) {
        self.lock().get_or_insert(value);
        self.set.notify_waiters();
    }

    pub(super) fn get(&self) -> Option<T> {
        *self.lock()
    }

    /// Completes once it is set. Dropping it loses nothing.
    pub(super) async fn wait(&self) -> T {
        loop {
            // Made before the look, so that what is set after it is not missed.
            let set = self.set.notified();
            if let Some(value) = self.get() {
                return value;
            }
            set.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.value.lock().expect("a value is only copied under the lock")
    }
}
