//! R6 on real Python: workers that do not start, what callers are told, and the way back.

use std::path::Path;
use std::time::Duration;

use poolshift::config::Config;
use poolshift::{Answer, CallError, Outcome, Pool, Ran};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::process::soon;
use crate::python::{call, v2, v3};
use crate::recycling::{config, settled};

/// Its workers do not start while `broken` is in the folder.
fn breakable(folder: &Path) -> Config {
    let mut config = config(2);
    let name = folder.to_str().unwrap().to_owned();
    config.worker.env.insert("LIFECYCLE_FOLDER".to_owned(), name);
    config.v3.restart_backoff = (Duration::from_millis(10), Duration::from_millis(20));
    config.v3.breaker_failures = 3;
    config.v3.breaker_probe = Duration::from_millis(50);
    // Long enough to tell who was refused from who waited in vain.
    config.v3.timeout = Duration::from_secs(600);
    config.v3.queue_timeout = Duration::from_secs(600);
    config.v2.checkout_timeout = Duration::from_secs(600);
    config
}

fn kill_all(pool: &impl Pool) {
    for pid in pool.status().workers.iter().filter_map(|worker| worker.pid) {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        // It may have ended by itself, and be unreaped.
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn refused(answer: &Answer) {
    let error = answer.result.as_ref().unwrap_err();
    assert_eq!((error.outcome(), error.ran()), (Outcome::Rejected, Ran::No), "{error}");
    let text = error.to_string();
    assert!(text.contains("starts in a row failed"), "{text}");
    assert!(text.contains("the model cannot be read today"), "the real reason: {text}");
}

async fn opens_and_comes_back(pool: &impl Pool, folder: &Path) {
    let echo = async || soon(pool.call(call("echo", &json!({})))).await;
    assert_eq!(echo().await.outcome(), Outcome::Ok);
    std::fs::write(folder.join("broken"), "").unwrap();
    kill_all(pool);
    settled(pool, |status| status.ready == 0).await;
    // The ones that wait, or meet a dead worker, are told as soon as there is no hope.
    for answer in [echo().await, echo().await] {
        if !matches!(answer.result, Err(CallError::WorkerLost { .. })) {
            refused(&answer);
        }
    }
    settled(pool, |status| status.breaker.open).await;
    let status = pool.status();
    let cause = status.breaker.cause.unwrap();
    assert!(cause.contains("the model cannot be read today"), "{cause}");
    refused(&echo().await);
    // It tries by itself, one start at a time, and no more often than it may.
    let failures = status.start_failures;
    settled(pool, |status| {
        assert!(status.live <= 1, "{status:#?}");
        status.start_failures >= failures + 2
    })
    .await;
    refused(&echo().await);
    std::fs::remove_file(folder.join("broken")).unwrap();
    settled(pool, |status| !status.breaker.open && status.ready > 0).await;
    assert_eq!(echo().await.outcome(), Outcome::Ok);
    assert_eq!(pool.status().breaker.failures, 0);
    pool.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn r6_v3_refuses_with_the_start_error_and_comes_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let pool = v3(&breakable(folder.path())).await;
    opens_and_comes_back(&pool, folder.path()).await;
}

#[tokio::test]
async fn r6_v2_refuses_with_the_start_error_and_comes_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let pool = v2(&breakable(folder.path())).await;
    opens_and_comes_back(&pool, folder.path()).await;
}
