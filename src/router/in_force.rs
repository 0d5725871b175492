//! What decides calls at one moment, and who judges them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::call::{Class, SessionId};
use crate::router::guard::Arms;
use crate::router::pins::Marked;
use crate::router::policy::{Percents, Policy};
use crate::router::post::{GuardPost, Watch};

/// What one change of policy put into force, and what is counted while it is.
#[derive(Debug)]
pub(super) struct InForce {
    pub(super) policy: Arc<Policy>,
    /// By class and lane; of each policy its own, so that no draw is held against the
    /// percentages of another.
    pub(super) draws: [[AtomicU64; 2]; 3],
    /// The guards that calls are told to, while a ramp runs.
    pub(super) watch: Option<Watch>,
    /// What a session that is drawn now is marked with.
    pub(super) mark: Option<Marked>,
}

/// A call whose end the guards want to hear of.
pub(super) struct Watched {
    pub(super) post: Arc<GuardPost>,
    /// What sessions were marked with when it began.
    pub(super) mark: Option<Marked>,
    pub(super) session: Option<SessionId>,
}

impl InForce {
    /// With guards, the units that it draws are a step's or a cohort's.
    pub(super) fn new(policy: Arc<Policy>, watch: Option<Watch>) -> Self {
        let calls = match policy.whole_sessions {
            true => Percents::all(policy.percents.of(Class::Critical)),
            false => policy.percents,
        };
        let mark = watch.as_ref().and_then(|watch| watch.post.begin(watch, calls));
        Self { policy, draws: Default::default(), watch, mark }
    }

    /// Draws that the guards were not told of. Those that are decided by a policy while it is
    /// replaced are left out: they are few, and all others would be held against the wrong share.
    pub(super) fn tell_draws(&self) {
        let Some(watch) = &self.watch else { return };
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        let arms = |[v2, v3]: &[AtomicU64; 2]| Arms { control: take(v2), candidate: take(v3) };
        watch.post.drew(self.draws.each_ref().map(arms));
    }
}
