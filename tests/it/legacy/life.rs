//! How legacy workers start, share programs through the host, and end.

use std::collections::BTreeSet;
use std::path::Path;

use poolshift::clock::Clock;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::v2_session_pool::V2SessionPool;
use poolshift::v3_pool::V3Pool;
use poolshift::{Call, CallError, Lane, Outcome, Pool, Ran, Shim, ShimOptions, shim};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Bridge, IN_VAIN, in_session};
use crate::process::{gone, soon};
use crate::python::{result, v2, v3};

fn create(id: &str, session: &str) -> Call {
    in_session("create_program", &json!({"id": id}), session)
}

fn ask(id: &str, session: &str, question: &str) -> Call {
    let args = json!({"program_id": id, "inputs": {"question": question}});
    in_session("execute_program", &args, session)
}

fn bridge(size: usize) -> Bridge {
    Bridge::new(size, "dspy gemini").with_env("GEMINI_API_KEY", "k")
}

async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(IN_VAIN / 40).await; // polls a condition
        }
    })
    .await;
}

fn pids(pool: &impl Pool) -> Vec<u32> {
    pool.status().workers.iter().filter_map(|worker| worker.pid).collect()
}

/// One that has been asked to shut down and whose stdin is closed spins; only a signal ends it.
async fn stopped(pool: &impl Pool, bridge: &Bridge) {
    let workers = pids(pool);
    assert_eq!(workers.len(), 2);
    pool.drain(IN_VAIN).await;
    for pid in workers {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid} was not reaped");
    }
    let farewells = bridge.debug_text().matches(r#""status": "shutting_down""#).count();
    assert_eq!(farewells, 2, "each was asked, and answered");
}

#[tokio::test]
async fn r7_stopping_a_pool_leaves_no_process() {
    let (old, new) = (bridge(2).patient(), bridge(2).patient());
    let (from_v2, from_v3) = tokio::join!(v2(&old.config), v3(&new.config));
    from_v2.ready(2).await.unwrap();
    tokio::join!(stopped(&from_v2, &old), stopped(&from_v3, &new));
}

#[tokio::test]
async fn r7_a_worker_that_minds_neither_the_end_of_stdin_nor_sigterm_is_killed() {
    let bridge = bridge(1);
    let pool = v3(&bridge.config).await;
    assert_eq!(pool.call(create("p", "anonymous")).await.outcome(), Outcome::Ok);
    let answer = pool.call(ask("p", "anonymous", "be deaf")).await;
    assert_eq!(result(&answer)["outputs"], json!({"answer": "deaf"}));
    let workers = pids(&pool);
    assert_eq!(workers.len(), 1);
    pool.drain(IN_VAIN).await;
    assert!(!Path::new(&format!("/proc/{}", workers[0])).exists());
}

#[tokio::test]
async fn dropping_a_pool_leaves_no_process() {
    let bridge = bridge(2);
    let pool = v3(&bridge.config).await;
    let workers = pids(&pool);
    assert_eq!(workers.len(), 2);
    drop(pool);
    for pid in workers {
        gone(pid).await;
    }
}

