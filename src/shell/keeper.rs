//! One worker's life, from spawn to reaping, in one task.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::call::Args;
use crate::error::StartError;
use crate::machine::{Event, PoolMachine, Stop};
use crate::pool::WorkerId;
use crate::shell::desk::{LinkOf, Order, Overdue, Record};
use crate::shell::errand::{POST_MORTEM, STACK_DUMP};
use crate::shell::ping::{Pong, ping};
use crate::shell::{Readiness, Settings, Shell};
use crate::worker::link::{Link, LinkError, Progress};
use crate::worker::trace::FrameTrace;
use crate::worker::wire::Outgoing;
use crate::worker::{Process, Signal, Spawner};

type Orders<S> = oneshot::Receiver<Order<S>>;

/// Brings a worker up, watches it, ends it when told to, and reports each step once.
pub(super) async fn keep<M: PoolMachine, S: Spawner>(
    shell: Arc<Shell<M, S>>,
    worker: WorkerId,
    mut orders: Orders<S>,
) {
    let event = match shell.bring_up(worker, &mut orders).await {
        Ok((charge, link)) => {
            shell.announce(worker, link);
            let exit = shell.watch(worker, &charge.0, orders).await;
            tracing::info!(lane = %shell.settings.lane, %worker, %exit, "worker ended");
            Event::WorkerExited { worker }
        }
        Err(error) => {
            shell.lament(worker, error);
            Event::StartFailed { worker }
        }
    };
    let mut desk = shell.lock();
    desk.vacate(worker);
    let was_broken = desk.progress.broken;
    shell.step(&mut desk, shell.clock.now(), event);
    let opened = desk.progress.broken && !was_broken;
    let cause = desk.start_error.as_ref().filter(|_| opened).map(ToString::to_string);
    drop(desk);
    if opened {
        let (lane, cause) = (shell.settings.lane, cause.unwrap_or_default());
        tracing::error!(%lane, %cause, "breaker opened: starting workers is no use for now");
    }
}

/// The process that a keeper answers for. A keeper that is dropped, with its runtime, ends it:
/// the record may live on in the pool.
struct Charge<P: Process>(Arc<Record<P>>);

impl<P: Process> Drop for Charge<P> {
    fn drop(&mut self) {
        self.0.process.abandon();
    }
}

