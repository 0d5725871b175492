//! A ramp that was not: recorded calls through the real draws, guards and steps, by their clock.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Serialize;

use crate::call::{Class, Lane, SessionId};
use crate::clock::{Moment, Wall};
use crate::error::Outcome;
use crate::router::bucket::draw;
use crate::router::guard::slow::Thresholds;
use crate::router::guard::strata::Strata;
use crate::router::guard::{Arm, Arms, Drawn, Guards, Marks, Metric, Unit};
use crate::router::percent::Percent;
use crate::router::pins::PinShard;
use crate::router::policy::{Percents, Policy};
use crate::router::ramp::assessment::{Situation, assess};
use crate::router::ramp::conditions::{Capacity, Drill};
use crate::router::ramp::machine::{Position, Ramp};
use crate::router::ramp::plan::Plan;
use crate::router::ramp::verdict::{Says, Verdict};

/// How often a ramp is judged, as in a running process.
const LOOK: Duration = Duration::from_secs(1);

/// One recorded call.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// When it was submitted, since the record began.
    pub submitted: Duration,
    /// From its planned arrival to its outcome.
    pub total: Duration,
    /// Its id, by which it is drawn if it has no session.
    pub id: String,
    /// What was asked.
    pub command: String,
    /// The command's class.
    pub class: Class,
    /// The session, if it was in one.
    pub session: Option<SessionId>,
    /// Where it went.
    pub lane: Lane,
    /// What came of it.
    pub outcome: Outcome,
}

/// What does not come from the record.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The salt of the draws.
    pub flag: String,
    /// Whether the lowest share governs a whole session.
    pub whole_sessions: bool,
    /// How long a pin lives without calls.
    pub pin_ttl: Duration,
    /// How many pins are kept.
    pub max_pins: usize,
}

/// How the ramp went.
#[derive(Clone, Debug, Serialize)]
pub struct Replayed {
    /// When each position was reached, in order.
    pub positions: Vec<Reached>,
    /// The last verdict; a rollback and a completed plan end the replay.
    pub verdict: Verdict,
    /// When that was, in seconds since the record began.
    pub at_s: f64,
    /// Whether the plan was done.
    pub completed: bool,
    /// Calls whose outcome is their own: they were sent where they had been.
    pub own: u64,
    /// Calls that were sent to the other lane, and took an outcome of the same command there.
    pub borrowed: u64,
    /// Calls of which nothing is known: no call of their command was recorded in that lane.
    pub unknown: u64,
}

/// A position of the ramp.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// Which one.
    pub position: Position,
    /// When, in seconds since the record began.
    pub at_s: f64,
    /// The shares in force from then on.
    pub percents: Percents,
}

/// Replays a record through a plan, once. Its draws are those that running processes would make;
/// a call that they send to the other lane takes the outcome of some call of its command there,
/// always the same one. That V2 could take everything back and that the kill switch works is
/// taken for granted, and a record has no shadows: mismatches are not judged.
///
/// ```
/// use poolshift::router::ramp::{Plan, Terms, replay};
///
/// let terms = Terms {
///     flag: "v3-rollout".to_owned(),
///     whole_sessions: false,
///     pin_ttl: std::time::Duration::from_secs(3600),
///     max_pins: 1000,
/// };
/// let nothing = replay(&[], Plan::standard(), &terms);
/// assert!(!nothing.completed);
/// ```
#[must_use]
pub fn replay(record: &[Recorded], mut plan: Plan, terms: &Terms) -> Replayed {
    plan.shadow = None;
    plan.gauntlet.clear();
    plan.guards.bounds.remove(&Metric::Mismatches);
    let mut events: Vec<(Duration, Event)> = Vec::with_capacity(2 * record.len());
    for (index, call) in record.iter().enumerate() {
        events.push((call.submitted, Event::Begins(index)));
        events.push((call.submitted + call.total, Event::Ends(index)));
    }
    events.sort();
    let mut service = Service::new(record, plan, terms);
    let mut now = Duration::ZERO;
    let mut verdict = service.judge(now);
    for (at, event) in events {
        while now + LOOK <= at && !service.is_over(&verdict) {
            now += LOOK;
            verdict = service.judge(now);
        }
        if service.is_over(&verdict) {
            break;
        }
        match event {
            Event::Begins(index) => service.begins(index, at),
            Event::Ends(index) => service.ends(index, at),
        }
    }
    if !service.is_over(&verdict) {
        now += LOOK;
        verdict = service.judge(now);
    }
    Replayed {
        completed: service.ramp.position() == Position::Done,
        positions: service.positions,
        verdict,
        at_s: now.as_secs_f64(),
        own: service.own,
        borrowed: service.borrowed,
        unknown: service.unknown,
    }
}

/// What happens to a call of the record, by its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ends(usize),
    Begins(usize),
}

/// Outcomes to borrow, by command and lane.
pub(super) type Pool<'a> = HashMap<(&'a str, Lane), Vec<(Outcome, Duration)>>;

struct Service<'a> {
    record: &'a [Recorded],
    pool: Pool<'a>,
    ramp: Ramp,
    guards: Guards,
    policy: Policy,
    pins: PinShard,
    /// What the guards keep with each pin; at most one for each session of the record.
    marks: HashMap<&'a SessionId, Option<Marks>>,
    /// Where calls under way were sent.
    lanes: BTreeMap<usize, Lane>,
    draws: [Arms; Class::ALL.len()],
    good: u64,
    positions: Vec<Reached>,
    own: u64,
    borrowed: u64,
    unknown: u64,
}

