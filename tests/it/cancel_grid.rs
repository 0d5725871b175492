//! R3: a call may be dropped at every stage, whatever its worker does next; the next caller
//! meets a clean worker, and nothing is lost from the books.

use std::time::Duration;

use poolshift::machine::OnCancel;
use poolshift::{Call, Lane, Outcome, Pool, PoolStatus};
use poolshift_sim::shell_rig::script::Act;
use poolshift_sim::shell_rig::spawner::FakeSpawner;
use tokio_test::task;

use crate::sim_pool::{BUDGET, SimPool, is_own, scripted};

/// Where in its life the call is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// Its future was never polled.
    Unpolled,
    /// It waits for a worker.
    Waiting,
    /// A worker was assigned to it, but it has not been polled since.
    Granted,
    /// Half of its request is in the pipe.
    HalfSent,
    /// Its request is in the pipe.
    Sent,
    /// Its reply, or what there is of one, is in the pipe.
    Answered,
}

const STAGES: [Stage; 6] = [
    Stage::Unpolled,
    Stage::Waiting,
    Stage::Granted,
    Stage::HalfSent,
    Stage::Sent,
    Stage::Answered,
];

const ACTS: [Act; 11] = [
    Act::Reply,
    Act::Raise,
    Act::ReplyAndRecycle,
    Act::ReplyAndExit,
    Act::CutReply { at: 40 },
    Act::Hang,
    Act::Exit,
    Act::ExitHoldingPipe,
    Act::WrongId,
    Act::Garble,
    Act::ReplyTwice,
];

#[tokio::test(start_paused = true)]
async fn r3_every_stage_and_every_outcome() {
    for lane in [Lane::V2, Lane::V3] {
        for on_cancel in [OnCancel::Drain, OnCancel::Kill] {
            for stage in STAGES {
                for act in ACTS {
                    let case = format!("{lane} {on_cancel:?} {stage:?} {act:?}");
                    let run = tokio::time::timeout(
                        Duration::from_secs(60),
                        drop_at(lane, on_cancel, stage, act, &case),
                    );
                    run.await.unwrap_or_else(|_| panic!("{case}: hangs"));
                }
            }
        }
    }
}

async fn drop_at(lane: Lane, on_cancel: OnCancel, stage: Stage, act: Act, case: &str) {
    let spawner = match stage {
        Stage::HalfSent => FakeSpawner::default().with_pipe_bytes(64),
        _ => FakeSpawner::default(),
    };
    let pool = SimPool::start(lane, 1, on_cancel, &spawner).await;
    let mut submitted = 1;
    {
        let mut blocker = task::spawn(pool.call(scripted("blocker", 50, Act::Reply)));
        let mut victim = task::spawn(pool.call(brief(scripted("victim", 10, act))));
        match stage {
            Stage::Unpolled => submitted -= 1,
            Stage::Waiting | Stage::Granted => {
                submitted += 1;
                assert!(blocker.poll().is_pending() && victim.poll().is_pending(), "{case}");
                if stage == Stage::Granted {
                    assert!(is_own(&blocker.await, "blocker"), "{case}");
                    assert!(victim.is_woken(), "{case}: hand-off wakes the waiter");
                }
            }
            Stage::HalfSent | Stage::Sent => assert!(victim.poll().is_pending(), "{case}"),
            Stage::Answered => {
                assert!(victim.poll().is_pending(), "{case}");
                tokio::time::sleep(Duration::from_millis(20)).await; // paused clock
            }
        }
    }
    let follower = pool.call(scripted("follower", 1, Act::Reply)).await;
    assert!(is_own(&follower, "follower"), "{case}: {follower:?}");
    // One that asked to be replaced serves until its replacement is ready.
    let settled = |status: &PoolStatus| [status.ready, status.available, status.live] == [1; 3];
    pool.settle(settled).await;
    assert_eq!(spawner.alive(), 1, "{case}: one worker is left");
    pool.assert_conserved(submitted + 1);
    let cancelled = pool.meter().outcomes().get(&Outcome::Cancelled).copied().unwrap_or(0);
    let expected = match stage {
        Stage::Unpolled => 0,
        Stage::Waiting => 2,
        _ => 1,
    };
    assert_eq!(cancelled, expected, "{case}");
    let executed = spawner.ledger().lock().unwrap().clone();
    let times = executed.iter().filter(|execution| execution.call_id == "victim").count();
    let may_run = matches!(stage, Stage::Sent | Stage::Answered);
    assert!(times <= usize::from(may_run), "{case}: the victim ran {times} times");
}

/// A call whose worker, should it hang, is free again before a follower gives up waiting.
fn brief(call: Call) -> Call {
    Call { budget: Some(BUDGET / 2), ..call }
}

#[tokio::test(start_paused = true)]
async fn r3_a_parked_caller_loses_its_worker_at_its_deadline() {
    for lane in [Lane::V2, Lane::V3] {
        let spawner = FakeSpawner::default();
        let pool = SimPool::start(lane, 1, OnCancel::Drain, &spawner).await;
        let mut parked = task::spawn(pool.call(brief(scripted("parked", 0, Act::Hang))));
        assert!(parked.poll().is_pending());
        let follower = pool.call(scripted("follower", 1, Act::Reply)).await;
        assert!(is_own(&follower, "follower"), "{lane}: {follower:?}");
        let answer = parked.await;
        assert_eq!(answer.outcome(), Outcome::ExecTimeout);
        pool.assert_conserved(2);
    }
}
