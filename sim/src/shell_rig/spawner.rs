//! Fake processes behind the traits that production uses.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use poolshift::worker::{Process, Signal, Spawned, SpawnedBy, Spawner};
use poolshift::{Lane, WorkerId};

use crate::shell_rig::handoff::{Handoff, Yields};
use crate::shell_rig::journal::Journal;
use crate::shell_rig::latch::Latch;
use crate::shell_rig::pipes::{HostReader, HostWriter, Tap};
use crate::shell_rig::script::Birth;
use crate::shell_rig::worker::{FakeWorker, Ledger, Stopped};
use crate::trace::{Event, ExitHow, Refused, Unready};

/// What a Linux pipe holds.
const PIPE_BYTES: usize = 64 * 1024;

/// Spawns fake workers on the runtime that the pool runs on.
#[derive(Clone, Debug)]
pub struct FakeSpawner {
    lane: Lane,
    births: Arc<Mutex<VecDeque<Birth>>>,
    ledger: Ledger,
    alive: Arc<Mutex<Vec<FakeProcess>>>,
    pipe_bytes: usize,
    journal: Arc<Journal>,
    yields: Yields,
}

impl Default for FakeSpawner {
    fn default() -> Self {
        Self::of(Lane::V3, Arc::new(Journal::of_breaches()), Yields::default())
    }
}

impl FakeSpawner {
    /// What its workers and their pipes do is written into this journal, as this lane's.
    #[must_use]
    pub fn of(lane: Lane, journal: Arc<Journal>, yields: Yields) -> Self {
        let (births, ledger, alive) = (Arc::default(), Ledger::default(), Arc::default());
        Self { lane, births, ledger, alive, pipe_bytes: PIPE_BYTES, journal, yields }
    }

    /// The next workers are born like this, in order; the ones after them are ready at once.
    #[must_use]
    pub fn with_births(births: impl IntoIterator<Item = Birth>) -> Self {
        let spawner = Self::default();
        spawner.births().extend(births);
        spawner
    }

    /// Pipes that hold only this many bytes, so that a write can stop half-way.
    #[must_use]
    pub fn with_pipe_bytes(self, bytes: usize) -> Self {
        Self { pipe_bytes: bytes, ..self }
    }

    /// The next worker that has no birth yet is born like this.
    pub fn bear(&self, birth: Birth) {
        self.births().push_back(birth);
    }

    /// What the workers executed.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Arc::clone(&self.ledger)
    }

    /// Where breaches of laws are written that only a pipe can show.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Kills the worker, as an outsider would; whether it was alive.
    pub fn kill(&self, worker: WorkerId) -> bool {
        let alive = self.processes();
        let process = alive.iter().find(|process| process.id() == worker && !process.has_ended());
        process.inspect(|process| process.signal(Signal::Kill)).is_some()
    }

    /// The processes that have not ended, in the order of their starts.
    #[must_use]
    pub fn living(&self) -> Vec<WorkerId> {
        let alive = self.processes();
        let living = alive.iter().filter(|process| !process.has_ended());
        living.map(FakeProcess::id).collect()
    }

    /// How many processes have not ended.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.living().len()
    }

    /// S18: the most bytes that the host ever made room for in one read.
    #[must_use]
    pub fn most_room(&self) -> usize {
        self.processes().iter().map(|process| process.tap.room()).max().unwrap_or(0)
    }

    fn births(&self) -> MutexGuard<'_, VecDeque<Birth>> {
        self.births.lock().expect("only pushed and popped under the lock")
    }

    fn processes(&self) -> MutexGuard<'_, Vec<FakeProcess>> {
        self.alive.lock().expect("only moved about under the lock")
    }
}

impl Spawner for FakeSpawner {
    type Reader = HostReader;
    type Writer = HostWriter;
    type Process = FakeProcess;

