//! What each fault of a worker means for its call, on fake workers and the paused clock.

use std::sync::Arc;
use std::time::Duration;

use poolshift::clock::{Clock, Moment};
use poolshift::machine::OnCancel;
use poolshift::{Call, Lane, Outcome, Pool, Ran};
use poolshift_sim::shell_rig::script::{Act, Birth};
use poolshift_sim::shell_rig::spawner::FakeSpawner;
use tokio::task::JoinSet;

use crate::sim_pool::{BUDGET, SimPool, is_own, scripted};

#[tokio::test(start_paused = true)]
async fn each_fault_has_its_outcome_and_says_whether_the_call_can_have_run() {
    let table = [
        (Act::Reply, Outcome::Ok, Ran::Yes),
        (Act::Raise, Outcome::Raised, Ran::Yes),
        (Act::ReplyAndRecycle, Outcome::Ok, Ran::Yes),
        (Act::ReplyAndExit, Outcome::Ok, Ran::Yes),
        (Act::CutReply { at: 40 }, Outcome::WorkerLost, Ran::Maybe),
        (Act::Hang, Outcome::ExecTimeout, Ran::Maybe),
        (Act::Exit, Outcome::WorkerLost, Ran::Maybe),
        (Act::ExitHoldingPipe, Outcome::WorkerLost, Ran::Maybe),
        (Act::WrongId, Outcome::Protocol, Ran::Maybe),
        (Act::Garble, Outcome::Protocol, Ran::Maybe),
        (Act::ReplyTwice, Outcome::Ok, Ran::Yes),
    ];
    for lane in [Lane::V2, Lane::V3] {
        for (act, outcome, ran) in table {
            let spawner = FakeSpawner::default();
            let pool = SimPool::start(lane, 1, OnCancel::Drain, &spawner).await;
            let answer = pool.call(scripted("call", 5, act)).await;
            let case = format!("{lane} {act:?}: {answer:?}");
            assert_eq!(answer.outcome(), outcome, "{case}");
            let said = answer.result.as_ref().map_or_else(|error| error.ran(), |_| Ran::Yes);
            assert_eq!(said, ran, "{case}");
            // Whatever happened, the next call meets a clean worker.
            let next = pool.call(scripted("next", 1, Act::Reply)).await;
            assert!(is_own(&next, "next"), "{case} then {next:?}");
            pool.assert_conserved(2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r1_a_call_that_meets_a_dead_worker_runs_on_the_next() {
    for lane in [Lane::V2, Lane::V3] {
        let spawner = FakeSpawner::default();
        let pool = SimPool::start(lane, 1, OnCancel::Drain, &spawner).await;
        pool.call(scripted("first", 0, Act::ReplyTwice)).await;
        // The second reply lies in the pipe: the next lease must not take it for its own.
        let answer = pool.call(scripted("second", 0, Act::Reply)).await;
        assert!(is_own(&answer, "second"), "{lane}: {answer:?}");
        assert_eq!(answer.worker.map(|worker| worker.generation), Some(2));
    }
}

#[tokio::test(start_paused = true)]
async fn r5_the_budget_covers_waiting_and_running() {
    for lane in [Lane::V2, Lane::V3] {
        let spawner = FakeSpawner::default();
        let pool = SimPool::start(lane, 1, OnCancel::Drain, &spawner).await;
        let budget = Some(Duration::from_millis(100));
        let blocker = pool.call(scripted("blocker", 60, Act::Reply));
        let late = pool.call(Call { budget, ..scripted("late", 60, Act::Reply) });
        let expired = pool.call(Call {
            budget: Some(Duration::from_millis(50)),
            ..scripted("expired", 0, Act::Reply)
        });
        let (blocker, late, expired) = tokio::join!(blocker, late, expired);
        assert_eq!(blocker.outcome(), Outcome::Ok);
        assert_eq!(late.outcome(), Outcome::ExecTimeout, "60 ms of its 100 were spent waiting");
        assert_eq!(expired.outcome(), Outcome::QueueTimeout);
        let waited = expired.timing.total();
        assert!(waited >= Duration::from_millis(50) && waited < Duration::from_millis(60));
        let executed = spawner.ledger().lock().unwrap().clone();
        assert!(executed.iter().all(|execution| execution.call_id != "expired"));
    }
}

/// A pool whose last worker has died is not over: its timer must go on.
#[tokio::test(start_paused = true)]
async fn r3_deadlines_are_fired_after_the_last_worker_died_idle() {
    for lane in [Lane::V2, Lane::V3] {
        let spawner = FakeSpawner::default();
        let pool = SimPool::start(lane, 1, OnCancel::Drain, &spawner).await;
        // It has answered nothing yet, so V3 rests before it starts another.
        assert!(spawner.kill(pool.status().workers[0].id));
        pool.settle(|status| status.live == 0).await;
        let hung = tokio::time::timeout(BUDGET * 10, pool.call(scripted("hung", 0, Act::Hang)));
        let hung = hung.await.expect("its deadline comes first");
        assert_eq!(hung.outcome(), Outcome::ExecTimeout, "{lane}: {hung:?}");
        let next = pool.call(scripted("next", 0, Act::Reply)).await;
        assert!(is_own(&next, "next"), "{lane}: {next:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r6_a_worker_that_had_answered_is_replaced_at_once() {
    let spawner = FakeSpawner::default();
    let pool = SimPool::start(Lane::V3, 1, OnCancel::Drain, &spawner).await;
    let first = pool.call(scripted("first", 0, Act::Reply)).await;
    let clock = Clock::start();
    assert!(spawner.kill(first.worker.unwrap()));
    pool.settle(|status| status.restarts == 1 && status.ready == 1).await;
    assert!(clock.now().since(Moment::ZERO) < Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn r6_failed_starts_are_tried_again_and_the_rest_serves() {
    let births = [Birth::Unspawnable, Birth::Silent, Birth::NotOk, Birth::Exits(Duration::ZERO)];
    let spawner = FakeSpawner::with_births(births);
    let pool = SimPool::start(Lane::V3, 5, OnCancel::Drain, &spawner).await;
    let answer = pool.call(scripted("call", 0, Act::Reply)).await;
    assert_eq!(answer.outcome(), Outcome::Ok, "one worker is enough to serve");
    pool.settle(|status| status.ready == 5).await;
    assert_eq!(pool.status().start_failures, 4);
}

#[tokio::test(start_paused = true)]
async fn r7_a_drain_serves_those_who_wait_and_refuses_new_ones() {
    for lane in [Lane::V2, Lane::V3] {
        let spawner = FakeSpawner::default();
        let pool = SimPool::start(lane, 1, OnCancel::Drain, &spawner).await;
        let running = pool.call(scripted("running", 50, Act::Reply));
        let waiting = pool.call(scripted("waiting", 50, Act::Reply));
        let draining = async {
            tokio::task::yield_now().await;
            tokio::join!(pool.drain(BUDGET), pool.call(scripted("new", 0, Act::Reply))).1
        };
        let (running, waiting, new) = tokio::join!(running, waiting, draining);
        assert_eq!(running.outcome(), Outcome::Ok, "{lane}");
        assert_eq!(waiting.outcome(), Outcome::Ok, "{lane}");
        assert_eq!(new.outcome(), Outcome::Draining, "{lane}");
        assert_eq!((spawner.alive(), pool.status().live), (0, 0), "{lane}");
        pool.assert_conserved(3);
    }
}

#[tokio::test(start_paused = true)]
async fn r7_a_drain_gives_up_at_its_limit() {
    for lane in [Lane::V2, Lane::V3] {
        let spawner = FakeSpawner::default();
        let pool = SimPool::start(lane, 1, OnCancel::Drain, &spawner).await;
        let running = pool.call(scripted("running", 0, Act::Hang));
        let waiting = pool.call(scripted("waiting", 0, Act::Reply));
        let drain = async {
            tokio::task::yield_now().await;
            pool.drain(Duration::from_millis(100)).await;
        };
        let (running, waiting, ()) = tokio::join!(running, waiting, drain);
        assert_eq!(running.outcome(), Outcome::WorkerLost, "{lane}");
        assert_eq!(waiting.outcome(), Outcome::Draining, "{lane}");
        assert_eq!(spawner.alive(), 0, "{lane}");
        pool.assert_conserved(2);
    }
}

#[tokio::test(start_paused = true)]
async fn r10_a_crash_costs_each_bound_session_one_session_lost() {
    let spawner = FakeSpawner::default();
    let pool = SimPool::start(Lane::V2, 1, OnCancel::Drain, &spawner).await;
    let call = |id: &str, session: &str, act| scripted(id, 10, act).with_session(session).unwrap();
    assert_eq!(pool.call(call("a1", "a", Act::Reply)).await.outcome(), Outcome::Ok);
    assert_eq!(pool.call(call("c1", "c", Act::Reply)).await.outcome(), Outcome::Ok);
    let crash = pool.call(call("b1", "b", Act::Exit));
    let bound = pool.call(call("a2", "a", Act::Reply));
    let after = pool.call(call("a3", "a", Act::Reply));
    let (crash, bound, after) = tokio::join!(crash, bound, after);
    assert_eq!(crash.outcome(), Outcome::WorkerLost, "the call in flight");
    assert_eq!(bound.outcome(), Outcome::SessionLost, "the oldest waiting call is told");
    assert_eq!(after.outcome(), Outcome::Ok, "and the session is bound anew");
    let told: Vec<Outcome> = [
        pool.call(call("b2", "b", Act::Reply)).await,
        pool.call(call("b3", "b", Act::Reply)).await,
        pool.call(call("c2", "c", Act::Reply)).await,
        pool.call(call("c3", "c", Act::Reply)).await,
    ]
    .iter()
    .map(poolshift::Answer::outcome)
    .collect();
    let expected = [Outcome::SessionLost, Outcome::Ok, Outcome::SessionLost, Outcome::Ok];
    assert_eq!(told, expected, "each bound session is told once, on its next call");
}

#[tokio::test(start_paused = true)]
async fn r8_idle_workers_are_probed_and_bad_ones_replaced() {
    let spawner = FakeSpawner::default();
    let pool = SimPool::start(Lane::V3, 4, OnCancel::Drain, &spawner).await;
    // A frame that nobody asked for lies in this worker's pipe; only a probe will find it.
    let answer = pool.call(scripted("call", 0, Act::ReplyTwice)).await;
    let spoilt = answer.worker.unwrap();
    pool.settle(|status| {
        let worker = &status.workers[spoilt.slot as usize];
        worker.id.generation == 2 && status.ready == 4
    })
    .await;
    assert_eq!(pool.status().restarts, 1, "the others answered their probes");
}

#[tokio::test(start_paused = true)]
async fn resize_up_and_down_under_load_loses_no_call() {
    let spawner = FakeSpawner::default();
    let pool = Arc::new(SimPool::start(Lane::V3, 4, OnCancel::Drain, &spawner).await);
    let mut calls = JoinSet::new();
    for n in 0..400 {
        let (pool, id) = (Arc::clone(&pool), n.to_string());
        calls.spawn(async move { (pool.call(scripted(&id, 5, Act::Reply)).await, id) });
    }
    for size in [8, 2] {
        tokio::time::sleep(Duration::from_millis(100)).await; // paused clock
        let SimPool::V3(v3) = &*pool else { unreachable!("V3 was started") };
        v3.resize(size);
        pool.settle(|status| status.live == size && status.ready == size).await;
        assert!(pool.status().in_flight > 0, "the load goes on");
    }
    while let Some(done) = calls.join_next().await {
        let (answer, id) = done.unwrap();
        assert!(is_own(&answer, &id), "{id}: {answer:?}");
    }
    pool.assert_conserved(400);
    pool.settle(|status| status.live == 2 && status.ready == 2).await;
    assert_eq!(spawner.alive(), 2);
}
