//! What the host logs while a row runs.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;

/// What is logged on one thread.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

/// As long as there is one listener in all, tracing asks that of the *current* thread whether a new
/// log line is of interest. A line that another test's thread met first was then lost for good.
static SECOND_LISTENER: LazyLock<Dispatch> =
    LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));

impl Log {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Until the guard is dropped.
    pub(super) fn listen(&self) -> DefaultGuard {
        LazyLock::force(&SECOND_LISTENER);
        let log = self.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone());
        let listening = tracing::subscriber::set_default(lines.finish());
        // Other tests' threads may have met a log line while nobody listened.
        tracing::callsite::rebuild_interest_cache();
        listening
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
