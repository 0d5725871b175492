//! Which session lives on which slot, and what it lost there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::call::SessionId;
use crate::clock::Moment;
use crate::machine::Ticket;
use crate::machine::idle::IdleMap;
use crate::machine::slot_set::SlotSet;

/// Bonds are small, and a caller that never reuses a session would else grow the table for as
/// long as `session_idle`; the longest idle bond goes first.
const MAX_BONDS: usize = 200_000;

/// Sessions bound to slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// By when their last call finished; one with unfinished calls is in use for ever.
    bonds: IdleMap<SessionId, Bond>,
    /// The sessions bound to each slot.
    bound: Vec<BTreeSet<SessionId>>,
    /// The slots in order of how many sessions are bound to each, those that are lent last.
    by_load: BTreeSet<Load>,
    /// The slots whose workers run shadows (R16).
    lent: SlotSet,
    idle_limit: Duration,
}

/// Whether a slot is lent, how many sessions are bound to it, and its number.
type Load = (bool, usize, u32);

/// What one session has in the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bond {
    place: Place,
    /// Admitted calls that are not finished.
    unfinished: usize,
    /// The session was ended while calls were unfinished.
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Its next call is bound to the slot with the fewest bonds.
    Free,
    /// Its calls run on this slot.
    Bound(u32),
    /// Its worker died, and no call of it has been told yet.
    Lost,
}

/// What became of a session whose worker died while calls of it waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The oldest waiting call, which is told.
    pub told: Ticket,
    /// The slot to which the session is bound anew, and its other calls, which wait there now.
    pub moved: Option<(u32, Vec<Ticket>)>,
}

impl Affinity {
    /// No bonds, `slots` slots; a bond without calls is forgotten after `idle_limit`.
    #[must_use]
    pub fn new(slots: usize, idle_limit: Duration) -> Self {
        let bound = vec![BTreeSet::new(); slots];
        let by_load = (0..).take(slots).map(|slot| (false, 0, slot)).collect();
        Self { bonds: IdleMap::new(), bound, by_load, lent: SlotSet::default(), idle_limit }
    }

    /// A call of the session begins: the slot where it runs, or `None` if it is the one to be
    /// told that the session was lost.
    pub fn admit(&mut self, now: Moment, session: &SessionId) -> Option<u32> {
        self.forget_expired(now);
        let known = self.bonds.touch(session, Moment::NEVER).map(Bond::call_begins);
        let place = known.unwrap_or_else(|| {
            self.make_room();
            self.bonds.insert(session.clone(), now, Bond::new());
            let bond = self.bonds.touch(session, Moment::NEVER);
            bond.expect("it was inserted above").call_begins()
        });
        match place {
            Place::Bound(slot) => Some(slot),
            Place::Free => Some(self.bind(session)),
            Place::Lost => {
                self.bond(session).place = Place::Free;
                None
            }
        }
    }

    /// Binds to the slot with the fewest bonds; a slot whose worker died has none.
    fn bind(&mut self, session: &SessionId) -> u32 {
        let (.., slot) = *self.by_load.first().expect("a pool has slots");
        self.change(slot, |bound| bound.insert(session.clone()));
        self.bond(session).place = Place::Bound(slot);
        slot
    }

    /// Whether no session is bound to the slot.
    #[must_use]
    pub fn is_free(&self, slot: u32) -> bool {
        self.bound[slot as usize].is_empty()
    }

    /// The slot's worker has been lent to a shadow, or is back. A session is bound to a slot that
    /// is lent only if there is no other, so that its calls do not wait for the shadow.
    pub fn lend(&mut self, slot: u32, lent: bool) {
        if self.lent.contains(slot) == lent {
            return;
        }
        self.by_load.remove(&self.load(slot));
        if lent {
            self.lent.insert(slot)
        } else {
            self.lent.remove(slot)
        };
        self.by_load.insert(self.load(slot));
    }

    fn load(&self, slot: u32) -> Load {
        (self.lent.contains(slot), self.bound[slot as usize].len(), slot)
    }

