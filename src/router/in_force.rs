//! What decides calls at one moment, and who judges them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::call::{Answer, Class, Lane, SessionId};
use crate::router::guard::{Arm, Arms};
use crate::router::pins::{Marked, PinShard, shard_of};
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

/// All pins, shard by shard.
pub(super) type Shards = Arc<[Mutex<PinShard>]>;

/// A call whose end the guards want to hear of.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) post: Arc<GuardPost>,
    /// What sessions were marked with when it began.
    pub(super) mark: Option<Marked>,
    pub(super) session: Option<SessionId>,
}

/// A call in V2 whose answer is compared, which the guards want to hear of.
#[derive(Debug)]
pub(super) struct WatchedPair {
    pub(super) watched: Watched,
    pub(super) shards: Shards,
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

impl Watched {
    /// The call has ended. A session that has ended meanwhile is judged no more.
    pub(super) fn called(self, shards: &Shards, command: &str, lane: Lane, answer: &Answer) {
        let Self { post, mark, session } = self;
        let Some(session) = session else {
            return post.anonymous_called(mark, command, lane, answer);
        };
        if let Some(marked) = shard(shards, &session).marked(&session) {
            post.session_called(marked, command, lane, answer);
        }
    }
}

impl WatchedPair {
    /// The other answer came: from V3, or as the control from V2 again.
    pub(super) fn compared(&self, command: &str, arm: Arm, differs: bool) {
        let Watched { post, mark, session } = &self.watched;
        match session {
            None => post.anonymous_compared(*mark, command, arm, differs),
            Some(session) => {
                let mut shard = shard(&self.shards, session);
                post.session_compared(shard.marked(session), command, arm, differs);
            }
        }
    }
}

/// The shard of a session's pin, locked.
pub(super) fn shard<'a>(shards: &'a Shards, session: &SessionId) -> MutexGuard<'a, PinShard> {
    lock(&shards[shard_of(session)])
}

pub(super) fn lock(shard: &Mutex<PinShard>) -> MutexGuard<'_, PinShard> {
    shard.lock().expect("nothing panics while it holds a shard")
}
