//! R7: how a command is told to stop, by Ctrl-C or SIGTERM.

use std::future::{Future, pending};
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::failure::Failure;
use crate::cli::stdout;

/// How long a command that is told to stop at once has to say what came of its calls: longer than
/// killed workers take to be reaped. A reader that stalls holds it up no longer.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What an interrupted command exits with.
const INTERRUPTED: i32 = 130;

/// Whether the command has been told to stop. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    asked: CancellationToken,
    hurried: CancellationToken,
}

impl Stop {
    /// Takes signals from now on. The first one asks a command that drains to do so; the second
    /// one, and the first to any other command, hurries it, and ends the process soon after.
    ///
    /// On a thread of its own: a runtime whose threads all write to a reader that stalls would
    /// not hear of them.
    ///
    /// # Errors
    /// If signals cannot be taken, or there is no room for the thread.
    pub(crate) fn listen(drains: bool) -> io::Result<Self> {
        let stop = Self::default();
        let (listener, (registered, told)) = (stop.clone(), mpsc::sync_channel(1));
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let signals = runtime.and_then(|runtime| {
                let _entered = runtime.enter();
                let signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
                Ok((runtime, signals))
            });
            let (runtime, signals) = match signals {
                Ok(listening) => listening,
                Err(error) => return drop(registered.send(Err(error))),
            };
            let _ = registered.send(Ok(()));
            runtime.block_on(listener.follow(signals, drains));
        };
        std::thread::Builder::new().name("poolshift-signals".to_owned()).spawn(work)?;
        told.recv().expect("the thread tells before it ends")?;
        Ok(stop)
    }

    /// Ends the process if the command does not end by itself.
    async fn follow(self, mut signals: (Signal, Signal), drains: bool) {
        let (interrupt, terminate) = (&mut signals.0, &mut signals.1);
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        if drains {
            self.asked.cancel();
            stdout::aside("poolshift: draining; a second signal stops at once");
            next().await;
        }
        self.hurried.cancel();
        let _ = tokio::time::timeout(LAST_WORDS, next()).await;
        // Workers are killed by the kernel, and what they started by the guardian (R17).
        std::process::exit(INTERRUPTED);
    }

    pub(crate) fn is_told(&self) -> bool {
        self.asked.is_cancelled() || self.hurried.is_cancelled()
    }

    /// Completes once the command is asked to drain. Dropping loses nothing.
    pub(crate) async fn asked(&self) {
        self.asked.cancelled().await;
    }

    /// Completes once the command is to end at once. Dropping loses nothing.
    pub(crate) async fn hurried(&self) {
        self.hurried.cancelled().await;
    }

    /// Does what comes before the first call: whoever asks to stop then stops it at once.
    pub(crate) async fn before_calls<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.asked() => Err(Failure::Interrupted),
            // Dropped here: what has been started is ended.
            done = work => Ok(done),
        }
    }

    /// Does the work; once asked to stop, drains beside it for `limit`, and once hurried for no
    /// time at all, so that each call has its outcome and the work comes to its end.
    pub(crate) async fn draining<T, D: Future<Output = ()>>(
        &self,
        work: impl Future<Output = T>,
        limit: Duration,
        drain: impl Fn(Duration) -> D,
    ) -> T {
        let asked = async {
            self.asked().await;
            drain(limit).await;
            pending().await
        };
        let hurried = async {
            self.hurried().await;
            drain(Duration::ZERO).await;
            pending().await
        };
        tokio::select! {
            biased;
            done = work => done,
            // Dropped with the work done: the drain goes on in the pools' own tasks.
            never = asked => never,
            never = hurried => never,
        }
    }
}
