//! What may happen to a pool next.

use poolshift::error::Refusal;
use poolshift::machine::{Breakage, Sent};
use poolshift::{Lane, SessionId};
use proptest::prelude::*;

use crate::machine::model::Model;

/// Numbers pick one of those to whom it may happen, in turn.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Submit { session: Option<u8>, budget_ms: Option<u64> },
    Cancel(usize),
    Ready(usize),
    StartFails(usize),
    Reply { call: usize, raised: bool, recycle: bool },
    Break { call: usize, sent: Sent, cause: Breakage },
    Exit(usize),
    Ghost(usize),
    EndSession(u8),
    Resize(usize),
    Drain(u64),
    Wait(u64),
}

impl Step {
    pub(crate) fn session(n: u8) -> SessionId {
        SessionId::new(&format!("session-{n}")).unwrap()
    }

    /// Weighted so that most runs see queues that fill and drain, and workers that come and go.
    pub(crate) fn any(lane: Lane) -> BoxedStrategy<Self> {
        let n = || 0_usize..64;
        let session = prop_oneof![Just(None), (0_u8..5).prop_map(Some)];
        let budget_ms = prop_oneof![3 => Just(None), 1 => (1_u64..200).prop_map(Some)];
        let breakage = prop_oneof![
            (0..3_usize).prop_map(|sent| (SENT[sent], Breakage::Dropped)),
            (0..3_usize).prop_map(|sent| (SENT[sent], Breakage::Lost)),
            Just((Sent::All, Breakage::Garbled)),
            Just((Sent::None, Breakage::Refused(Refusal::TooLarge { bytes: 2, max: 1 }))),
        ];
        let everywhere = prop_oneof![
            30 => (session, budget_ms)
                .prop_map(|(session, budget_ms)| Self::Submit { session, budget_ms }),
            4 => n().prop_map(Self::Cancel),
            12 => n().prop_map(Self::Ready),
            2 => n().prop_map(Self::StartFails),
            20 => (n(), any::<bool>(), prop::bool::weighted(0.1))
                .prop_map(|(call, raised, recycle)| Self::Reply { call, raised, recycle }),
            6 => (n(), breakage).prop_map(|(call, (sent, cause))| Self::Break { call, sent, cause }),
            5 => n().prop_map(Self::Exit),
            2 => n().prop_map(Self::Ghost),
            12 => (1_u64..250).prop_map(Self::Wait),
            1 => (1_u64..200).prop_map(Self::Drain),
        ];
        match lane {
            Lane::V2 => {
                prop_oneof![30 => everywhere, 1 => (0_u8..5).prop_map(Self::EndSession)].boxed()
            }
            Lane::V3 => {
                prop_oneof![30 => everywhere, 1 => (1_usize..7).prop_map(Self::Resize)].boxed()
            }
        }
    }

    /// Whether there is anybody to whom this may happen.
    pub(crate) fn is_possible(&self, model: &Model) -> bool {
        match self {
            Self::Cancel(_) => model.waiting() > 0,
            Self::Ready(_) | Self::StartFails(_) => !model.starting().is_empty(),
            Self::Reply { .. } | Self::Break { .. } => !model.leases().is_empty(),
            Self::Exit(_) => !model.ended_by_exit().is_empty(),
            Self::Drain(_) => !model.is_draining(),
            _ => true,
        }
    }
}

const SENT: [Sent; 3] = [Sent::None, Sent::Part, Sent::All];
