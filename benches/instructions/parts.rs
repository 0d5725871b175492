//! How many instructions the parts of a call take, counted by valgrind: the same on every run,
//! so that a change of a few percent shows. `scripts/instructions` holds them against
//! `baseline.json`.

#![expect(missing_docs, unused_qualifications, reason = "what the macros of gungraun make")]

#[path = "../busy/mod.rs"]
mod busy;
#[path = "../fake_worker/mod.rs"]
mod fake_worker;
#[path = "../routing/mod.rs"]
mod routing;

use std::hint::black_box;
use std::time::Duration;

use bytes::BytesMut;
use gungraun::prelude::*;
use poolshift::clock::{Clock, Wall};
use poolshift::config::Config;
use poolshift::machine::PoolMachine;
use poolshift::router::compare::compare;
use poolshift::router::compare::rule::Rules;
use poolshift::router::guard::slow::Thresholds;
use poolshift::router::guard::strata::Strata;
use poolshift::router::guard::{Arm, Drawn, Guards, Unit};
use poolshift::router::ramp::{Capacity, Drill, Plan, Ramp, Situation, Verdict, assess};
use poolshift::v3_pool::V3Pool;
use poolshift::worker::wire::{Outgoing, ReplyDecoder, encode};
use poolshift::{Args, Call, Class, Outcome, Pool, shim};
use serde_json::value::RawValue;
use tokio::runtime::{Builder, Runtime};

use crate::busy::Busy;
use crate::fake_worker::{Answers, InProcess};
use crate::routing::Routing;

/// So many of each are counted together: where hashes are seeded anew in each run, that evens out.
const TIMES: usize = 200;

// One reply and the next submit, with 8 workers busy and 32 calls waiting.
#[library_benchmark]
#[bench::v2(busy::v2())]
#[bench::v3(busy::v3())]
fn machine<M: PoolMachine>(mut busy: Busy<M>) -> Busy<M> {
    (0..TIMES).for_each(|_| busy.step());
    busy
}

// Where the call of a session goes.
#[library_benchmark]
#[bench::pinned(routing::pinned())]
#[bench::new(routing::new())]
fn route(mut routing: Routing) -> Routing {
    (0..TIMES).for_each(|_| routing.decide());
    routing
}

// Where a call without a session goes.
#[library_benchmark]
#[bench::anonymous(routing::pinned())]
fn draw(mut routing: Routing) -> Routing {
    (0..TIMES).for_each(|_| routing.decide_anonymous());
    routing
}

const PLAN: &str = r#"
[guards.errors]
limit = 0.2

[[steps]]
percent = 5
min_time = "10s"
min_units = 20

[[steps]]
percent = 100
min_time = "10s"
min_units = 50
"#;

/// A ramp in its first step, and its guards.
#[derive(Debug)]
struct Ramping {
    ramp: Ramp,
    strata: Strata,
    guards: Guards,
}

fn ramping() -> Ramping {
    let plan = Plan::parse(PLAN, &[]).expect("it is a good plan");
    let strata = Strata::new([("echo".to_owned(), Class::Read)]);
    let settings = plan.guards.clone();
    let guards = Guards::new("build", settings, strata.clone(), Thresholds::default());
    let mut ramping = Ramping { ramp: Ramp::start(plan, at_s(0)), strata, guards };
    let verdict = ramping.look(at_s(1));
    ramping.ramp.follow(&verdict, at_s(1)).expect("nothing is asked of the first step");
    let comparisons = "50".parse().expect("it is a percentage");
    let drawn = Drawn { calls: ramping.ramp.percents(), comparisons };
    ramping.guards.begin_step(ramping.ramp.number(), drawn, &Class::ALL);
    ramping
}

fn ramping_on() -> Ramping {
    let mut ramping = ramping();
    ramping.record();
    ramping
}

fn at_s(seconds: u64) -> Wall {
    Wall::from_millis(seconds * 1000)
}

impl Ramping {
    /// First calls of sessions: each twentieth in V3, each tenth an error in either lane.
    fn record(&mut self) {
        for n in 0..TIMES {
            let mut marks = self.guards.mark().expect("a step has begun");
            let arm = if n % 20 == 3 { Arm::Candidate } else { Arm::Control };
            let outcome = if n % 10 == 3 { Outcome::Raised } else { Outcome::Ok };
            let took = Duration::from_millis(5);
            self.guards.called(&mut Unit::Session(&mut marks), "echo", arm, outcome, took);
        }
    }

    fn look(&self, now: Wall) -> Verdict {
        let evidence = self.guards.evidence();
        let capacity = Some(Capacity { v2_workers: 8, busy_workers: 2.0 });
        let situation = Situation {
            now,
            evidence: Some(&evidence),
            strata: &self.strata,
            killed: false,
            capacity,
            drill: Some(Drill { at: now, took_ms: 3 }),
            corpora: None,
        };
        assess(&self.ramp, &situation)
    }
}

// A guard hears of a call.
#[library_benchmark]
#[bench::record(ramping())]
fn guard_hears(mut ramping: Ramping) -> Ramping {
    ramping.record();
    ramping
}

