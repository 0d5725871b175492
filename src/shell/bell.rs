//! How the pool calls a caller: one wake-up, two flags.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::worker::link::Progress;

/// Shared between a call's booking and its caller's future.
#[derive(Debug, Default)]
pub(super) struct Bell {
    notify: Notify,
    /// The lease, if there is one, is worth no more waiting.
    interrupted: AtomicBool,
    /// How much of the request the worker's pipe has accepted.
    pub(super) progress: Progress,
}

impl Bell {
    /// There is mail: a lease or the end.
    pub(super) fn ring(&self) {
        self.notify.notify_one();
    }

    /// The leased worker has exited, or the call is finished: look up from the pipe.
    pub(super) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// A new lease has been taken: what was said about the last one is void.
    pub(super) fn reset(&self) {
        self.interrupted.store(false, Ordering::Release);
    }

    /// Completes at the next ring, or at once if it rang since the last. Dropping loses nothing.
    pub(super) async fn rung(&self) {
        self.notify.notified().await;
    }

    /// Completes when the lease is worth no more waiting. Dropping loses nothing: the flag stays.
    pub(super) async fn interruption(&self) {
        while !self.interrupted.load(Ordering::Acquire) {
            self.notify.notified().await;
        }
    }
}
