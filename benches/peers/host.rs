//! poolshift in the place of a peer's pool: what `host.py` does with the others, by the same lines.
//!
//! Usage: `cargo bench --bench peers -- WORKERS`, as `benches/peers/run` has it. Alone it has
//! nothing to do, and says so.

#![expect(clippy::unwrap_used, reason = "a benchmark that meets the unexpected is over")]
#![expect(clippy::print_stdout, reason = "its figures are read from there")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use poolshift::clock::{Clock, Moment};
use poolshift::config::{Config, environment};
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::{Answer, Args, Call, Pool, Shim, ShimOptions, WorkerId};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// As long as `job.py` naps.
const NAP: (&str, &str) = ("sleep", "{\"ms\":20}");

const ECHO: (&str, &str) = ("echo", "{\"x\":1}");

#[tokio::main]
async fn main() {
    let Some(workers) = std::env::args().nth(1).and_then(|arg| arg.parse().ok()) else {
        println!("run by benches/peers/run");
        return;
    };
    let clock = Clock::start();
    let (shim, start) = start(workers, clock).await;
    println!("{start}");
    // Blocks this thread, on which no task runs.
    for line in std::io::stdin().lines().map(Result::unwrap) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [what, callers, seconds] = words[..] else { panic!("{line}") };
        let callers = callers.parse().unwrap();
        let end = clock.now() + Duration::from_secs_f64(seconds.parse().unwrap());
        let told = match what {
            "tasks" => closed_loops(&shim, callers, clock, end).await,
            "kill" => kill_one(&shim, workers, callers, clock, end).await,
            other => panic!("{other}"),
        };
        println!("{told}");
    }
    shim.drain().await;
}

/// Both pools and the router, every call to V3; V2 has one worker, which has nothing to do.
async fn start(workers: usize, clock: Clock) -> (Arc<Shim>, Value) {
    let mut config = Config::load(None, environment()).unwrap();
    config.v2.size = 1; // legacy
    (config.v3.size, config.v3.min_ready) = (workers, 1);
    let percents = Some(Percents::all(Percent::HUNDRED));
    let began = clock.now();
    let shim = Shim::start(&config, ShimOptions { percents, ledger: None }).await.unwrap();
    let shim = Arc::new(shim);
    let (mut first, mut seen) = (None, BTreeSet::new());
    while seen.len() < workers {
        let mut naps = JoinSet::new();
        for _ in 0..workers {
            let shim = Arc::clone(&shim);
            naps.spawn(async move { call(&shim, NAP, "start").await.worker.unwrap() });
        }
        while let Some(worker) = naps.join_next().await {
            first.get_or_insert_with(|| clock.now().since(began));
            seen.insert(worker.unwrap());
        }
    }
    let first_s = first.unwrap().as_secs_f64();
    (shim, json!({ "first_s": first_s, "all_s": clock.now().since(began).as_secs_f64() }))
}

async fn call(shim: &Shim, (command, args): (&str, &str), session: &str) -> Answer {
    let call = Call::new(command, Args::parse(args).unwrap()).with_session(session).unwrap();
    shim.call(call).await.answer
}

/// Calls, each caller's next as soon as its last is answered; a task for each caller.
async fn closed_loops(shim: &Arc<Shim>, callers: usize, clock: Clock, end: Moment) -> Value {
    let (began, mut loops) = (clock.now(), JoinSet::new());
    for caller in 0..callers {
        let (shim, session) = (Arc::clone(shim), format!("caller-{caller}"));
        loops.spawn(async move {
            let (mut times, mut began) = (Vec::new(), clock.now());
            while began < end {
                let answer = call(&shim, ECHO, &session).await;
                assert_eq!(answer.result.unwrap().get(), ECHO.1);
                let done = clock.now();
                times.push(done.since(began));
                began = done;
            }
            times
        });
    }
    let mut times = loops.join_all().await.concat();
    let wall = clock.now().since(began).as_secs_f64();
    times.sort_unstable();
    let us = |share: f64| {
        let index = ((times.len() - 1) as f64 * share).round() as usize;
        times[index].as_secs_f64() * 1e6
    };
    json!({ "calls_per_s": times.len() as f64 / wall, "p50_us": us(0.5), "p99_us": us(0.99) })
}

/// Kills a worker in the midst of a call, and counts what its callers are told. A caller ends with
/// its first failure.
async fn kill_one(
    shim: &Arc<Shim>,
    workers: usize,
    callers: usize,
    clock: Clock,
    end: Moment,
) -> Value {
    let answered = Arc::new(Semaphore::new(0));
    let mut loops = JoinSet::new();
    for caller in 0..callers {
        let (shim, answered) = (Arc::clone(shim), Arc::clone(&answered));
        let session = format!("caller-{caller}");
        loops.spawn(async move {
            let mut answers = Vec::new();
            while clock.now() < end {
                let answer = call(&shim, NAP, &session).await;
                if answer.result.is_err() {
                    return (answers, Some(answer.outcome().as_str()));
                }
                answers.push((clock.now(), answer.worker.unwrap()));
                answered.add_permits(1);
            }
            (answers, None)
        });
    }
    // By then every worker is in a call.
    drop(answered.acquire_many(u32::try_from(callers).unwrap()).await.unwrap());
    let (killed, victim) = (clock.now(), kill(shim));
    let (answers, told): (Vec<_>, Vec<_>) = loops.join_all().await.into_iter().unzip();
    let told: Vec<&str> = told.into_iter().flatten().collect();
    let lives = call(shim, ECHO, "afterwards").await.result.is_ok();
    json!({
        "failed": told.len(),
        "told": told.iter().collect::<BTreeSet<_>>(),
        "lives": lives,
        "whole_s": whole_again(answers.concat(), victim, killed, workers),
    })
}

/// Kills the first worker.
fn kill(shim: &Shim) -> WorkerId {
    let worker = shim.router().next().status().workers.swap_remove(0);
    let pid = worker.pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    kill_process(pid.unwrap(), Signal::KILL).unwrap();
    worker.id
}

/// How long after the kill as many workers as before have answered.
fn whole_again(
    mut answers: Vec<(Moment, WorkerId)>,
    victim: WorkerId,
    killed: Moment,
    workers: usize,
) -> Option<f64> {
    answers.sort_unstable();
    let mut since = BTreeSet::new();
    for (at, worker) in answers.into_iter().filter(|(at, id)| *at > killed && *id != victim) {
        since.insert(worker);
        if since.len() == workers {
            return Some((at.since(killed)).as_secs_f64());
        }
    }
    None
}
