//! Calls that kill whoever runs them, on real Python.

use std::time::Duration;

use poolshift::config::Config;
use poolshift::machine::quarantine::QuarantineTerms;
use poolshift::{Call, Outcome, Pool, Ran};
use serde_json::json;

use crate::python::{call, v2, v3};
use crate::recycling::{config, settled};

fn quarantining() -> Config {
    let mut config = config(1);
    let window = Duration::from_secs(600);
    config.worker.quarantine = Some(QuarantineTerms { deaths: 2, window });
    config
}

async fn refuses_poison(pool: &impl Pool) {
    let poison = json!({"a": 1, "b": [true]});
    for _ in 0..2 {
        let answer = pool.call(call("die", &poison)).await;
        assert_eq!(answer.outcome(), Outcome::WorkerLost);
    }
    settled(pool, |status| status.live == status.ready).await;
    let restarts = pool.status().restarts;
    // However it is written, whoever sends it.
    let args = poolshift::Args::parse(r#"{ "b": [true], "a": 1 }"#).unwrap();
    let again = Call::new("die", args).with_session("another").unwrap();
    let error = pool.call(again).await.result.unwrap_err();
    assert_eq!((error.outcome(), error.ran()), (Outcome::Rejected, Ran::No), "{error}");
    let text = error.to_string();
    assert!(text.contains("was in flight when workers died: 0.1 (") && text.contains(", 0.2 ("));
    let other = pool.call(call("echo", &poison)).await;
    assert_eq!(other.outcome(), Outcome::Ok, "the same args, another command");
    let other = pool.call(call("die", &json!({"a": 2}))).await;
    assert_eq!(other.outcome(), Outcome::WorkerLost, "the same command, other args");
    assert!(pool.status().restarts <= restarts + 1, "the refused one cost nobody its life");
    pool.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_call_that_killed_two_workers_is_refused_with_that_history() {
    let config = quarantining();
    refuses_poison(&v2(&config).await).await;
    refuses_poison(&v3(&config).await).await;
}

async fn holds_no_timeout_against_a_call(pool: &impl Pool) {
    for _ in 0..3 {
        // Else it might time out in the queue.
        assert_eq!(pool.call(call("echo", &json!({}))).await.outcome(), Outcome::Ok);
        let mut slow = call("sleep", &json!({"ms": 60_000}));
        slow.budget = Some(Duration::from_millis(300));
        let answer = pool.call(slow).await;
        assert_eq!(answer.outcome(), Outcome::ExecTimeout, "{answer:?}");
    }
    pool.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_call_that_timed_out_is_not_refused_however_often() {
    let config = quarantining();
    let (v2, v3) = (v2(&config).await, v3(&config).await);
    tokio::join!(holds_no_timeout_against_a_call(&v2), holds_no_timeout_against_a_call(&v3));
}
