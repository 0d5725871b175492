//! Workers that die by another's hand, or again and again.

use std::fs;
use std::pin::pin;
use std::task::Poll;

use poolshift::{Answer, Outcome};
use rustix::process::Signal;
use serde_json::json;
use tokio_test::task;

use super::rig::{Acting, Side, Victim, block_until, send, state, until};
use super::{LOST, OK, told};
use crate::process::gone;

/// 1: not one byte is accepted, for the pool meets the pipe of a process that has ended already
/// and of whose end it could not hear yet.
pub(super) fn before_it_is_written_to<'a>(side: Side<'a>, victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        send(victim.pid, Signal::KILL);
        // Not awaited: the pool must not run meanwhile.
        block_until("it is a zombie", || state(victim.pid) == Some('Z'));
        let struck = side.call("struck", json!({}), None).await;
        assert_ne!(struck.worker, Some(victim.worker), "it ran on another");
        struck
    })
}

/// 1, 29: the pipe accepts the request, and nobody reads it.
pub(super) fn with_the_request_in_its_pipe<'a>(side: Side<'a>, victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        send(victim.pid, Signal::STOP);
        until("it is stopped", || state(victim.pid) == Some('T')).await;
        let mut struck = task::spawn(side.call("struck", json!({}), None));
        assert!(struck.poll().is_pending());
        send(victim.pid, Signal::KILL);
        struck.await
    })
}

/// 3: at each end of header and body, and between them; fake workers are cut at every byte.
pub(super) fn mid_frame<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        for at in [0, 1, 3, 4, 5, 30] {
            let name = format!("cut at {at}");
            let answer = side.call(&name, json!({"fault": "cut", "at": at}), None).await;
            assert_eq!(told(&answer), LOST, "{name}: {answer:?}");
        }
        side.call("struck", json!({"fault": "cut", "at": -1}), None).await
    })
}

/// 4: both are there when the host looks.
pub(super) fn with_its_reply_in_the_pipe<'a>(side: Side<'a>, victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        let struck = side.call("struck", json!({"fault": "reply_and_die"}), None);
        let mut struck = task::spawn(struck);
        assert!(struck.poll().is_pending());
        // Not awaited: the pool must not run meanwhile.
        block_until("it is a zombie", || state(victim.pid) == Some('Z'));
        struck.await
    })
}

/// 5: noticed before the next call comes.
pub(super) fn while_idle<'a>(side: Side<'a>, victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        side.kill(victim).await;
        side.call("struck", json!({}), None).await
    })
}

/// 6: the queue is kept, and workers start no more at once than they may.
pub(super) fn all_at_once<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        let hang = json!({"fault": "pause"});
        let running = async {
            tokio::join!(side.call("struck", hang.clone(), None), side.call("too", hang, None))
        };
        let waiting = async {
            let call = |name| side.call(name, json!({}), None);
            tokio::join!(call("a"), call("b"), call("c"))
        };
        let killed = async {
            side.begun("struck").await;
            side.begun("too").await;
            let pids = side.pids();
            pids.iter().for_each(|pid| send(*pid, Signal::KILL));
            side.until("both are replaced", |status| {
                assert!(status.starting <= 1, "max_starting = 1: {status:?}");
                status.restarts == 2 && status.ready == 2
            })
            .await;
        };
        let ((struck, too), (a, b, c), ()) = tokio::join!(running, waiting, killed);
        assert_eq!(told(&too), LOST);
        assert_eq!([&a, &b, &c].map(told), [OK; 3]);
        struck
    })
}

/// 25: a grandchild holds every pipe; the exit is seen all the same, and the group is ended.
pub(super) fn leaving_a_grandchild<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        let struck = side.call("struck", json!({"fault": "orphan"}), None).await;
        gone(fs::read_to_string(side.path("file")).unwrap().parse().unwrap()).await;
        struck
    })
}

/// 32: the same call kills each worker that it meets.
pub(super) fn by_poison<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        for name in ["first dose", "second dose"] {
            let answer = side.call(name, json!({"fault": "die"}), None).await;
            assert_eq!(told(&answer), LOST, "{name}");
        }
        side.call("struck", json!({"fault": "die"}), None).await
    })
}

/// 36: the caller goes away after each number of polls, until the call is done in fewer.
pub(super) fn of_its_caller<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        let slow = json!({"fault": "drip", "bytes": 20, "every_ms": 2});
        let (mut polls, mut early) = (0, 0);
        loop {
            let name = format!("{polls} polls, {early} early");
            let call = side.call(&name, slow.clone(), None);
            let answer = at_most(polls, call).await;
            let next = side.call(&format!("after {name}"), json!({}), None).await;
            assert_eq!(told(&next), OK, "{name}: {next:?}");
            let cancelled = side.status().outcomes.get(&Outcome::Cancelled).copied();
            match answer {
                Some(answer) if polls > 2 => return answer,
                // On a crowded machine all pieces may have come by the second look.
                Some(_) => {
                    early += 1;
                    assert!(early < 50, "its reply never came in pieces");
                    continue;
                }
                // Never polled, it was never made.
                None if polls == 0 => {}
                None => side.dropped(&name),
            }
            assert_eq!(cancelled.unwrap_or(0), polls, "{name}");
            polls += 1;
        }
    })
}

/// The future's output, unless it takes more polls.
async fn at_most(polls: u64, future: impl Future<Output = Answer>) -> Option<Answer> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        let polled = if left == 0 { Poll::Pending } else { future.as_mut().poll(context) };
        left = left.saturating_sub(1);
        match polled {
            Poll::Pending if left == 0 => Poll::Ready(None),
            polled => polled.map(Some),
        }
    })
    .await
}
