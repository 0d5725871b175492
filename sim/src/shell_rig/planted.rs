//! Bugs in how shadows are made, each in the lanes' place: the proof that the rig sees it when
//! callers notice something (S24).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use poolshift::session::Sessions;
use poolshift::{Answer, Call, CallError, Class, Outcome, Pool, PoolStatus, SessionId, ShadowCall};
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::planted::Kill;
use crate::planted::catalogue::catalogue;
use crate::shell_rig::plan::RigOptions;
use crate::shell_rig::run::run;
use crate::shell_rig::unnoticed;

catalogue! {
    ShadowBug {
        AnswerTold "shadow_answer_told" "a shadow's answer is given to the next caller";
        FaultTold "shadow_fault_told" "a shadow's fault is told to the next call of its session";
        CallerWaits "shadow_waited_for" "an answer waits for the shadows that run";
        CallerHurried "shadow_budget_shared" "a call that is shadowed has a shadow's time";
        RunAsCall "shadow_run_as_call" "a shadow is a call like others, with its caller's id";
        Saved "shadow_saved" "what a shadow changes is saved in its caller's session";
        RunAtHome "shadow_run_at_home" "control's lane runs the shadow of its own call";
        RunTwice "shadow_run_twice" "a shadow is run a second time";
        RunFirst "shadow_run_first" "a shadow runs while its caller still waits";
        OfWrite "shadow_of_write" "writes are shadowed, too";
        OfLeaver "shadow_of_leaver" "a call whose caller has left is shadowed";
    }
}

/// A shadow's time where a call is given it: shorter than the work of most.
const HURRY: Duration = Duration::from_millis(10);

/// Runs the bug in both grounds, a swarm of runs and each run beside the same without shadows,
/// seed by seed until a law is broken; none if it outlives that many seeds.
#[must_use]
pub fn hunt(bug: ShadowBug, seeds: u64) -> Option<Kill> {
    (1..=seeds).find_map(|seeds| {
        let swarm = RigOptions { bug: Some(bug), ..RigOptions::swarm(seeds) };
        let broken = run(seeds, &swarm, &mut ()).violations;
        let broken = broken.into_iter().chain(unnoticed::beside(seeds, Some(bug)).violations);
        let law = broken.map(|broken| broken.law).next()?;
        Some(Kill { law, seeds, scenario: "shell" })
    })
}

/// A lane, with a bug if one is planted.
#[derive(Debug)]
pub(super) struct Planted<P> {
    pool: Arc<P>,
    sessions: Arc<Sessions>,
    bug: Option<ShadowBug>,
    spill: Arc<Spill>,
}

/// What shadows leave where callers find it. Both lanes share it.
#[derive(Debug, Default)]
pub(super) struct Spill {
    /// What the last one answered.
    answer: Mutex<Option<Box<RawValue>>>,
    /// The sessions of those that met a fault.
    faults: Mutex<BTreeSet<SessionId>>,
    running: watch::Sender<usize>,
}

impl<P: Pool> Planted<P> {
    pub(super) fn new(
        pool: P,
        sessions: &Arc<Sessions>,
        bug: Option<ShadowBug>,
        spill: &Arc<Spill>,
    ) -> Self {
        let (pool, sessions) = (Arc::new(pool), Arc::clone(sessions));
        Self { pool, sessions, bug, spill: Arc::clone(spill) }
    }

    pub(super) fn pool(&self) -> &P {
        &self.pool
    }

    /// A shadow that nobody ordered, and for which nobody waits.
    fn leave_shadow(&self, of: &Call) -> Unordered<P> {
        let copy = ShadowCall { call: copy(of), loaded: None, reserve: 1 };
        Unordered(Some((Arc::clone(&self.pool), copy)))
    }

