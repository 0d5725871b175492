//! The socket between the host and a warm parent: a JSON value a packet, in turns. The other side
//! is `python/poolshift_worker/zygote.py`.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recv, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

/// More than any answer takes: a refusal names the threads that are in the way.
const PACKET_BYTES: usize = 64 * 1024;

/// A worker's pipes: requests, replies, stderr.
pub(super) const PIPES: usize = 3;

/// What the parent is asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request<'a> {
    /// A worker with these arguments; its ends of its pipes go along.
    Fork(&'a [String]),
    /// To reap this process, which has ended or is about to.
    Reap(i32),
}

/// What it answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// Everything is imported. Said once, unasked.
    Ready,
    /// The worker's process id.
    Forked(i32),
    /// Why there is no worker.
    Refused(String),
    /// How the process ended, as `waitpid` has it.
    Reaped(i32),
}

/// The host's end. After an error there is nothing more to be had from it: an answer that comes
/// late must not be taken for the next one.
#[derive(Debug)]
pub(super) struct Control {
    socket: OwnedFd,
    broken: Cell<bool>,
}

impl Control {
    /// Both ends; the parent's is its stdin.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        // Packets, so that neither side has to find where a message ends.
        let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (socket, theirs) = socketpair(AddressFamily::UNIX, kind, flags, None)?;
        Ok((Self { socket, broken: Cell::new(false) }, theirs))
    }

    /// From now on an answer that takes longer is an error.
    pub(super) fn limit(&self, limit: Duration) -> io::Result<()> {
        Ok(set_socket_timeout(&self.socket, Timeout::Recv, Some(limit))?)
    }

    /// Asks, hands the pipes over, and waits for the answer.
    pub(super) fn ask(&self, request: &Request<'_>, pipes: &[OwnedFd]) -> io::Result<Answer> {
        if self.broken.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let answer = self.send(request, pipes).and_then(|()| self.receive());
        self.broken.set(answer.is_err());
        answer
    }

    /// The next answer.
    pub(super) fn receive(&self) -> io::Result<Answer> {
        let mut packet = vec![0; PACKET_BYTES];
        let (bytes, _) =
            retry_on_intr(|| recv(&self.socket, packet.as_mut_slice(), RecvFlags::empty()))?;
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&packet[..bytes])?)
    }

    fn send(&self, request: &Request<'_>, pipes: &[OwnedFd]) -> io::Result<()> {
        let packet = serde_json::to_vec(request)?;
        let pipes: Vec<_> = pipes.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PIPES))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        if !pipes.is_empty() {
            let fits = rights.push(SendAncillaryMessage::ScmRights(&pipes));
            assert!(fits, "there is room for the pipes of a worker");
        }
        let packet = [IoSlice::new(&packet)];
        retry_on_intr(|| sendmsg(&self.socket, &packet, &mut rights, SendFlags::NOSIGNAL))?;
        Ok(())
    }
}
