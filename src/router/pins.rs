//! Live sessions keep their lane while the percentages move (R12-R14).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::call::{Class, Lane, SessionId};
use crate::clock::Moment;
use crate::machine::idle::IdleMap;
use crate::router::bucket::draw;
use crate::router::guard::Marks;
use crate::router::policy::{Decision, Percents, Policy, Reason};

/// Pins are spread over this many locks, so that 32 callers rarely meet at one.
pub const SHARDS: usize = 64;

/// Expired pins dropped by one decision, so that no call pays for many.
const SWEEP: usize = 4;

/// The shard that holds the session's pin, from 0 to below [`SHARDS`]; by a hash of its own,
/// since a rollout must not fill some shards first.
#[must_use]
pub fn shard_of(session: &SessionId) -> usize {
    let mut hasher = DefaultHasher::new();
    session.hash(&mut hasher);
    hasher.finish() as usize % SHARDS
}

/// One shard of the pins. The caller holds its lock over the load of the policy and the
/// decision, so two first calls of a session cannot part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinShard {
    pins: IdleMap<SessionId, Pin>,
    ttl: Duration,
    max_pins: usize,
    evicted: u64,
    /// No pin expires before; until then nobody looks.
    none_expires_before: Moment,
}

/// The class percentages that were in force at a live session's first call.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pin {
    bucket: u32,
    percents: Percents,
    /// The session's first call.
    born: Moment,
    /// What the guards of a ramp know of it, if it began during one. Boxed: a pin is looked up
    /// at every call, and half a cache line long without it.
    marked: Option<Box<Marked>>,
}

/// What the guards of a ramp know of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Whose marks they are: another ramp's guards have others.
    pub serial: u64,
    /// As a session whose calls are judged.
    pub called: Marks,
    /// As one whose answers are compared with those of another lane.
    pub compared: Marks,
}

/// The pins of one lane, seen at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PinCensus {
    /// Live sessions that have at least their reads in this lane.
    pub count: usize,
    /// From the first call of the oldest session until now.
    pub oldest: Duration,
    /// The ages of all, added up; divided by `count` it is their mean.
    pub ages: Duration,
    /// From the last call of the session that has been silent longest until now.
    pub longest_idle: Duration,
}

impl PinCensus {
    /// Adds the pins of another shard.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            oldest: self.oldest.max(other.oldest),
            ages: self.ages + other.ages,
            longest_idle: self.longest_idle.max(other.longest_idle),
        }
    }
}

impl PinShard {
    /// No pins; each is forgotten `ttl` after its last call, the longest idle one when there
    /// are more than `max_pins`.
    #[must_use]
    pub fn new(ttl: Duration, max_pins: usize) -> Self {
        let (pins, max_pins) = (IdleMap::new(), max_pins.max(1));
        Self { pins, ttl, max_pins, evicted: 0, none_expires_before: Moment::ZERO }
    }

    /// The lane of a session's call. Its first call draws the session's bucket and pins it;
    /// while the kill switch is on, nothing is pinned.
    pub fn decide(
        &mut self,
        now: Moment,
        session: &SessionId,
        class: Class,
        policy: &Policy,
    ) -> Decision {
        self.forget_expired(now);
        let (epoch, rule) = (policy.epoch, None);
        if policy.killed {
            let (lane, reason) = (Lane::V2, Reason::Killed);
            return Decision { lane, reason, epoch, drawn: false, rule };
        }
        // One look-up, which is what a pinned session's call pays for.
        let known = self.pins.touch_again(session, now);
        if let Some((_, pin)) = known.filter(|(used, _)| *used + self.ttl > now) {
            // A rollback that has not reached this shard yet counts all the same.
            pin.percents = pin.percents.lower(policy.percents);
            let lane = policy.lane(&pin.percents, class, pin.bucket);
            return Decision { lane, reason: Reason::Pinned, epoch, drawn: false, rule };
        }
        let bucket = draw(&policy.flag, session.as_str()).bucket;
        let pin = Pin { bucket, percents: policy.percents, born: now, marked: None };
        self.pin(now, session, pin);
        let lane = policy.lane(&policy.percents, class, bucket);
        Decision { lane, reason: Reason::Percent, epoch, drawn: true, rule }
    }

    /// In place of one that has expired and was not swept away yet, if there is one.
    fn pin(&mut self, now: Moment, session: &SessionId, pin: Pin) {
        self.end(session);
        self.make_room();
        self.pins.insert(session.clone(), now, pin);
        self.none_expires_before = self.none_expires_before.min(now + self.ttl);
    }

