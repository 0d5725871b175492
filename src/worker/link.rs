//! One worker's two pipe ends, with the codec's buffers and the next request's id.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::unconstrained;
use tokio_util::io::poll_read_buf;

use crate::call::{Args, CallId};
use crate::error::Refusal;
use crate::machine::Sent;
use crate::worker::trace::FrameTrace;
use crate::worker::wire::{
    HEADER_BYTES, Outgoing, ReplyDecoder, WireReply, encode, encode_around, quote,
};

/// What an idle link may keep of its last request: more than common ones need, so that one large
/// one does not hold its memory for ever.
const IDLE_BYTES: usize = 64 * 1024;

/// Args from here on are sent from where they are: a copy would cost more than the writes that it
/// saves.
const LONG_ARGS: usize = 64 * 1024;

/// Room for common replies, which an idle link keeps; a longer frame's length makes the codec
/// reserve what it needs.
const READ_BYTES: usize = 4 * 1024;

/// The pipe to one worker. Whoever holds it is the worker's only reader and writer (R1).
#[derive(Debug)]
pub struct Link<R, W> {
    reader: R,
    writer: Option<W>,
    decoder: ReplyDecoder,
    received: BytesMut,
    /// Where a frame's first bytes are read to. The free end of `received` would be cleared before
    /// each read, which pushes everything else out of the processor's nearest cache.
    landing: Box<[u8]>,
    /// The prepared request's frame, all of it but for long args.
    outgoing: Vec<u8>,
    /// Those, until they are sent, and the bytes of the frame before them.
    long_args: Option<(usize, Args)>,
    /// The id of the last prepared request; unique in the worker's life.
    id: u64,
    max_frame_bytes: usize,
    /// Boxed, since it is rarely there.
    trace: Option<Box<FrameTrace>>,
}

/// Why a link is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The pipe is closed.
    #[error("the pipe is closed: {0}")]
    Closed(String),
    /// The worker sent something that is not a reply to the request.
    #[error("{0}")]
    Garbled(String),
}

