//! The router's decision for one call after the other.

use std::hint::black_box;
use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::router::pins::PinShard;
use poolshift::router::policy::{Percents, Policy};
use poolshift::{Class, SessionId};

/// Sessions that a shard of the pins has room for.
const PINS: usize = 200;

/// A shard of the router's pins that is full, a policy, and the sessions whose calls come in turn.
#[derive(Debug)]
pub(super) struct Routing {
    shard: PinShard,
    policy: Policy,
    sessions: Vec<SessionId>,
    made: usize,
}

/// Every call's session is pinned.
pub(super) fn pinned() -> Routing {
    Routing::new(PINS)
}

/// Every call's session is new, and pushes out the longest idle: when its turn comes again, it
/// has been pushed out itself.
pub(super) fn new() -> Routing {
    Routing::new(2 * PINS)
}

impl Routing {
    fn new(sessions: usize) -> Self {
        let percents = Percents::all("50".parse().expect("it is a percentage"));
        let policy = Policy { percents, ..Policy::initial("v3-rollout", false) };
        let shard = PinShard::new(Duration::from_secs(3600), PINS);
        let session = |n| SessionId::new(&format!("session-{n}")).expect("it is short");
        let sessions: Vec<SessionId> = (0..sessions).map(session).collect();
        let mut routing = Self { shard, policy, sessions, made: 0 };
        (0..routing.sessions.len()).for_each(|_| routing.decide());
        routing
    }

    fn session(&self) -> &SessionId {
        &self.sessions[self.made % self.sessions.len()]
    }

    /// Where the next session's call goes.
    pub(super) fn decide(&mut self) {
        let now = Moment::ZERO + Duration::from_micros(self.made as u64);
        let session = &self.sessions[self.made % self.sessions.len()];
        black_box(self.shard.decide(now, session, Class::Read, &self.policy));
        self.made += 1;
    }

    /// Where it would go without a session, by a name of its own.
    pub(super) fn decide_anonymous(&mut self) {
        black_box(self.policy.decide_anonymous(self.session().as_str(), Class::Read));
        self.made += 1;
    }
}
