//! The router under concurrency, and pins against a plain model.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use poolshift::call::Timing;
use poolshift::clock::{Clock, Moment};
use poolshift::router::bucket::draw;
use poolshift::router::file::RolloutFile;
use poolshift::router::pins::PinShard;
use poolshift::router::policy::{Percents, Policy, Reason};
use poolshift::router::{PinLimits, Router};
use poolshift::{Answer, Args, Call, Class, Lane, Pool, PoolStatus, SessionId};
use proptest::prelude::*;
use serde_json::value::RawValue;
use tokio_test::block_on;

use crate::sim_pool::sessions;

/// A team's own pool: answers at once, and remembers which sessions were ended.
#[derive(Default)]
pub(crate) struct Instant {
    calls: AtomicU64,
    ended: Mutex<Vec<SessionId>>,
}

impl Pool for Instant {
    async fn call(&self, _: Call) -> Answer {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let at = Moment::ZERO;
        let timing = Timing { planned: at, submitted: at, dispatched: None, finished: at };
        let result = RawValue::from_string("{}".to_owned()).unwrap();
        Answer { result: Ok(result), worker: None, timing, first_try: None }
    }

    fn end_session(&self, session: &SessionId) {
        self.ended.lock().unwrap().push(session.clone());
    }

    async fn drain(&self, _: Duration) {}

    fn status(&self) -> PoolStatus {
        PoolStatus::default()
    }
}

pub(crate) type TestRouter = Router<Instant, Instant>;

pub(crate) fn router(percent: &str) -> TestRouter {
    let policy = Policy { percents: all(percent), ..Policy::initial("v3-rollout", false) };
    let pins = PinLimits { ttl: Duration::from_secs(60), max_pins: 100_000 };
    let pool = || Arc::new(Instant::default());
    Router::new(pool(), pool(), policy, pins, sessions(), Clock::start())
}

pub(crate) fn all(percent: &str) -> Percents {
    Percents::all(percent.parse().unwrap())
}

pub(crate) fn call(command: &str, session: &str) -> Call {
    Call::new(command, Args::default()).with_session(session).unwrap()
}

pub(crate) fn lane(router: &TestRouter, call: Call) -> (Lane, Reason) {
    let decision = block_on(router.call(call)).decision;
    (decision.lane, decision.reason)
}

#[test]
fn r12_killed_beats_forced_beats_pin_beats_percent() {
    let router = router("100");
    let forced = |lane| Call { forced: Some(lane), ..call("echo", "a") };
    assert_eq!(lane(&router, call("echo", "a")), (Lane::V3, Reason::Percent));
    router.set_percents(all("100"));
    assert_eq!(lane(&router, call("echo", "a")), (Lane::V3, Reason::Pinned));
    assert_eq!(lane(&router, forced(Lane::V2)), (Lane::V2, Reason::Forced));
    router.kill();
    assert_eq!(lane(&router, forced(Lane::V3)), (Lane::V2, Reason::Killed));
    assert_eq!(lane(&router, call("echo", "a")), (Lane::V2, Reason::Killed));
    router.unkill();
    assert_eq!(lane(&router, call("echo", "a")), (Lane::V3, Reason::Percent), "drawn anew");
}

#[test]
fn r13_the_kill_switch_of_a_file_is_heard_whatever_else_it_says() {
    let router = router("0");
    let file = |text: &str| RolloutFile::parse(text).unwrap();
    router.apply(&file("version = 5\npercent = 50"), None).unwrap();
    assert!(router.apply(&file("version = 6\npercent = 50\nflag = \"other\""), None).is_err());
    assert!(router.apply(&file("version = 4\npercent = 60"), None).is_err());
    assert!(!router.policy().killed);
    assert!(router.apply(&file("version = 4\nkilled = true"), None).is_err());
    assert!(router.policy().killed);
    assert_eq!(router.policy().percents, all("50"), "the shares are as they were");
}

#[test]
fn r12_an_anonymous_call_is_drawn_by_its_id_and_unknown_commands_are_critical() {
    let router = router("0");
    router.set_percents(
        Percents::new("50".parse().unwrap(), "50".parse().unwrap(), "0".parse().unwrap()).unwrap(),
    );
    for n in 0..200 {
        let id = format!("id-{n}");
        let bucket = draw("v3-rollout", &id).bucket;
        let expected = if bucket < 50_000 { Lane::V3 } else { Lane::V2 };
        let read = Call::new("echo", Args::default()).with_id(&id).unwrap();
        assert_eq!(lane(&router, read).0, expected);
        let unknown = Call::new("no such command", Args::default()).with_id(&id).unwrap();
        assert_eq!(lane(&router, unknown).0, Lane::V2);
    }
}

#[test]
fn r14_a_session_ends_as_a_whole() {
    let router = router("100");
    lane(&router, call("echo", "a"));
    lane(&router, call("echo", "b"));
    assert_eq!(router.pins(Lane::V3).count, 2);
    router.set_percents(all("0"));
    router.set_percents(all("100"));
    assert_eq!(lane(&router, call("echo", "a")).0, Lane::V2, "the rollback moved it");
    // By the command that ends sessions, and by hand.
    lane(&router, call("cleanup_session", "a"));
    block_on(router.end_session(&SessionId::new("b").unwrap()));
    for pool in [router.legacy(), router.next()] {
        let names: Vec<String> =
            pool.ended.lock().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a", "b"], "both pools forget their bindings");
    }
    assert_eq!(lane(&router, call("echo", "a")), (Lane::V3, Reason::Percent), "a new session");
}

