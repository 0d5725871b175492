//! What both pools of a world share: time, chance, the callers, and the trace.

use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::machine::Ticket;
use poolshift::{Lane, WorkerId};

use crate::fault::Fault;
use crate::hazard::{Hazard, Place};
use crate::options::Options;
use crate::rng::{Domain, Lots, Seed, Stream};
use crate::trace::{Event, Stamp, TraceHasher, Watcher};
use crate::world::agenda::Agenda;
use crate::world::bookings::Bookings;

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The plan's next call.
    Arrival,
    /// The operators' next act.
    Act,
    /// A caller goes away.
    Cancel(Ticket),
    /// A caller looks at its mail.
    Caller(Ticket),
    /// A pool's timer wakes.
    Timer(Lane),
    /// Something about one worker.
    Worker(Lane, WorkerId, Matter),
    /// A fault that strikes at any moment.
    Strike(Fault),
}

/// What is due about a worker; first what its process does, then what the host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matter {
    /// It has come so far that it can answer its start ping.
    Born,
    /// It does what it does at the end of its work.
    Works,
    /// It ends by itself, as it was asked to.
    Leaves,
    /// Whoever holds its link reads from its pipe.
    Heard,
    /// Its keeper sees that its process has ended.
    Noticed,
    /// Its time to start is over.
    StartLimit,
    /// It is asked whether it is well.
    Ping,
    /// Its time to answer that is over.
    PingLimit,
    /// It gets SIGTERM.
    Terminate,
    /// It gets SIGKILL.
    Kill,
}

impl Due {
    /// What is due, as a number: equal for equal things only.
    #[inline]
    pub(crate) const fn code(self) -> u64 {
        let (tag, rest) = match self {
            Self::Arrival => (0, 0),
            Self::Act => (1, 0),
            Self::Cancel(ticket) => (2, ticket.0),
            Self::Caller(ticket) => (3, ticket.0),
            Self::Timer(lane) => (4, lane as u64),
            Self::Strike(fault) => (5, fault as u64),
            Self::Worker(lane, worker, matter) => {
                let slot = (worker.slot as u64) << 1 | lane as u64;
                (6 + matter as u64, slot << 32 | worker.generation as u64)
            }
        };
        tag << 60 | rest
    }

    /// Whether the host does it, and so cannot while it stands still.
    pub(crate) const fn is_the_hosts(self) -> bool {
        match self {
            Self::Strike(_) => false,
            Self::Worker(_, _, matter) => {
                !matches!(matter, Matter::Born | Matter::Works | Matter::Leaves)
            }
            _ => true,
        }
    }
}

/// Time, chance, callers and trace.
#[derive(Debug)]
pub(crate) struct Scene<W> {
    pub(crate) now: Moment,
    pub(crate) seed: Seed,
    pub(crate) options: Options,
    pub(crate) bookings: Bookings,
    /// Callers that look at their mail before anything else happens.
    pub(crate) rings: Vec<Ticket>,
    pub(crate) stalled_until: Moment,
    pub(crate) exhausted_until: Moment,
    pub(crate) faults: [u64; Fault::ALL.len()],
    pub(crate) watcher: W,
    pub(crate) hasher: TraceHasher,
    pub(crate) told: u64,
    agenda: Agenda<Due>,
    lags: Lots,
    pub(crate) hazard: Hazard,
}

impl<W: Watcher> Scene<W> {
    pub(crate) fn new(seed: Seed, options: Options, hazard: Hazard, watcher: W) -> Self {
        Self {
            now: Moment::ZERO,
            seed,
            bookings: Bookings::new(),
            rings: Vec::new(),
            stalled_until: Moment::ZERO,
            exhausted_until: Moment::ZERO,
            faults: [0; Fault::ALL.len()],
            watcher,
            hasher: TraceHasher::new(),
            told: 0,
            agenda: Agenda::new(seed.lots(Domain::Order)),
            lags: seed.lots(Domain::Lag),
            hazard,
            options,
        }
    }

    /// An event of nobody's pool.
    pub(crate) fn tell(&mut self, event: Event) {
        self.tell_in(None, event);
    }

    #[inline]
    pub(crate) fn tell_in(&mut self, lane: impl Into<Option<Lane>>, event: Event) {
        let stamp = Stamp { at: self.now, seq: self.told, lane: lane.into() };
        self.told += 1;
        self.hasher.event(stamp, &event);
        self.watcher.event(stamp, &event);
    }

    pub(crate) fn strike(&mut self, lane: Option<Lane>, fault: Fault, worker: Option<WorkerId>) {
        self.faults[fault.index()] += 1;
        self.tell_in(lane, Event::Fault { fault, worker });
    }

    pub(crate) fn heal(&mut self, fault: Fault) {
        if self.hazard.heal(fault) {
            self.tell(Event::Heal { fault });
        }
    }

    /// The fault that strikes here, if any.
    #[inline]
    pub(crate) fn draw(&self, place: Place, stream: &mut Stream) -> Option<Fault> {
        self.hazard.strikes_at(place, stream)
    }

    /// What the host or a worker does at this moment; not before the present one.
    #[inline]
    pub(crate) fn at(&mut self, at: Moment, due: Due) {
        self.agenda.put(at.max(self.now), due.code(), due);
    }

    pub(crate) fn after(&mut self, span: Duration, due: Due) {
        self.at(self.now + span, due);
    }

    /// What the host does next: at once or a little later, but in any order with the rest.
    pub(crate) fn soon(&mut self, due: Due) {
        let span = self.lag(due).unwrap_or(Duration::ZERO);
        self.after(span, due);
    }

    /// How long the host takes to get to what is due; nothing if it does so before all else.
    #[inline]
    pub(crate) fn lag(&mut self, due: Due) -> Option<Duration> {
        if self.options.lags == 0 {
            return self.is_stalled().then_some(Duration::ZERO);
        }
        let lot = self.lags.draw(due.code(), self.now.as_nanos());
        let (chance, length) = (lot >> 32, lot & u64::from(u32::MAX));
        if (chance * 1_000_000) >> 32 >= u64::from(self.options.lags) {
            return self.is_stalled().then_some(Duration::ZERO);
        }
        let longest = self.options.host_lag.as_nanos() as u64;
        // Half of them take no time at all: what is due at one moment comes in any order.
        let lag = (u128::from(length) * u128::from(2 * longest + 2)) >> 32;
        Some(Duration::from_nanos((lag as u64).saturating_sub(longest)))
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.now < self.stalled_until
    }

    /// Takes what is due next, and moves time there.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Due> {
        let (at, due) = self.agenda.take()?;
        self.now = at;
        Some(due)
    }

    /// A caller that is rung; chance decides which, if there are several.
    #[inline]
    pub(crate) fn take_ring(&mut self) -> Option<Ticket> {
        match self.rings.len() {
            0 | 1 => self.rings.pop(),
            _ => {
                let (lots, now) = (self.lags, self.now.as_nanos());
                let lot = |ticket: &Ticket| lots.draw(Due::Caller(*ticket).code(), now);
                let (first, _) = self.rings.iter().enumerate().min_by_key(|it| lot(it.1))?;
                Some(self.rings.swap_remove(first))
            }
        }
    }

    /// Wakes a caller: before anything else happens, or when the host gets to it.
    pub(crate) fn ring(&mut self, ticket: Ticket) {
        match self.lag(Due::Caller(ticket)) {
            None => self.rings.push(ticket),
            Some(lag) => self.after(lag, Due::Caller(ticket)),
        }
    }
}
