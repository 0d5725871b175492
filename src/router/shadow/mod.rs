//! Copies of reads on the other lane, compared with what control answered (R16).
//!
//! The caller's part is one draw before the call and one try-push after it; everything else
//! happens in tasks and a thread of its own: `gate` says whether another may be tried, `runner`
//! makes them, and the [recorder](crate::shadow::recorder) compares. Whatever goes wrong there is
//! counted, and no caller hears of it.

mod gate;
mod runner;
mod status;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::call::{Answer, Call, Class, Lane};
use crate::clock::Clock;
use crate::error::{CallError, Outcome};
use crate::machine::retry::Share;
use crate::pool::Pool;
use crate::router::bucket::{BUCKETS, draw};
use crate::router::in_force::{Shards, Watched, WatchedPair};
use crate::router::shadow::gate::Gate;
use crate::router::shadow::runner::Runner;
use crate::router::shadow::status::Tally;
pub use crate::router::shadow::status::{Dropped, ShadowStatus};
use crate::session::Sessions;
use crate::session::commands::{Command, Sampling};
use crate::shadow::recorder::Recorder;
use crate::shadow::room::Room;
use crate::tape::{Tape, Taped};

/// Calls that wait for their shadow. The gate and the lanes take them or leave them at once, so
/// more would only be a burst that no rate admits.
const WAITING: usize = 256;

/// Bytes of the calls that wait or run: their args, rows and answers.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Which calls are shadowed, and how.
#[derive(Clone, Debug)]
pub struct ShadowTerms {
    /// The rollout's flag; sessions are drawn by another salt than the rollout's, else those that
    /// are shadowed would be those that are rolled out.
    pub flag: String,
    /// The share of sessions whose reads are shadowed, unless their command says otherwise.
    pub sample: Share,
    /// The share of these that control's own lane answers again.
    pub noise: Share,
    /// As many spare workers are left idle.
    pub reserve: usize,
    /// Shadows in a second.
    pub max_per_s: usize,
    /// A shadow's whole time.
    pub timeout: Duration,
    /// Larger answers are not compared, in bytes.
    pub max_bytes: usize,
}

/// Where answered calls are left for their shadows. Dropping it cancels those that run.
#[derive(Debug)]
pub struct Shadow {
    terms: ShadowTerms,
    salts: [String; 2],
    sessions: Arc<Sessions>,
    offers: mpsc::Sender<Offer>,
    bytes: Arc<AtomicUsize>,
    tally: Arc<Tally>,
    gate: Arc<Mutex<Gate>>,
    recorder: Arc<Recorder>,
    runner: AbortHandle,
}

/// A call that is to be shadowed once it has been answered.
#[derive(Debug)]
pub(super) struct Draft {
    /// With the shadow's budget.
    call: Call,
    /// Shared with the call itself, which is made meanwhile.
    tape: Tape,
    always: bool,
    control: Lane,
    candidate: Lane,
    /// Who is to hear whether the answers are alike, if somebody is.
    watched: Option<WatchedPair>,
}

/// A call that control has answered, on its way to the other lane.
#[derive(Debug)]
struct Offer {
    draft: Box<Draft>,
    answer: Result<Box<RawValue>, CallError>,
    /// How long control's worker had it.
    took: Duration,
    /// When control had answered, since the Unix epoch.
    at: Duration,
    _room: Room,
}

impl Shadow {
    /// Begins to take offers.
    pub fn start<L: Pool, N: Pool>(
        terms: ShadowTerms,
        legacy: &Arc<L>,
        next: &Arc<N>,
        sessions: Arc<Sessions>,
        recorder: Recorder,
        clock: Clock,
    ) -> Self {
        let (offers, received) = mpsc::channel(WAITING);
        let (tally, recorder) = (Arc::new(Tally::default()), Arc::new(recorder));
        let gate = Arc::new(Mutex::new(Gate::new(terms.max_per_s, clock.now())));
        let runner = Runner {
            terms: terms.clone(),
            legacy: Arc::downgrade(legacy),
            next: Arc::downgrade(next),
            sessions: Arc::clone(&sessions),
            gate: Arc::clone(&gate),
            tally: Arc::clone(&tally),
            recorder: Arc::clone(&recorder),
            clock,
        };
        let runner = tokio::spawn(Arc::new(runner).run(received)).abort_handle();
        let salts = ["shadow", "shadow/noise"].map(|of| format!("{}/{of}", terms.flag));
        let bytes = Arc::default();
        Self { terms, salts, sessions, offers, bytes, tally, gate, recorder, runner }
    }

