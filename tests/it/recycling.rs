//! Workers that did no wrong and are replaced all the same, on real Python.

use std::collections::BTreeSet;
use std::time::Duration;

use poolshift::config::{Config, WorkerProgram};
use poolshift::pool::RecycleReason;
use poolshift::{Answer, Outcome, Pool, PoolStatus};
use serde_json::{Value, json};

use crate::process::soon;
use crate::python::{call, v2, v3};
use crate::tool::Tool;

/// Limits that a test waits for are looked at this often.
const POLL: Duration = Duration::from_millis(5);

const DRAIN: Duration = Duration::from_secs(5);

/// Pools of `tests/fixtures/lifecycle.py`.
pub(crate) fn config(workers: usize) -> Config {
    let mut config = Config::default();
    (config.v2.size, config.v3.size, config.v3.min_ready) = (workers, workers, workers);
    config.worker.program = WorkerProgram::App("lifecycle".to_owned());
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    config.worker.env.insert("PYTHONPATH".to_owned(), fixtures.to_owned());
    config
}

/// Waits until the pool's status is as `wanted`.
pub(crate) async fn settled(pool: &impl Pool, wanted: impl Fn(&PoolStatus) -> bool) {
    soon(async {
        while !wanted(&pool.status()) {
            tokio::time::sleep(POLL).await; // polls a condition
        }
    })
    .await;
}

fn pids(pool: &impl Pool) -> BTreeSet<u32> {
    pool.status().workers.iter().filter_map(|worker| worker.pid).collect()
}

fn recycled(status: &PoolStatus, reason: RecycleReason) -> u64 {
    status.recycled.get(&reason).copied().unwrap_or(0)
}

async fn ask(pool: &impl Pool, command: &str, args: &Value) -> Answer {
    pool.call(call(command, args)).await
}

#[tokio::test]
async fn workers_that_are_used_up_are_replaced_first_and_no_call_is_lost() {
    let mut config = config(2);
    config.v3.max_requests = 5;
    let pool = v3(&config).await;
    let first = pids(&pool);
    let caller = async || {
        for n in 0..40 {
            let answer = ask(&pool, "calculate", &json!({"expression": format!("{n} + 1")})).await;
            assert_eq!(answer.outcome(), Outcome::Ok, "{answer:?}");
            let status = pool.status();
            assert!(status.ready >= 2, "a replacement comes before its worker leaves: {status:#?}");
            assert!(status.live <= 3, "one at a time: {status:#?}");
        }
    };
    tokio::join!(caller(), caller(), caller());
    settled(&pool, |status| recycled(status, RecycleReason::Requests) >= 2).await;
    settled(&pool, |status| status.live == 2 && status.ready == 2).await;
    let status = pool.status();
    assert_eq!((status.start_failures, status.restarts <= 120), (0, true));
    assert_ne!(pids(&pool), first);
    assert!(status.workers.len() <= 3, "slots do not add up: {status:#?}");
    pool.drain(DRAIN).await;
}

#[tokio::test]
async fn idle_workers_grow_old_and_are_replaced_one_after_the_other() {
    let mut config = config(2);
    config.v3.max_age = Duration::from_millis(300);
    let pool = v3(&config).await;
    let first = pids(&pool);
    settled(&pool, |status| {
        assert!(status.ready >= 2 && status.live <= 3, "{status:#?}");
        recycled(status, RecycleReason::Age) >= 2
    })
    .await;
    settled(&pool, |status| {
        let alive = |pid: &u32| status.workers.iter().any(|worker| worker.pid == Some(*pid));
        !first.iter().any(alive)
    })
    .await;
    pool.drain(DRAIN).await;
}

#[tokio::test]
async fn a_worker_that_leaks_is_replaced_and_one_that_does_not_is_not() {
    let mut config = config(1);
    config.v3.max_memory_growth = 32 << 20;
    let pool = v3(&config).await;
    let first = pids(&pool);
    let growth = |status: &PoolStatus| status.workers[0].memory_growth_bytes;
    soon(async {
        while growth(&pool.status()).is_none() {
            ask(&pool, "echo", &json!({})).await;
        }
    })
    .await;
    // Measured again and again, it has not grown.
    for _ in 0..200 {
        ask(&pool, "echo", &json!({})).await;
    }
    assert_eq!(pids(&pool), first);
    assert_eq!(ask(&pool, "leak", &json!({"bytes": 64 << 20})).await.outcome(), Outcome::Ok);
    soon(async {
        while recycled(&pool.status(), RecycleReason::Memory) == 0 {
            assert_eq!(ask(&pool, "echo", &json!({})).await.outcome(), Outcome::Ok);
        }
    })
    .await;
    settled(&pool, |status| status.live == 1 && status.ready == 1).await;
    assert_ne!(pids(&pool), first);
    assert_eq!(recycled(&pool.status(), RecycleReason::Memory), 1, "its heir has its own baseline");
    pool.drain(DRAIN).await;
}

#[tokio::test]
async fn a_worker_may_ask_to_be_replaced() {
    let pool = v3(&config(1)).await;
    let first = pids(&pool);
    assert_eq!(ask(&pool, "retire", &json!({})).await.outcome(), Outcome::Ok);
    // Whoever serves meanwhile, no call is lost.
    settled(&pool, |status| {
        assert!(status.ready >= 1, "{status:#?}");
        recycled(status, RecycleReason::Asked) == 1 && status.live == 1
    })
    .await;
    assert!(pids(&pool).is_disjoint(&first));
    pool.drain(DRAIN).await;
}

#[tokio::test]
async fn r10_a_v2_worker_that_asks_takes_its_sessions_with_it_and_each_is_told_once() {
    let pool = v2(&config(1)).await;
    let first = pids(&pool);
    let in_session = async |command: &str, session: &str| {
        let call = call(command, &json!({})).with_session(session).unwrap();
        pool.call(call).await.outcome()
    };
    assert_eq!(in_session("echo", "b").await, Outcome::Ok);
    assert_eq!(in_session("retire", "a").await, Outcome::Ok);
    for session in ["a", "b"] {
        assert_eq!(in_session("echo", session).await, Outcome::SessionLost, "{session}");
        assert_eq!(in_session("echo", session).await, Outcome::Ok, "{session}");
    }
    assert!(pids(&pool).is_disjoint(&first));
    assert_eq!(recycled(&pool.status(), RecycleReason::Asked), 1);
    pool.drain(DRAIN).await;
}

#[test]
fn the_log_says_who_is_recycled_and_why() {
    let tool = Tool::new().with_env("RUST_LOG", "poolshift=info");
    tool.write("poolshift.toml", "[v3]\nsize = 1\nmax_requests = 2\n");
    // So that replacements become ready while calls still come.
    let line = "{\"command\":\"sleep\",\"args\":{\"ms\":10}}\n";
    tool.write("calls.jsonl", &line.repeat(200));
    let ran = tool.run(&["run", "calls.jsonl", "--pool", "v3", "--concurrency", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let said = ran.stderr.lines().find(|line| line.contains("recycling worker"));
    let said = said.unwrap_or_else(|| panic!("nobody was recycled: {}", ran.stderr));
    assert!(said.contains("\"reason\":\"requests\"") && said.contains("0.1"), "{said}");
}
