//! A router with a bug.

use std::collections::BTreeSet;

use poolshift::clock::Moment;
use poolshift::router::PinLimits;
use poolshift::router::policy::{Decision, Percents, Policy, Reason};
use poolshift::{CallId, Class, Lane, SessionId};

use crate::options::Options;
use crate::planted::Bug;
use crate::trace::CallNo;
use crate::world::{Switch, Switchboard};

/// The product's switchboard, with a bug around it.
#[derive(Debug)]
pub struct PlantedSwitch {
    board: Switchboard,
    bug: Bug,
    pins: PinLimits,
    /// Sessions that have been in V3, for bugs that never move them back.
    in_v3: BTreeSet<SessionId>,
    /// The policy before the last change, until it has been used once more.
    stale: Option<Policy>,
}

impl PlantedSwitch {
    /// A switchboard with this bug.
    #[must_use]
    pub fn new(board: Switchboard, bug: Bug, options: &Options) -> Self {
        let pins = PinLimits { ttl: options.pin_ttl, max_pins: options.max_pins };
        Self { board, bug, pins, in_v3: BTreeSet::new(), stale: None }
    }

    /// The policy stays, and nobody is pinned any more.
    fn forget_pins(&mut self) {
        self.board = Switchboard::new(self.board.policy().clone(), self.pins);
    }

    fn draw(&self, policy: &Policy, call: CallNo, class: Class) -> Decision {
        let id = CallId::Random(u128::from(call.0)).to_string();
        policy.decide_anonymous(&id, class)
    }
}

impl Switch for PlantedSwitch {
    fn decide(
        &mut self,
        now: Moment,
        call: CallNo,
        session: Option<&SessionId>,
        class: Class,
    ) -> Decision {
        if let Some(stale) = self.stale.take() {
            return self.draw(&stale, call, class);
        }
        let decision = self.board.decide(now, call, session, class);
        let policy = self.board.policy();
        match (self.bug, session) {
            (Bug::BucketRedrawn, Some(_)) => {
                Decision { drawn: decision.drawn, ..self.draw(policy, call, class) }
            }
            (Bug::KillKeepsPins, Some(session)) => {
                if decision.drawn && self.in_v3.contains(session) {
                    let (lane, reason) = (Lane::V3, Reason::Pinned);
                    return Decision { lane, reason, drawn: false, ..decision };
                }
                if decision.lane == Lane::V3 {
                    self.in_v3.insert(session.clone());
                }
                decision
            }
            (Bug::KillMissesAnonymous, None) if policy.killed => {
                let alive = Policy { killed: false, ..policy.clone() };
                self.draw(&alive, call, class)
            }
            (Bug::KillReadOnce | Bug::RollbackSpares, Some(session)) => {
                let spared = match self.bug {
                    Bug::KillReadOnce => decision.reason == Reason::Killed,
                    _ => decision.reason == Reason::Pinned && decision.lane == Lane::V2,
                };
                if spared && self.in_v3.contains(session) {
                    return Decision { lane: Lane::V3, reason: Reason::Pinned, ..decision };
                }
                if decision.lane == Lane::V3 {
                    self.in_v3.insert(session.clone());
                }
                decision
            }
            (Bug::ShareRounded, _) if decision.reason == Reason::Percent => {
                let tens = policy.percents.of(class).buckets().div_ceil(10_000) * 10;
                let share = tens.min(100).to_string().parse().expect("a percentage");
                let rounded = Policy { percents: Percents::all(share), ..policy.clone() };
                let drawn = self.draw(&rounded, call, class);
                Decision { lane: drawn.lane, ..decision }
            }
            _ => decision,
        }
    }

    fn set_percents(&mut self, percents: Percents) {
        let before = self.board.policy().clone();
        self.board.set_percents(percents);
        match self.bug {
            Bug::PinsForgotten => self.forget_pins(),
            Bug::RaiseMoves if before.percents.lower(percents) == before.percents => {
                self.forget_pins();
            }
            Bug::StalePolicy => self.stale = Some(before),
            _ => {}
        }
    }

    fn set_killed(&mut self, killed: bool) {
        if self.bug == Bug::StalePolicy {
            self.stale = Some(self.board.policy().clone());
        }
        self.board.set_killed(killed);
    }

    fn end_session(&mut self, session: &SessionId) {
        self.in_v3.remove(session);
        self.board.end_session(session);
    }

    fn policy(&self) -> &Policy {
        self.board.policy()
    }
}