    /// A live session made a call that was not drawn: its pin lives on (R14).
    pub fn refresh(&mut self, now: Moment, session: &SessionId) {
        let known = self.pins.touch_again(session, now);
        if known.is_some_and(|(used, _)| used + self.ttl <= now) {
            self.end(session);
        }
    }

    /// Follows a change of policy: the kill switch drops the pins of V3, a rollback lowers pins
    /// at once, and a raise leaves them. Walks over all pins of the shard, at most its
    /// `max_pins`, once for each change.
    pub fn follow(&mut self, policy: &Policy) {
        if policy.killed {
            let in_v3 = self.of_lane(policy, Lane::V3);
            let dropped: Vec<SessionId> = in_v3.map(|(session, ..)| session.clone()).collect();
            dropped.iter().for_each(|session| self.end(session));
        }
        for pin in self.pins.values_mut() {
            pin.percents = pin.percents.lower(policy.percents);
        }
    }

    /// The session was drawn just now, and guards are to know it.
    pub(super) fn mark(&mut self, session: &SessionId, mark: Marked) {
        if let Some(pin) = self.pins.get_mut(session) {
            pin.marked = Some(Box::new(mark));
        }
    }

    /// What guards know of a session.
    pub(super) fn marked(&mut self, session: &SessionId) -> Option<&mut Marked> {
        self.pins.get_mut(session)?.marked.as_deref_mut()
    }

    /// The session is over.
    pub fn end(&mut self, session: &SessionId) {
        self.pins.remove(session);
    }

    /// The live sessions that have at least their reads in this lane.
    #[must_use]
    pub fn census(&self, now: Moment, policy: &Policy, lane: Lane) -> PinCensus {
        let live = self.of_lane(policy, lane).filter(|(_, used, _)| *used + self.ttl > now);
        live.fold(PinCensus::default(), |census, (_, used, pin)| {
            let (age, idle) = (now.since(pin.born), now.since(used));
            census.with(PinCensus { count: 1, oldest: age, ages: age, longest_idle: idle })
        })
    }