    /// Before a call is made: whether it is one of those that are shadowed. Only reads are.
    pub(super) fn sample(
        &self,
        call: &mut Call,
        command: &Command,
        lane: Lane,
    ) -> Option<Box<Draft>> {
        let sampling = command.shadow.unwrap_or(Sampling::Share(self.terms.sample));
        let is_read = command.class == Class::Read && !command.ends_session;
        if sampling == Sampling::Share(Share::NONE) || !is_read || command.saves.is_some() {
            return None;
        }
        let id;
        let key = if let Some(session) = &call.session {
            session.as_str()
        } else {
            id = call.id.to_string();
            &id
        };
        let always = sampling == Sampling::Always;
        let [salt, noise_salt] = &self.salts;
        if let Sampling::Share(share) = sampling
            && !is_drawn(salt, key, share)
        {
            return None;
        }
        let again = is_drawn(noise_salt, key, self.terms.noise);
        // Until the session store is asked: nothing is loaded, and any save from here on counts.
        let saves = self.sessions.saves(call.session.as_ref());
        let tape = Tape::default();
        tape.keep(Taped { loaded: None, saves });
        let (budget, planned, forced) = (Some(self.terms.timeout), None, None);
        let copy = Call { budget, planned, forced, ..call.clone() };
        call.tape = Some(tape.clone());
        self.tally.sampled();
        let other = if lane == Lane::V2 { Lane::V3 } else { Lane::V2 };
        let candidate = if again { lane } else { other };
        Some(Box::new(Draft { call: copy, tape, always, control: lane, candidate, watched: None }))
    }

    /// After control has answered: leaves the call for its shadow by one try-push.
    pub(super) fn offer(&self, draft: Box<Draft>, answer: &Answer) {
        let offer = self.prepare(draft, answer);
        let pushed =
            offer.and_then(|offer| self.offers.try_send(offer).map_err(|_| Dropped::BufferFull));
        if let Err(reason) = pushed {
            self.tally.dropped(reason);
        }
    }

    fn prepare(&self, draft: Box<Draft>, answer: &Answer) -> Result<Offer, Dropped> {
        // What control did not answer cannot be compared; its timeout can.
        let outcome = answer.outcome();
        if !matches!(outcome, Outcome::Ok | Outcome::Raised | Outcome::ExecTimeout) {
            return Err(Dropped::Unanswered);
        }
        let took = answer.timing.service();
        if outcome != Outcome::ExecTimeout && took >= self.terms.timeout {
            return Err(Dropped::TooSlow);
        }
        let answered = answer.result.as_ref().map_or(0, |result| result.get().len());
        if answered > self.terms.max_bytes {
            return Err(Dropped::TooLarge);
        }
        let held = size_of::<Offer>() + size_of::<Draft>() + draft.tape.bytes();
        let bytes = held + answered + draft.call.args.as_json().len();
        let room = Room::of(&self.bytes, bytes, MAX_BYTES).ok_or(Dropped::BufferFull)?;
        let (answer, at) = (answer.result.clone(), Clock::unix_now());
        Ok(Offer { draft, answer, took, at, _room: room })
    }

    /// What has become of shadows so far.
    #[must_use]
    pub fn status(&self) -> ShadowStatus {
        let breaker_open = gate::lock(&self.gate).is_open();
        let buffered_bytes = self.bytes.load(Ordering::Relaxed);
        self.tally.status(breaker_open, buffered_bytes, self.recorder.books())
    }

    /// Cancels the shadows that run, makes no more, and waits until what was compared is on the
    /// disk.
    pub async fn close(&self) {
        self.runner.abort();
        let recorder = Arc::clone(&self.recorder);
        // Dropped here: the recorder's thread goes on to its end by itself.
        let closed = tokio::task::spawn_blocking(move || recorder.close()).await;
        closed.expect("the recorder says what happened to its thread");
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        self.runner.abort();
    }
}

impl Draft {
    /// Guards hear of pairs whose call V2 answered: V3 with V2, and beside them V2 with itself,
    /// each of sessions that were drawn alike.
    pub(super) fn under_watch(
        mut self: Box<Self>,
        watched: Option<&Watched>,
        shards: &Shards,
    ) -> Box<Self> {
        let watched = watched.filter(|_| self.control == Lane::V2).cloned();
        let shards = Arc::clone(shards);
        self.watched = watched.map(|watched| WatchedPair { watched, shards });
        self
    }
}

fn is_drawn(salt: &str, key: &str, share: Share) -> bool {
    f64::from(draw(salt, key).bucket) < share.get() * f64::from(BUCKETS)
}
