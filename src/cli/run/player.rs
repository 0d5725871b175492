//! Plays a file's calls through the router.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::report::kind::{Ending, Kind};
use poolshift::report::recorder::{Past, Story};
use poolshift::router::Routed;
use poolshift::router::policy::Decision;
use poolshift::{Outcome, Shim};
use tokio::sync::mpsc;

use crate::cli::corpus::{Corpus, Step, by_session};
use crate::cli::pace::{self, Pace, Playing, Slot, Turn};
use crate::cli::run::line::{self, Caller};
use crate::cli::run::pool::PoolArg;
use crate::cli::run::record::Record;
use crate::cli::run::summary::Books;

/// One line that has been run.
pub(super) struct Played {
    pub(super) index: usize,
    pub(super) outcome: Outcome,
    pub(super) output: String,
    /// Nothing for a line that holds no call.
    pub(super) call: Option<PlayedCall>,
}

/// What the books get of a call.
pub(super) struct PlayedCall {
    pub(super) past: Past,
    /// Whether it came before its turn, since the run was told to stop.
    pub(super) is_early: bool,
    pub(super) decision: Decision,
    pub(super) story: Story,
}

/// Sessions write into it in turn.
pub(super) type SharedRecord = Arc<Mutex<Option<Record>>>;

pub(super) fn lock(record: &SharedRecord) -> MutexGuard<'_, Option<Record>> {
    record.lock().expect("nothing panics while it writes a line")
}

/// Who is asked, and who is told.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) shim: Arc<Shim>,
    pub(super) pace: Pace,
    pub(super) pool: Option<PoolArg>,
    pub(super) record: SharedRecord,
}

/// Starts all calls of a file. What becomes of each line comes as it is over.
///
/// # Errors
/// If there is no room for the plan's thread.
pub(super) fn play(
    file: Corpus,
    stage: &Stage,
    books: &mut Books,
) -> io::Result<(Playing, mpsc::UnboundedReceiver<Played>)> {
    // Bounded by the file, which is in memory already.
    let (results, received) = mpsc::unbounded_channel();
    let mut steps = Vec::new();
    for (index, (place, parsed)) in file.into_calls().enumerate() {
        match parsed.and_then(|call| books.submit(&call.id, &place).map(|()| call)) {
            Ok(mut call) => {
                call.forced = stage.pool.map(PoolArg::lane);
                steps.push(Step { index, call });
            }
            Err(error) => refuse(&results, index, &place, &error),
        }
    }
    let player = |began| {
        let (shim, record) = (Arc::clone(&stage.shim), Arc::clone(&stage.record));
        Player { shim, first: books.begin(began), record, results }
    };
    let playing = stage.pace.play(by_session(steps), stage.shim.clock(), player)?;
    Ok((playing, received))
}

fn refuse(results: &mpsc::UnboundedSender<Played>, index: usize, place: &str, error: &str) {
    tracing::warn!(line = %place, %error, "not a call; the rest runs");
    let output = line::refused(place, error);
    // The receiver is held until the file has been played.
    let _ = results.send(Played { index, outcome: Outcome::Rejected, output, call: None });
}

/// Makes calls and tells of them.
#[derive(Clone)]
struct Player {
    shim: Arc<Shim>,
    /// When the run began.
    first: Moment,
    record: SharedRecord,
    results: mpsc::UnboundedSender<Played>,
}

impl pace::Player for Player {
    async fn play(&self, step: Step, turn: Turn, slot: Slot) -> Option<Moment> {
        let Step { index, mut call } = step;
        let caller = Caller::of(&call);
        if let Turn::Planned { at, .. } = turn {
            call.planned = Some(at);
        }
        if let Some(record) = lock(&self.record).as_mut() {
            record.note(&call);
        }
        // Dropped here: the pool cancels the call.
        let routed = self.shim.call(call).await;
        drop(slot);
        let output = line::answered(&caller, &routed, self.first);
        let (outcome, over) = (routed.answer.outcome(), routed.answer.timing.finished);
        let call = Some(PlayedCall::of(caller, &routed, turn));
        // If it cannot be sent the command has failed meanwhile; nobody listens any more.
        self.results.send(Played { index, outcome, output, call }).ok().map(|()| over)
    }
}

impl PlayedCall {
    fn of(caller: Caller, routed: &Routed, turn: Turn) -> Self {
        let Routed { decision, class, answer } = routed;
        let (lane, ending) = (Some(decision.lane), Ending::Told(answer.outcome()));
        let (timing, worker) = (answer.timing, answer.worker);
        let lag = match turn {
            Turn::Planned { ready, .. } => timing.submitted.since(ready),
            Turn::Free | Turn::Hurried => Duration::ZERO,
        };
        let Caller { id, command, session } = caller;
        let reason = Some(decision.reason.as_str().to_owned());
        let error = answer.result.as_ref().err().map(ToString::to_string);
        Self {
            past: Past { kind: Kind { lane, class: *class, ending }, timing, lag, worker },
            is_early: matches!(turn, Turn::Hurried),
            decision: *decision,
            story: Story { id, command, session, reason, error },
        }
    }
}
