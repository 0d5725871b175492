//! One run of the shell: a function of its seed, its options and the code.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use poolshift::clock::Clock;
use poolshift::router::Routed;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::{Args, BadCall, Call, Lane, Outcome, Pool, Ran, SessionId};
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::checkers::{Checkers, Held, Law, Tally};
use crate::rng::Seed;
use crate::shell_rig::handoff::{Handoff, Yields};
use crate::shell_rig::journal::Journal;
use crate::shell_rig::onlooker::Onlooker;
use crate::shell_rig::plan::{Leaves, Move, Plan, Planned, RigOptions};
use crate::shell_rig::service::{MAX_ROOM, Service, ground};
use crate::shell_rig::unnoticed::strays;
use crate::trace::{CallNo, Event, SessionNo, TraceHash, TraceHasher, Watcher};
use crate::verdict::{Broken, Verdict};

/// Much longer than any run: whoever still waits then waits for ever.
const HORIZON: Duration = Duration::from_secs(600);

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Equal for two runs of one seed, one set of options and one code.
    pub hash: TraceHash,
    /// How many events there were.
    pub events: u64,
    /// How the calls ended whose callers stayed.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Callers that went away.
    pub left: u64,
    /// Executed calls that did harm, by the number of their fault in the catalogue.
    pub struck: BTreeMap<u8, u64>,
    /// S18: how often the room for a read was judged, and how often it was large.
    pub bytes: Tally,
    /// How many shadows were executed.
    pub shadows: u64,
    /// How often each row of the session store was written: session, table and key.
    pub saved: BTreeMap<String, u64>,
    /// What was broken, in order.
    pub violations: Vec<Broken>,
}

/// Runs the shell under a workload, and tells `watcher` what could be seen of it once it is
/// over. Must not be called from within a tokio runtime: it has its own, with a paused clock.
///
/// # Panics
/// If the operating system refuses a runtime.
pub fn run(seed: u64, options: &RigOptions, watcher: &mut impl Watcher) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without IO needs nothing of the operating system");
    let plan = Plan::of(Seed(seed), options);
    let played = runtime.block_on(play(Seed(seed), options, &plan));
    let mut hasher = TraceHasher::new();
    let mut onlooker = Onlooker::default();
    let mut all = (&mut hasher, (&mut onlooker, watcher));
    all.begin(&ground(Seed(seed), options));
    let trace = played.journal.trace();
    trace.iter().for_each(|(stamp, event)| all.event(*stamp, event));
    if let Some(closing) = &played.closing {
        all.end(closing);
    }
    let mut bytes = Checkers::new();
    played.room.iter().for_each(|room| bytes.holds(Held::Frame, *room, MAX_ROOM));
    let bytes = Verdict::of(&bytes);
    let mut violations = played.journal.breaches();
    violations.extend(onlooker.violations().iter().cloned());
    let shadows = played.journal.shadows();
    violations.extend(strays(&trace, &shadows, options.shadows[1]));
    violations.extend(played.broken);
    violations.extend(bytes.broken);
    Report {
        hash: hasher.value(),
        events: trace.len() as u64,
        outcomes: onlooker.outcomes().clone(),
        left: onlooker.left(),
        struck: played.struck,
        bytes: bytes.laws[&Law::S18],
        shadows: shadows.len() as u64,
        saved: played.journal.saved(),
        violations,
    }
}

struct Played {
    journal: Arc<Journal>,
    closing: Option<crate::trace::Closing>,
    struck: BTreeMap<u8, u64>,
    /// What each lane made room for in one read, at most.
    room: [usize; 2],
    /// What ended the run before its time.
    broken: Vec<Broken>,
}

async fn play(seed: Seed, options: &RigOptions, plan: &Plan) -> Played {
    let clock = Clock::start();
    let journal = Arc::new(Journal::of(clock));
    let service = Service::start(seed, options, plan, &journal, clock).await;
    let service = service.expect("the first workers of a plan come up");
    let rig = Arc::new(Rig {
        service,
        journal: Arc::clone(&journal),
        clock,
        yields: Yields::of(seed, options.most_yields),
        callers: AtomicU64::new(0),
        asked: Mutex::default(),
    });
    rig.tell_policy();
    let mut broken = Vec::new();
    let whole = tokio::time::timeout(HORIZON, rig.play(plan)).await;
    let mut breaks = |law: &'static str, what: String| {
        broken.push(Broken { law, at_ns: clock.now().as_nanos(), seq: u64::MAX, what });
    };
    match whole {
        Ok(panics) => panics.into_iter().for_each(|what| breaks("panic", what)),
        Err(_) => breaks(Law::L6.as_str(), format!("the run is not over after {HORIZON:?}")),
    }
    let room = rig.service.most_room();
    let is_whole = broken.is_empty();
    let closing = is_whole.then(|| rig.service.closing(&journal));
    let struck = rig.struck(plan);
    Played { journal, closing, struck, room, broken }
}

