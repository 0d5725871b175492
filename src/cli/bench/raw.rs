//! The baseline: raw pipes with no pool.

use std::time::Duration;

use poolshift::clock::{Clock, Moment};
use poolshift::worker::link::{Link, Progress};
use poolshift::worker::process::ProcessSpawner;
use poolshift::worker::wire::Outgoing;
use poolshift::worker::{Process, Signal, Spawned, Spawner};
use poolshift::{Args, WorkerId};

use crate::cli::failure::Failure;

type SpawnerLink = Link<<ProcessSpawner as Spawner>::Reader, <ProcessSpawner as Spawner>::Writer>;

/// How long a worker that fell silent is given to end by itself.
const POST_MORTEM: Duration = Duration::from_millis(250);

/// One worker that belongs to one closed loop.
pub(super) struct RawWorker {
    link: SpawnerLink,
    process: <ProcessSpawner as Spawner>::Process,
}

impl RawWorker {
    pub(super) async fn start(
        spawner: &ProcessSpawner,
        slot: u32,
        max_frame_bytes: usize,
    ) -> Result<Self, Failure> {
        let spawned = spawner.spawn(WorkerId { slot, generation: 1 }).await;
        let Spawned { reader, writer, process } = spawned.map_err(|cause| {
            Failure::Failed(format!("cannot start `{}`: {cause}", spawner.command_line()))
        })?;
        let link = Link::new(reader, writer, max_frame_bytes);
        let mut worker = Self { link, process };
        match worker.call("ping", &Args::default()).await {
            Ok(()) => Ok(worker),
            Err(error) => Err(worker.stillborn(error).await),
        }
    }

    async fn stillborn(self, error: Failure) -> Failure {
        // A pipe that closes is a process that ends: how it does so tells more.
        let exit = tokio::time::timeout(POST_MORTEM, self.process.exited()).await;
        let told = self.process.stderr_tail();
        self.end().await;
        match exit {
            Ok(exit) => Failure::Failed(format!("a worker did not come up ({exit}):\n{told}")),
            Err(_) => error,
        }
    }

    /// The same codec, one write and one read, id check and envelope parse as the pools'.
    pub(super) async fn call(&mut self, command: &str, args: &Args) -> Result<(), Failure> {
        let request = Outgoing { session_id: Some("caller-0"), ..Outgoing::own(command, args) };
        self.link.prepare(request).map_err(Failure::failed)?;
        self.link.send(&Progress::default()).await.map_err(Failure::failed)?;
        let reply = self.link.receive().await.map_err(Failure::failed)?;
        reply.result.map(drop).map_err(Failure::failed)
    }

    /// Its process id.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    pub(super) async fn end(self) {
        self.process.signal(Signal::Kill);
        self.process.exited().await;
    }
}

/// Calls until `end`, one after another, each on the next worker; the calls' times.
pub(super) async fn calls_in_turn(
    workers: &mut [RawWorker],
    clock: Clock,
    end: Moment,
    args: &Args,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    let mut began = clock.now();
    loop {
        for worker in &mut *workers {
            if began >= end {
                return Ok(times);
            }
            worker.call("echo", args).await?;
            let done = clock.now();
            times.push(done.since(began));
            began = done;
        }
    }
}
