//! Makes the shadows: one task takes the offers, and one runs each that may be tried.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::call::{Answer, Lane};
use crate::clock::Clock;
use crate::error::Outcome;
use crate::pool::Pool;
use crate::router::compare::Verdict;
use crate::router::guard::Arm;
use crate::router::in_force::WatchedPair;
use crate::router::shadow::gate::{Gate, Shut, lock};
use crate::router::shadow::status::{Dropped, Tally};
use crate::router::shadow::{Draft, Offer, ShadowTerms};
use crate::session::Sessions;
use crate::shadow::recorder::{Recorder, Told};
use crate::shadow::{Side, Trial};
use crate::tape::{ShadowCall, Taped};

/// Shadows that run at once: the lanes' reserve bounds them, too, unless a pool of a team's own
/// has none.
const RUNNING: usize = 64;

/// How much longer than its time a shadow may take, of which its pool was told.
const MARGIN: Duration = Duration::from_secs(1);

/// What shadows are made with. It holds no pool, so that pools end when their owners say.
pub(super) struct Runner<L, N> {
    pub(super) terms: ShadowTerms,
    pub(super) legacy: Weak<L>,
    pub(super) next: Weak<N>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) gate: Arc<Mutex<Gate>>,
    pub(super) tally: Arc<Tally>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) clock: Clock,
}

impl<L: Pool, N: Pool> Runner<L, N> {
    /// Until nobody can offer anything more. Dropping it cancels the shadows that run.
    pub(super) async fn run(self: Arc<Self>, mut offers: mpsc::Receiver<Offer>) {
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                offer = offers.recv() => {
                    let Some(offer) = offer else { return };
                    match self.admit(&offer, running.len()) {
                        Ok(taped) => {
                            running.spawn(Arc::clone(&self).shadow(offer, taped));
                        }
                        Err(reason) => self.tally.dropped(reason),
                    }
                }
                Some(ended) = running.join_next() => {
                    let compared = ended.unwrap_or_else(|error| {
                        tracing::error!(%error, "a shadow has panicked");
                        Err(Dropped::NotRun)
                    });
                    match compared {
                        Ok(()) => self.tally.paired(),
                        Err(reason) => self.tally.dropped(reason),
                    }
                }
            }
        }
    }

    /// Whether the shadow may be tried; what the call was given is taken from its tape.
    fn admit(&self, offer: &Offer, running: usize) -> Result<Taped, Dropped> {
        let taped = offer.draft.tape.take();
        if self.is_stale(offer, &taped) {
            return Err(Dropped::Stale);
        }
        if running >= RUNNING {
            return Err(Dropped::Busy);
        }
        let Draft { candidate, always, .. } = *offer.draft;
        let entered = lock(&self.gate).enter(self.clock.now(), candidate, always);
        entered.map_err(|shut| match shut {
            Shut::Rate => Dropped::Rate,
            Shut::Breaker => Dropped::Breaker,
        })?;
        Ok(taped)
    }

    /// Whether something may have been saved in the session since control read its row.
    fn is_stale(&self, offer: &Offer, taped: &Taped) -> bool {
        self.sessions.saves(offer.draft.call.session.as_ref()) != taped.saves
    }

    async fn shadow(self: Arc<Self>, offer: Offer, taped: Taped) -> Result<(), Dropped> {
        let saves = Taped { loaded: None, saves: taped.saves };
        let copy = ShadowCall {
            call: offer.draft.call.clone(),
            loaded: taped.loaded,
            reserve: self.terms.reserve,
        };
        let limit = self.terms.timeout.saturating_add(MARGIN);
        // Dropped here: the lane cancels the shadow.
        let answer = tokio::time::timeout(limit, self.ask(offer.draft.candidate, copy)).await;
        let answer = answer.map_err(|_| {
            self.heard(offer.draft.candidate, false);
            Dropped::NotRun
        })?;
        let answer = answer.ok_or(Dropped::NoRoom)?;
        let outcome = answer.outcome();
        // A lane that turned it away says nothing of its answers.
        if !matches!(
            outcome,
            Outcome::Ok
                | Outcome::Raised
                | Outcome::ExecTimeout
                | Outcome::WorkerLost
                | Outcome::Protocol
        ) {
            return Err(Dropped::NotRun);
        }
        self.heard(offer.draft.candidate, matches!(outcome, Outcome::Ok | Outcome::Raised));
        // Again: what was saved while it ran may be what it met.
        if self.is_stale(&offer, &saves) {
            return Err(Dropped::Stale);
        }
        let (trial, watched) = trial(offer, answer);
        let told = watched.map(|watched| told(watched, &trial));
        self.recorder.offer(trial, told).then_some(()).ok_or(Dropped::RecorderFull)
    }

    async fn ask(&self, lane: Lane, copy: ShadowCall) -> Option<Answer> {
        match lane {
            Lane::V2 => self.legacy.upgrade()?.shadow(copy).await,
            Lane::V3 => self.next.upgrade()?.shadow(copy).await,
        }
    }

    fn heard(&self, lane: Lane, answered: bool) {
        lock(&self.gate).heard(self.clock.now(), lane, answered);
    }
}

/// Tells the guards whether the answers are alike, once that is known.
fn told(watched: WatchedPair, trial: &Trial) -> Told {
    let command = Arc::clone(&trial.command);
    let arm = if trial.is_noise() { Arm::Control } else { Arm::Candidate };
    Box::new(move |verdict| match verdict {
        Verdict::Same | Verdict::Excused => watched.compared(&command, arm, false),
        Verdict::Differs(_) => watched.compared(&command, arm, true),
        Verdict::Unknown | Verdict::Skipped(_) => {}
    })
}

fn trial(offer: Offer, answer: Answer) -> (Trial, Option<WatchedPair>) {
    let Offer { draft, answer: told, took, at, .. } = offer;
    let Draft { call, control, candidate, watched, .. } = *draft;
    let trial = Trial {
        command: call.command,
        id: call.id,
        session: call.session,
        args: call.args,
        control: Side { lane: control, answer: told, took: Some(took) },
        candidate: Side::of(candidate, answer),
        at,
    };
    (trial, watched)
}