    /// How many pins went because there were too many.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    fn of_lane<'a>(
        &'a self,
        policy: &'a Policy,
        lane: Lane,
    ) -> impl Iterator<Item = (&'a SessionId, Moment, &'a Pin)> {
        let in_lane = move |pin: &Pin| policy.lane(&pin.percents, Class::Read, pin.bucket) == lane;
        self.pins.iter().filter(move |(_, _, pin)| in_lane(pin))
    }

    fn forget_expired(&mut self, now: Moment) {
        if now < self.none_expires_before {
            return;
        }
        let expired = |used| used + self.ttl <= now;
        let swept = std::iter::from_fn(|| self.pins.forget_idle(expired));
        swept.take(SWEEP).for_each(drop);
        let earliest = self.pins.earliest().unwrap_or(now);
        self.none_expires_before = earliest + self.ttl;
    }

    /// The longest idle pin goes when there are too many.
    fn make_room(&mut self) {
        if self.pins.len() >= self.max_pins && self.pins.forget_idle(|_| true).is_some() {
            self.evicted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::router::percent::Percent;

    const TTL: Duration = Duration::from_secs(60);

    fn policy(percent: &str) -> Policy {
        let percents = Percents::all(percent.parse::<Percent>().unwrap());
        Policy { percents, ..Policy::initial("v3-rollout", false) }
    }

    #[test]
    fn sessions_are_spread_over_the_shards() {
        let mut sessions = [0; SHARDS];
        for n in 0..100 * SHARDS {
            sessions[shard_of(&SessionId::new(&format!("session-{n}")).unwrap())] += 1;
        }
        assert!(sessions.iter().all(|count| (50..200).contains(count)), "{sessions:?}");
    }

    fn second(n: u64) -> Moment {
        Moment::from_nanos(n * 1_000_000_000)
    }

    fn session() -> SessionId {
        // Bucket 15351: in V3 from 15.352 % on.
        SessionId::new("session-1").unwrap()
    }

    fn lane(shard: &mut PinShard, at: u64, percent: &str) -> Lane {
        shard.decide(second(at), &session(), Class::Read, &policy(percent)).lane
    }

    #[test]
    fn r13_raising_leaves_live_sessions_and_rolling_back_moves_them() {
        let mut shard = PinShard::new(TTL, 10);
        assert_eq!(lane(&mut shard, 0, "10"), Lane::V2);
        assert_eq!(lane(&mut shard, 1, "100"), Lane::V2, "pinned at 10 %");
        shard.end(&session());
        assert_eq!(lane(&mut shard, 2, "50"), Lane::V3);
        assert_eq!(lane(&mut shard, 3, "10"), Lane::V2, "cut");
        assert_eq!(lane(&mut shard, 4, "50"), Lane::V2, "and it stays where the cut put it");
    }

    #[test]
    fn r13_a_rollback_reaches_sessions_that_did_not_call_meanwhile() {
        let mut shard = PinShard::new(TTL, 10);
        assert_eq!(lane(&mut shard, 0, "50"), Lane::V3);
        shard.follow(&policy("10"));
        assert_eq!(lane(&mut shard, 1, "50"), Lane::V2);
    }

    #[test]
    fn r13_kill_beats_pins_and_drops_those_of_v3() {
        let mut shard = PinShard::new(TTL, 10);
        assert_eq!(lane(&mut shard, 0, "50"), Lane::V3);
        let killed = Policy { killed: true, ..policy("50") };
        let decision = shard.decide(second(1), &session(), Class::Read, &killed);
        assert_eq!((decision.lane, decision.reason), (Lane::V2, Reason::Killed));
        shard.follow(&killed);
        assert_eq!(shard.pins.len(), 0);
        assert!(shard.decide(second(2), &session(), Class::Read, &policy("50")).drawn);
    }

    #[test]
    fn r14_a_pin_is_refreshed_by_each_call_and_forgotten_when_idle() {
        let mut shard = PinShard::new(TTL, 10);
        assert_eq!(lane(&mut shard, 0, "10"), Lane::V2);
        assert_eq!(lane(&mut shard, 59, "100"), Lane::V2);
        assert_eq!(lane(&mut shard, 118, "100"), Lane::V2);
        assert_eq!(lane(&mut shard, 178, "100"), Lane::V3);
    }

    #[test]
    fn r14_the_longest_idle_pin_goes_first() {
        let mut shard = PinShard::new(TTL, 2);
        for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
            let session = SessionId::new(name).unwrap();
            shard.decide(second(at as u64), &session, Class::Read, &policy("50"));
        }
        let names = shard.pins.iter().map(|(session, ..)| session.as_str());
        let names: BTreeSet<&str> = names.collect();
        assert_eq!((names, shard.evicted()), (["b", "c"].into(), 1));
    }

    #[test]
    fn r14_a_census_tells_how_many_sessions_live_in_a_lane_and_how_old_they_are() {
        let mut shard = PinShard::new(TTL, 10);
        for (at, name) in [(0, "session-1"), (10, "session-3"), (30, "session-2")] {
            let session = SessionId::new(name).unwrap();
            shard.decide(second(at), &session, Class::Read, &policy("50"));
        }
        shard.decide(second(40), &session(), Class::Read, &policy("50"));
        let seconds = Duration::from_secs;
        let census = |at, lane| shard.census(second(at), &policy("50"), lane);
        let (oldest, ages, longest_idle) = (seconds(45), seconds(60), seconds(15));
        let in_v3 = PinCensus { count: 2, oldest, ages, longest_idle };
        assert_eq!(census(45, Lane::V3), in_v3, "buckets 15351 and 13679");
        assert_eq!(census(45, Lane::V2).count, 1, "bucket 61477");
        assert_eq!(census(95, Lane::V3).count, 1, "what has expired is not alive");
        let sum = in_v3.with(census(45, Lane::V2));
        assert_eq!((sum.count, sum.oldest, sum.longest_idle), (3, seconds(45), seconds(35)));
    }

    #[test]
    fn r12_a_session_may_be_governed_as_a_whole() {
        let (high, low) = ("50".parse().unwrap(), "1".parse().unwrap());
        let percents = Percents::new(high, high, low).unwrap();
        let per_class = Policy { percents, ..policy("0") };
        let whole = Policy { whole_sessions: true, ..per_class.clone() };
        let mut shard = PinShard::new(TTL, 10);
        let mut lane =
            |policy: &Policy, class| shard.decide(second(0), &session(), class, policy).lane;
        assert_eq!(lane(&per_class, Class::Read), Lane::V3);
        assert_eq!(lane(&per_class, Class::Critical), Lane::V2);
        assert_eq!(lane(&whole, Class::Read), Lane::V2);
    }
}