// A ramp is judged by what its guards heard.
#[library_benchmark]
#[bench::look(ramping_on())]
fn guard_looks(ramping: Ramping) -> Ramping {
    for _ in 0..TIMES {
        black_box(ramping.look(at_s(20)));
    }
    ramping
}

const MAX_FRAME: usize = 1 << 20;

fn args() -> Args {
    Args::parse(r#"{"program":"sentiment","text":"A text as long as texts are.","max_tokens":256}"#)
        .expect("it is an object")
}

#[library_benchmark]
#[bench::request((args(), Vec::with_capacity(TIMES * 512)))]
fn encoded((args, mut frames): (Args, Vec<u8>)) -> (Args, Vec<u8>) {
    for id in 0..TIMES as u64 {
        let request = Outgoing {
            command: "run_program",
            args: &args,
            session_id: Some("session-1"),
            extra: None,
            call_id: None,
            budget: Some(Duration::from_secs(60)),
            shadow: false,
            unix: Duration::from_millis(1_764_000_000_123),
        };
        encode(id, request, MAX_FRAME, &mut frames).expect("it is not too large");
    }
    (args, frames)
}

fn replies() -> BytesMut {
    let mut frames = BytesMut::new();
    for id in 0..TIMES {
        let result = r#"{"label":"positive","score":0.93}"#;
        let timestamp = "2026-01-01T00:00:00.123Z";
        let reply =
            format!(r#"{{"id":{id},"success":true,"result":{result},"timestamp":"{timestamp}"}}"#);
        let length = u32::try_from(reply.len()).expect("it is short");
        frames.extend_from_slice(&length.to_be_bytes());
        frames.extend_from_slice(reply.as_bytes());
    }
    frames
}

#[library_benchmark]
#[bench::reply((ReplyDecoder::new(MAX_FRAME), replies()))]
fn decoded((mut decoder, mut frames): (ReplyDecoder, BytesMut)) -> (ReplyDecoder, BytesMut) {
    for id in 0..TIMES as u64 {
        let reply = decoder.decode(id, &mut frames, |_| {}).expect("it is a reply");
        black_box(reply.expect("it is whole"));
    }
    (decoder, frames)
}

/// 4 KB of JSON.
fn answer(text: &str, from_the_end: bool) -> Box<RawValue> {
    let mut members: Vec<String> = (0..40)
        .map(|n| {
            format!(r#""member-{n}":{{"text":"{text} {n}","score":{n}.5,"tags":["a","b",{n}]}}"#)
        })
        .collect();
    if from_the_end {
        members.reverse();
    }
    RawValue::from_string(format!("{{{}}}", members.join(","))).expect("it is JSON")
}

const TEXT: &str = "A sentence of some length, in words";

// Two answers: the same bytes, the same value in another order, and another value everywhere.
#[library_benchmark]
#[bench::same_bytes((answer(TEXT, false), answer(TEXT, false)))]
#[bench::same_value((answer(TEXT, false), answer(TEXT, true)))]
#[bench::different((answer(TEXT, false), answer("Another sentence of such a length", false)))]
fn compared(answers: (Box<RawValue>, Box<RawValue>)) -> (Box<RawValue>, Box<RawValue>) {
    let rules = Rules::default();
    for _ in 0..TIMES {
        black_box(compare(&rules, Ok(black_box(&answers.0)), Ok(black_box(&answers.1))));
    }
    answers
}

/// The V3 pool on one thread, with workers that answer at once, and calls to make. Dropped in
/// this order.
type Pooled = (V3Pool<InProcess>, Vec<Call>, Runtime);

fn pooled() -> Pooled {
    let runtime = Builder::new_current_thread().enable_time().build().expect("it needs nothing");
    let mut config = Config::default();
    (config.v3.size, config.v3.min_ready) = (8, 8);
    let (sessions, worker) = (shim::sessions(&config), InProcess(Answers::AtOnce));
    let clock = runtime.block_on(async { Clock::start() });
    let started = V3Pool::start(&config.v3, &config.worker, worker, sessions, clock);
    let pool = runtime.block_on(started).expect("workers in this process start");
    let call = |n| Call::new("echo", args()).with_session(&format!("session-{}", n % 8));
    let calls = (0..TIMES).map(|n| call(n).expect("it is short")).collect();
    (pool, calls, runtime)
}

fn through_the_pool((pool, mut calls, runtime): Pooled) -> Pooled {
    runtime.block_on(async {
        for call in calls.drain(..) {
            black_box(pool.call(call).await.result).expect("each call is answered");
        }
    });
    (pool, calls, runtime)
}

// A whole call: checkout, request, reply, checkin.
#[library_benchmark]
#[bench::v3(pooled())]
fn checkout(pooled: Pooled) -> Pooled {
    through_the_pool(pooled)
}

library_benchmark_group!(
    name = parts,
    benchmarks =
        [machine, route, draw, guard_hears, guard_looks, encoded, decoded, compared, checkout]
);
main!(library_benchmark_groups = parts);