/// Every call that begins after `kill()` returned goes to V2, from whatever thread.
#[test]
fn r13_no_call_that_begins_after_the_kill_goes_to_v3() {
    for round in 0..50 {
        let router = router("50");
        let killed = AtomicBool::new(false);
        let late = AtomicU64::new(0);
        let start = Barrier::new(5);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (router, killed, late, start) = (&router, &killed, &late, &start);
                scope.spawn(move || {
                    start.wait();
                    let mut n = 0_u64;
                    while late.load(Ordering::SeqCst) < 400 {
                        n += 1;
                        let began_after = killed.load(Ordering::SeqCst);
                        // Sessions that are pinned already, and new ones.
                        let known = n.is_multiple_of(2);
                        let session = if known { n % 16 } else { n * 4 + thread };
                        let (lane, _) = lane(router, call("echo", &format!("s{session}")));
                        assert!(!began_after || lane == Lane::V2, "round {round}");
                        late.fetch_add(u64::from(began_after), Ordering::SeqCst);
                    }
                });
            }
            start.wait();
            while router.next().calls.load(Ordering::SeqCst) < 20 {
                std::thread::yield_now();
            }
            router.kill();
            killed.store(true, Ordering::SeqCst);
        });
        assert_eq!(router.pins(Lane::V3).count, 0, "no pin of an older epoch is left");
    }
}

/// The policy is loaded and the pin taken under one lock. A policy that was loaded before it would
/// be old by then for one of many callers, and look like a rollback to the others' pin.
#[test]
fn r13_first_calls_of_a_session_never_part() {
    const CALLERS: usize = 4;
    const SESSIONS: usize = 60;
    for round in 0..400 {
        let router = router("0");
        let (start, reached) = (Barrier::new(CALLERS + 1), AtomicUsize::new(0));
        let lanes: Vec<Vec<Lane>> = std::thread::scope(|scope| {
            let first_calls = || {
                start.wait();
                let call = |n: usize| {
                    reached.fetch_max(n, Ordering::Relaxed);
                    lane(&router, call("echo", &format!("session-{n}"))).0
                };
                (0..SESSIONS).map(call).collect()
            };
            let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(first_calls)).collect();
            start.wait();
            while reached.load(Ordering::Relaxed) < round % SESSIONS {
                std::hint::spin_loop();
            }
            router.set_percents(all("100"));
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        for n in 0..SESSIONS {
            assert!(lanes.iter().all(|of| of[n] == lanes[0][n]), "round {round}, session {n}");
        }
    }
}

/// What a plain model remembers of a session.
#[derive(Clone, Copy)]
struct Remembered {
    percents: Percents,
    last_used: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Call { session: u8, class: usize },
    Percent(u32),
    Kill(bool),
    End(u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0_u8..12, 0_usize..3).prop_map(|(session, class)| Step::Call { session, class }),
        2 => (0_u32..=100).prop_map(Step::Percent),
        1 => any::<bool>().prop_map(Step::Kill),
        1 => (0_u8..12).prop_map(Step::End),
        3 => (1_u64..40).prop_map(Step::Wait),
    ]
}

const TTL: u64 = 60;

proptest! {
    #[test]
    fn r13_r14_pins_do_what_a_plain_model_says(
        steps in prop::collection::vec(step(), 1..200),
        max_pins in 1_usize..14,
    ) {
        let mut shard = PinShard::new(Duration::from_secs(TTL), max_pins);
        let mut policy = Policy::initial("flag", false);
        let mut model: BTreeMap<u8, Remembered> = BTreeMap::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Wait(seconds) => now += seconds,
                Step::End(session) => {
                    shard.end(&name(session));
                    model.remove(&session);
                }
                Step::Percent(percent) => {
                    policy.percents = all(&percent.to_string());
                    shard.follow(&policy);
                    for pin in model.values_mut() {
                        pin.percents = pin.percents.lower(policy.percents);
                    }
                }
                Step::Kill(killed) => {
                    policy.killed = killed;
                    shard.follow(&policy);
                    if killed {
                        model.retain(|session, pin| in_v3(*session, pin.percents) == Lane::V2);
                    }
                }
                Step::Call { session, class } => {
                    // Of one moment, so that "longest idle" has one answer.
                    now += 1;
                    let at = Moment::ZERO + Duration::from_secs(now);
                    let got = shard.decide(at, &name(session), Class::ALL[class], &policy);
                    model.retain(|_, pin| pin.last_used + TTL > now);
                    if policy.killed {
                        prop_assert_eq!((got.lane, got.reason), (Lane::V2, Reason::Killed));
                        continue;
                    }
                    let known = model.get(&session).copied();
                    if known.is_none() && model.len() >= max_pins {
                        let idlest = model.iter().min_by_key(|(_, pin)| pin.last_used);
                        let idlest = *idlest.unwrap().0;
                        model.remove(&idlest);
                    }
                    let percents = known.map_or(policy.percents, |pin| pin.percents);
                    model.insert(session, Remembered { percents, last_used: now });
                    prop_assert_eq!(got.drawn, known.is_none());
                    prop_assert_eq!(got.lane, in_v3(session, percents));
                }
            }
        }
    }
}

fn name(session: u8) -> SessionId {
    SessionId::new(&format!("session-{session}")).unwrap()
}

fn in_v3(session: u8, percents: Percents) -> Lane {
    let bucket = draw("flag", name(session).as_str()).bucket;
    if bucket < percents.of(Class::Read).buckets() { Lane::V3 } else { Lane::V2 }
}