impl<M: PoolMachine, S: Spawner> Shell<M, S> {
    /// Spawns and pings. On failure the process, if there was one, has been reaped.
    async fn bring_up(
        &self,
        worker: WorkerId,
        orders: &mut Orders<S>,
    ) -> Result<(Charge<S::Process>, LinkOf<S>), StartError> {
        let limit = self.settings.startup_timeout;
        let deadline = self.clock.now() + limit;
        let spawned = tokio::select! {
            biased;
            _ = &mut *orders => return Err(StartError::Stopped),
            spawned = self.spawner.spawn(worker) => spawned,
            () = self.clock.sleep_until(deadline) => {
                return Err(self.silent("it was still being started".to_owned(), String::new()));
            }
        };
        let spawned = spawned
            .map_err(|cause| StartError::Spawn { command: self.spawner.command_line(), cause })?;
        let record = Arc::new(Record::new(spawned.process));
        let charge = Charge(Arc::clone(&record));
        self.lock().seat_record(worker, Arc::clone(&record));
        let Settings { lane, max_frame_bytes, ref trace, .. } = self.settings;
        let trace = trace.as_ref().map(|redaction| {
            let redaction = Arc::clone(redaction);
            FrameTrace::new(lane, worker, redaction)
        });
        let link = Link::new(spawned.reader, spawned.writer, max_frame_bytes).traced(trace);
        let mut link = Box::new(link);
        let purpose = format!(r#"{{"initialization":true,"worker_id":"{lane}-{worker}"}}"#);
        let purpose = Args::parse(&purpose).expect("it is an object");
        let pong = tokio::select! {
            biased;
            _ = orders => Err(Unready::Stopped),
            pong = ping::<S>(&mut link, &purpose) => pong.map_err(Unready::from),
            _ = record.process.exited() => Err(Unready::Ended),
            () = self.clock.sleep_until(deadline) => Err(Unready::Silent),
        };
        match pong.and_then(|pong| accept(pong, self.settings.readiness, &record)) {
            Ok(()) => Ok((charge, link)),
            Err(unready) => Err(self.bury(&record.process, unready).await),
        }
    }

    /// Ends a worker that did not become ready, and says why it did not.
    async fn bury(&self, process: &S::Process, unready: Unready) -> StartError {
        if matches!(unready, Unready::Ended) {
            // Its pipe is closed: it is about to end by itself, and its own status tells more.
            let _ = timeout(POST_MORTEM, process.exited()).await;
        }
        // While it lives: whether it computes, waits or reads from a disk tells what to look at.
        let state = process
            .state()
            .map_or("where it hung cannot be seen".to_owned(), |state| format!("it was {state}"));
        process.signal(Signal::Kill);
        let exit = process.exited().await;
        let (command, stderr) = (self.spawner.command_line(), process.stderr_tail());
        match unready {
            Unready::Stopped => StartError::Stopped,
            Unready::Silent => self.silent(state, stderr),
            Unready::Ended => StartError::Exited { command, exit, stderr },
            Unready::NotAWorker(reason) => StartError::NotAWorker { command, reason, stderr },
        }
    }

    fn silent(&self, state: String, stderr: String) -> StartError {
        let (command, limit) = (self.spawner.command_line(), self.settings.startup_timeout);
        StartError::Silent { command, limit, state, stderr }
    }

    /// The link goes to its seat, and from there to the first who waits.
    fn announce(self: &Arc<Self>, worker: WorkerId, link: LinkOf<S>) {
        let mut desk = self.lock();
        // A worker that was told to stop in this very moment is not announced any more.
        let was_broken = desk.progress.broken;
        if desk.seat_ready(worker, link) {
            self.step(&mut desk, self.clock.now(), Event::WorkerReady { worker });
        }
        let closed = was_broken && !desk.progress.broken;
        drop(desk);
        if closed {
            tracing::info!(lane = %self.settings.lane, %worker, "breaker closed: a worker started");
        }
    }

    fn lament(&self, worker: WorkerId, error: StartError) {
        if error != StartError::Stopped {
            tracing::warn!(lane = %self.settings.lane, %worker, %error, "worker did not start");
            self.lock().start_error = Some(error);
        }
    }

    async fn watch(
        &self,
        worker: WorkerId,
        record: &Record<S::Process>,
        orders: Orders<S>,
    ) -> String {
        let order = tokio::select! {
            biased;
            exit = record.process.exited() => return exit,
            order = orders => order,
        };
        let order = order.expect("a seat keeps its orders until its keeper vacates it");
        if let Some(reason) = order.recycled {
            let (lane, reason) = (self.settings.lane, reason.as_str());
            tracing::info!(%lane, %worker, reason, "recycling worker");
        }
        match order.how {
            Stop::Politely => self.stop_politely(&record.process, order.link).await,
            Stop::DumpAndKill => {
                let first = record.overdue.set(record.look().await);
                first.expect("a worker is ended once");
            }
            Stop::Kill => {}
        }
        record.process.signal(Signal::Kill);
        record.process.exited().await
    }

    /// R7: shutdown frame, close stdin, `stop_grace`, SIGTERM, `kill_grace`; the kill follows.
    async fn stop_politely(&self, process: &S::Process, link: Option<LinkOf<S>>) {
        let (stop_grace, kill_grace) = (self.settings.stop_grace, self.settings.kill_grace);
        let farewell = async {
            if let Some(mut link) = link {
                say_goodbye::<S>(&mut link).await;
                link.close_writer();
                // The reader stays open meanwhile, so that a last reply does not break its pipe.
                process.exited().await;
            }
            process.exited().await
        };
        if timeout(stop_grace, farewell).await.is_err() {
            process.signal(Signal::Terminate);
            let _ = timeout(kill_grace, process.exited()).await;
        }
    }
}

impl<P: Process> Record<P> {
    /// R4: what a worker that missed a deadline is doing.
    async fn look(&self) -> Overdue {
        // Before it is asked for its stacks, which wakes it.
        let state = self.process.state();
        if self.is_runtime.get() != Some(&true) {
            let stackless = Some("only the runtime of poolshift is asked for them");
            return Overdue { state, stacks: Vec::new(), stackless };
        }
        let stacks = self.process.dump_stacks(STACK_DUMP).await;
        let stackless = stacks.is_empty().then_some("it was asked for them, and wrote none");
        Overdue { state, stacks, stackless }
    }
}

/// Why a worker is not ready.
enum Unready {
    Stopped,
    Silent,
    Ended,
    NotAWorker(String),
}

impl From<LinkError> for Unready {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Closed(_) => Self::Ended,
            LinkError::Garbled(reason) => Self::NotAWorker(reason),
        }
    }
}

fn accept<P>(pong: Pong, readiness: Readiness, record: &Record<P>) -> Result<(), Unready> {
    if let Some(reason) = pong.unreadiness(readiness) {
        return Err(Unready::NotAWorker(reason));
    }
    record.is_runtime.set(pong.is_our_runtime()).expect("a worker becomes ready once");
    Ok(())
}

/// The legacy worker answers and stays; ours ends when stdin closes. Neither answer is needed.
async fn say_goodbye<S: Spawner>(link: &mut LinkOf<S>) {
    link.about(None);
    if link.prepare(Outgoing::own("shutdown", &Args::default())).is_ok()
        && let Err(error) = link.send(&Progress::default()).await
    {
        tracing::debug!(%error, "worker was gone before its goodbye");
    }
}
