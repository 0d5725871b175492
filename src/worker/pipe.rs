//! Pipe ends whose every poll is a genuine non-blocking call.
//!
//! tokio's own types may answer "would block" from memory; R1 asks the kernel. Readiness is
//! cleared only when the kernel says so.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a pipe holds, and one read gives, at most; a larger one is read in several steps.
const PIPE_BYTES: usize = 64 * 1024;

/// The end of a pipe that is read.
#[derive(Debug)]
pub struct PipeReader(AsyncFd<OwnedFd>);

/// The end of a pipe that is written.
#[derive(Debug)]
pub struct PipeWriter(AsyncFd<OwnedFd>);

impl PipeReader {
    /// Registers the pipe with the runtime.
    ///
    /// # Errors
    /// If the operating system has no room for it.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        register(fd).map(Self)
    }
}

impl PipeReader {
    /// What is in the pipe at this moment, at most as much as the buffer holds.
    ///
    /// # Errors
    /// If there is nothing, or it cannot be read.
    pub(super) fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        rustix::io::retry_on_intr(|| rustix::io::read(self.0.get_ref(), &mut *buffer))
            .map_err(io::Error::from)
    }
}

impl PipeWriter {
    /// Registers the pipe with the runtime.
    ///
    /// # Errors
    /// If the operating system has no room for it.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        register(fd).map(Self)
    }
}

/// Lets the runtime watch a descriptor that it then owns.
#[expect(deprecated, reason = "its unsafe successor asks for what an owner of one already is")]
pub(super) fn register<T: AsRawFd>(owner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::new(owner)
}

impl AsyncRead for PipeReader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let read = guard.try_io(|fd| {
                // No more than a read can fill: all of a large buffer would be cleared each time.
                let room = buffer.remaining().min(PIPE_BYTES);
                let unfilled = buffer.initialize_unfilled_to(room);
                rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut *unfilled))
                    .map_err(io::Error::from)
            });
            if let Ok(read) = read {
                return Poll::Ready(read.map(|bytes| buffer.advance(bytes)));
            }
        }
    }
}

impl AsyncWrite for PipeWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            let written = guard.try_io(|fd| {
                rustix::io::retry_on_intr(|| rustix::io::write(fd, bytes)).map_err(io::Error::from)
            });
            if let Ok(written) = written {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
