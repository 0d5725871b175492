//! Where faults strike: drawn by their rates, or listed by a plan.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::{Lane, WorkerId};
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Strikes};
use crate::options::FaultRates;
use crate::rng::{Domain, Seed, Stream};
use crate::trace::CallNo;

const HOUR: u64 = 3_600_000_000_000;

/// Lots of strikes at any moment: enough for the longest stall in nanoseconds, few enough to be
/// exact in any reader of JSON.
const LOTS: u64 = 1 << 40;

/// Something that a fault can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A request, as it is given to a worker: the call's n-th, from 1.
    Request(CallNo, u64),
    /// A worker that starts.
    Start(Lane, WorkerId),
    /// A worker that is asked to stop.
    Stop(Lane, WorkerId),
}

impl Place {
    const fn strikes(self) -> Strikes {
        match self {
            Self::Request(..) => Strikes::Request,
            Self::Start(..) => Strikes::Start,
            Self::Stop(..) => Strikes::Stop,
        }
    }
}

/// One strike of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Strike {
    /// At a request of a call.
    Request {
        /// The call.
        call: u64,
        /// Which of its requests, from 1.
        attempt: u64,
        /// What happens.
        fault: Fault,
    },
    /// At a worker's start.
    Start {
        /// The worker's lane.
        lane: Lane,
        /// Its slot.
        slot: u32,
        /// Which of the slot's processes it is, from 1.
        generation: u32,
        /// What happens.
        fault: Fault,
    },
    /// At a worker's polite stop.
    Stop {
        /// The worker's lane.
        lane: Lane,
        /// Its slot.
        slot: u32,
        /// Which of the slot's processes it is, from 1.
        generation: u32,
        /// What happens.
        fault: Fault,
    },
    /// At a moment.
    Moment {
        /// When.
        at_ns: u64,
        /// The lane, if it strikes one.
        lane: Lane,
        /// Says whom of the idle workers, or how long.
        lot: u64,
        /// What happens.
        fault: Fault,
    },
}

impl Strike {
    const fn at(place: Place, fault: Fault) -> Self {
        match place {
            Place::Request(CallNo(call), attempt) => Self::Request { call, attempt, fault },
            Place::Start(lane, WorkerId { slot, generation }) => {
                Self::Start { lane, slot, generation, fault }
            }
            Place::Stop(lane, WorkerId { slot, generation }) => {
                Self::Stop { lane, slot, generation, fault }
            }
        }
    }

    /// What happens.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Request { fault, .. }
            | Self::Start { fault, .. }
            | Self::Stop { fault, .. }
            | Self::Moment { fault, .. } => *fault,
        }
    }

    /// When this kind of strike can happen, which must be when its fault strikes.
    #[must_use]
    pub const fn when(&self) -> Strikes {
        match self {
            Self::Request { .. } => Strikes::Request,
            Self::Start { .. } => Strikes::Start,
            Self::Stop { .. } => Strikes::Stop,
            Self::Moment { .. } => Strikes::Moment,
        }
    }
}

/// Strikes that were drawn, in order. Whoever records them keeps a hold of them, so that they
/// outlive a run that panics.
pub type Notes = Rc<RefCell<Vec<Strike>>>;

/// Says where faults strike.
#[derive(Debug)]
pub enum Hazard {
    /// As the rates have it.
    Drawn(Drawn),
    /// Where a plan says, and nowhere else.
    Listed(Listed),
}

/// Strikes by chance.
#[derive(Debug)]
pub struct Drawn {
    rates: FaultRates,
    /// The rates of requests, summed: most requests need no more than this.
    request_total: u32,
    /// One for each kind that strikes at any moment.
    moments: Vec<(Fault, Stream)>,
    notes: Option<Notes>,
}

/// Strikes of a plan.
#[derive(Debug, Default)]
pub struct Listed {
    places: BTreeMap<Place, Fault>,
    moments: BTreeMap<Fault, VecDeque<(Moment, Lane, u64)>>,
}

impl Hazard {
    /// By rates; what is drawn is noted, if somebody asks for it.
    #[must_use]
    pub fn drawn(seed: Seed, rates: &FaultRates, notes: Option<Notes>) -> Self {
        let moments = Fault::ALL.into_iter().filter(|fault| fault.strikes() == Strikes::Moment);
        let stream = |fault: Fault| seed.stream(Domain::Strike, u64::from(fault.number()), 0);
        Self::Drawn(Drawn {
            request_total: rates.total(Strikes::Request),
            moments: moments.map(|fault| (fault, stream(fault))).collect(),
            rates: rates.clone(),
            notes,
        })
    }

