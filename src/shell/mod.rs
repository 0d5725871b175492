//! The thin async part of a pool: it carries a machine's actions out and reports what happened.
//!
//! - `desk` is all that the one lock guards: the machine, the calls, the workers' links; `held`
//!   is the lock, and `bell` how callers get their mail.
//! - `call` is where a caller comes in; `errand` is the path of one try: wait, lease, write, read,
//!   report; `retry` is that path once more, `shadow` that of a copy for which nobody waits.
//! - `keeper` is one worker's life: spawn, ping, watch, stop, reap.
//! - `chores` are what happens to links while no caller holds them: probes and late replies.
//! - `timer` fires deadlines, so that a caller who is never polled still loses its worker.
//!
//! The lock is held for table moves only; callers are woken after it, and nothing is awaited
//! under it. The actions of one event are carried out under it and in order, else a stop could
//! overtake an assignment.

mod bell;
mod call;
mod chores;
mod desk;
mod digest;
mod errand;
mod held;
mod keeper;
mod ping;
mod retry;
mod shadow;
mod timer;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::call::{Lane, SessionId};
use crate::clock::{Clock, Moment};
use crate::error::StartError;
use crate::machine::retry::RetryTerms;
use crate::machine::{Census, Event, PoolMachine, Ticket};
use crate::meter::{FinishedTimes, MeterSnapshot};
use crate::pool::{PoolStatus, WorkerId};
use crate::session::Sessions;
use crate::shell::desk::Desk;
use crate::shell::held::HeldDesk;
use crate::worker::Spawner;
use crate::worker::redaction::Redaction;

/// How much later than `startup_timeout` a pool's start may be given up: the last worker's own
/// limit must come first, since its error says why.
const START_MARGIN: Duration = Duration::from_millis(500);

/// What the shell needs to know beside what the machine knows.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The lane, for logs.
    pub lane: Lane,
    /// From spawn to a good answer to the start ping.
    pub startup_timeout: Duration,
    /// From a probe's ping to its answer.
    pub health_timeout: Duration,
    /// From the shutdown frame to SIGTERM.
    pub stop_grace: Duration,
    /// From SIGTERM to SIGKILL.
    pub kill_grace: Duration,
    /// The largest frame, in bytes, in either direction.
    pub max_frame_bytes: usize,
    /// What a good answer to the start ping is.
    pub readiness: Readiness,
    /// Whether workers are told the ids of calls, to note them (R18).
    pub ledger: bool,
    /// A call's whole time, unless it brings its own.
    pub budget: Duration,
    /// Whether calls are told apart by what they are, since some may kill workers.
    pub quarantine: bool,
    /// Whether and how often calls are tried again (R15).
    pub retry: Option<Retry>,
    /// Whether each frame is logged, and what is left out of it.
    pub trace: Option<Arc<Redaction>>,
}

/// Whether and how often calls are tried again (R15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often, and how many of all calls.
    pub terms: RetryTerms,
    /// Whether calls in sessions are, too: not where a session is lost with its worker, since the
    /// session's next call must be told so, and a retry would hear it instead.
    pub in_sessions: bool,
}

/// What a good answer to the start ping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// A result with `status: "ok"`, as V3 wants it.
    StatusOk,
    /// Any result, as V2 took it.
    AnyResult,
}

/// A pool's machine at work. Its tasks hold it too, and end when the pool has been drained.
pub struct Shell<M: PoolMachine, S: Spawner> {
    desk: Mutex<Desk<M, S>>,
    spawner: S,
    sessions: Arc<Sessions>,
    settings: Settings,
    clock: Clock,
    /// Where the pool's tasks run: a call may be dropped outside of it.
    pub(super) runtime: Handle,
    /// Wakes the timer when the next deadline has moved earlier, or when its work is done.
    rearm: Notify,
    progress: watch::Sender<Progress>,
}

/// How far the pool has come up, or gone down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    ready: usize,
    starting: usize,
    untried: usize,
    /// Starting workers is no use for now.
    broken: bool,
    /// Drained: no process lives, no call is unfinished, and none will follow.
    empty: bool,
}

impl<M: PoolMachine, S: Spawner> Shell<M, S> {
    /// Puts the machine to work: its first deadline starts the workers.
    pub fn start(
        machine: M,
        spawner: S,
        sessions: Arc<Sessions>,
        settings: Settings,
        clock: Clock,
    ) -> Arc<Self> {
        let untried = machine.census().untried;
        let progress = Progress { untried, ..Progress::default() };
        let retries = settings.retry.map(|retry| retry.terms.budget);
        let shell = Arc::new(Self {
            desk: Mutex::new(Desk::new(machine, retries)),
            spawner,
            sessions,
            settings,
            clock,
            runtime: Handle::current(),
            rearm: Notify::new(),
            progress: watch::Sender::new(progress),
        });
        shell.handle(Event::DeadlineReached);
        shell.runtime.spawn(timer::run(Arc::clone(&shell)));
        shell
    }

