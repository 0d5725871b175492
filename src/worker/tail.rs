//! The last of what a worker wrote to stderr.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;

/// How much is kept: enough for a traceback and what led to it.
const KEPT_BYTES: usize = 64 * 1024;

/// A longer line is cut: one progress bar without line ends must not push all else out.
const LINE_BYTES: usize = 4 * 1024;

/// How many lines an error text quotes.
const QUOTED_LINES: usize = 20;

/// Whole lines, bounded in bytes; the oldest go first.
#[derive(Debug)]
pub(crate) struct Tail {
    kept: Mutex<Kept>,
    /// Lines ever written; `None` once nothing will follow.
    written: watch::Sender<Option<u64>>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
    written: u64,
    /// A line that has no end yet.
    open: Vec<u8>,
}

impl Tail {
    pub(crate) fn new() -> Self {
        Self { kept: Mutex::default(), written: watch::Sender::new(Some(0)) }
    }

    /// Adds bytes; each line that they complete is handed to `each`.
    pub(crate) fn push(&self, bytes: &[u8], mut each: impl FnMut(&str)) {
        let mut kept = self.lock();
        for chunk in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match chunk.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (chunk, false),
            };
            let room = LINE_BYTES.saturating_sub(kept.open.len());
            kept.open.extend_from_slice(&text[..text.len().min(room)]);
            if ended {
                each(kept.close_line());
            }
        }
        let written = kept.written;
        // Not under the lock: whoever waits takes it while it holds the watch.
        drop(kept);
        self.written.send_replace(Some(written));
    }

    /// Nothing will follow.
    pub(crate) fn close(&self) {
        let mut kept = self.lock();
        if !kept.open.is_empty() {
            kept.close_line();
        }
        drop(kept);
        self.written.send_replace(None);
    }

    /// Completes when nothing will follow.
    pub(crate) async fn closed(&self) {
        let mut written = self.written.subscribe();
        // The sender lives as long as `self`, which is borrowed.
        let _ = written.wait_for(Option::is_none).await;
    }

    /// How many lines were written so far. A line without an end is ended here, so that what
    /// follows begins a line of its own.
    pub(crate) fn mark(&self) -> u64 {
        let mut kept = self.lock();
        if !kept.open.is_empty() {
            kept.close_line();
        }
        kept.written
    }

    /// Completes when `enough` likes the lines written since `mark`.
    pub(crate) async fn wait_since(&self, mark: u64, enough: impl Fn(&[String]) -> bool) {
        let mut written = self.written.subscribe();
        let _ = written.wait_for(|now| now.is_none() || enough(&self.since(mark))).await;
    }

    /// The kept lines written since `mark`.
    pub(crate) fn since(&self, mark: u64) -> Vec<String> {
        let kept = self.lock();
        let fresh = usize::try_from(kept.written - mark).unwrap_or(usize::MAX);
        let skipped = kept.lines.len().saturating_sub(fresh);
        kept.lines.iter().skip(skipped).cloned().collect()
    }

    /// The last lines before `mark`, or before the end; for error texts.
    pub(crate) fn quote(&self, mark: Option<u64>) -> String {
        let kept = self.lock();
        let after = mark.map_or(0, |mark| kept.written - mark);
        let end = kept.lines.len().saturating_sub(usize::try_from(after).unwrap_or(usize::MAX));
        let begin = end.saturating_sub(QUOTED_LINES);
        let lines: Vec<&str> = kept.lines.range(begin..end).map(String::as_str).collect();
        lines.join("\n")
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nothing panics while it moves lines about")
    }
}

impl Kept {
    fn close_line(&mut self) -> &str {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.open)).into_owned();
        self.bytes += line.len();
        self.written += 1;
        self.lines.push_back(line);
        while self.bytes > KEPT_BYTES || self.lines.len() > KEPT_BYTES / 16 {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
        }
        self.lines.back().map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_whole_lines_and_forgets_the_oldest() {
        let tail = Tail::new();
        let mut seen = Vec::new();
        tail.push(b"one\ntw", |line| seen.push(line.to_owned()));
        tail.push(b"o\nthree", |line| seen.push(line.to_owned()));
        assert_eq!(seen, ["one", "two"]);
        tail.close();
        assert_eq!(tail.quote(None), "one\ntwo\nthree");
        assert_eq!(tail.since(2), ["three"]);
    }

    #[test]
    fn what_follows_a_mark_is_told_apart_from_what_led_to_it() {
        let tail = Tail::new();
        tail.push(b"one\nat 50 %", |_| {});
        let mark = tail.mark();
        tail.push(b"Thread 1\n", |_| {});
        assert_eq!(tail.since(mark), ["Thread 1"]);
        assert_eq!(tail.quote(Some(mark)), "one\nat 50 %");
        for n in 0..10_000 {
            tail.push(format!("{n}\n").as_bytes(), |_| {});
        }
        assert_eq!(tail.quote(Some(mark)), "", "it was pushed out");
    }

    #[test]
    fn a_flood_is_bounded() {
        let tail = Tail::new();
        for _ in 0..10_000 {
            tail.push(&[b'x'; 1000], |_| {});
            tail.push(b"\n\n\n", |_| {});
        }
        let kept = tail.lock();
        assert!(kept.bytes <= KEPT_BYTES && kept.lines.len() <= KEPT_BYTES / 16);
        assert!(kept.lines.iter().all(|line| line.len() <= LINE_BYTES));
    }
}
