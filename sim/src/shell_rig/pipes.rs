//! The host's ends of a fake worker's pipes, with everything that a pipe can do wrong, and a tap
//! that sees what goes through.
//!
//! Like the real ends they answer truly to whoever asks without waiting (R1, R2): only a reader
//! that waits is made to wait for longer.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use poolshift::clock::Moment;
use poolshift::machine::Sent;
use poolshift::{Lane, WorkerId};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::checkers::Law;
use crate::shell_rig::handoff::{Handoff, Yields};
use crate::shell_rig::journal::Journal;
use crate::trace::{CallNo, Event};

/// A frame's length, before its body.
const HEADER: usize = 4;

/// One worker's pipes as seen from between host and worker.
#[derive(Debug)]
pub(super) struct Tap {
    pub(super) worker: WorkerId,
    pub(super) lane: Lane,
    pub(super) journal: Arc<Journal>,
    pub(super) yields: Yields,
    flow: Mutex<Flow>,
    /// The most room that the host ever had ready for one read (S18).
    room: AtomicUsize,
}

#[derive(Debug, Default)]
struct Flow {
    /// What the host has written and what has not become a whole request yet.
    asked: Vec<u8>,
    /// What the host has read and what has not become a whole reply yet.
    heard: Vec<u8>,
    requests: u64,
    replies: u64,
    /// Bytes that the worker has written and the host has not read, and since when.
    unread: usize,
    unread_since: Moment,
    /// What was wrong with the pipe when the first byte of this request was written.
    unclean: Option<(Law, String)>,
    valve: Valve,
    /// The reader that waits.
    reader: Option<Waker>,
}

/// How much more the worker's stdin takes, and how a reader sees its stdout.
#[derive(Clone, Copy, Debug, Default)]
struct Valve {
    room: Option<usize>,
    breaks: bool,
    /// The most bytes that pass at once, in either direction.
    piece: Option<usize>,
}

#[derive(Deserialize)]
struct Asked {
    command: String,
    #[serde(default)]
    call_id: String,
    #[serde(default)]
    shadow: bool,
}

impl Tap {
    pub(super) fn new(worker: WorkerId, lane: Lane, journal: Arc<Journal>, yields: Yields) -> Self {
        let (flow, room) = (Mutex::default(), AtomicUsize::new(0));
        Self { worker, lane, journal, yields, flow, room }
    }

    /// Who steps aside here, for the streams: lane, slot and generation.
    pub(super) fn entity(&self) -> u64 {
        let WorkerId { slot, generation } = self.worker;
        (self.lane as u64) << 63 | u64::from(slot) << 32 | u64::from(generation)
    }

    pub(super) fn tell(&self, event: Event) {
        self.journal.tell(Some(self.lane), event);
    }

    /// Faults 26 and 29: stdin takes so many bytes more, then blocks or breaks.
    pub(super) fn shut(&self, room: usize, breaks: bool) {
        let mut flow = self.lock();
        (flow.valve.room, flow.valve.breaks) = (Some(room), breaks);
    }

    /// Fault 28: at most so many bytes pass at once.
    pub(super) fn split(&self, piece: usize) {
        self.lock().valve.piece = Some(piece.max(1));
    }

    /// Fault 30: wakes the host's reader, for nothing.
    pub(super) fn wake(&self) {
        let reader = self.lock().reader.take();
        reader.inspect(Waker::wake_by_ref);
    }

    /// The worker is about to write so much.
    pub(super) fn writes(&self, bytes: usize) {
        let now = self.journal.now();
        let mut flow = self.lock();
        if flow.unread == 0 {
            flow.unread_since = now;
        }
        flow.unread += bytes;
    }

    /// The most room that the host ever had ready for one read.
    pub(super) fn room(&self) -> usize {
        self.room.load(Ordering::Relaxed)
    }

    /// The host has written these bytes.
    fn asks(&self, bytes: &[u8]) {
        let now = self.journal.now();
        let mut flow = self.lock();
        if flow.asked.is_empty() {
            flow.unclean = flow.uncleanness(now);
        }
        flow.asked.extend_from_slice(bytes);
        let Some(body) = take_frame(&mut flow.asked) else { return };
        flow.requests += 1;
        let unclean = flow.unclean.take();
        drop(flow);
        if unclean.is_none() && !self.journal.keeps() {
            return;
        }
        let Ok(asked) = serde_json::from_slice::<Asked>(&body) else {
            let what = format!("{:?} was sent what is no request", self.worker);
            return self.journal.breach(Law::S7, what);
        };
        // A goodbye may be said to a worker whatever it has said before.
        if let Some((law, what)) = unclean.filter(|_| asked.command != "shutdown") {
            let what = format!("{:?} was sent {}, and {what}", self.worker, asked.command);
            self.journal.breach(law, what);
        }
        if asked.shadow {
            return;
        }
        if let Ok(call) = asked.call_id.parse() {
            let (worker, sent) = (self.worker, Sent::All);
            self.tell(Event::Dispatch { call: CallNo(call), worker, sent });
        }
    }