    async fn answered(&self, bug: ShadowBug, of: &Call, is_sampled: bool, answer: &mut Answer) {
        match bug {
            ShadowBug::AnswerTold => {
                if let Some(told) = lock(&self.spill.answer).take() {
                    answer.result = Ok(told);
                }
            }
            ShadowBug::FaultTold => {
                let session = of.session.clone();
                let lost = session.filter(|of| lock(&self.spill.faults).remove(of));
                if let Some(session) = lost {
                    answer.result = Err(CallError::SessionLost { session });
                }
            }
            ShadowBug::CallerWaits => {
                let mut running = self.spill.running.subscribe();
                let _ = running.wait_for(|running| *running == 0).await;
            }
            ShadowBug::RunAtHome if is_sampled => drop(self.leave_shadow(of)),
            ShadowBug::OfWrite if of.class == Class::Write => drop(self.leave_shadow(of)),
            _ => {}
        }
    }

    async fn planted_shadow(&self, bug: ShadowBug, order: ShadowCall) -> Option<Answer> {
        let call = copy(&order.call);
        match bug {
            ShadowBug::RunAsCall => return Some(self.pool.call(call).await),
            ShadowBug::RunAtHome => return None,
            ShadowBug::RunTwice => {
                let (loaded, reserve) = (order.loaded.clone(), order.reserve);
                self.pool.shadow(ShadowCall { call: copy(&call), loaded, reserve }).await?;
            }
            _ => {}
        }
        let answer = self.pool.shadow(order).await?;
        match (bug, &answer.result) {
            (ShadowBug::AnswerTold, Ok(told)) => {
                *lock(&self.spill.answer) = Some(told.clone());
            }
            (ShadowBug::FaultTold, Err(error)) if error.outcome() != Outcome::Raised => {
                lock(&self.spill.faults).extend(call.session);
            }
            (ShadowBug::Saved, Ok(told)) => {
                let saver = Call { command: "create_program".into(), ..call };
                self.sessions.record(&saver, told, Duration::ZERO).await;
            }
            _ => {}
        }
        Some(answer)
    }
}

impl<P: Pool> Pool for Planted<P> {
    async fn call(&self, mut call: Call) -> Answer {
        let Some(bug) = self.bug else { return self.pool.call(call).await };
        let (of, is_sampled) = (copy(&call), call.tape.is_some());
        match bug {
            ShadowBug::CallerHurried if is_sampled => call.budget = Some(HURRY),
            ShadowBug::RunFirst if is_sampled => drop(self.leave_shadow(&of)),
            _ => {}
        }
        let of_leaver = bug == ShadowBug::OfLeaver && is_sampled;
        let unordered = of_leaver.then(|| self.leave_shadow(&of));
        let mut answer = self.pool.call(call).await;
        if let Some(mut unordered) = unordered {
            unordered.0 = None;
        }
        self.answered(bug, &of, is_sampled, &mut answer).await;
        answer
    }

    async fn shadow(&self, order: ShadowCall) -> Option<Answer> {
        let Some(bug) = self.bug else { return self.pool.shadow(order).await };
        let _running = Running::of(&self.spill);
        self.planted_shadow(bug, order).await
    }

    fn end_session(&self, session: &SessionId) {
        self.pool.end_session(session);
    }

    async fn drain(&self, limit: Duration) {
        self.pool.drain(limit).await;
    }

    fn status(&self) -> PoolStatus {
        self.pool.status()
    }
}

/// A call as a shadow is made of it.
fn copy(call: &Call) -> Call {
    Call { tape: None, ..call.clone() }
}

/// A shadow that is made when this is dropped.
struct Unordered<P: Pool>(Option<(Arc<P>, ShadowCall)>);

impl<P: Pool> Drop for Unordered<P> {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some((pool, copy)), Ok(runtime)) = (self.0.take(), runtime) {
            runtime.spawn(async move { pool.shadow(copy).await });
        }
    }
}

/// Counts a shadow for as long as it runs, also if it is dropped.
struct Running<'a>(&'a Spill);

impl<'a> Running<'a> {
    fn of(spill: &'a Spill) -> Self {
        spill.running.send_modify(|running| *running += 1);
        Self(spill)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("nothing panics while it moves a value")
}
