//! The task that keeps a process's status file.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::watch::Receiver;
use tokio::task::JoinHandle;

use crate::call::Lane;
use crate::clock::Clock;
use crate::pool::Pool;
use crate::router::Router;
use crate::router::ramp::Verdict;
use crate::router::source::SourceStatus;
use crate::shim::board::{StatusBoard, start_ticks};
use crate::shim::status::{ProcessStatus, RolloutStatus};
use crate::shim::warden::Warden;

/// How often a status is written when nothing changes.
const PERIOD: Duration = Duration::from_secs(1);

/// Writes the status at once, then whenever the policy changes, the rollout file is refused, or
/// a second has passed. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct Herald {
    board: StatusBoard,
    task: JoinHandle<()>,
    warden: Arc<Warden>,
    /// Held while the file is written or removed: what is removed must not come back.
    closed: Arc<Mutex<bool>>,
}

impl Herald {
    /// A folder that cannot be written is told once; the pools go on without it.
    pub(super) fn start<L: Pool, N: Pool>(
        board: StatusBoard,
        router: &Arc<Router<L, N>>,
        heard: Heard,
        warden: Arc<Warden>,
        clock: Clock,
    ) -> Self {
        if let Err(error) = board.sweep() {
            tracing::debug!(%error, "cannot sweep the status files of ended processes");
        }
        let mut teller = Teller {
            board: board.clone(),
            router: Arc::downgrade(router),
            heard,
            warden: Arc::clone(&warden),
            clock,
            failed: false,
            closed: Arc::default(),
        };
        let closed = Arc::clone(&teller.closed);
        let mut epochs = router.epochs();
        teller.tell();
        let task = tokio::spawn(async move {
            loop {
                // Dropped here, with the shim: its drop removes the file.
                let alive = tokio::select! {
                    changed = epochs.changed() => changed.is_ok(),
                    changed = teller.heard.sources.changed() => changed.is_ok(),
                    () = clock.sleep_until(clock.now() + PERIOD) => true,
                };
                if !alive || !teller.tell() {
                    return;
                }
            }
        });
        Self { board, task, warden, closed }
    }
}

impl Drop for Herald {
    fn drop(&mut self) {
        self.task.abort();
        // The task may be at work on another thread; then this waits, and it writes no more.
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        *closed = true;
        if let Err(error) = self.warden.tell_last() {
            tracing::warn!(%error, "what the guards knew last is lost");
        }
        self.board.remove(std::process::id());
    }
}

/// What others in this process have to say.
#[derive(Debug)]
pub(super) struct Heard {
    /// Where the policy comes from, and why a source is not in force, if it is not.
    pub(super) sources: Receiver<Vec<SourceStatus>>,
    /// The last verdict, if this process steers the ramp.
    pub(super) verdicts: Receiver<Option<Verdict>>,
}

struct Teller<L, N> {
    board: StatusBoard,
    router: Weak<Router<L, N>>,
    heard: Heard,
    warden: Arc<Warden>,
    clock: Clock,
    /// Whether the last write failed, so that a lasting failure is told once.
    failed: bool,
    closed: Arc<Mutex<bool>>,
}

impl<L: Pool, N: Pool> Teller<L, N> {
    /// False once there is nothing to tell any more.
    fn tell(&mut self) -> bool {
        let Some(router) = self.router.upgrade() else { return false };
        let status = self.status(&router);
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return false;
        }
        // The evidence first: whoever sees a version in force finds what its guards know.
        let told = self.warden.tell(&router, Clock::wall());
        let written = told.and_then(|()| self.board.write(&status));
        drop(closed);
        if let Err(error) = &written
            && !self.failed
        {
            tracing::warn!(%error, "cannot tell how this process is: `status` will not show it");
        }
        self.failed = written.is_err();
        true
    }

    fn status(&mut self, router: &Router<L, N>) -> ProcessStatus {
        let (pid, draws) = (std::process::id(), router.draws());
        let directed = router.directed();
        let sources = self.heard.sources.borrow_and_update().clone();
        let verdict = self.heard.verdicts.borrow().clone();
        let now = UNIX_EPOCH + Clock::unix_now();
        let lanes = [(Lane::V2, router.legacy().status()), (Lane::V3, router.next().status())];
        ProcessStatus {
            pid,
            start_ticks: start_ticks(pid).unwrap_or_default(),
            poolshift: env!("CARGO_PKG_VERSION").to_owned(),
            written_at: humantime::format_rfc3339_millis(now).to_string(),
            uptime_s: self.clock.now().since(crate::clock::Moment::ZERO).as_secs_f64(),
            rollout: RolloutStatus::of(&router.policy(), sources),
            forced: directed.forced,
            ruled: directed.ruled,
            draws: [(Lane::V2, draws.v2), (Lane::V3, draws.v3)].into(),
            pins: [Lane::V2, Lane::V3].map(|lane| (lane, router.pins(lane).into())).into(),
            evicted_pins: router.evicted_pins(),
            lanes: lanes.into(),
            shadow: router.shadow(),
            last_verdict: verdict,
            canary: router.policy().decide_canary(),
        }
    }
}
