//! A call from the caller's door to its one outcome: its session is kept, and it is tried.

use std::sync::Arc;

use crate::call::{Answer, Call, Timing};
use crate::error::{Outcome, Ran, Refusal};
use crate::machine::PoolMachine;
use crate::shell::Shell;
use crate::shell::desk::Attempt;
use crate::shell::errand::Errand;
use crate::worker::Spawner;

impl<M: PoolMachine, S: Spawner> Shell<M, S> {
    /// Runs one call to its one outcome.
    ///
    /// Dropping the future cancels the call (R3): a waiting one leaves the queue, a leased
    /// worker goes to the next waiter, is drained of the late reply, or is killed.
    pub async fn call(self: &Arc<Self>, call: &Call) -> Answer {
        let visit = match &call.session {
            None => None,
            // Dropped here: the call was not submitted, and no session is marked.
            session => match self.sessions.begin(self.clock.now(), session.as_ref()).await {
                Ok(visit) => Some(visit),
                Err(refusal) => return self.refuse(call, refusal),
            },
        };
        let mut answer = self.attempt(call, &Attempt::default()).await;
        if let Some(retry) = self.settings.retry
            && answer.result.is_err()
        {
            // Dropped here: as in the first attempt.
            answer = Box::pin(self.try_again(call, retry, answer)).await;
        }
        drop(visit);
        answer
    }

    /// One submit and its end.
    pub(super) async fn attempt(self: &Arc<Self>, call: &Call, attempt: &Attempt) -> Answer {
        // Dropped here: the errand's own drop settles what is left of the call.
        Errand::submit(self, call, attempt, None).run().await
    }

    /// Refused before its Submit: the machine never hears of it, the books do.
    fn refuse(&self, call: &Call, refusal: Refusal) -> Answer {
        let now = self.clock.now();
        let planned = call.planned.unwrap_or(now);
        let timing = Timing { planned, submitted: now, dispatched: None, finished: now };
        let mut desk = self.lock();
        desk.meter.submit();
        desk.meter.record(call.class, Outcome::Rejected, &timing);
        desk.ledger.record(&call.command, Outcome::Rejected, Ran::No, false);
        Answer { result: Err(refusal.into()), worker: None, timing, first_try: None }
    }
}
