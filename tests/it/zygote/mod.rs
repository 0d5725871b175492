//! Workers that are forked from a warm parent: what they are, what they inherit, and what the
//! parent's end, its standstill and its faults mean for them.

mod orphans;
mod rig;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use poolshift::config::{StartMethod, WorkerProgram};
use poolshift::worker::{Process, Signal, Spawner};
use poolshift::{Answer, Outcome, Pool, WorkerId};
use rustix::process::Signal as UnixSignal;
use serde_json::{Value, json};

use self::rig::{Forked, Rig, exists, parent_of, pids, replaced, send};
use crate::process::{gone, soon};
use crate::python::{call, result};

#[tokio::test]
async fn a_forked_worker_has_what_is_its_own_and_nothing_else() {
    let rig = Rig::new(StartMethod::Fork);
    let spawner = rig.spawner();
    let mut workers = Vec::new();
    for slot in 0..4 {
        workers.push(Forked::by(&spawner, slot).await);
    }
    // What the test's own parent left open is in all of them.
    let spawned = Rig::new(StartMethod::Spawn);
    let alone = Forked::by(&spawned.spawner(), 0).await.ask("inherited").await;
    let count = alone["open"].as_object().unwrap().len();
    let parent = rig.imports()[0];
    let (mut drawn, mut open) = (BTreeSet::new(), Vec::new());
    for (slot, worker) in workers.iter_mut().enumerate() {
        let pid = worker.process.pid().unwrap();
        let pong = worker.ask("ping").await;
        assert_eq!((&pong["status"], &pong["pid"]), (&json!("ok"), &json!(pid)));
        assert_eq!(pong["worker_id"], json!(format!("v3-{slot}.1")));
        let told = worker.ask("inherited").await;
        assert_eq!((&told["parent"], &told["group"]), (&json!(parent), &json!(pid)));
        drawn.insert(told["random"].to_string());
        let own = &told["open"];
        assert_eq!((&own["0"], &own["1"]), (&json!("/dev/null"), &own["2"]));
        assert_eq!(own.as_object().unwrap().len(), count, "{own} {alone}");
        open.push(own.as_object().unwrap().values().map(Value::to_string).collect());
    }
    let shared: BTreeSet<String> = open.iter().cloned().reduce(|all, one| &all & &one).unwrap();
    assert!(
        open.iter().all(|own| (own - &shared).len() == 3),
        "requests, replies, stderr: {open:?}"
    );
    assert_eq!(drawn.len(), 4, "each draws numbers of its own");
    assert_eq!(rig.imports().len(), 1, "the app was imported once");
    for worker in &mut workers {
        worker.link.close_writer();
        assert_eq!(worker.exited().await, "exit status 0");
    }
}

#[tokio::test]
async fn r2_a_forked_worker_tells_how_it_ended_and_is_reaped() {
    let rig = Rig::new(StartMethod::Fork);
    let spawner = rig.spawner();
    for (args, exit) in [
        (json!({"status": 0}), "exit status 0"),
        (json!({"status": 3}), "exit status 3"),
        (json!({"signal": "SIGABRT"}), "killed by SIGABRT"),
        (json!({"signal": "SIGKILL"}), "killed by SIGKILL"),
    ] {
        let mut worker = Forked::by(&spawner, 0).await;
        worker.send("end", args).await;
        let (one, other) = tokio::join!(worker.exited(), worker.exited());
        assert_eq!([one.as_str(), other.as_str(), &worker.exited().await], [exit; 3]);
        assert!(!exists(worker.process.pid().unwrap()), "it was reaped: no zombie is left");
    }
}

#[tokio::test]
async fn r2_a_dropped_worker_is_ended_and_reaped_and_the_last_one_ends_its_parent() {
    let rig = Rig::new(StartMethod::Fork);
    let spawner = rig.spawner();
    let (one, other) = (Forked::by(&spawner, 0).await, Forked::by(&spawner, 1).await);
    let pids = [&one, &other].map(|worker| worker.process.pid().unwrap());
    drop(one);
    soon(async {
        while exists(pids[0]) {
            tokio::time::sleep(Duration::from_millis(2)).await; // polls a condition
        }
    })
    .await;
    drop(spawner);
    assert!(exists(rig.imports()[0]), "nobody else can reap the other");
    other.process.signal(Signal::Kill);
    assert_eq!(other.exited().await, "killed by SIGKILL");
    drop(other);
    gone(rig.imports()[0]).await;
}

#[tokio::test]
async fn a_parent_that_nobody_waits_for_any_more_is_ended_in_its_imports() {
    let mut rig = Rig::new(StartMethod::Fork).with_fault("slow");
    // Else its time would be over before the test's is.
    rig.config.v3.startup_timeout = Duration::from_secs(600);
    let spawner = rig.spawner();
    let parent = tokio::select! {
        _ = spawner.spawn(WorkerId { slot: 0, generation: 1 }) => panic!("it never comes up"),
        parent = rig.imported(1) => parent,
    };
    drop(spawner);
    gone(parent).await;
}

