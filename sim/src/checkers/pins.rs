//! What the router must remember of a session, by R12 to R14.

use poolshift::clock::Moment;
use poolshift::router::policy::Reason;
use poolshift::{Class, Lane};

use crate::checkers::scene::Scene;
use crate::checkers::sessions::PinBook;
use crate::trace::{SessionNo, Stamp};

/// What the router decided for a session's call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) lane: Lane,
    pub(super) class: Class,
    pub(super) reason: Reason,
    pub(super) drawn: bool,
}

impl Choice {
    /// Whether the session's bucket decided, and not an operator or the caller.
    pub(super) const fn is_by_bucket(&self) -> bool {
        matches!(self.reason, Reason::Pinned | Reason::Percent)
    }
}

impl Scene {
    /// The session's pin, if it lives; and whether a kill since then may have dropped it.
    pub(super) fn pin(&self, session: SessionNo, now: Moment) -> Option<(&PinBook, bool)> {
        let pin = self.sessions.get(session)?.pin.as_ref()?;
        let alive = now < pin.touched + self.ground.pin_ttl;
        alive.then_some((pin, pin.kills != self.policies.kills))
    }

    /// The shares that govern a session's call: those of its draw, lowered by each policy since.
    pub(super) fn governing(&self, pin: Option<&PinBook>) -> [u32; 3] {
        let Some(pin) = pin else { return self.policies.percents };
        let mut percents = self.policies.lowest_since(pin.epoch);
        percents.iter_mut().zip(pin.percents).for_each(|(now, then)| *now = then.min(*now));
        percents
    }

    /// The share of the class, or the lowest one if that governs whole sessions.
    pub(super) fn share(&self, percents: [u32; 3], class: Class) -> u32 {
        let class = if self.ground.whole_sessions { Class::Critical } else { class };
        percents[class as usize]
    }

    /// Takes a session's route, after the laws have judged it.
    pub(super) fn remember_route(&mut self, stamp: Stamp, session: SessionNo, choice: Choice) {
        let pin = self.pin(session, stamp.at).map(|(pin, _)| *pin).filter(|_| !choice.drawn);
        let percents = self.governing(pin.as_ref());
        let share = self.share(percents, choice.class);
        let (epoch, kills) = (self.policies.epoch, self.policies.kills);
        let longest = self.ground.pin_ttl.max(self.ground.lane(Lane::V2).session_idle);
        let book = self.sessions.open(session, stamp.at, stamp.seq, stamp.at - longest);
        (book.seen, book.ended) = (stamp.at, false);
        book.lanes[choice.lane as usize] = true;
        if !choice.is_by_bucket() {
            return;
        }
        let same_epoch = pin.filter(|pin| pin.epoch == epoch);
        let mut lanes = same_epoch.map_or([None; 3], |pin| pin.lanes);
        lanes[choice.class as usize] = Some(choice.lane);
        book.pin = Some(PinBook { touched: stamp.at, percents, epoch, kills, lanes });
        book.drawn |= choice.drawn;
        match choice.lane {
            Lane::V2 => book.bucket.0 = book.bucket.0.max(share),
            Lane::V3 => book.bucket.1 = book.bucket.1.min(share),
        }
    }
}