impl<'a> Service<'a> {
    fn new(record: &'a [Recorded], plan: Plan, terms: &Terms) -> Self {
        let mut pool = Pool::new();
        for call in record {
            let place = pool.entry((&call.command, call.lane)).or_default();
            place.push((call.outcome, call.total));
        }
        let strata = Strata::new(record.iter().map(|call| (call.command.clone(), call.class)));
        let slow = thresholds(&pool);
        let guards = Guards::new("replay", plan.guards.clone(), strata, slow);
        Self {
            record,
            pool,
            ramp: Ramp::start(plan, Wall::from_millis(0)),
            guards,
            policy: Policy::initial(&terms.flag, terms.whole_sessions),
            pins: PinShard::new(terms.pin_ttl, terms.max_pins),
            marks: HashMap::new(),
            lanes: BTreeMap::new(),
            draws: Default::default(),
            good: 0,
            positions: Vec::new(),
            own: 0,
            borrowed: 0,
            unknown: 0,
        }
    }

    fn begins(&mut self, index: usize, at: Duration) {
        let call = &self.record[index];
        let decision = match &call.session {
            Some(session) => {
                let decision =
                    self.pins.decide(Moment::ZERO + at, session, call.class, &self.policy);
                if decision.drawn {
                    self.marks.insert(session, self.guards.mark());
                }
                decision
            }
            None => self.policy.decide_anonymous(&call.id, call.class),
        };
        if decision.drawn {
            self.draws[call.class as usize].add(Arm::from(decision.lane));
        }
        self.lanes.insert(index, decision.lane);
    }

    fn ends(&mut self, index: usize, at: Duration) {
        let call = &self.record[index];
        let lane = self.lanes.remove(&index).expect("a call ends after it began");
        let (outcome, total) = if lane == call.lane {
            self.own += 1;
            (call.outcome, call.total)
        } else {
            let Some(known) = self.pool.get(&(call.command.as_str(), lane)) else {
                self.unknown += 1;
                return;
            };
            self.borrowed += 1;
            // A key of its own: who is drawn first must not borrow certain outcomes.
            known[draw("poolshift-replay", &call.id).hash as usize % known.len()]
        };
        if (lane, outcome) == (Lane::V3, Outcome::WorkerLost) {
            self.guards.v3_worker_died(wall(at));
        }
        let marks = call.session.as_ref().map(|session| self.marks.get_mut(session));
        let mut unit = match marks {
            None => Unit::Anonymous,
            Some(Some(Some(marks))) => Unit::Session(marks),
            // It was drawn before the first step.
            Some(_) => return,
        };
        self.guards.called(&mut unit, &call.command, Arm::from(lane), outcome, total);
        if lane == Lane::V3 {
            match outcome {
                Outcome::Ok => self.good += 1,
                Outcome::Cancelled | Outcome::Draining => {}
                _ => self.guards.v3_failed(&mut unit, self.good),
            }
        }
    }

    fn judge(&mut self, now: Duration) -> Verdict {
        for (class, draws) in Class::ALL.into_iter().zip(std::mem::take(&mut self.draws)) {
            self.guards.drew(class, draws);
        }
        let (evidence, at) = (self.guards.evidence(), wall(now));
        let situation = Situation {
            now: at,
            evidence: Some(&evidence),
            strata: self.guards.strata(),
            killed: false,
            capacity: Some(Capacity { v2_workers: 1, busy_workers: 0.0 }),
            drill: Some(Drill { at, took_ms: 0 }),
            corpora: None,
        };
        let verdict = assess(&self.ramp, &situation);
        let followed = self.ramp.follow(&verdict, at);
        if followed.expect("the verdict is about the ramp as it is") || self.positions.is_empty() {
            self.moved(now);
        }
        verdict
    }

    /// The ramp stands elsewhere: its shares are put into force, and the guards are told.
    fn moved(&mut self, now: Duration) {
        let percents = self.ramp.percents();
        let next = Policy { percents, ..self.policy.clone() };
        self.policy = self.policy.replaced_by(next).expect("only the shares change");
        self.pins.follow(&self.policy);
        let position = self.ramp.position();
        self.positions.push(Reached { position, at_s: now.as_secs_f64(), percents });
        if let (Position::Step(_), Some(step)) = (position, self.ramp.step()) {
            let calls = match self.policy.whole_sessions {
                true => Percents::all(percents.of(Class::Critical)),
                false => percents,
            };
            let drawn = Drawn { calls, comparisons: Percent::ZERO };
            let classes = step.classes.clone();
            self.guards.begin_step(self.ramp.number(), drawn, &classes);
        }
    }

    fn is_over(&self, verdict: &Verdict) -> bool {
        verdict.verdict >= Says::Rollback || self.ramp.position() == Position::Done
    }
}

fn wall(since: Duration) -> Wall {
    Wall::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What counts as slow, by the calls that V2 answered well.
pub(super) fn thresholds(pool: &Pool<'_>) -> Thresholds {
    let mut slow = Thresholds::default();
    for ((command, lane), calls) in pool {
        let good = calls.iter().filter(|(outcome, _)| *outcome == Outcome::Ok);
        let mut times: Vec<Duration> = good.map(|(_, total)| *total).collect();
        if *lane == Lane::V2 && !times.is_empty() {
            times.sort_unstable();
            let last = times.len() - 1;
            let at = |share: f64| times[((times.len() as f64 * share) as usize).min(last)];
            slow.freeze(command, times.len() as u64, at);
        }
    }
    slow
}
