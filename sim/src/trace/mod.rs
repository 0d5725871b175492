//! The contract between a run and those who judge it: what happened, seen from outside the
//! pools.
//!
//! A run tells its [`Watcher`] one [`Ground`], then every [`Event`] in order, then one
//! [`Closing`]. Nothing here names a queue, a slot's state or any other part of a machine: an
//! event is what a caller, a worker's process, an operator or the operating system could have
//! seen. So a law that is checked on a trace holds for every implementation, planted ones
//! included.
//!
//! A call's life reads like this; what is in brackets is rare.
//!
//! ```text
//! Submit > Route > [Enqueue] > Lease > Dispatch > Executes > Writes > Reply > Done
//!                                \ > [Broke] > [Enqueue] > Lease …     (R1: no byte accepted)
//!                                     \ > [Broke] > Done               (its worker was lost)
//! Cancel > [Broke > Abandon > Reply] > Done                            (R3: the late reply)
//! ```
//!
//! A lease can outlive its call: a caller whose call has timed out may read the reply before it
//! looks up, so a `Reply` or `Broke` may follow the call's `Done`. It must change nothing.
//!
//! A worker's: `Start > Writes > Ready > (leases and probes) > [Stop] > Exit > Reaped`, or
//! `Start > [Exit] > StartFailed`.

mod event;
mod ground;
mod hash;

pub use event::{CallNo, Cause, Event, ExitHow, Fault, Frame, Phase, Refused, SessionNo, Unready};
pub use ground::{Closing, Ground, LaneClosing, LaneGround};
pub use hash::{TraceHash, TraceHasher};

use poolshift::Lane;
use poolshift::clock::Moment;

/// When and where an event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The moment, in nanoseconds of the run's clock. It never goes back.
    pub at: Moment,
    /// Counts the run's events from 0, without a gap. Events of one moment are in this order.
    pub seq: u64,
    /// The lane, for events of a pool; `None` for those of callers, router, operator and world.
    pub lane: Option<Lane>,
}

/// Somebody who looks on: a checker, a hash, a timeline, a histogram.
///
/// A watcher sees each event once and may keep only what it needs later, so that a run of
/// millions of calls needs bounded memory. A call may be forgotten at its [`Event::Done`]; only
/// executions may follow it.
pub trait Watcher {
    /// The run begins; `ground` is what its pools and its world promise.
    fn begin(&mut self, ground: &Ground) {
        let _ = ground;
    }

    /// Something happened.
    fn event(&mut self, stamp: Stamp, event: &Event);

    /// The run is over: both pools are drained, and no event follows.
    fn end(&mut self, closing: &Closing) {
        let _ = closing;
    }

    /// Whether the run may be stopped, because a law is broken. Asked after every event, so it
    /// must cost no more than reading a flag.
    fn has_seen_enough(&self) -> bool {
        false
    }
}

/// Nobody looks on.
impl Watcher for () {
    fn event(&mut self, _: Stamp, _: &Event) {}
}

/// Two look on, in this order; pairs nest.
impl<A: Watcher, B: Watcher> Watcher for (A, B) {
    fn begin(&mut self, ground: &Ground) {
        self.0.begin(ground);
        self.1.begin(ground);
    }

    #[inline]
    fn event(&mut self, stamp: Stamp, event: &Event) {
        self.0.event(stamp, event);
        self.1.event(stamp, event);
    }

    fn end(&mut self, closing: &Closing) {
        self.0.end(closing);
        self.1.end(closing);
    }

    #[inline]
    fn has_seen_enough(&self) -> bool {
        self.0.has_seen_enough() || self.1.has_seen_enough()
    }
}

/// The watcher stays with the caller, who can ask it even if the run panics.
impl<W: Watcher> Watcher for &mut W {
    fn begin(&mut self, ground: &Ground) {
        (**self).begin(ground);
    }

    #[inline]
    fn event(&mut self, stamp: Stamp, event: &Event) {
        (**self).event(stamp, event);
    }

    fn end(&mut self, closing: &Closing) {
        (**self).end(closing);
    }

    #[inline]
    fn has_seen_enough(&self) -> bool {
        (**self).has_seen_enough()
    }
}

/// One looks on, if there is one.
impl<W: Watcher> Watcher for Option<W> {
    fn begin(&mut self, ground: &Ground) {
        self.iter_mut().for_each(|watcher| watcher.begin(ground));
    }

    #[inline]
    fn event(&mut self, stamp: Stamp, event: &Event) {
        if let Some(watcher) = self {
            watcher.event(stamp, event);
        }
    }

    fn end(&mut self, closing: &Closing) {
        self.iter_mut().for_each(|watcher| watcher.end(closing));
    }

    #[inline]
    fn has_seen_enough(&self) -> bool {
        self.as_ref().is_some_and(Watcher::has_seen_enough)
    }
}

/// Keeps everything, for short runs and their timelines.
impl Watcher for Vec<(Stamp, Event)> {
    fn event(&mut self, stamp: Stamp, event: &Event) {
        self.push((stamp, *event));
    }
}
