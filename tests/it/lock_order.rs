//! What only shows where the host has more than one thread: locks taken in two orders, and calls
//! that are dropped outside of the runtime.

use std::sync::mpsc;
use std::time::Duration;

use poolshift::config::{Config, WorkerProgram};
use poolshift::{Outcome, Pool};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::python::{call, v3};

/// Runs it on a thread of its own: what hangs in a lock hears no timeout.
fn ends(what: &str, run: impl FnOnce() + Send + 'static) {
    let (sender, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        run();
        let _ = sender.send(());
    });
    match ended.recv_timeout(Duration::from_secs(120)) {
        Ok(()) => {}
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().unwrap_err());
        }
    }
}

/// Workers of this app, in V3.
fn config(folder: &tempfile::TempDir, app: &str, size: usize) -> Config {
    std::fs::write(folder.path().join("loud.py"), app).unwrap();
    let mut config = Config::default();
    (config.v3.size, config.v3.min_ready) = (size, size);
    let path = folder.path().to_str().unwrap().to_owned();
    config.worker.env.insert("PYTHONPATH".to_owned(), path);
    config.worker.program = WorkerProgram::App("loud".to_owned());
    config
}

const LOUD: &str = "import os\n\
    from poolshift_worker import command\n\
    @command(\"shout\")\n\
    def shout(args, context):\n    while True: os.write(2, b\"progress\\n\" * 3000)\n";

#[test]
fn r4_calls_that_time_out_amid_a_flood_of_stderr_have_their_outcome() {
    ends("timeouts amid a flood", || {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&folder, LOUD, 4);
        config.v3.timeout = Duration::from_millis(300);
        config.v3.queue_timeout = Duration::from_millis(300);
        Runtime::new().unwrap().block_on(async {
            let pool = std::sync::Arc::new(v3(&config).await);
            for _ in 0..5 {
                let mut calls = JoinSet::new();
                for _ in 0..4 {
                    let pool = std::sync::Arc::clone(&pool);
                    calls.spawn(async move { pool.call(call("shout", &json!({}))).await });
                }
                while let Some(answer) = calls.join_next().await {
                    let outcome = answer.unwrap().outcome();
                    let late = [Outcome::ExecTimeout, Outcome::QueueTimeout];
                    assert!(late.contains(&outcome), "{outcome:?}");
                }
            }
            pool.drain(Duration::ZERO).await;
        });
    });
}

#[test]
fn r7_a_pool_whose_workers_all_fail_to_start_says_so() {
    ends("starts that fail", || {
        let mut config = Config::default();
        config.worker.python_path = "/bin/false".to_owned();
        (config.v3.size, config.v3.min_ready) = (48, 48);
        let runtime = Runtime::new().unwrap();
        for _ in 0..25 {
            let spawner = poolshift::shim::spawner(&config, poolshift::Lane::V3, None).unwrap();
            let (sessions, clock) = (crate::sim_pool::sessions(), poolshift::clock::Clock::start());
            let pool = poolshift::v3_pool::V3Pool::start(
                &config.v3,
                &config.worker,
                spawner,
                sessions,
                clock,
            );
            runtime.block_on(pool).unwrap_err();
        }
    });
}

#[test]
fn r3_a_call_that_is_dropped_outside_of_the_runtime_is_cancelled() {
    ends("a drop outside", || {
        let config = { Config { ..Config::default() } };
        let runtime = Runtime::new().unwrap();
        let pool = runtime.block_on(v3(&config));
        let mut running = Box::pin(pool.call(call("sleep", &json!({"ms": 50}))));
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = &mut running => panic!("it takes longer"),
                () = crate::process::soon(async {
                    while pool.status().in_flight == 0 {
                        tokio::task::yield_now().await;
                    }
                }) => {}
            }
        });
        drop(running);
        assert_eq!(pool.status().outcomes.get(&Outcome::Cancelled), Some(&1));
        let next = runtime.block_on(pool.call(call("echo", &json!({}))));
        assert_eq!(next.outcome(), Outcome::Ok);
        runtime.block_on(pool.drain(Duration::from_secs(5)));
        // The same with no runtime at all.
        let pool = runtime.block_on(v3(&config));
        let mut running = Box::pin(pool.call(call("sleep", &json!({"ms": 600_000}))));
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = &mut running => panic!("it takes longer"),
                () = tokio::task::yield_now() => {}
            }
        });
        drop(runtime);
        drop(running);
    });
}