/// How much of a request the pipe has accepted, readable by others while it is being sent.
/// It may claim too much for an instant, never too little.
#[derive(Debug)]
pub struct Progress(AtomicU8);

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Link<R, W> {
    /// A link to a worker that has not been asked anything.
    pub fn new(reader: R, writer: W, max_frame_bytes: usize) -> Self {
        Self {
            reader,
            writer: Some(writer),
            decoder: ReplyDecoder::new(max_frame_bytes),
            received: BytesMut::new(),
            landing: vec![0; READ_BYTES].into(),
            outgoing: Vec::new(),
            long_args: None,
            id: 0,
            max_frame_bytes,
            trace: None,
        }
    }

    /// The same link, with its frames logged if there is a trace.
    #[must_use]
    pub fn traced(self, trace: Option<FrameTrace>) -> Self {
        Self { trace: trace.map(Box::new), ..self }
    }

    /// The requests that follow belong to this call, or are the host's own; for the log.
    pub fn about(&mut self, call_id: Option<&CallId>) {
        if let Some(trace) = &mut self.trace {
            trace.about(call_id.map(CallId::to_string));
        }
    }

    /// R1: one non-blocking read. False if the worker has said anything, or closed its pipe.
    pub fn is_quiet(&mut self) -> bool {
        self.received.is_empty() && matches!(self.read_now(), Poll::Pending)
    }

    /// The first bytes that the worker said without being asked, if it did; for logs.
    pub fn noise(&self) -> Option<String> {
        (!self.received.is_empty()).then(|| quote(&self.received))
    }

    /// Encodes the next request.
    ///
    /// # Errors
    /// If its frame would be larger than `max_frame_bytes`.
    pub fn prepare(&mut self, request: Outgoing<'_>) -> Result<(), Refusal> {
        let (max, out) = (self.max_frame_bytes, &mut self.outgoing);
        out.clear();
        self.long_args = None;
        self.id += 1;
        // A trace shows the beginning of the whole frame.
        if request.args.as_json().len() < LONG_ARGS || self.trace.is_some() {
            return encode(self.id, request, max, out);
        }
        let before = encode_around(self.id, request, max, out)?;
        self.long_args = Some((before, request.args.clone()));
        Ok(())
    }

    /// Writes the prepared request. Dropped midway, `progress` says how much was accepted.
    ///
    /// # Errors
    /// If the pipe is closed.
    pub async fn send(&mut self, progress: &Progress) -> Result<(), LinkError> {
        let Some(writer) = &mut self.writer else { return Err(closed("stdin was closed")) };
        if let Some(trace) = &self.trace {
            trace.request(&self.outgoing[HEADER_BYTES..]);
        }
        let (before, args, after) = match &self.long_args {
            Some((at, args)) => (&self.outgoing[..*at], args.open(), &self.outgoing[*at..]),
            None => (&self.outgoing[..], "", &[][..]),
        };
        let mut rest = before.chain(args.as_bytes()).chain(after);
        while rest.has_remaining() {
            let wrote = std::future::poll_fn(|context| {
                let before = progress.get();
                progress.set(Sent::Part);
                let written = Pin::new(&mut *writer).poll_write(context, rest.chunk());
                if !matches!(written, Poll::Ready(Ok(1..))) {
                    progress.set(before);
                }
                written
            });
            match wrote.await {
                Ok(0) => return Err(closed("it accepts no more bytes")),
                Ok(bytes) => rest.advance(bytes),
                Err(error) => return Err(closed(error)),
            }
        }
        progress.set(Sent::All);
        self.long_args = None;
        shrink(&mut self.outgoing);
        Ok(())
    }

    /// Reads the reply to the last prepared request. Cancellation safe: what was read stays.
    ///
    /// # Errors
    /// If the pipe closes before the reply is whole, or something else comes than the reply.
    pub async fn receive(&mut self) -> Result<WireReply, LinkError> {
        loop {
            if let Some(reply) = self.take_reply()? {
                return Ok(reply);
            }
            match std::future::poll_fn(|context| self.poll_read(context.waker())).await {
                Ok(0) => return Err(closed("end of file before a whole reply")),
                Ok(_) => {}
                Err(error) => return Err(closed(error)),
            }
        }
    }

    /// R2: the reply, if all of it is in the pipe already.
    pub fn receive_ready(&mut self) -> Option<Result<WireReply, LinkError>> {
        loop {
            if let Some(reply) = self.take_reply().transpose() {
                return Some(reply);
            }
            match self.read_now() {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) | Poll::Pending => return None,
            }
        }
    }

    /// Closes the worker's stdin.
    pub fn close_writer(&mut self) {
        self.writer = None;
    }

    fn take_reply(&mut self) -> Result<Option<WireReply>, LinkError> {
        let (trace, mut length) = (&self.trace, 0);
        let see = |frame: &[u8]| {
            length = HEADER_BYTES + frame.len();
            trace.iter().for_each(|trace| trace.reply(frame));
        };
        let reply = self.decoder.decode(self.id, &mut self.received, see);
        let reply = reply.map_err(LinkError::Garbled)?;
        if length > READ_BYTES && self.received.is_empty() {
            self.received = BytesMut::new();
        }
        Ok(reply)
    }

    /// One read that does not wait. Unconstrained: at the end of its task's turn tokio says "would
    /// block" whatever the pipe holds, and R1 and R2 ask the pipe.
    fn read_now(&mut self) -> Poll<std::io::Result<usize>> {
        let read = std::future::poll_fn(|context| self.poll_read(context.waker()));
        pin!(unconstrained(read)).poll(&mut Context::from_waker(Waker::noop()))
    }

    /// One read: of what is left of a long frame to where it belongs, and of all else by way of
    /// `landing`, no more than there is room for.
    fn poll_read(&mut self, waker: &Waker) -> Poll<std::io::Result<usize>> {
        if self.received.is_empty() {
            // Nothing of it is in use, so that common replies are put where the last one was.
            self.received.reserve(READ_BYTES);
        }
        let context = &mut Context::from_waker(waker);
        let reader = Pin::new(&mut self.reader);
        // The codec has made room for a frame whose length it knows; a long one's buffer is not
        // kept, so there is never as much for another reason.
        let room = self.received.capacity() - self.received.len();
        if room > READ_BYTES {
            return poll_read_buf(reader, context, &mut self.received);
        }
        let mut landing = ReadBuf::new(&mut self.landing[..room]);
        ready!(reader.poll_read(context, &mut landing))?;
        self.received.extend_from_slice(landing.filled());
        Poll::Ready(Ok(landing.filled().len()))
    }
}

impl Progress {
    /// How much the pipe has accepted at most.
    #[must_use]
    pub fn get(&self) -> Sent {
        match self.0.load(Ordering::Acquire) {
            0 => Sent::None,
            1 => Sent::Part,
            _ => Sent::All,
        }
    }

    fn set(&self, sent: Sent) {
        self.0.store(sent as u8, Ordering::Release);
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self(AtomicU8::new(Sent::None as u8))
    }
}

fn closed(cause: impl ToString) -> LinkError {
    LinkError::Closed(cause.to_string())
}

fn shrink(buffer: &mut Vec<u8>) {
    if buffer.capacity() > IDLE_BYTES {
        *buffer = Vec::new();
    }
}