    /// By a list.
    #[must_use]
    pub fn listed(strikes: &[Strike]) -> Self {
        let mut listed = Listed::default();
        for strike in strikes {
            let (place, fault) = match *strike {
                Strike::Request { call, attempt, fault } => {
                    (Place::Request(CallNo(call), attempt), fault)
                }
                Strike::Start { lane, slot, generation, fault } => {
                    (Place::Start(lane, WorkerId { slot, generation }), fault)
                }
                Strike::Stop { lane, slot, generation, fault } => {
                    (Place::Stop(lane, WorkerId { slot, generation }), fault)
                }
                Strike::Moment { at_ns, lane, lot, fault } => {
                    let strikes = listed.moments.entry(fault).or_default();
                    strikes.push_back((Moment::from_nanos(at_ns), lane, lot));
                    continue;
                }
            };
            listed.places.insert(place, fault);
        }
        Self::Listed(listed)
    }

    /// Whether anything can go wrong.
    pub(crate) fn is_any(&self) -> bool {
        match self {
            Self::Drawn(drawn) => Fault::ALL.iter().any(|fault| drawn.rates.of(*fault) > 0),
            Self::Listed(listed) => !listed.places.is_empty() || !listed.moments.is_empty(),
        }
    }

    /// The fault that strikes here. One lot of the place's stream is spent in any case, so that
    /// what else it decides does not depend on faults.
    #[inline]
    pub(crate) fn strikes_at(&self, place: Place, stream: &mut Stream) -> Option<Fault> {
        let lot = stream.below(1_000_000) as u32;
        match self {
            Self::Drawn(drawn) => drawn.strikes_at(place, lot),
            Self::Listed(listed) => listed.places.get(&place).copied(),
        }
    }

    /// This kind strikes no more. Gives whether it could have.
    pub(crate) fn heal(&mut self, fault: Fault) -> bool {
        match self {
            Self::Drawn(drawn) => {
                let could = drawn.rates.of(fault) > 0;
                drawn.rates.set(fault, 0);
                drawn.request_total = drawn.rates.total(Strikes::Request);
                could
            }
            // A plan has no strike of a healed kind but where somebody wrote one in.
            Self::Listed(_) => true,
        }
    }

    /// When this kind strikes next, of those that strike at any moment.
    pub(crate) fn next(&mut self, now: Moment, fault: Fault) -> Option<Moment> {
        match self {
            Self::Drawn(drawn) => drawn.next(now, fault),
            Self::Listed(listed) => listed.moments.get(&fault)?.front().map(|strike| strike.0),
        }
    }

    /// It strikes at this moment, if it has not been healed: the lane, and a lot.
    pub(crate) fn strike(&mut self, now: Moment, fault: Fault) -> Option<(Lane, u64)> {
        match self {
            Self::Drawn(drawn) => drawn.strike(now, fault),
            Self::Listed(listed) => {
                let (_, lane, lot) = listed.moments.get_mut(&fault)?.pop_front()?;
                Some((lane, lot))
            }
        }
    }
}

impl Drawn {
    #[inline]
    fn strikes_at(&self, place: Place, lot: u32) -> Option<Fault> {
        let strikes = place.strikes();
        if strikes == Strikes::Request && lot >= self.request_total {
            return None;
        }
        let fault = self.rates.drawn(strikes, lot)?;
        self.note(Strike::at(place, fault));
        Some(fault)
    }

    fn stream(&mut self, fault: Fault) -> &mut Stream {
        let mut streams = self.moments.iter_mut();
        let found = streams.find(|(of, _)| *of == fault);
        found.map(|(_, stream)| stream).expect("each kind that strikes at a moment has a stream")
    }

    fn next(&mut self, now: Moment, fault: Fault) -> Option<Moment> {
        let rate = self.rates.of(fault);
        if rate == 0 {
            return None;
        }
        let gap = self.stream(fault).exponential(HOUR / u64::from(rate));
        Some(now + Duration::from_nanos(gap))
    }

    fn strike(&mut self, now: Moment, fault: Fault) -> Option<(Lane, u64)> {
        if self.rates.of(fault) == 0 {
            return None;
        }
        let stream = self.stream(fault);
        let lane = if stream.chance(500_000) { Lane::V2 } else { Lane::V3 };
        let lot = stream.below(LOTS);
        self.note(Strike::Moment { at_ns: now.as_nanos(), lane, lot, fault });
        Some((lane, lot))
    }

    fn note(&self, strike: Strike) {
        if let Some(notes) = &self.notes {
            notes.borrow_mut().push(strike);
        }
    }
}
