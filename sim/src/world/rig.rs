//! What a world is made of: the product, or something planted in its place.

use poolshift::machine::PoolMachine;
use poolshift::router::PinLimits;
use poolshift::router::policy::{Percents, Policy};
use poolshift::v2_session_pool::machine::{SessionMachine, SessionQueues};
use poolshift::v3_pool::machine::{QueueMachine, SharedQueue};

use crate::options::Options;
use crate::trace::LaneGround;
use crate::world::switch::{Switch, Switchboard};

/// Makes the parts of a world that are under test.
pub trait Rig {
    /// V2's machine.
    type V2: PoolMachine;
    /// V3's machine.
    type V3: PoolMachine;
    /// The router.
    type Switch: Switch;

    /// V2's machine, which has not started anything.
    fn v2(&self, ground: &LaneGround) -> Self::V2;

    /// V3's machine, which has not started anything.
    fn v3(&self, ground: &LaneGround) -> Self::V3;

    /// The router with the first policy in force.
    fn switch(&self, options: &Options) -> Self::Switch;
}

/// What production runs.
#[derive(Clone, Copy, Debug)]
pub struct Product;

impl Rig for Product {
    type V2 = SessionMachine;
    type V3 = QueueMachine;
    type Switch = Switchboard;

    fn v2(&self, ground: &LaneGround) -> SessionMachine {
        let LaneGround { terms, max_waiting, session_idle, .. } = ground;
        let queues = SessionQueues::new(terms.size, *max_waiting, *session_idle);
        SessionMachine::new(terms.clone(), queues)
    }

    fn v3(&self, ground: &LaneGround) -> QueueMachine {
        QueueMachine::new(ground.terms.clone(), SharedQueue::new(ground.max_waiting))
    }

    fn switch(&self, options: &Options) -> Switchboard {
        let percents = Percents::all(options.operators.percent);
        let policy = Policy { percents, ..Policy::initial("v3-rollout", options.whole_sessions) };
        Switchboard::new(policy, PinLimits { ttl: options.pin_ttl, max_pins: options.max_pins })
    }
}
