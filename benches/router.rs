//! What a routing decision costs, with 20 rules that do not match: the command's class, the
//! policy, the rules, the clock, and the pin or the bucket. Medians of many short batches on one
//! core, beside what they may be. Then how soon a change of the policy is seen.

#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poolshift::call::Timing;
use poolshift::clock::{Clock, Moment};
use poolshift::router::bucket::draw;
use poolshift::router::file::RolloutFile;
use poolshift::router::policy::{Decision, Percents, Policy};
use poolshift::router::{PinLimits, Router};
use poolshift::session::Sessions;
use poolshift::session::memory::MemoryStore;
use poolshift::{Answer, Args, Call, CallError, Pool, PoolStatus, SessionId};

/// Decisions of a batch, whose calls fit into the nearest caches as new calls do, and batches; but
/// `cargo test --benches` only looks whether it still runs.
fn effort() -> (usize, usize) {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    if is_bench { (64, 10_001) } else { (10, 3) }
}

/// Decisions never get so far.
#[derive(Debug)]
struct Nowhere;

impl Pool for Nowhere {
    async fn call(&self, _: Call) -> Answer {
        let at = Moment::ZERO;
        let timing = Timing { planned: at, submitted: at, dispatched: None, finished: at };
        Answer { result: Err(CallError::Draining), worker: None, timing, first_try: None }
    }

    fn end_session(&self, _: &SessionId) {}

    async fn drain(&self, _: Duration) {}

    fn status(&self) -> PoolStatus {
        PoolStatus::default()
    }
}

type Bare = Router<Nowhere, Nowhere>;

fn router(sessions: &Arc<Sessions>, rules: usize) -> Bare {
    let ttl = Duration::from_secs(3600);
    let pins = PinLimits { ttl, max_pins: 400_000 };
    let policy = Policy::initial("v3-rollout", false);
    let (legacy, next) = (Arc::new(Nowhere), Arc::new(Nowhere));
    let router = Router::new(legacy, next, policy, pins, Arc::clone(sessions), Clock::start());
    let rule = |n: usize| {
        format!(
            "[[rules]]\ncommands = [\"ping\", \"list_programs\"]\nclasses = [\"read\"]\n\
             sessions = [\"vip-{n}\"]\nlane = \"v3\"\n\
             [[rules]]\nattrs = {{ tenant = \"tenant-{n}\" }}\nlane = \"v3\"\n"
        )
    };
    let rules: String = (0..rules / 2).map(rule).collect();
    let file = RolloutFile::parse(&format!("percent = 50\n{rules}")).expect("it is a good file");
    router.apply(&file, None).expect("the commands are known");
    router
}

/// The call as it would come: its class is looked up with the decision.
fn decide(router: &Bare, sessions: &Sessions, call: &mut Call) -> Decision {
    call.class = sessions.commands().get(&call.command).class;
    router.decide(call)
}

/// Nanoseconds of one of many in a batch that was prepared: the median of all, and the best.
fn median<T>(mut prepare: impl FnMut(usize) -> T, mut batch: impl FnMut(T)) -> (f64, f64) {
    let (size, batches) = effort();
    let clock = Clock::start();
    let mut each: Vec<f64> = (0..batches)
        .map(|_| {
            let prepared = prepare(size);
            let began = clock.now();
            batch(prepared);
            clock.now().since(began).as_nanos() as f64 / size as f64
        })
        .collect();
    each.sort_by(f64::total_cmp);
    (each[each.len() / 2], each[0])
}

fn row(what: &str, (median, best): (f64, f64), may: Option<f64>) {
    let may = may.map_or(String::new(), |may| format!("{may:>10.0}"));
    println!("{what:<42}{median:>10.0}{best:>10.0}{may}");
}

fn call(n: usize) -> Call {
    let mut call = Call::new("echo", Args::default());
    call.attrs.insert("tenant".to_owned(), format!("other-{n}"));
    call
}

