//! The router sends each call to V2 or V3.

pub mod audit;
pub mod bucket;
pub mod draft;
pub mod edit;
pub mod file;
pub mod flagd;
pub mod guard;
pub mod paths;
pub mod percent;
pub mod pins;
pub mod policy;
pub mod ramp;
mod reader;
pub mod rules;
pub mod source;
pub mod stage;
pub mod watch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch::{Receiver, Sender};

use crate::call::{Answer, Call, CallId, Class, Lane, SessionId};
use crate::clock::Clock;
use crate::pool::Pool;
use crate::router::file::RolloutFile;
use crate::router::pins::{PinCensus, PinShard, SHARDS, shard_of};
use crate::router::policy::{Decision, Illegal, Percents, Policy, Reason};
use crate::session::Sessions;

/// Two pools behind one door.
///
/// Generic over both, so that a team's own legacy pool can take V2's place.
#[derive(Debug)]
pub struct Router<Legacy, Next> {
    legacy: Arc<Legacy>,
    next: Arc<Next>,
    policy: ArcSwap<Policy>,
    shards: Vec<Mutex<PinShard>>,
    /// Held while the policy is replaced and the pins follow, so that changes come one by one.
    changing: Mutex<()>,
    /// The epoch in force, told once it is: the policy is stored, and the pins have followed.
    changed: Sender<u64>,
    draws: [AtomicU64; 2],
    forced: AtomicU64,
    ruled: AtomicU64,
    sessions: Arc<Sessions>,
    clock: Clock,
}

/// A call's answer, with the decision that sent it there.
#[derive(Debug)]
pub struct Routed {
    /// Where the call went, and why.
    pub decision: Decision,
    /// Its class, from the command table.
    pub class: Class,
    /// What came of it.
    pub answer: Answer,
}

/// How many draws went to each lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draws {
    /// To the legacy pool.
    pub v2: u64,
    /// To the new pool.
    pub v3: u64,
}

/// How many calls got their lane from somebody, and not by chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directed {
    /// From their caller.
    pub forced: u64,
    /// From a rule.
    pub ruled: u64,
}

/// How pins are kept (R14).
#[derive(Clone, Copy, Debug)]
pub struct PinLimits {
    /// How long a pin lives without calls.
    pub ttl: Duration,
    /// How many pins are kept in all.
    pub max_pins: usize,
}

impl<Legacy: Pool, Next: Pool> Router<Legacy, Next> {
    /// A router in which `policy` is in force.
    pub fn new(
        legacy: Arc<Legacy>,
        next: Arc<Next>,
        policy: Policy,
        pins: PinLimits,
        sessions: Arc<Sessions>,
        clock: Clock,
    ) -> Self {
        let shard = PinShard::new(pins.ttl, pins.max_pins.div_ceil(SHARDS));
        let shards = (0..SHARDS).map(|_| Mutex::new(shard.clone())).collect();
        Self {
            legacy,
            next,
            changed: Sender::new(policy.epoch),
            policy: ArcSwap::from_pointee(policy),
            shards,
            changing: Mutex::new(()),
            draws: Default::default(),
            forced: AtomicU64::new(0),
            ruled: AtomicU64::new(0),
            sessions,
            clock,
        }
    }

    /// Runs a call in the lane that the policy gives it. Dropping the future cancels it there.
    pub async fn call(&self, mut call: Call) -> Routed {
        let (class, ends_session) = {
            let command = self.sessions.commands().get(&call.command);
            (command.class, command.ends_session)
        };
        call.class = class;
        let decision = self.decide(&call);
        let ending = call.session.clone().filter(|_| ends_session);
        // Dropped here: the pool cancels the call.
        let answer = match decision.lane {
            Lane::V2 => self.legacy.call(call).await,
            Lane::V3 => self.next.call(call).await,
        };
        if let Some(session) = ending.filter(|_| answer.result.is_ok()) {
            // Dropped here: the record is left for its time to live, pin and binding are gone.
            self.end_session(&session).await;
        }
        Routed { decision, class, answer }
    }

    /// Where a call of this class goes (R12): killed, then forced, then by a rule, then pinned,
    /// then the percentage. Counts and pins as [`Router::call`] does, which asks it.
    ///
    /// Allocates nothing but the pin of a session's first call.
    pub fn decide(&self, call: &Call) -> Decision {
        let decision = match &call.session {
            Some(session) => {
                let now = self.clock.now();
                let mut shard = self.shard(session);
                // Under the shard's lock: a kill walks all shards after it has stored its
                // policy, so whatever was pinned by an older one is dropped again (R13).
                let policy = self.policy.load();
                let directed = policy.directed(call).filter(|_| !policy.killed);
                if directed.is_some() {
                    shard.refresh(now, session);
                }
                directed.unwrap_or_else(|| shard.decide(now, session, call.class, &policy))
            }
            None => {
                let policy = self.policy.load();
                let mut digits = [0; CallId::RANDOM_BYTES];
                let id = call.id.text(&mut digits);
                policy.directed(call).unwrap_or_else(|| policy.decide_anonymous(id, call.class))
            }
        };
        self.count(decision);
        decision
    }

