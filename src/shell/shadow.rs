//! A copy of a call that another lane has answered (R16): the same errand, but for what it is
//! given and what it leaves behind.

use std::sync::Arc;

use crate::call::Answer;
use crate::error::{CallError, Refusal};
use crate::machine::{CallKind, PoolMachine};
use crate::shell::Shell;
use crate::shell::desk::Attempt;
use crate::shell::errand::Errand;
use crate::tape::ShadowCall;
use crate::worker::Spawner;

impl<M: PoolMachine, S: Spawner> Shell<M, S> {
    /// Runs a copy if there is a worker for it.
    ///
    /// Dropping the future cancels it, as [`Self::call`] says.
    pub async fn shadow(self: &Arc<Self>, copy: &ShadowCall) -> Option<Answer> {
        let mut errand = Errand::submit(self, &copy.call, &Attempt::default(), Some(copy));
        // Dropped here: the errand's own drop settles what is left of it.
        let answer = Box::pin(errand.run()).await;
        let refused = matches!(answer.result, Err(CallError::Rejected(Refusal::NoSpareWorker)));
        (!refused).then_some(answer)
    }
}

/// For whom a call is made.
pub(super) fn kind(copy: Option<&ShadowCall>) -> CallKind {
    copy.map_or(CallKind::Live, |copy| CallKind::Shadow { reserve: copy.reserve })
}

/// As the other lane's call was enriched.
pub(super) fn loaded(copy: &ShadowCall) -> Option<(&str, &str)> {
    copy.loaded.as_ref().map(|(into, row)| (into.as_str(), row.get()))
}