    /// Waits until `min_ready` workers are ready (R7), at most as long as `rounds` of starts
    /// may take one after the other.
    ///
    /// # Errors
    /// With the last worker's error once every slot has been tried in vain, once the breaker has
    /// opened and no start is under way, or once the time has passed; the caller then drains the
    /// pool.
    pub async fn wait_ready(&self, min_ready: usize, rounds: u32) -> Result<(), StartError> {
        let mut progress = self.progress.subscribe();
        let settled = |now: &Progress| {
            let hopeless = now.broken && now.ready == 0 && now.starting == 0;
            now.ready >= min_ready || now.untried == 0 || hopeless
        };
        // Copied at once: what the watch lends is a lock on it, which the desk's holder may want.
        let settled = async { progress.wait_for(settled).await.map(|now| *now) };
        // Dropped here: the pool goes on starting, and its handle ends it.
        let limit =
            self.settings.startup_timeout.saturating_mul(rounds).saturating_add(START_MARGIN);
        let settled = tokio::time::timeout(limit, settled).await;
        if matches!(settled, Ok(Ok(now)) if now.ready >= min_ready) {
            return Ok(());
        }
        let error = self.lock().start_error.clone();
        Err(error.unwrap_or(StartError::TooFew {
            ready: self.lock().machine.census().ready,
            wanted: min_ready,
            limit: self.settings.startup_timeout,
        }))
    }

    /// Refuses new calls, serves waiting ones until `limit` has passed, then ends every worker.
    pub async fn drain(self: &Arc<Self>, limit: Duration) {
        let until = self.clock.now() + limit;
        let mut progress = self.progress.subscribe();
        self.handle(Event::Drain { until });
        // Dropped here: the drain itself goes on in the pool's own tasks.
        let emptied = progress.wait_for(|now| now.empty).await;
        emptied.expect("the shell, which is borrowed here, holds the sender");
    }

    /// Ends every worker now. For handles that are dropped without having been drained, some of
    /// them because a machine's assertion has failed: its panic is told, not a second one.
    pub fn abort(self: &Arc<Self>) {
        let Some(mut desk) = HeldDesk::of(&self.desk) else { return };
        self.step(&mut desk, self.clock.now(), Event::Drain { until: Moment::ZERO });
    }

    /// The pool is meant to have `size` workers from now on.
    pub fn resize(self: &Arc<Self>, size: usize) {
        self.handle(Event::Resize { size });
    }

    /// Forgets what the machine holds for a session.
    pub fn end_session(self: &Arc<Self>, session: &SessionId) {
        self.handle(Event::EndSession { session: session.clone() });
    }

    /// Gauges and counters without the spread of calls' times, which costs more than all the rest.
    pub fn gauges(&self) -> PoolStatus {
        self.lock().status()
    }

    /// Gauges and counters, with what only the shell knows filled in.
    pub fn status(&self) -> PoolStatus {
        // Room is made before the lock, quantiles are found after it: under it, histograms are
        // only added up.
        let mut times = FinishedTimes::default();
        let status = {
            let desk = self.lock();
            desk.meter.add_to(&mut times);
            desk.status()
        };
        PoolStatus { request: Some(times.spread()), ..status }
    }

    /// Counts and latencies of all calls so far.
    pub fn meter(&self) -> MeterSnapshot {
        self.lock().meter.snapshot()
    }

    fn lock(&self) -> HeldDesk<'_, M, S> {
        HeldDesk::of(&self.desk).expect("a machine's assertion failed while it held the lock")
    }

    /// The caller is told too, but only the log tells who runs the pool.
    fn tell_breach(&self, worker: WorkerId, reason: &str) {
        let lane = self.settings.lane;
        tracing::warn!(%lane, %worker, %reason, "worker broke the protocol");
    }

    fn handle(self: &Arc<Self>, event: Event) {
        let mut desk = self.lock();
        self.step(&mut desk, self.clock.now(), event);
    }

    /// As [`Self::step`], for the caller of `call`, who collects its mail after it.
    fn step_at_desk(
        self: &Arc<Self>,
        desk: &mut Desk<M, S>,
        now: Moment,
        call: Ticket,
        event: Event,
    ) {
        desk.at_desk = Some(call);
        self.step(desk, now, event);
        desk.at_desk = None;
    }

    /// One event in, all its actions out, in order and under the lock that the caller holds.
    /// `now` was read under that lock, so that moments never go back.
    fn step(self: &Arc<Self>, desk: &mut Desk<M, S>, now: Moment, event: Event) {
        desk.machine.handle(now, event);
        while let Some(action) = desk.machine.next_action() {
            desk.carry_out(self, now, action);
        }
        let next = desk.machine.next_deadline().unwrap_or(Moment::NEVER);
        if next < desk.armed {
            desk.armed = next;
            self.rearm.notify_one();
        }
        let census = desk.machine.census();
        let idle = census.live == 0 && census.in_flight == 0 && desk.staff.is_empty();
        let empty = census.draining && idle;
        let Census { ready, starting, untried, broken, .. } = census;
        let current = Progress { ready, starting, untried, broken, empty };
        if desk.progress != current {
            desk.progress = current;
            self.progress.send_replace(current);
            self.rearm.notify_one();
        }
    }
}

impl<M: PoolMachine, S: Spawner> std::fmt::Debug for Shell<M, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shell").field("settings", &self.settings).finish_non_exhaustive()
    }
}
