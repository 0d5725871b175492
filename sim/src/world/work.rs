//! What a request is to its worker, by seed: the same whether a simulated or a real one gets it.

use std::time::Duration;

use poolshift::machine::Reply;

use crate::fault::Fault;
use crate::hazard::{Hazard, Place};
use crate::options::Options;
use crate::rng::{Domain, Seed, Stream};
use crate::trace::CallNo;

/// How much slower a slow worker is (fault 33).
const SLOWNESS: u32 = 10;

/// The work, and what its reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) kind: Reply,
    pub(crate) recycle: bool,
    pub(crate) takes: Duration,
}

impl Work {
    /// The draws that follow the one for a fault.
    #[inline]
    pub(crate) fn draw(options: &Options, fault: Option<Fault>, stream: &mut Stream) -> Self {
        let kind = if stream.chance(options.raises) { Reply::Raised } else { Reply::Ok };
        let slow = fault == Some(Fault::SlowWorker);
        let recycles = options.recycles;
        let recycle = slow || recycles > 0 && stream.chance(recycles);
        let takes = options.service.draw(options.mean_service.as_nanos() as u64, stream);
        let takes = takes.saturating_mul(if slow { SLOWNESS.into() } else { 1 });
        Self { kind, recycle, takes: Duration::from_nanos(takes) }
    }

    /// What the call's first request is, and the fault that strikes it.
    pub(crate) fn of(
        seed: Seed,
        options: &Options,
        hazard: &Hazard,
        call: CallNo,
    ) -> (Self, Option<Fault>) {
        let mut stream = seed.stream(Domain::Execution, call.0, 1);
        let fault = hazard.strikes_at(Place::Request(call, 1), &mut stream);
        (Self::draw(options, fault, &mut stream), fault)
    }
}
