//! R7: the first Ctrl-C or SIGTERM asks a command that serves calls to drain.

use std::future::{Future, pending};

use tokio_util::sync::CancellationToken;

use crate::cli::failure::Failure;

/// Whether the command has been asked to stop. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(CancellationToken);

impl Stop {
    /// The command is asked to stop; false if it was asked before.
    pub(crate) fn ask(&self) -> bool {
        let first = !self.is_asked();
        self.0.cancel();
        first
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Completes once the command is asked to stop. Dropping loses nothing.
    pub(crate) async fn asked(&self) {
        self.0.cancelled().await;
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

    /// Does the work; once asked to stop, drains beside it, so that it comes to its end soon.
    pub(crate) async fn draining<T>(
        &self,
        work: impl Future<Output = T>,
        drain: impl Future<Output = ()>,
    ) -> T {
        let drain = async {
            self.asked().await;
            drain.await;
            pending().await
        };
        tokio::select! {
            biased;
            done = work => done,
            // Dropped with the work done: the drain goes on in the pools' own tasks.
            never = drain => never,
        }
    }
}