/// What callers and operators share.
struct Rig {
    service: Service,
    journal: Arc<Journal>,
    clock: Clock,
    yields: Yields,
    /// Callers that have submitted and neither have an answer nor left.
    callers: AtomicU64,
    /// What operators have asked for last: V3's shares, and whether the kill switch is on.
    asked: Mutex<([u32; 3], bool)>,
}

impl Rig {
    /// Everything in the plan, to the end of the drain. Gives the panics of its tasks.
    async fn play(self: &Arc<Self>, plan: &Plan) -> Vec<String> {
        let mut tasks = JoinSet::new();
        for (n, planned) in plan.calls.iter().cloned().enumerate() {
            let rig = Arc::clone(self);
            tasks.spawn(async move { rig.call(n as u64, planned).await });
        }
        let (rig, moves) = (Arc::clone(self), plan.moves.clone());
        let from = self.clock.now();
        tasks.spawn(async move {
            for (at, step) in moves {
                rig.clock.sleep_until(from + at).await;
                rig.make(step).await;
            }
        });
        let mut panics = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            panics.extend(ended.err().map(|error| error.to_string()));
        }
        panics
    }

    async fn call(&self, n: u64, planned: Planned) {
        tokio::time::sleep(planned.at).await;
        self.yields.step_aside(Handoff::Caller, n, 0).await;
        let call = call(n, &planned).expect("planned calls are well-formed");
        let command = self.service.commands.get(&call.command);
        let (no, now) = (CallNo(n), self.clock.now());
        self.journal.tell(
            None,
            Event::Submit {
                call: no,
                session: planned.session.map(SessionNo),
                class: command.class,
                idempotent: command.idempotent,
                deadline: planned.budget.map(|budget| now + budget),
                planned: now,
            },
        );
        // The router decides in the poll that this begins.
        let percent = self.service.router.policy().percents.of(command.class).buckets();
        let routed = self.service.router.call(call);
        self.callers.fetch_add(1, Ordering::Relaxed);
        let routed = until_gone(planned.leaves, routed).await;
        let others = self.callers.fetch_sub(1, Ordering::Relaxed) - 1;
        match routed {
            None => {
                self.journal.tell(None, Event::Cancel { call: no });
                self.judge_flight(n, others);
            }
            Some(routed) => {
                self.answered(no, percent, &routed);
                let ends = command.ends_session && routed.answer.result.is_ok();
                if let Some(session) = planned.session.filter(|_| ends) {
                    self.journal.tell(None, Event::EndSession { session: SessionNo(session) });
                }
            }
        }
    }

    /// R3: whoever leaves has left when the drop returns, so no more calls are in flight than
    /// callers wait. Fewer may be: some are not with their pool yet, some not told of their end.
    fn judge_flight(&self, left: u64, callers: u64) {
        let router = &self.service.router;
        let flying = router.legacy().status().in_flight + router.next().status().in_flight;
        if flying as u64 > callers {
            let what = format!("call {left} was left: {flying} in flight for {callers} callers");
            self.journal.breach(Law::S8, what);
        }
    }

    fn answered(&self, call: CallNo, percent: u32, routed: &Routed) {
        let (decision, answer) = (&routed.decision, &routed.answer);
        let (lane, epoch) = (decision.lane, decision.epoch);
        let (reason, drawn) = (decision.reason, decision.drawn);
        self.journal.tell(None, Event::Route { call, lane, epoch, reason, drawn, percent });
        let ran = answer.result.as_ref().map_or_else(|error| error.ran(), |_| Ran::Yes);
        let said = answer.result.as_ref().ok().and_then(|result| nonce(result.get()));
        let (outcome, worker) = (answer.outcome(), answer.worker);
        self.journal.tell(Some(lane), Event::Done { call, outcome, ran, worker, answer: said });
    }

    async fn make(&self, step: Move) {
        let router = &self.service.router;
        match step {
            Move::Kill => {
                router.kill();
                self.asked().1 = true;
            }
            Move::Unkill => {
                router.unkill();
                self.asked().1 = false;
            }
            Move::Percents(percents) => {
                router.set_percents(shares(percents));
                self.asked().0 = percents;
            }
            Move::Resize(size) => {
                router.next().pool().resize(size);
                self.journal.tell(Some(Lane::V3), Event::Resize { size: size as u32 });
                return;
            }
            Move::Murder { lane, nth } => {
                let spawner = &self.service.spawners[lane];
                let living = spawner.living();
                if let Some(victim) = living.get(nth as usize % living.len().max(1)) {
                    spawner.kill(*victim);
                }
                return;
            }
            Move::EndSession(session) => {
                router.end_session(&session_id(session)).await;
                let session = SessionNo(session);
                self.journal.tell(None, Event::EndSession { session });
                return;
            }
            Move::Drain(limit) => return self.drain(limit).await,
        }
        self.tell_policy();
    }

    async fn drain(&self, limit: Duration) {
        let until = self.clock.now() + limit;
        let lanes = [Lane::V2, Lane::V3];
        lanes.iter().for_each(|lane| self.journal.tell(Some(*lane), Event::Drain { until }));
        let (legacy, next) = (self.service.router.legacy(), self.service.router.next());
        tokio::join!(
            async {
                legacy.drain(limit).await;
                self.journal.tell(Some(Lane::V2), Event::Drained);
            },
            async {
                next.drain(limit).await;
                self.journal.tell(Some(Lane::V3), Event::Drained);
            },
        );
    }

    /// What must be in force now: what was asked for, whatever the router says of itself. Told
    /// in the same poll in which it was asked for.
    fn tell_policy(&self) {
        let (percents, killed) = *self.asked();
        let epoch = self.service.router.policy().epoch;
        self.journal.tell(None, Event::Config { epoch, percents, killed });
    }

    fn asked(&self) -> MutexGuard<'_, ([u32; 3], bool)> {
        self.asked.lock().expect("it is only copied and set under the lock")
    }

    /// Faults that were carried out, by number.
    fn struck(&self, plan: &Plan) -> BTreeMap<u8, u64> {
        let mut struck = BTreeMap::new();
        for spawner in &self.service.spawners {
            let ledger = spawner.ledger();
            let executed = ledger.lock().expect("a ledger is only pushed to");
            let calls = executed.iter().filter_map(|execution| execution.call_id.parse().ok());
            for number in calls.filter_map(|n: usize| plan.calls[n].script.act.number()) {
                *struck.entry(number).or_default() += 1;
            }
        }
        struck
    }
}

