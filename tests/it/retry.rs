//! R15 on real Python: what is tried again, what is not, and what the ledger says of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use poolshift::config::Config;
use poolshift::machine::quarantine::QuarantineTerms;
use poolshift::machine::retry::{RetryTerms, Share};
use poolshift::session::commands::{Command, Commands};
use poolshift::{Class, Outcome, Pool, PoolStatus, Ran};
use serde_json::{Value, json};

use crate::python::{call, result, v2, v3};
use crate::recycling::config;

const DRAIN: Duration = Duration::from_secs(5);

/// `die` may run twice, or not.
fn retrying(attempts: usize, budget: f64, idempotent: bool) -> Config {
    let mut config = config(1);
    // Workers that die of their first call are else started ever later.
    config.v3.restart_backoff = (Duration::from_millis(1), Duration::from_millis(2));
    let budget = Share::new(budget).unwrap();
    config.worker.retry = Some(RetryTerms { attempts, budget });
    let mut commands = Commands::default();
    commands.set("die", Command { idempotent, ..Command::of(Class::Write) });
    config.commands = Arc::new(commands);
    config
}

fn once(folder: &Path, name: &str) -> Value {
    json!({"once": folder.join(name)})
}

/// First tries and retries of `die` with this end.
fn counted(status: &PoolStatus, outcome: Outcome, ran: Ran) -> (u64, u64) {
    let of_it = |row: &&poolshift::pool::LedgerRow| {
        (row.command.as_str(), row.outcome, row.ran) == ("die", outcome, ran)
    };
    status.ledger.iter().find(of_it).map_or((0, 0), |row| (row.calls, row.retries))
}

async fn tries_again(pool: &impl Pool, folder: &Path) {
    let answer = pool.call(call("die", &once(folder, "first"))).await;
    assert_eq!(result(&answer), json!({"survived": true}));
    let status = pool.status();
    assert_eq!(counted(&status, Outcome::WorkerLost, Ran::Maybe), (1, 0));
    assert_eq!(counted(&status, Outcome::Ok, Ran::Yes), (0, 1));
    assert_eq!((status.retries.made, status.retries.over_budget), (1, 0));
}

#[tokio::test]
async fn r15_an_idempotent_call_whose_worker_died_is_tried_again_in_its_lane() {
    let config = retrying(1, 1.0, true);
    for lane in ["v2", "v3"] {
        let folder = tempfile::tempdir().unwrap();
        if lane == "v3" {
            let pool = v3(&config).await;
            tries_again(&pool, folder.path()).await;
            pool.drain(DRAIN).await;
            continue;
        }
        let pool = v2(&config).await;
        tries_again(&pool, folder.path()).await;
        // In a session, the loss must reach the caller: nothing is tried again.
        let call = async || {
            let call = call("die", &once(folder.path(), "second")).with_session("a").unwrap();
            pool.call(call).await.outcome()
        };
        assert_eq!(call().await, Outcome::WorkerLost);
        assert_eq!(call().await, Outcome::SessionLost);
        assert_eq!(call().await, Outcome::Ok);
        assert_eq!(pool.status().retries.made, 1);
        pool.drain(DRAIN).await;
    }
}

#[tokio::test]
async fn r15_what_may_have_run_and_may_not_run_twice_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let pool = v3(&retrying(3, 1.0, false)).await;
    let answer = pool.call(call("die", &once(folder.path(), "once"))).await;
    assert_eq!(answer.outcome(), Outcome::WorkerLost);
    let status = pool.status();
    assert_eq!((status.retries.made, status.retries.over_budget), (0, 0));
    assert_eq!(counted(&status, Outcome::WorkerLost, Ran::Maybe), (1, 0));
    pool.drain(DRAIN).await;
}

#[tokio::test]
async fn r15_retries_are_a_share_of_the_calls_however_many_fail() {
    let pool = v3(&retrying(3, 0.1, true)).await;
    for n in 0..10 {
        let answer = pool.call(call("die", &json!({"n": n}))).await;
        assert_eq!(answer.outcome(), Outcome::WorkerLost, "{answer:?}");
    }
    let status = pool.status();
    assert!((1..=2).contains(&status.retries.made), "{:?}", status.retries);
    assert!(status.retries.over_budget > 0);
    let (first, again) = counted(&status, Outcome::WorkerLost, Ran::Maybe);
    assert_eq!((first, again), (10, status.retries.made));
    pool.drain(DRAIN).await;
}

#[tokio::test]
async fn r15_a_retry_that_never_ran_does_not_hide_a_try_that_may_have() {
    let mut config = retrying(1, 1.0, true);
    let window = Duration::from_secs(600);
    config.worker.quarantine = Some(QuarantineTerms { deaths: 1, window });
    let pool = v3(&config).await;
    let error = pool.call(call("die", &json!({}))).await.result.unwrap_err();
    assert_eq!((error.outcome(), error.ran()), (Outcome::WorkerLost, Ran::Maybe), "{error}");
    assert_eq!(counted(&pool.status(), Outcome::Rejected, Ran::No), (0, 1), "it was refused");
    pool.drain(DRAIN).await;
}