/// SIGTERM ends it even in mid-command: with status 0, and without a reply.
async fn terminated_in_mid_command(pool: &impl Pool, bridge: &Bridge) {
    assert_eq!(pool.call(create("p", "anonymous")).await.outcome(), Outcome::Ok);
    let answer = async { pool.call(ask("p", "anonymous", "wait")).await };
    let signal = async {
        until(|| bridge.debug_text().contains(r#""wait""#)).await;
        let pid = i32::try_from(pids(pool)[0]).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    };
    let (answer, ()) = tokio::join!(answer, signal);
    let error = answer.result.unwrap_err();
    assert_eq!((error.outcome(), error.ran()), (Outcome::WorkerLost, Ran::Maybe));
    let CallError::WorkerLost { post_mortem, .. } = error else { panic!("{error}") };
    assert_eq!(post_mortem.exit.as_deref(), Some("exit status 0"));
    let next = pool.call(ask("p", "anonymous", "why?")).await;
    assert_eq!(next.outcome(), Outcome::Ok, "on a worker that never saw the program made");
    pool.drain(IN_VAIN).await;
}

#[tokio::test]
async fn a_worker_that_is_terminated_in_mid_command_is_lost_and_replaced() {
    let (old, new) = (bridge(1), bridge(1));
    terminated_in_mid_command(&v2(&old.config).await, &old).await;
    terminated_in_mid_command(&v3(&new.config).await, &new).await;
}

#[tokio::test]
async fn a_worker_without_its_debug_file_is_told_as_the_start_error() {
    let bridge = bridge(1);
    std::fs::create_dir(bridge.debug_file()).unwrap();
    let (v2, v3) = (&bridge.config.v2, &bridge.config.v3);
    let (worker, clock) = (&bridge.config.worker, Clock::start());
    let spawner = |lane| shim::spawner(&bridge.config, lane, None).unwrap();
    let sessions = || shim::sessions(&bridge.config);
    let old = V2SessionPool::start(v2, worker, spawner(Lane::V2), sessions(), clock);
    let new = V3Pool::start(v3, worker, spawner(Lane::V3), sessions(), clock);
    let (old, new) = tokio::join!(old, new);
    for error in [old.unwrap_err(), new.unwrap_err()] {
        let told = error.to_string();
        assert!(told.contains("exit status 1") && told.contains("IsADirectoryError"), "{told}");
    }
}

#[tokio::test]
async fn r11_programs_run_on_workers_that_did_not_make_them() {
    let bridge = bridge(2);
    let pool = v3(&bridge.config).await;
    for session in ["alice", "anonymous"] {
        assert_eq!(pool.call(create("p", session)).await.outcome(), Outcome::Ok);
        let mut workers = BTreeSet::new();
        for _ in 0..2 {
            let answer = pool.call(ask("p", session, "why?")).await;
            let outputs = &result(&answer)["outputs"];
            assert_eq!(outputs, &json!({"answer": "answer for question=why?"}), "{session}");
            workers.insert(answer.worker);
        }
        assert_eq!(workers.len(), 2, "the longest idle one comes first");
    }
    pool.drain(IN_VAIN).await;
}

#[tokio::test]
async fn r11_a_program_made_in_one_lane_runs_in_the_other() {
    let bridge = bridge(1);
    let percents = Some(Percents::all(Percent::ZERO));
    let options = ShimOptions { percents, ledger: None };
    let shim = Shim::start(&bridge.config, options).await.unwrap();
    for (made_in, run_in) in [(Lane::V2, Lane::V3), (Lane::V3, Lane::V2)] {
        for session in ["alice", "anonymous"] {
            let id = format!("made in {made_in}");
            let forced = |lane, call: Call| Call { forced: Some(lane), ..call };
            let made = shim.call(forced(made_in, create(&id, session))).await;
            assert_eq!(result(&made.answer)["status"], json!("created"));
            let ran = shim.call(forced(run_in, ask(&id, session, "why?"))).await;
            assert_eq!(ran.decision.lane, run_in);
            let outputs = &result(&ran.answer)["outputs"];
            assert_eq!(outputs, &json!({"answer": "answer for question=why?"}), "{session}");
        }
    }
    shim.drain().await;
}

/// What the workers of a bridge have read, as JSON.
fn read_by(bridge: &Bridge) -> Vec<Value> {
    let text = bridge.debug_text();
    let read = text.lines().filter_map(|line| line.strip_prefix("< "));
    read.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_worker_is_sent_what_legacy_hosts_sent() {
    let mut bridge = bridge(1).patient();
    bridge.config.v3.health_check_interval = IN_VAIN / 4;
    let pool = v3(&bridge.config).await;
    assert_eq!(pool.call(create("p", "alice")).await.outcome(), Outcome::Ok);
    assert_eq!(pool.call(ask("p", "alice", "why?")).await.outcome(), Outcome::Ok);
    until(|| bridge.debug_text().contains(r#"{"health_check":true}"#)).await;
    pool.drain(IN_VAIN).await;

    let requests = read_by(&bridge);
    for request in &requests {
        assert!(request["id"].is_u64() && request["command"].is_string(), "{request}");
        let at = request["timestamp"].as_str().unwrap();
        assert!(is_utc(at), "{at} is no ISO time in UTC");
    }
    assert_eq!(requests[0]["command"], json!("ping"));
    assert_eq!(requests[0]["args"], json!({"initialization": true, "worker_id": "v3-0.1"}));
    // Probes may come between them.
    let args_of = |command: &str| {
        let mut asked = requests.iter().filter(|request| request["command"] == command);
        &asked.next().unwrap()["args"]
    };
    assert_eq!(args_of("create_program"), &json!({"id": "p", "session_id": "alice"}));
    let data = &args_of("execute_program")["program_data"];
    assert!(data["created_at"].is_u64(), "whole seconds: {data}");
    for (name, value) in [
        ("program_id", json!("p")),
        ("signature_def", json!({})),
        ("signature_class", json!(null)),
        ("field_mapping", json!({})),
        ("fallback_used", json!(true)),
        ("execution_count", json!(0)),
        ("last_executed", json!(null)),
        ("program_type", json!("predict")),
        ("signature", json!({})),
    ] {
        assert_eq!(data.get(name), Some(&value), "{name}");
    }
    assert_eq!(requests.last().unwrap()["command"], json!("shutdown"));
}

/// `2025-01-31T12:00:00.000Z`
fn is_utc(text: &str) -> bool {
    let digits = |c: char| if c.is_ascii_digit() { '9' } else { c };
    text.chars().map(digits).collect::<String>() == "9999-99-99T99:99:99.999Z"
}