    /// The slot to which the session is bound, if it is.
    #[must_use]
    pub fn slot(&self, session: &SessionId) -> Option<u32> {
        match self.bonds.get(session)?.1.place {
            Place::Bound(slot) => Some(slot),
            Place::Free | Place::Lost => None,
        }
    }

    /// An admitted call of the session is over.
    pub fn finished(&mut self, now: Moment, session: &SessionId) {
        let over = |bond: &mut Bond| {
            bond.unfinished -= 1;
            if bond.unfinished > 0 { Moment::NEVER } else { now }
        };
        let bond = self.bonds.touch_as(session, over);
        let (_, bond) = bond.expect("an unfinished call keeps its session's bond");
        let is_over = bond.unfinished == 0;
        if is_over && (bond.ended || bond.place == Place::Free) {
            self.remove(session);
        }
    }

    /// The slot's worker is gone, and every session bound to it lost what it had there (R10);
    /// so a death costs as much as there were sessions, and calls `waiting` for it, to lose.
    pub fn slot_lost<'a>(
        &mut self,
        slot: u32,
        waiting: impl Iterator<Item = (&'a SessionId, Ticket)>,
    ) -> Vec<Loss> {
        let mut calls: BTreeMap<&SessionId, VecDeque<Ticket>> = BTreeMap::new();
        waiting.for_each(|(session, call)| calls.entry(session).or_default().push_back(call));
        let mut losses = Vec::new();
        for session in self.change(slot, std::mem::take) {
            let mut rest = calls.remove(&session).unwrap_or_default();
            let Some(told) = rest.pop_front() else {
                self.bond(&session).place = Place::Lost;
                continue;
            };
            self.bond(&session).place = Place::Free;
            let moved = (!rest.is_empty()).then(|| (self.bind(&session), rest.into()));
            losses.push(Loss { told, moved });
        }
        assert!(calls.is_empty(), "calls of {calls:?} waited where their sessions were not bound");
        losses
    }

    /// The session is over: at once, or when its unfinished calls are.
    pub fn end(&mut self, session: &SessionId) {
        let Some(bond) = self.bonds.get_mut(session) else { return };
        if bond.unfinished == 0 {
            self.remove(session);
        } else {
            bond.ended = true;
        }
    }

    /// Bonds and loss marks expire with `session_idle`.
    fn forget_expired(&mut self, now: Moment) {
        let limit = self.idle_limit;
        while let Some((session, bond)) = self.bonds.forget_idle(|used| used + limit <= now) {
            self.unbind(&session, bond);
        }
    }

    /// At most [`MAX_BONDS`] are kept, beside those of unfinished calls.
    fn make_room(&mut self) {
        if self.bonds.len() >= MAX_BONDS
            && let Some((session, bond)) = self.bonds.forget_idle(|used| used != Moment::NEVER)
        {
            self.unbind(&session, bond);
        }
    }

    fn remove(&mut self, session: &SessionId) {
        let bond = self.bonds.remove(session).expect("only known sessions are removed");
        self.unbind(session, bond);
    }

    fn unbind(&mut self, session: &SessionId, bond: Bond) {
        if let Place::Bound(slot) = bond.place {
            self.change(slot, |bound| bound.remove(session));
        }
    }

    /// Changes who is bound to a slot, and the slot's place in the order with it.
    fn change<T>(&mut self, slot: u32, change: impl FnOnce(&mut BTreeSet<SessionId>) -> T) -> T {
        self.by_load.remove(&self.load(slot));
        let changed = change(&mut self.bound[slot as usize]);
        self.by_load.insert(self.load(slot));
        changed
    }

    fn bond(&mut self, session: &SessionId) -> &mut Bond {
        self.bonds.get_mut(session).expect("an unfinished call keeps its session's bond")
    }
}

impl Bond {
    fn new() -> Self {
        Self { place: Place::Free, unfinished: 0, ended: false }
    }

    fn call_begins(&mut self) -> Place {
        self.unfinished += 1;
        self.ended = false;
        self.place
    }
}
