//! A worker in this process, behind the traits that production uses: it costs next to nothing, so
//! that what is measured is the pool.

#![expect(clippy::unwrap_used, reason = "a benchmark that meets the unexpected is over")]

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use poolshift::WorkerId;
use poolshift::worker::wire::HEADER_BYTES;
use poolshift::worker::{Process, Signal, Spawned, SpawnedBy, Spawner};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// When a worker's answer can be read.
#[allow(dead_code, reason = "each benchmark has workers of one kind")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// As soon as it was asked: a call never waits for its worker.
    AtOnce,
    /// After every task that is ready then: a worker is busy while others have their turn.
    InTurn,
}

/// Starts such workers.
#[derive(Debug)]
pub(super) struct InProcess(pub(super) Answers);

/// Both ends of a worker's pipe: what it has said and nobody has read.
#[derive(Clone, Debug)]
pub(super) struct Said(Arc<Mutex<Speech>>);

#[derive(Debug)]
struct Speech {
    answers: Answers,
    frame: Vec<u8>,
    /// Others are to have their turn before it can be read.
    waits: bool,
}

impl Said {
    /// A worker that nobody has asked anything.
    pub(super) fn nothing(answers: Answers) -> Self {
        Self(Arc::new(Mutex::new(Speech { answers, frame: Vec::new(), waits: false })))
    }
}

impl AsyncWrite for Said {
    /// Takes one whole request, and answers it.
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        frame: &[u8],
    ) -> Poll<io::Result<usize>> {
        let id = frame[HEADER_BYTES + b"{\"id\":".len()..].split(|byte| *byte == b',').next();
        let (head, tail) = (b"{\"id\":", b",\"success\":true,\"result\":{\"status\":\"ok\"}}");
        let id = id.unwrap();
        let length = u32::try_from(head.len() + id.len() + tail.len()).unwrap();
        let mut said = self.0.lock().unwrap();
        said.frame.extend_from_slice(&length.to_be_bytes());
        [head, id, tail].into_iter().for_each(|part| said.frame.extend_from_slice(part));
        said.waits = said.answers == Answers::InTurn;
        Poll::Ready(Ok(frame.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Said {
    /// Pending for ever where nothing has been said: nobody reads who has not asked.
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut said = self.0.lock().unwrap();
        if said.frame.is_empty() {
            return Poll::Pending;
        }
        if std::mem::take(&mut said.waits) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let taken = said.frame.len().min(buffer.remaining());
        buffer.put_slice(&said.frame[..taken]);
        said.frame.drain(..taken);
        Poll::Ready(Ok(()))
    }
}

impl Spawner for InProcess {
    type Reader = Said;
    type Writer = Said;
    type Process = Endless;

    async fn spawn(&self, _: WorkerId) -> Result<SpawnedBy<Self>, String> {
        let said = Said::nothing(self.0);
        Ok(Spawned {
            reader: said.clone(),
            writer: said,
            process: Endless(watch::Sender::new(false)),
        })
    }

    fn command_line(&self) -> String {
        "in this process".to_owned()
    }

    fn keeps_ledger(&self) -> bool {
        false
    }
}

/// Ends when it is signalled.
#[derive(Debug)]
pub(super) struct Endless(watch::Sender<bool>);

impl Process for Endless {
    fn pid(&self) -> Option<u32> {
        None
    }

    fn signal(&self, _: Signal) {
        self.0.send_replace(true);
    }

    fn state(&self) -> Option<String> {
        None
    }

    async fn dump_stacks(&self, _: Duration) -> Vec<String> {
        Vec::new()
    }

    async fn exited(&self) -> String {
        self.0.subscribe().wait_for(|ended| *ended).await.unwrap();
        String::new()
    }

    fn abandon(&self) {}

    fn resident_bytes(&self) -> Option<u64> {
        None
    }

    fn stderr_tail(&self) -> String {
        String::new()
    }
}
