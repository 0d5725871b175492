//! The router's decisions, made by the router's own code.

use std::sync::Arc;

use poolshift::clock::Moment;
use poolshift::router::PinLimits;
use poolshift::router::pins::{PinShard, SHARDS, shard_of};
use poolshift::router::policy::{Decision, Percents, Policy};
use poolshift::{CallId, Class, SessionId};

use crate::trace::CallNo;

/// What decides where each call goes. The product's is [`Switchboard`]; a planted one may take
/// its place.
pub trait Switch {
    /// Where the call goes.
    fn decide(
        &mut self,
        now: Moment,
        call: CallNo,
        session: Option<&SessionId>,
        class: Class,
    ) -> Decision;

    /// Sets V3's shares.
    fn set_percents(&mut self, percents: Percents);

    /// Throws the kill switch, or takes it back.
    fn set_killed(&mut self, killed: bool);

    /// The session is over.
    fn end_session(&mut self, session: &SessionId);

    /// The policy in force.
    fn policy(&self) -> &Policy;
}

/// The router without its locks: the same shards, decisions and changes as in production.
#[derive(Debug)]
pub struct Switchboard {
    policy: Arc<Policy>,
    shards: Vec<PinShard>,
}

impl Switchboard {
    /// A switchboard in which `policy` is in force.
    #[must_use]
    pub fn new(policy: Policy, pins: PinLimits) -> Self {
        let shard = PinShard::new(pins.ttl, pins.max_pins.div_ceil(SHARDS));
        Self { policy: Arc::new(policy), shards: vec![shard; SHARDS] }
    }

    fn replace(&mut self, next: Policy) {
        let policy = self.policy.replaced_by(next);
        let policy = policy.expect("neither flag nor version is changed here");
        self.shards.iter_mut().for_each(|shard| shard.follow(&policy));
        self.policy = Arc::new(policy);
    }
}

impl Switch for Switchboard {
    fn decide(
        &mut self,
        now: Moment,
        call: CallNo,
        session: Option<&SessionId>,
        class: Class,
    ) -> Decision {
        match session {
            Some(session) => {
                let shard = &mut self.shards[shard_of(session)];
                shard.decide(now, session, class, &self.policy)
            }
            None => {
                let id = CallId::Random(u128::from(call.0)).to_string();
                self.policy.decide_anonymous(&id, class)
            }
        }
    }

    fn set_percents(&mut self, percents: Percents) {
        self.replace(Policy { percents, ..self.policy.as_ref().clone() });
    }

    fn set_killed(&mut self, killed: bool) {
        self.replace(Policy { killed, ..self.policy.as_ref().clone() });
    }

    fn end_session(&mut self, session: &SessionId) {
        self.shards[shard_of(session)].end(session);
    }

    fn policy(&self) -> &Policy {
        &self.policy
    }
}