/// Two busy workers, whose parent is then struck. They live on; a new parent takes over, and forks
/// the successor of one that is killed.
async fn parent_is_struck(signal: UnixSignal) {
    let rig = Rig::new(StartMethod::Fork);
    let pool = Arc::new(rig.pool().await.unwrap());
    let first = rig.imports()[0];
    let go = rig.path("go");
    let held = [0, 1].map(|_| {
        let (pool, call) = (Arc::clone(&pool), call("hold", &json!({"file": go})));
        tokio::spawn(async move { pool.call(call).await })
    });
    soon(async {
        while pool.status().workers.iter().any(|worker| worker.health_status != "busy") {
            tokio::time::sleep(Duration::from_millis(2)).await; // polls a condition
        }
    })
    .await;
    let before = pids(&pool);
    send(first, signal);
    let killed = before[0];
    if signal == UnixSignal::STOP {
        // Nobody can tell that it stands still before it is asked for something.
        send(killed, UnixSignal::KILL);
    }
    let second = rig.imported(2).await;
    gone(first).await;
    if signal == UnixSignal::KILL {
        send(killed, UnixSignal::KILL);
    }
    replaced(&pool, killed).await;
    fs::write(go, "").unwrap();
    let mut outcomes = Vec::new();
    for call in held {
        let answer: Answer = soon(call).await.unwrap();
        if answer.outcome() == Outcome::Ok {
            assert_eq!(result(&answer)["pid"], json!(before[1]), "it was not disturbed");
        }
        outcomes.push(answer.outcome());
    }
    outcomes.sort_by_key(|outcome| *outcome != Outcome::Ok);
    assert_eq!(outcomes, [Outcome::Ok, Outcome::WorkerLost]);
    let after: Vec<u32> = pids(&pool);
    assert!(after.contains(&before[1]), "{before:?} {after:?}");
    let successor = after.into_iter().find(|pid| *pid != before[1]).unwrap();
    assert_eq!(parent_of(successor), second);
    pool.drain(Duration::from_secs(5)).await;
    assert!(!exists(successor), "it was reaped");
    // By whoever adopts orphans, when it likes to.
    gone(before[1]).await;
    drop(pool);
    gone(second).await;
}

#[tokio::test]
async fn a_parents_death_harms_no_worker_and_a_new_parent_takes_over() {
    parent_is_struck(UnixSignal::KILL).await;
}

#[tokio::test]
async fn a_parent_that_stands_still_is_replaced() {
    parent_is_struck(UnixSignal::STOP).await;
}

#[tokio::test]
async fn a_worker_whose_parent_died_first_ends_without_a_status() {
    let rig = Rig::new(StartMethod::Fork);
    let spawner = rig.spawner();
    let mut worker = Forked::by(&spawner, 0).await;
    send(rig.imports()[0], UnixSignal::KILL);
    gone(rig.imports()[0]).await;
    assert_eq!(worker.ask("ping").await["status"], json!("ok"));
    worker.process.signal(Signal::Kill);
    let exit = worker.exited().await;
    assert_eq!(exit, "ended, nobody knows how: its warm parent had ended before");
    gone(worker.process.pid().unwrap()).await;
}

#[tokio::test]
async fn what_a_parent_cannot_do_is_told_or_workers_are_spawned() {
    for (fault, told) in [
        ("thread", "cannot fork app 'forked': it has started threads (pinger); start them in"),
        ("no_fork", "fork: [Errno 11] Resource temporarily unavailable"),
        ("preload", "cannot preload 'no_such_module'"),
    ] {
        let rig = |method| {
            let mut rig = Rig::new(method).with_fault(fault);
            if fault == "preload" {
                rig.config.worker.preload = vec!["no_such_module".to_owned()];
            }
            rig
        };
        let refused = rig(StartMethod::Fork).pool().await.unwrap_err();
        assert!(refused.contains(told), "{fault}: {refused}");
        let auto = rig(StartMethod::Auto);
        let pool = auto.pool().await.unwrap();
        assert!(pids(&pool).iter().all(|pid| parent_of(*pid) == std::process::id()), "{fault}");
        pool.drain(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn a_parent_that_does_not_come_up_in_time_is_told_with_what_it_was_doing() {
    let mut rig = Rig::new(StartMethod::Fork).with_fault("slow");
    rig.config.v3.startup_timeout = Duration::from_secs(6);
    let refused = rig.pool().await.unwrap_err();
    let late = "the warm parent had not imported everything within 5.4s";
    for told in [late, "it was sleeping", "waiting for a licence"] {
        assert!(refused.contains(told), "{told}: {refused}");
    }
    gone(rig.imports()[0]).await;
}

#[tokio::test]
async fn a_parent_without_a_program_is_told() {
    let mut rig = Rig::new(StartMethod::Fork);
    rig.config.worker.python_path = "/no/such/python".to_owned();
    let refused = rig.pool().await.unwrap_err();
    assert!(refused.contains("cannot start `/no/such/python -u -m poolshift_worker"), "{refused}");
    assert!(refused.contains("no such program; check [worker] python_path"), "{refused}");
}

#[tokio::test]
async fn what_is_preloaded_is_there_before_the_first_worker() {
    let mut rig = Rig::new(StartMethod::Auto);
    rig.config.worker.program = WorkerProgram::App("poolshift_worker.apps.demo".to_owned());
    rig.config.worker.preload = vec!["forked".to_owned()];
    let pool = rig.pool().await.unwrap();
    assert_eq!(rig.imports().len(), 1);
    assert!(pids(&pool).iter().all(|pid| parent_of(*pid) == rig.imports()[0]));
    let answer = pool.call(call("inherited", &json!({}))).await;
    assert_eq!(answer.outcome(), Outcome::Ok, "its commands are the app's: {answer:?}");
    pool.drain(Duration::from_secs(5)).await;
}