    async fn spawn(&self, worker: WorkerId) -> Result<SpawnedBy<Self>, String> {
        let tap = Tap::new(worker, self.lane, Arc::clone(&self.journal), self.yields);
        let tap = Arc::new(tap);
        tap.tell(Event::Start { worker });
        // Dropped here: nothing has been started.
        self.yields.step_aside(Handoff::Spawn, tap.entity(), 0).await;
        let birth = self.births().pop_front().unwrap_or(Birth::Ready(Duration::ZERO));
        if birth == Birth::Unspawnable {
            let why = Unready::Refused(Refused::Missing);
            tap.tell(Event::StartFailed { worker, why });
            return Err("No such file or directory (os error 2)".to_owned());
        }
        let (writer, stdin) = tokio::io::duplex(self.pipe_bytes);
        let (stdout, reader) = tokio::io::duplex(self.pipe_bytes);
        let reader = HostReader::new(reader, Arc::clone(&tap));
        let writer = HostWriter::new(writer, Arc::clone(&tap));
        let (stdin, stdout, ledger) = (Some(stdin), Some(stdout), Arc::clone(&self.ledger));
        let (before, steps) = (Vec::new(), 0);
        let fake =
            FakeWorker { birth, stdin, stdout, tap: Arc::clone(&tap), ledger, before, steps };
        let (kill, exit, reaped) = (Latch::new(), Latch::new(), Latch::new());
        let process = FakeProcess { tap, ends: Arc::new(Ends { kill, exit, reaped }) };
        tokio::spawn(live(fake, process.clone()));
        self.processes().push(process.clone());
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
    let FakeProcess { tap, ends } = &process;
    let (how, holds_pipe) = tokio::select! {
        biased;
        signal = ends.kill.wait() => (ExitHow::Signal(signal), false),
        stopped = fake.run() => (ExitHow::Status(0), stopped == Stopped::ExitedHoldingPipe),
    };
    tap.tell(Event::Exit { worker: tap.worker, how, holds_pipe });
    let grandchild = holds_pipe.then_some(fake);
    // The pipes close first, and the exit is seen some time after it; or the other way round.
    tap.yields.step_aside(Handoff::Exit, tap.entity(), 0).await;
    ends.exit.set(how);
    if grandchild.is_some() {
        // It dies with the group: that is when the host kills it.
        ends.kill.wait().await;
    }
}

/// The handle of a fake process.
#[derive(Clone, Debug)]
pub struct FakeProcess {
    tap: Arc<Tap>,
    ends: Arc<Ends>,
}

#[derive(Debug)]
struct Ends {
    /// The signal that ends it.
    kill: Latch<u8>,
    exit: Latch<ExitHow>,
    reaped: Latch<()>,
}

impl FakeProcess {
    fn id(&self) -> WorkerId {
        self.tap.worker
    }

    fn has_ended(&self) -> bool {
        self.ends.exit.get().is_some()
    }
}

impl Process for FakeProcess {
    fn pid(&self) -> Option<u32> {
        None
    }

    fn signal(&self, signal: Signal) {
        if signal == Signal::Terminate {
            self.tap.tell(Event::Terminate { worker: self.id() });
        }
        self.ends.kill.set(if signal == Signal::Kill { 9 } else { 15 });
    }

    fn state(&self) -> Option<String> {
        None
    }

    async fn dump_stacks(&self, _: Duration) -> Vec<String> {
        Vec::new()
    }

    async fn exited(&self) -> String {
        let how = self.ends.exit.wait().await;
        // Dropped here: whoever asks next is told, and reaps it.
        self.tap.yields.step_aside(Handoff::Exit, self.tap.entity(), 1).await;
        if self.ends.reaped.get().is_none() {
            self.ends.reaped.set(());
            self.tap.tell(Event::Reaped { worker: self.id() });
        }
        match how {
            ExitHow::Status(status) => format!("exit status {status}"),
            ExitHow::Signal(9) => "killed by SIGKILL".to_owned(),
            ExitHow::Signal(signal) => format!("killed by signal {signal}"),
        }
    }

    fn resident_bytes(&self) -> Option<u64> {
        None
    }

    fn abandon(&self) {
        if self.ends.reaped.get().is_none() {
            self.signal(Signal::Kill);
        }
    }

    fn stderr_tail(&self) -> String {
        String::new()
    }
}
