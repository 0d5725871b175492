//! How the pool calls a caller: mail, one wake-up, and a flag to look up from the pipe.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::task::Poll;

use atomic_waker::AtomicWaker;

use crate::shell::desk::{Finished, Lease};
use crate::worker::Spawner;
use crate::worker::link::Progress;

/// Shared between a call's booking and its caller's future. What is put into it is put there
/// under the pool's lock; the caller is woken after that, and takes it without the lock.
pub(super) struct Bell<S: Spawner> {
    mail: Mutex<Mail<S>>,
    /// The caller's future, while it waits: nobody else ever does.
    caller: AtomicWaker,
    /// Mail may have come since the caller last looked.
    rung: AtomicBool,
    /// The lease, if there is one, is worth no more waiting.
    interrupted: AtomicBool,
    /// How much of the request the worker's pipe has accepted.
    pub(super) progress: Progress,
}

/// What the pool has for the caller.
pub(super) struct Mail<S: Spawner> {
    /// A lease that has been granted and not been taken.
    pub(super) lease: Option<Lease<S>>,
    /// The end of the call; nothing follows it.
    pub(super) finished: Option<Finished>,
}

impl<S: Spawner> Bell<S> {
    pub(super) fn new() -> Self {
        Self {
            mail: Mutex::new(Mail { lease: None, finished: None }),
            caller: AtomicWaker::new(),
            rung: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            progress: Progress::default(),
        }
    }

    /// The call has a worker. What was said about an earlier lease is void.
    pub(super) fn grant(&self, lease: Lease<S>) {
        self.interrupted.store(false, Ordering::Release);
        self.lock().lease = Some(lease);
    }

    /// The call is over.
    pub(super) fn finish(&self, finished: Finished) {
        let twice = self.lock().finished.replace(finished);
        assert!(twice.is_none(), "a call was finished twice: {twice:?}");
        self.interrupt();
    }

    /// Wakes the caller, once the pool's lock has been let go.
    pub(super) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.caller.wake();
    }

    /// The leased worker has exited, or the call is over: look up from the pipe.
    pub(super) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
    }

    /// Takes what is there.
    pub(super) fn collect(&self) -> Mail<S> {
        let mut mail = self.lock();
        Mail { lease: mail.lease.take(), finished: mail.finished.take() }
    }

    /// Whether the call is over, and its caller does not know yet.
    pub(super) fn is_over(&self) -> bool {
        self.lock().finished.is_some()
    }

    /// Completes when there may be mail. Dropping loses nothing.
    pub(super) async fn rung(&self) {
        self.until(|| self.rung.swap(false, Ordering::AcqRel)).await;
    }

    /// Completes when the lease is worth no more waiting. Dropping loses nothing: the flag stays.
    pub(super) async fn interruption(&self) {
        self.until(|| self.interrupted.load(Ordering::Acquire)).await;
    }

    /// Registered before it is asked, so that no ring between the two is missed.
    async fn until(&self, is_so: impl Fn() -> bool) {
        poll_fn(|context| {
            self.caller.register(context.waker());
            if is_so() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, Mail<S>> {
        self.mail.lock().expect("nothing panics while it moves mail")
    }
}
