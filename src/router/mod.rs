//! The router sends each call to V2 or V3.

pub mod audit;
pub mod baseline;
pub mod bucket;
pub mod compare;
pub mod draft;
mod draws;
pub mod edit;
pub mod file;
pub mod flagd;
pub mod guard;
mod in_force;
pub mod paths;
pub mod percent;
pub mod pins;
pub mod policy;
pub mod post;
pub mod ramp;
mod reader;
pub mod rules;
pub mod shadow;
pub mod shelf;
pub mod source;
pub mod stage;
pub mod steer;
pub mod watch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch::{Receiver, Sender};

use crate::call::{Answer, Call, CallId, Class, Lane, SessionId};
use crate::clock::{Clock, Wall};
use crate::error::Outcome;
use crate::pool::Pool;
use crate::router::baseline::Baseline;
pub use crate::router::draws::{Directed, Draws};
use crate::router::file::RolloutFile;
use crate::router::in_force::{InForce, Shards, Watched, lock, shard};
use crate::router::pins::{PinCensus, PinShard, SHARDS};
use crate::router::policy::{Decision, Illegal, Percents, Policy, Reason};
use crate::router::post::{GuardPost, Watch};
use crate::router::shadow::{Shadow, ShadowStatus, ShadowTerms};
use crate::router::stage::Stages;
use crate::session::Sessions;
use crate::shadow::recorder::Recorder;

