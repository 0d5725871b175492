//! Trying a call again in the same lane, by the evidence of what came of it (R15).

use std::sync::Arc;

use crate::call::{Answer, Call};
use crate::clock::Moment;
use crate::error::CallError;
use crate::machine::PoolMachine;
use crate::machine::retry::is_retryable;
use crate::shell::desk::Attempt;
use crate::shell::{Retry, Shell};
use crate::worker::Spawner;

impl<M: PoolMachine, S: Spawner> Shell<M, S> {
    /// Submits the call again, at the tail of the queue and with the same deadline, for as long
    /// as what came of it is a reason to, and attempts, time and budget are left.
    ///
    /// The answer never claims less than an earlier try may have done: a call that may have run
    /// and then found no worker is told as what may have run.
    pub(super) async fn try_again(
        self: &Arc<Self>,
        call: &Call,
        retry: Retry,
        first: Answer,
    ) -> Answer {
        let (planned, submitted) = (first.timing.planned, first.timing.submitted);
        let deadline = submitted + call.budget.unwrap_or(self.settings.budget);
        let first_outcome = first.outcome();
        let mut answer = first;
        let mut last = answer.result.as_ref().err().cloned();
        for number in 1..=retry.terms.attempts {
            let Some(error) = &last else { break };
            if !self.may_try_again(call, retry, error, deadline) {
                break;
            }
            let (planned, deadline) = (Some(planned), Some(deadline));
            // Dropped here: as in the first attempt.
            let mut again = self.attempt(call, &Attempt { number, planned, deadline }).await;
            again.timing.submitted = submitted;
            again.first_try = Some(first_outcome);
            last = again.result.as_ref().err().cloned();
            let (before, after) = (answer.result.as_ref().err(), last.as_ref());
            match (before, after) {
                (Some(before), Some(after)) if after.ran() < before.ran() => {
                    answer.timing.finished = again.timing.finished;
                }
                _ => answer = again,
            }
        }
        answer
    }

    fn may_try_again(
        &self,
        call: &Call,
        retry: Retry,
        error: &CallError,
        deadline: Moment,
    ) -> bool {
        let (outcome, ran) = (error.outcome(), error.ran());
        let idempotent = self.sessions.commands().get(&call.command).idempotent;
        let may = is_retryable(outcome, ran, idempotent)
            && (retry.in_sessions || call.session.is_none())
            && self.clock.now() < deadline
            && self.lock().spend_retry();
        if may {
            tracing::info!(
                target: "poolshift::request",
                lane = %self.settings.lane,
                command = %call.command,
                call_id = %call.id,
                outcome = outcome.as_str(),
                ran = ran.as_str(),
                "trying again"
            );
        }
        may
    }
}
