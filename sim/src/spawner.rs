//! Fake processes behind the traits that production uses.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poolshift::WorkerId;
use poolshift::worker::{Process, Signal, Spawned, SpawnedBy, Spawner};
use tokio::io::DuplexStream;
use tokio::sync::watch;

use crate::fake_worker::{FakeWorker, Ledger, Stopped};
use crate::script::Birth;

/// What a Linux pipe holds.
const PIPE_BYTES: usize = 64 * 1024;

/// Spawns fake workers on the runtime that the pool runs on.
#[derive(Clone, Debug, Default)]
pub struct FakeSpawner {
    births: Arc<Mutex<VecDeque<Birth>>>,
    ledger: Ledger,
    alive: Arc<Mutex<Vec<FakeProcess>>>,
    pipe_bytes: Option<usize>,
}

impl FakeSpawner {
    /// The next workers are born like this, in order; the ones after them are ready at once.
    #[must_use]
    pub fn with_births(births: impl IntoIterator<Item = Birth>) -> Self {
        let births = Arc::new(Mutex::new(births.into_iter().collect()));
        Self { births, ..Self::default() }
    }

    /// Pipes that hold only this many bytes, so that a write can stop half-way.
    #[must_use]
    pub fn with_pipe_bytes(mut self, bytes: usize) -> Self {
        self.pipe_bytes = Some(bytes);
        self
    }

    /// What the workers executed.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Arc::clone(&self.ledger)
    }

    /// Kills the worker, as an outsider would; whether it was alive.
    pub fn kill(&self, worker: WorkerId) -> bool {
        let alive = self.alive.lock().expect("only moved about under the lock");
        let process = alive.iter().find(|process| process.id == worker && !process.has_ended());
        process.inspect(|process| process.signal(Signal::Kill)).is_some()
    }

    /// How many processes have not ended.
    #[must_use]
    pub fn alive(&self) -> usize {
        let alive = self.alive.lock().expect("only moved about under the lock");
        alive.iter().filter(|process| !process.has_ended()).count()
    }
}

impl Spawner for FakeSpawner {
    type Reader = DuplexStream;
    type Writer = DuplexStream;
    type Process = FakeProcess;

    async fn spawn(&self, worker: WorkerId) -> Result<SpawnedBy<Self>, String> {
        let next = self.births.lock().expect("only popped under the lock").pop_front();
        let birth = next.unwrap_or(Birth::Ready(Duration::ZERO));
        if birth == Birth::Unspawnable {
            return Err("No such file or directory (os error 2)".to_owned());
        }
        let capacity = self.pipe_bytes.unwrap_or(PIPE_BYTES);
        let (writer, stdin) = tokio::io::duplex(capacity);
        let (stdout, reader) = tokio::io::duplex(capacity);
        let process = FakeProcess {
            id: worker,
            kill: Arc::new(watch::Sender::new(false)),
            exit: Arc::new(watch::Sender::new(None)),
        };
        let ledger = Arc::clone(&self.ledger);
        let fake = FakeWorker { id: worker, birth, stdin, stdout, ledger };
        tokio::spawn(live(fake, process.clone()));
        self.alive.lock().expect("only moved about under the lock").push(process.clone());
        Ok(Spawned { reader, writer, process })
    }

    fn command_line(&self) -> String {
        "fake-python".to_owned()
    }

    fn keeps_ledger(&self) -> bool {
        true
    }
}

async fn live(mut fake: FakeWorker, process: FakeProcess) {
    let mut killed = process.kill.subscribe();
    let (exit, holds_pipe) = tokio::select! {
        biased;
        _ = killed.wait_for(|killed| *killed) => ("killed by SIGKILL", false),
        stopped = fake.run() => ("exit status 0", stopped == Stopped::ExitedHoldingPipe),
    };
    if !holds_pipe {
        drop(fake);
        process.exit.send_replace(Some(exit));
        return;
    }
    process.exit.send_replace(Some(exit));
    // The grandchild: dies with the group, that is when the host kills it.
    let _ = killed.wait_for(|killed| *killed).await;
}

/// The handle of a fake process.
#[derive(Clone, Debug)]
pub struct FakeProcess {
    id: WorkerId,
    kill: Arc<watch::Sender<bool>>,
    exit: Arc<watch::Sender<Option<&'static str>>>,
}

impl FakeProcess {
    fn has_ended(&self) -> bool {
        self.exit.borrow().is_some()
    }
}

impl Process for FakeProcess {
    fn pid(&self) -> Option<u32> {
        None
    }

    fn signal(&self, signal: Signal) {
        match signal {
            Signal::Terminate | Signal::Kill => drop(self.kill.send_replace(true)),
        }
    }

    async fn dump_stacks(&self, _: Duration) -> Vec<String> {
        Vec::new()
    }

    async fn exited(&self) -> String {
        let mut exit = self.exit.subscribe();
        let exit = exit.wait_for(Option::is_some).await.expect("the sender is borrowed here");
        exit.expect("waited for").to_owned()
    }

    fn stderr_tail(&self) -> String {
        String::new()
    }
}
