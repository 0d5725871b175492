//! The plan of a run: which calls arrive when, and what operators do. It is made as the run
//! goes on, so that a million calls need no memory, but no run can change it: each part is a
//! function of seed and options alone.

use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::{Class, SessionId};
use serde::{Deserialize, Serialize};

use crate::fault::Strikes;
use crate::options::{Arrivals, Mix, Options, PerMillion};
use crate::rng::{Domain, Seed, Stream};
use crate::trace::{CallNo, SessionNo};

/// A call as planned.
#[derive(Clone, Debug)]
pub struct PlannedCall {
    /// Its number.
    pub call: CallNo,
    /// When it is meant to begin.
    pub at: Moment,
    /// Its session.
    pub session: Option<(SessionNo, SessionId)>,
    /// Its command's class.
    pub class: Class,
    /// Whether its command may run twice.
    pub idempotent: bool,
    /// Whether a good answer ends its session.
    pub ends_session: bool,
    /// Its own budget, if it brings one.
    pub budget: Option<Duration>,
    /// When its caller goes away, if it does.
    pub leaves: Option<Leaves>,
    /// Whether it kills every worker that is given it (fault 32).
    pub is_poison: bool,
}

/// When a caller goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// So long after it was meant to come.
    After(Duration),
    /// As it is handed its first worker: just before it looks, or just after.
    AtHandOff,
}

/// Of the callers that go away, those that do so at the hand-off. It is a moment that no span
/// drawn beforehand would meet often.
const AT_HAND_OFF: PerMillion = 100_000;

/// All calls of a run, in order.
#[derive(Debug)]
pub struct Workload {
    seed: Seed,
    calls: u64,
    arrivals: Arrivals,
    mean_gap: u64,
    mix: Mix,
    poison: PerMillion,
    next: u64,
    at: u64,
    living: Vec<(SessionNo, SessionId)>,
    sessions: u64,
}

impl Workload {
    /// The calls of a run with these options.
    #[must_use]
    pub fn new(seed: Seed, options: &Options) -> Self {
        let mut workload = Self {
            seed,
            calls: options.calls,
            arrivals: options.arrivals.clone(),
            mean_gap: options.mean_gap.as_nanos() as u64,
            mix: options.mix.clone(),
            poison: options.faults.total(Strikes::Plan),
            next: 0,
            at: 0,
            living: Vec::new(),
            sessions: 0,
        };
        let living = (0..workload.mix.sessions.max(1)).map(|_| workload.new_session()).collect();
        workload.living = living;
        workload
    }

    fn new_session(&mut self) -> (SessionNo, SessionId) {
        let number = SessionNo(self.sessions);
        self.sessions += 1;
        (number, session_id(number))
    }

    /// The moment of the next call; nothing after the last of a trace.
    fn arrival(&mut self, stream: &mut Stream) -> Option<u64> {
        let gap = match &self.arrivals {
            Arrivals::Poisson => stream.exponential(self.mean_gap),
            Arrivals::Constant => self.mean_gap,
            Arrivals::Bursts(size) => {
                let first = self.next.is_multiple_of(u64::from(*size));
                if first { stream.exponential(self.mean_gap * u64::from(*size)) } else { 0 }
            }
            Arrivals::Trace(moments) => {
                return moments.get(self.next as usize).copied();
            }
        };
        Some(self.at.saturating_add(gap))
    }

    fn session(&mut self, stream: &mut Stream) -> (Option<(SessionNo, SessionId)>, bool) {
        if stream.chance(self.mix.anonymous) {
            return (None, false);
        }
        let place = stream.below(self.living.len() as u64) as usize;
        let session = self.living[place].clone();
        let is_last = stream.below(u64::from(self.mix.session_calls.max(1))) == 0;
        if is_last {
            self.living[place] = self.new_session();
        }
        (Some(session), is_last && stream.chance(self.mix.ends_sessions))
    }
}

/// The id of a session, which decides where the router sends it.
pub(crate) fn session_id(SessionNo(number): SessionNo) -> SessionId {
    SessionId::new(&format!("session-{number}")).expect("it is short")
}

impl Iterator for Workload {
    type Item = PlannedCall;

