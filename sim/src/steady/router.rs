//! The router's decision, with pins.

use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::router::percent::Percent;
use poolshift::router::pins::PinShard;
use poolshift::router::policy::{Percents, Policy};
use poolshift::{Class, SessionId};

use crate::steady::Drive;

/// Calls whose sessions take turns. When there are twice as many as there is room for, each has
/// lost its pin when its turn comes again.
pub(super) struct Driver {
    shard: PinShard,
    policy: Policy,
    sessions: Vec<SessionId>,
    turn: usize,
}

impl Driver {
    pub(super) fn new(pins: usize, all_new: bool) -> Self {
        let session = |n| SessionId::new(&format!("session-{n}")).expect("it is short");
        let sessions = if all_new { 2 * pins } else { pins };
        let half = "50".parse::<Percent>().expect("it is a percentage");
        let mut driver = Self {
            shard: PinShard::new(Duration::from_secs(1_000_000), pins),
            policy: Policy { percents: Percents::all(half), ..Policy::initial("cost", false) },
            sessions: (0..sessions).map(session).collect(),
            turn: 0,
        };
        driver.calls(sessions);
        driver
    }
}

impl Drive for Driver {
    fn calls(&mut self, calls: usize) {
        for _ in 0..calls {
            let now = Moment::ZERO + Duration::from_micros(self.turn as u64);
            let session = &self.sessions[self.turn % self.sessions.len()];
            self.shard.decide(now, session, Class::Read, &self.policy);
            self.turn += 1;
        }
    }
}