/// Two pools behind one door.
///
/// Generic over both, so that a team's own legacy pool can take V2's place.
#[derive(Debug)]
pub struct Router<Legacy, Next> {
    legacy: Arc<Legacy>,
    next: Arc<Next>,
    in_force: ArcSwap<InForce>,
    shards: Shards,
    /// Held while the policy is replaced and the pins follow, so that changes come one by one.
    changing: Mutex<()>,
    /// The epoch in force, told once it is: the policy is stored, and the pins have followed.
    changed: Sender<u64>,
    draws: [AtomicU64; 2],
    forced: AtomicU64,
    ruled: AtomicU64,
    baseline: Baseline,
    sessions: Arc<Sessions>,
    clock: Clock,
    shadow: Option<Shadow>,
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
            in_force: ArcSwap::from_pointee(InForce::new(policy.into(), None)),
            shards,
            changing: Mutex::new(()),
            draws: Default::default(),
            forced: AtomicU64::new(0),
            ruled: AtomicU64::new(0),
            baseline: Baseline::default(),
            sessions,
            clock,
            shadow: None,
        }
    }

    /// Has reads answered by the other lane, too, and compared (R16).
    #[must_use]
    pub fn with_shadow(mut self, terms: ShadowTerms, recorder: Recorder) -> Self {
        let sessions = Arc::clone(&self.sessions);
        let (legacy, next) = (&self.legacy, &self.next);
        self.shadow = Some(Shadow::start(terms, legacy, next, sessions, recorder, self.clock));
        self
    }

    /// What has become of shadows, if there are any.
    #[must_use]
    pub fn shadow(&self) -> Option<ShadowStatus> {
        self.shadow.as_ref().map(Shadow::status)
    }

    /// Makes no more shadows, and waits until what was compared is on the disk.
    pub async fn close_shadow(&self) {
        if let Some(shadow) = &self.shadow {
            // Dropped here: what was compared reaches the disk by itself.
            shadow.close().await;
        }
    }

    /// Runs a call in the lane that the policy gives it. Dropping the future cancels it there.
    #[expect(clippy::manual_async_fn, reason = "an async function would keep its call twice")]
    pub fn call(&self, mut call: Call) -> impl Future<Output = Routed> {
        async move {
            let command = Arc::clone(&call.command);
            let entry = self.sessions.commands().get(&command);
            let class = entry.class;
            call.class = class;
            let (decision, watched) = self.decide_under_watch(&call);
            let ending = call.session.as_ref().filter(|_| entry.ends_session).cloned();
            // The kill switch is thrown to keep everything out of V3: copies, too.
            let shadow = self.shadow.as_ref().filter(|_| decision.reason != Reason::Killed);
            let shadow = shadow.and_then(|shadow| {
                let draft = shadow.sample(&mut call, entry, decision.lane)?;
                // Boxed, since it holds a call, and most calls have none.
                Some((shadow, Box::new(draft.under_watch(watched.as_ref(), &self.shards))))
            });
            // Dropped here: the pool cancels the call.
            let answer = match decision.lane {
                Lane::V2 => self.legacy.call(call).await,
                Lane::V3 => self.next.call(call).await,
            };
            self.judge(decision.lane, &command, watched, &answer);
            if let Some((shadow, draft)) = shadow {
                shadow.offer(*draft, &answer);
            }
            if let Some(session) = ending.filter(|_| answer.result.is_ok()) {
                // Dropped here: the record is left for its time to live, pin and binding are gone.
                self.end_session(&session).await;
            }
            Routed { decision, class, answer }
        }
    }

    /// Where a call of this class goes (R12): killed, then forced, then by a rule, then pinned,
    /// then the percentage. Counts and pins as [`Router::call`] does, which asks it.
    ///
    /// Allocates nothing but the pin of a session's first call, and marks in it during a ramp.
    pub fn decide(&self, call: &Call) -> Decision {
        self.decide_under_watch(call).0
    }

    /// With whoever judges the lane by what comes of the call.
    fn decide_under_watch(&self, call: &Call) -> (Decision, Option<Watched>) {
        let (decision, in_force) = match &call.session {
            Some(session) => {
                let now = self.clock.now();
                let mut shard = shard(&self.shards, session);
                // Under the shard's lock: a kill walks all shards after it has stored its
                // policy, so whatever was pinned by an older one is dropped again (R13).
                let in_force = self.in_force.load();
                let policy = &in_force.policy;
                let directed = policy.directed(call).filter(|_| !policy.killed);
                if directed.is_some() {
                    shard.refresh(now, session);
                }
                let decision =
                    directed.unwrap_or_else(|| shard.decide(now, session, call.class, policy));
                if let Some(mark) = in_force.mark.filter(|_| decision.drawn) {
                    shard.mark(session, mark);
                }
                (decision, in_force)
            }
            None => {
                let in_force = self.in_force.load();
                let policy = &in_force.policy;
                let mut digits = [0; CallId::RANDOM_BYTES];
                let id = call.id.text(&mut digits);
                let decision = policy
                    .directed(call)
                    .unwrap_or_else(|| policy.decide_anonymous(id, call.class));
                (decision, in_force)
            }
        };
        self.count(decision);
        if decision.drawn {
            let (class, lane) = (call.class as usize, decision.lane as usize);
            in_force.draws[class][lane].fetch_add(1, Ordering::Relaxed);
        }
        // What was forced, ruled or killed tells nothing about the lane that others are drawn to.
        let watch = in_force.watch.as_ref().filter(|_| decision.is_by_chance());
        let watched = watch.map(|watch| Watched {
            post: Arc::clone(&watch.post),
            mark: in_force.mark,
            session: call.session.clone(),
        });
        (decision, watched)
    }

    /// Tells what came of a call to whoever judges its lane.
    fn judge(&self, lane: Lane, command: &Arc<str>, watched: Option<Watched>, answer: &Answer) {
        match watched {
            Some(watched) => watched.called(&self.shards, command, lane, answer),
            None if lane == Lane::V2 && answer.first_outcome() == Outcome::Ok => {
                self.baseline.record(command, answer.timing.total());
            }
            None => {}
        }
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.in_force.load().policy)
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
        let stages = Stages::implied_by(&percents);
        self.change(|policy| Policy { percents, stages, ..policy });
    }

    /// Puts a rollout file into force, and the guards of its ramp with it.
    ///
    /// # Errors
    /// If the change is not allowed; the policy in force then stays, but for the kill switch,
    /// which is heard whatever else the file says.
    pub fn apply(&self, file: &RolloutFile, watch: Option<Watch>) -> Result<Arc<Policy>, Illegal> {
        let commands = self.sessions.commands();
        let unknown = file.rules.unknown_command(|command| commands.knows(command));
        let replaced = match unknown {
            Some((rule, command)) => {
                let (rule, command) = (usize::from(rule) + 1, command.to_owned());
                Err(Illegal::UnknownCommand { rule, command })
            }
            None => self.replace(|in_force| (file.policy(&in_force.policy), watch)),
        };
        if replaced.is_err() && file.killed {
            self.kill();
        }
        replaced
    }

    fn change(&self, change: impl FnOnce(Policy) -> Policy) {
        let changed = self
            .replace(|in_force| (change(in_force.policy.as_ref().clone()), in_force.watch.clone()));
        changed.expect("neither flag nor version is changed here");
    }

    fn replace(
        &self,
        next: impl FnOnce(&InForce) -> (Policy, Option<Watch>),
    ) -> Result<Arc<Policy>, Illegal> {
        let _changing = self.changing.lock().expect("nothing panics while it holds this lock");
        let old = self.in_force.load_full();
        let (policy, watch) = next(&old);
        let policy = Arc::new(old.policy.replaced_by(policy)?);
        old.tell_draws();
        self.in_force.store(Arc::new(InForce::new(Arc::clone(&policy), watch)));
        // After the store: from here on a decision under a shard's lock sees the new policy, and
        // what older decisions pinned in this shard is put right.
        for shard in self.shards.iter() {
            lock(shard).follow(&policy);
        }
        self.changed.send_replace(policy.epoch);
        Ok(policy)
    }

    /// Tells the guards of this process what can only be seen now and then, and gives them.
    #[must_use]
    pub fn guards(&self, now: Wall) -> Option<Arc<GuardPost>> {
        // Against a change of policy, which tells the same draws.
        let _changing = self.changing.lock().expect("nothing panics while it holds this lock");
        let in_force = self.in_force.load();
        in_force.tell_draws();
        let post = Arc::clone(&in_force.watch.as_ref()?.post);
        post.v3_deaths(self.next.status().deaths, now);
        Some(post)
    }

    /// What V2's calls took while no ramp ran.
    #[must_use]
    pub fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// The session is over: its pin, its binding in both pools and its record go together (R14).
    pub async fn end_session(&self, session: &SessionId) {
        shard(&self.shards, session).end(session);
        self.legacy.end_session(session);
        self.next.end_session(session);
        // Dropped here: the record is left for its time to live.
        self.sessions.end(session).await;
    }

    /// The epoch in force, whenever it changes.
    #[must_use]
    pub fn epochs(&self) -> Receiver<u64> {
        self.changed.subscribe()
    }

    /// The live sessions that have at least their reads in this lane.
    #[must_use]
    pub fn pins(&self, lane: Lane) -> PinCensus {
        let (policy, now) = (self.policy(), self.clock.now());
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
}