    fn next(&mut self) -> Option<PlannedCall> {
        if self.next >= self.calls {
            return None;
        }
        let mut stream = self.seed.stream(Domain::Call, self.next, 0);
        self.at = self.arrival(&mut stream)?;
        let call = CallNo(self.next);
        self.next += 1;
        let (session, ends_session) = self.session(&mut stream);
        let class = class_of(&self.mix, &mut stream);
        let idempotent = class == Class::Read || stream.chance(self.mix.idempotent);
        let limited = |(share, longest): (PerMillion, Duration), stream: &mut Stream| {
            let drawn = share > 0 && stream.chance(share);
            drawn.then(|| Duration::from_nanos(stream.between(0, longest.as_nanos() as u64)))
        };
        Some(PlannedCall {
            call,
            at: Moment::from_nanos(self.at),
            session,
            class,
            idempotent,
            ends_session,
            budget: limited(self.mix.budgets, &mut stream),
            leaves: limited(self.mix.cancels, &mut stream).map(|span| {
                if stream.chance(AT_HAND_OFF) { Leaves::AtHandOff } else { Leaves::After(span) }
            }),
            is_poison: self.poison > 0 && stream.chance(self.poison),
        })
    }
}

fn class_of(mix: &Mix, stream: &mut Stream) -> Class {
    let lot = stream.below(1_000_000) as u32;
    match lot {
        lot if lot < mix.criticals => Class::Critical,
        lot if lot < mix.criticals + mix.writes => Class::Write,
        _ => Class::Read,
    }
}

/// What an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Sets V3's shares.
    Percents(Percents),
    /// Everything to V2, or no more so.
    Kill(bool),
    /// Sets V3's size.
    Resize(usize),
}

/// All acts of operators, in order and without an end.
#[derive(Debug)]
pub struct Acts {
    stream: Stream,
    change_every: u64,
    resize_every: u64,
    sizes: (u64, u64),
    next_change: u64,
    next_resize: u64,
    killed: bool,
}

/// Shares that operators set, in thousandths: ends, the smallest step, and what a ramp has.
const SHARES: [&str; 9] = ["0", "0.001", "1", "5", "12.5", "50", "90", "99.999", "100"];

impl Acts {
    /// The acts of a run with these options.
    #[must_use]
    pub fn new(seed: Seed, options: &Options) -> Self {
        let operators = &options.operators;
        let mut acts = Self {
            stream: seed.stream(Domain::Operator, 0, 0),
            change_every: operators.change_every.as_nanos() as u64,
            resize_every: operators.resize_every.as_nanos() as u64,
            sizes: (operators.sizes.0 as u64, operators.sizes.1 as u64),
            next_change: u64::MAX,
            next_resize: u64::MAX,
            killed: false,
        };
        acts.next_change = acts.after(0, acts.change_every);
        acts.next_resize = acts.after(0, acts.resize_every);
        acts
    }

    fn after(&mut self, now: u64, mean: u64) -> u64 {
        if mean == 0 { u64::MAX } else { now + self.stream.exponential(mean) }
    }

    fn change(&mut self) -> Act {
        // A kill is short: a run that is killed half of its time says little about V3.
        if self.killed || self.stream.chance(150_000) {
            self.killed = !self.killed;
            return Act::Kill(self.killed);
        }
        let mut shares = [0; 3].map(|_| percent(self.stream.pick::<&str>(&SHARES)));
        shares.sort_unstable();
        let [critical, write, read] = shares;
        let one = self.stream.chance(400_000);
        let percents =
            if one { Ok(Percents::all(read)) } else { Percents::new(read, write, critical) };
        Act::Percents(percents.expect("they are sorted"))
    }
}

impl Iterator for Acts {
    type Item = (Moment, Act);

    fn next(&mut self) -> Option<(Moment, Act)> {
        let at = self.next_change.min(self.next_resize);
        if at == u64::MAX {
            return None;
        }
        let act = if at == self.next_change {
            self.next_change = self.after(at, self.change_every);
            self.change()
        } else {
            self.next_resize = self.after(at, self.resize_every);
            Act::Resize(self.stream.between(self.sizes.0, self.sizes.1) as usize)
        };
        Some((Moment::from_nanos(at), act))
    }
}

/// A percentage from its decimal text.
pub(crate) fn percent(text: &str) -> Percent {
    text.parse().expect("it is a percentage with at most three decimals")
}
