//! What may happen to a pool next.

use poolshift::error::Refusal;
use poolshift::machine::{Breakage, Sent};
use poolshift::{Lane, SessionId};
use proptest::prelude::*;
use proptest::strategy::Union;

use crate::machine::model::Model;

/// Numbers pick one of those to whom it may happen, in turn.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Submit { session: Option<u8>, budget_ms: Option<u64>, digest: Option<u8> },
    Shadow { reserve: usize, budget_ms: Option<u64> },
    Cancel(usize),
    Ready(usize),
    StartFails(usize),
    Reply { call: usize, raised: bool, recycle: bool },
    Break { call: usize, sent: Sent, cause: Breakage },
    Exit(usize),
    Ghost(usize),
    Measure { worker: usize, rss: u64 },
    EndSession(u8),
    Resize(usize),
    Drain(u64),
    Wait(u64),
}

impl Step {
    pub(crate) fn session(n: u8) -> SessionId {
        SessionId::new(&format!("session-{n}")).unwrap()
    }

    /// What may happen next, weighted so that most runs see queues that fill and drain, and
    /// workers that come and go.
    pub(crate) fn any(model: &Model) -> BoxedStrategy<Self> {
        let of_lane = match model.lane {
            Lane::V2 => (0_u8..5).prop_map(Self::EndSession).boxed(),
            Lane::V3 => (1_usize..7).prop_map(Self::Resize).boxed(),
        };
        let mut steps = vec![
            (30, submit()),
            (6, shadow()),
            (12, (1_u64..250).prop_map(Self::Wait).boxed()),
            (2, n().prop_map(Self::Ghost).boxed()),
            (3, of_lane),
        ];
        let mut add = |weight, possible: bool, steps_like: BoxedStrategy<Self>| {
            if possible {
                steps.push((weight, steps_like));
            }
        };
        add(4, model.waiting() > 0, n().prop_map(Self::Cancel).boxed());
        add(12, !model.starting().is_empty(), n().prop_map(Self::Ready).boxed());
        add(4, !model.starting().is_empty(), n().prop_map(Self::StartFails).boxed());
        add(20, !model.leases().is_empty(), reply());
        add(6, !model.leases().is_empty(), breakage());
        add(5, !model.ended_by_exit().is_empty(), n().prop_map(Self::Exit).boxed());
        let measure = (n(), 0_u64..400).prop_map(|(worker, rss)| Self::Measure { worker, rss });
        let measures = model.lane == Lane::V3 && !model.ended_by_exit().is_empty();
        add(5, measures, measure.boxed());
        add(1, !model.is_draining(), (1_u64..200).prop_map(Self::Drain).boxed());
        Union::new_weighted(steps).boxed()
    }

    /// Whether there is anybody to whom this may happen.
    pub(crate) fn is_possible(&self, model: &Model) -> bool {
        match self {
            Self::Cancel(_) => model.waiting() > 0,
            Self::Ready(_) | Self::StartFails(_) => !model.starting().is_empty(),
            Self::Reply { .. } | Self::Break { .. } => !model.leases().is_empty(),
            Self::Exit(_) | Self::Measure { .. } => !model.ended_by_exit().is_empty(),
            Self::Drain(_) => !model.is_draining(),
            _ => true,
        }
    }
}

fn n() -> std::ops::Range<usize> {
    0..64
}

fn submit() -> BoxedStrategy<Step> {
    let session = prop_oneof![Just(None), (0_u8..5).prop_map(Some)];
    let budget_ms = prop_oneof![3 => Just(None), 1 => (1_u64..200).prop_map(Some)];
    let digest = prop::option::of(0_u8..3);
    let submit = |(session, budget_ms, digest)| Step::Submit { session, budget_ms, digest };
    (session, budget_ms, digest).prop_map(submit).boxed()
}

fn shadow() -> BoxedStrategy<Step> {
    let budget_ms = prop_oneof![3 => Just(None), 1 => (0_u64..200).prop_map(Some)];
    let shadow = |(reserve, budget_ms)| Step::Shadow { reserve, budget_ms };
    (0_usize..3, budget_ms).prop_map(shadow).boxed()
}

fn reply() -> BoxedStrategy<Step> {
    let reply = |(call, raised, recycle)| Step::Reply { call, raised, recycle };
    (n(), any::<bool>(), prop::bool::weighted(0.1)).prop_map(reply).boxed()
}

fn breakage() -> BoxedStrategy<Step> {
    let how = prop_oneof![
        (0..3_usize).prop_map(|sent| (SENT[sent], Breakage::Dropped)),
        (0..3_usize).prop_map(|sent| (SENT[sent], Breakage::Lost)),
        Just((Sent::All, Breakage::Garbled)),
        Just((Sent::None, Breakage::Refused(Refusal::TooLarge { bytes: 2, max: 1 }))),
    ];
    (n(), how).prop_map(|(call, (sent, cause))| Step::Break { call, sent, cause }).boxed()
}

const SENT: [Sent; 3] = [Sent::None, Sent::Part, Sent::All];