    /// The host has read these bytes.
    fn hears(&self, bytes: &[u8]) {
        let mut flow = self.lock();
        flow.unread = flow.unread.saturating_sub(bytes.len());
        flow.heard.extend_from_slice(bytes);
        while take_frame(&mut flow.heard).is_some() {
            flow.replies += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().expect("nothing panics while it counts bytes")
    }
}

impl Flow {
    /// Why no request may be written now (S4, S7): every request has had its one reply, which
    /// has been read to its end, and nothing else lies in the pipe. What came in this very
    /// moment need not have been noticed.
    fn uncleanness(&self, now: Moment) -> Option<(Law, String)> {
        let Self { requests, replies, unread, unread_since: since, .. } = *self;
        if replies < requests {
            let what = format!("{replies} of its {requests} requests have been answered");
            return Some((Law::S4, what));
        }
        if replies > requests || !self.heard.is_empty() {
            let rest = self.heard.len();
            let what =
                format!("{replies} replies to {requests} requests and {rest} bytes were read");
            return Some((Law::S7, what));
        }
        (unread > 0 && since < now)
            .then(|| (Law::S7, format!("{unread} bytes of it were unread since {since:?}")))
    }
}

/// Takes a whole frame from the front. A length that cannot be is a rest that never ends.
fn take_frame(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let header: [u8; HEADER] = bytes.get(..HEADER)?.try_into().expect("it is as long");
    let end = HEADER.checked_add(u32::from_be_bytes(header) as usize)?;
    let body = bytes.get(HEADER..end)?.to_vec();
    bytes.drain(..end);
    Some(body)
}

/// The host's end of a worker's stdout.
#[derive(Debug)]
pub struct HostReader {
    pipe: DuplexStream,
    tap: Arc<Tap>,
    pace: Pace,
}

/// The host's end of a worker's stdin.
#[derive(Debug)]
pub struct HostWriter {
    pipe: DuplexStream,
    tap: Arc<Tap>,
    pace: Pace,
}

/// How often one end has moved bytes, and how often it still steps aside before it does again.
#[derive(Debug, Default)]
struct Pace {
    moved: u64,
    aside: Option<u64>,
}

impl Pace {
    /// Whether to step aside; the task is then woken at once.
    fn steps_aside(&mut self, tap: &Tap, at: Handoff, context: &Context<'_>) -> bool {
        let fresh = || tap.yields.count(at, tap.entity(), self.moved);
        let left = self.aside.unwrap_or_else(fresh);
        self.aside = Some(left.saturating_sub(1));
        if left > 0 {
            context.waker().wake_by_ref();
        }
        left > 0
    }

    fn moves(&mut self) {
        self.moved += 1;
        self.aside = None;
    }
}

impl HostReader {
    pub(super) fn new(pipe: DuplexStream, tap: Arc<Tap>) -> Self {
        Self { pipe, tap, pace: Pace::default() }
    }
}

impl HostWriter {
    pub(super) fn new(pipe: DuplexStream, tap: Arc<Tap>) -> Self {
        Self { pipe, tap, pace: Pace::default() }
    }
}

impl AsyncRead for HostReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let Self { pipe, tap, pace } = &mut *self;
        tap.journal.polled();
        tap.room.fetch_max(buffer.remaining(), Ordering::Relaxed);
        // A waker for nobody has no data; its table may have an address in each crate.
        let waits = !context.waker().data().is_null();
        if waits && pace.steps_aside(tap, Handoff::Read, context) {
            return Poll::Pending;
        }
        let (before, piece) = (buffer.filled().len(), tap.lock().valve.piece);
        let read = match piece {
            None => Pin::new(pipe).poll_read(context, buffer),
            Some(piece) => {
                let mut bytes = vec![0; piece.min(buffer.remaining())];
                let mut part = ReadBuf::new(&mut bytes);
                let read = Pin::new(pipe).poll_read(context, &mut part);
                buffer.put_slice(part.filled());
                read
            }
        };
        if read.is_pending() && waits {
            tap.lock().reader = Some(context.waker().clone());
        }
        if let Poll::Ready(Ok(())) = &read {
            tap.hears(&buffer.filled()[before..]);
            pace.moves();
        }
        read
    }
}

impl AsyncWrite for HostWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let Self { pipe, tap, pace } = &mut *self;
        tap.journal.polled();
        if pace.steps_aside(tap, Handoff::Write, context) {
            return Poll::Pending;
        }
        let Valve { room, breaks, piece } = tap.lock().valve;
        if room == Some(0) {
            // A pipe that is full for ever wakes nobody.
            let broken = || Err(std::io::ErrorKind::BrokenPipe.into());
            return if breaks { Poll::Ready(broken()) } else { Poll::Pending };
        }
        let most = bytes.len().min(room.unwrap_or(usize::MAX)).min(piece.unwrap_or(usize::MAX));
        let wrote = Pin::new(pipe).poll_write(context, &bytes[..most]);
        if let Poll::Ready(Ok(count)) = wrote {
            if let Some(room) = &mut tap.lock().valve.room {
                *room -= count;
            }
            tap.asks(&bytes[..count]);
            pace.moves();
        }
        wrote
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