/// The future's output, unless its caller leaves before; then the future has been dropped.
pub(crate) async fn until_gone<T>(
    leaves: Option<Leaves>,
    future: impl Future<Output = T>,
) -> Option<T> {
    match leaves {
        None => Some(future.await),
        Some(Leaves::After(span)) => tokio::time::timeout(span, future).await.ok(),
        Some(Leaves::AtPoll(last)) => {
            let mut future = std::pin::pin!(future);
            let mut polls = 0;
            std::future::poll_fn(|context| {
                polls += 1;
                let polled = future.as_mut().poll(context).map(Some);
                if polled.is_pending() && polls >= last {
                    return std::task::Poll::Ready(None);
                }
                polled
            })
            .await
        }
    }
}

fn call(n: u64, planned: &Planned) -> Result<Call, BadCall> {
    let script = planned.script.args();
    let script = script.strip_suffix('}').expect("a script's args are an object");
    let program = planned.program;
    let args = format!(r#"{script},"id":"p{program}","program_id":"p{program}"}}"#);
    let call = Call::new(planned.command, Args::parse(&args)?).with_id(&n.to_string())?;
    let session = planned.session.map(session_id);
    Ok(Call { session, budget: planned.budget, ..call })
}

fn session_id(session: u64) -> SessionId {
    SessionId::new(&format!("s{session}")).expect("it is short, and not empty")
}

fn shares(thousandths: [u32; 3]) -> Percents {
    let [read, write, critical] = thousandths.map(|share| {
        let text = (share / 1000).to_string();
        text.parse::<Percent>().expect("whole percents are percents")
    });
    Percents::new(read, write, critical).expect("a plan's shares are sorted")
}

#[derive(Deserialize)]
struct Echo {
    call_id: String,
}

/// The call whose worker made this result.
fn nonce(result: &str) -> Option<CallNo> {
    let echo: Echo = serde_json::from_str(result).ok()?;
    echo.call_id.parse().ok().map(CallNo)
}
