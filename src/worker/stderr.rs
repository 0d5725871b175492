//! Draining a worker's stderr, always: a full pipe would block the worker for ever.

use std::fmt;
use std::num::NonZeroI32;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

use crate::clock::{Clock, Moment};
use crate::worker::pipe::PipeReader;
use crate::worker::tail::Tail;

/// More lines than this in [`WINDOW`] are kept in the tail and counted, but not logged: a
/// worker in a loop must not drown the host, unless somebody wants to see it all.
const LINES_PER_WINDOW: u32 = 100;
const WINDOW: Duration = Duration::from_secs(1);

/// How much one read takes; a Linux pipe holds this much.
const READ_BYTES: usize = 64 * 1024;

/// Reads until end of file, or until the worker has been reaped and what it left in the pipe has
/// been read: a grandchild may hold the other end open, and write, for ever.
pub(super) async fn drain(
    mut pipe: PipeReader,
    mut log: Log,
    tail: Arc<Tail>,
    mut exit: watch::Receiver<Option<String>>,
) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let (read, last) = tokio::select! {
            biased;
            _ = exit.wait_for(Option::is_some) => (pipe.read_now(&mut buffer), true),
            read = pipe.read(&mut buffer) => (read, false),
        };
        match read {
            Ok(bytes @ 1..) => tail.push(&buffer[..bytes], |line| log.line(line)),
            Ok(0) | Err(_) => break,
        }
        if last {
            break;
        }
    }
    log.end_window();
    tail.close();
}

/// Where a worker's lines go.
pub(super) struct Log {
    worker: String,
    pid: NonZeroI32,
    /// Lines that are logged in one window.
    most: u32,
    clock: Clock,
    window: Moment,
    lines: u32,
}

impl Log {
    pub(super) fn new(worker: impl fmt::Display, pid: Pid, all: bool) -> Self {
        let most = if all { u32::MAX } else { LINES_PER_WINDOW };
        let (worker, pid) = (worker.to_string(), pid.as_raw_nonzero());
        Self { worker, pid, most, clock: Clock::start(), window: Moment::ZERO, lines: 0 }
    }

    fn line(&mut self, line: &str) {
        let now = self.clock.now();
        if now.since(self.window) > WINDOW {
            self.end_window();
            self.window = now;
        }
        self.lines += 1;
        if self.lines <= self.most {
            let (worker, pid) = (&self.worker, self.pid);
            tracing::info!(target: "poolshift::worker::stderr", %worker, pid, "{line}");
        }
    }

    fn end_window(&mut self) {
        let unlogged = self.lines.saturating_sub(self.most);
        if unlogged > 0 {
            let (worker, pid) = (&self.worker, self.pid);
            tracing::warn!(target: "poolshift::worker::stderr", %worker, pid, unlogged, "flood");
        }
        self.lines = 0;
    }
}