    fn count(&self, decision: Decision) {
        let counter = match decision.reason {
            Reason::Forced => &self.forced,
            Reason::Rule => &self.ruled,
            _ if decision.drawn => &self.draws[decision.lane as usize],
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Sends everything to V2 from now on: every call that begins after this has returned.
    /// Calls that wait in V3 finish there.
    pub fn kill(&self) {
        self.change(|policy| Policy { killed: true, ..policy });
    }

    /// Takes the kill switch back.
    pub fn unkill(&self) {
        self.change(|policy| Policy { killed: false, ..policy });
    }

    /// Sets V3's shares.
    pub fn set_percents(&self, percents: Percents) {
        self.change(|policy| Policy { percents, ..policy });
    }

    /// Puts a rollout file into force.
    ///
    /// # Errors
    /// If the change is not allowed; the policy in force then stays, but for the kill switch,
    /// which is heard whatever else the file says.
    pub fn apply(&self, file: &RolloutFile) -> Result<Arc<Policy>, Illegal> {
        let commands = self.sessions.commands();
        let unknown = file.rules.unknown_command(|command| commands.knows(command));
        let replaced = match unknown {
            Some((rule, command)) => {
                let (rule, command) = (usize::from(rule) + 1, command.to_owned());
                Err(Illegal::UnknownCommand { rule, command })
            }
            None => self.replace(|policy| file.policy(policy)),
        };
        if replaced.is_err() && file.killed {
            self.kill();
        }
        replaced
    }

    fn change(&self, change: impl FnOnce(Policy) -> Policy) {
        let changed = self.replace(|policy| change(policy.clone()));
        changed.expect("neither flag nor version is changed here");
    }

    fn replace(&self, next: impl FnOnce(&Policy) -> Policy) -> Result<Arc<Policy>, Illegal> {
        let _changing = self.changing.lock().expect("nothing panics while it holds this lock");
        let in_force = self.policy.load_full();
        let policy = Arc::new(in_force.replaced_by(next(&in_force))?);
        self.policy.store(Arc::clone(&policy));
        // After the store: from here on a decision under a shard's lock sees the new policy, and
        // what older decisions pinned in this shard is put right.
        for shard in &self.shards {
            lock(shard).follow(&policy);
        }
        self.changed.send_replace(policy.epoch);
        Ok(policy)
    }

    /// The session is over: its pin, its binding in both pools and its record go together (R14).
    pub async fn end_session(&self, session: &SessionId) {
        self.shard(session).end(session);
        self.legacy.end_session(session);
        self.next.end_session(session);
        // Dropped here: the record is left for its time to live.
        self.sessions.end(session).await;
    }

    /// Draws so far: first calls of sessions, and anonymous calls.
    #[must_use]
    pub fn draws(&self) -> Draws {
        let of = |lane: Lane| self.draws[lane as usize].load(Ordering::Relaxed);
        Draws { v2: of(Lane::V2), v3: of(Lane::V3) }
    }

    /// Calls so far whose lane was not drawn, but for the kill switch.
    #[must_use]
    pub fn directed(&self) -> Directed {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Directed { forced: of(&self.forced), ruled: of(&self.ruled) }
    }

    /// The epoch in force, whenever it changes.
    #[must_use]
    pub fn epochs(&self) -> Receiver<u64> {
        self.changed.subscribe()
    }

    /// The live sessions that have at least their reads in this lane.
    #[must_use]
    pub fn pins(&self, lane: Lane) -> PinCensus {
        let (policy, now) = (self.policy.load(), self.clock.now());
        let shards = self.shards.iter().map(|shard| lock(shard).census(now, &policy, lane));
        shards.fold(PinCensus::default(), PinCensus::with)
    }

    /// How many pins went because there were more than `max_pins`.
    #[must_use]
    pub fn evicted_pins(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).evicted()).sum()
    }

    /// The legacy pool.
    #[must_use]
    pub fn legacy(&self) -> &Legacy {
        &self.legacy
    }

    /// The new pool.
    #[must_use]
    pub fn next(&self) -> &Next {
        &self.next
    }

    fn shard(&self, session: &SessionId) -> MutexGuard<'_, PinShard> {
        lock(&self.shards[shard_of(session)])
    }
}

fn lock(shard: &Mutex<PinShard>) -> MutexGuard<'_, PinShard> {
    shard.lock().expect("nothing panics while it holds a shard")
}