fn decisions() {
    let store = MemoryStore::new(Duration::from_secs(3600), 10);
    let sessions = Arc::new(Sessions::new(Arc::new(store), Arc::default()));
    println!("{:<42}{:>10}{:>10}{:>10}", "ns", "median", "best", "at most");
    let buckets = |size| {
        for _ in 0..size {
            black_box(draw(black_box("v3-rollout"), black_box("session-12345")));
        }
    };
    row("bucket", median(|size| size, buckets), None);
    for rules in [0, 20] {
        let router = router(&sessions, rules);
        let anonymous = |size| (0..size).map(call).collect::<Vec<Call>>();
        let cost = median(anonymous, |mut calls| decide_all(&router, &sessions, &mut calls));
        row(&format!("no pin, {rules} rules"), cost, (rules == 20).then_some(150.0));
    }
    for (pins, rules) in [(1000, 20), (100_000, 0), (100_000, 20)] {
        let router = router(&sessions, rules);
        let mut state = 1_u64;
        // The calls are new, as a caller's are, and so are their sessions' names; the pins are
        // wherever they were left.
        let known = |size| {
            let mut random = || {
                // Knuth's generator: no order that a prefetcher could learn.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as usize % pins
            };
            (0..size).map(|_| in_session(random())).collect::<Vec<Call>>()
        };
        (0..pins).for_each(|n| {
            router.decide(&in_session(n));
        });
        let cost = median(known, |mut calls| decide_all(&router, &sessions, &mut calls));
        let may = ((pins, rules) == (100_000, 20)).then_some(600.0);
        row(&format!("{pins} pins at random, {rules} rules"), cost, may);
    }
}

fn decide_all(router: &Bare, sessions: &Sessions, calls: &mut [Call]) {
    for call in calls {
        black_box(decide(router, sessions, call));
    }
}

fn in_session(n: usize) -> Call {
    call(n).with_session(&format!("session-{n}")).expect("it is short")
}

/// From before a change until another thread's next decision is by it, with 100,000 pins that the
/// change must walk through too.
fn changes() {
    const PINS: usize = 100_000;
    let store = MemoryStore::new(Duration::from_secs(3600), 10);
    let sessions = Arc::new(Sessions::new(Arc::new(store), Arc::default()));
    let router = router(&sessions, 20);
    let (_, batches) = effort();
    let rounds = batches.min(200);
    let calls: Vec<Call> = (0..PINS).map(in_session).collect();
    let first = calls.iter().map(|call| router.decide(call).epoch).max().expect("many");
    let (clock, ended, made) = (Clock::start(), AtomicBool::new(false), AtomicU64::new(0));
    let seen: Mutex<BTreeMap<u64, Moment>> = Mutex::default();
    let mut began = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut latest = first;
            for call in calls.iter().cycle().step_by(7919) {
                let epoch = router.decide(call).epoch;
                made.fetch_add(1, Ordering::Relaxed);
                if epoch > latest {
                    latest = epoch;
                    seen.lock().expect("nobody panics").insert(epoch, clock.now());
                }
                if ended.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        for (round, epoch) in (first + 1..).take(rounds).enumerate() {
            let share = if round % 2 == 0 { "49" } else { "50" };
            // Until the caller is at full speed again: it may just be woken from the last walk.
            let enough = made.load(Ordering::Relaxed) + 10_000;
            while made.load(Ordering::Relaxed) < enough {
                std::hint::spin_loop();
            }
            began.push(clock.now());
            router.set_percents(Percents::all(share.parse().expect("it is a percentage")));
            while !seen.lock().expect("nobody panics").contains_key(&epoch) {
                std::thread::yield_now();
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    let seen = seen.into_inner().expect("nobody panics");
    let pairs = began.iter().zip(seen.values());
    let mut took: Vec<f64> =
        pairs.map(|(began, seen)| seen.since(*began).as_secs_f64() * 1e6).collect();
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    let (median, late) = (at(0.5), at(0.9));
    println!(
        "\na change among {PINS} pins is seen by another thread's next call after {median:.1} us \
         at the median, {late:.1} us at p90 (at most 1000)"
    );
}

fn main() {
    decisions();
    changes();
}
