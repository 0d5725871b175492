//! Workers that live on and do not answer, or answer when nobody waits any more.

use std::path::PathBuf;
use std::time::Duration;

use poolshift::Lane;
use rustix::process::Signal;
use serde_json::json;

use super::rig::{Acting, BRIEF, Rig, Side, Victim, send, state, until};
use super::{LATE, OK, told};

/// 13: SIGKILL comes after both graces.
pub(super) fn minds_no_sigterm<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        let deaf = json!({"fault": "ignore_the_end"});
        let struck = side.call("struck", deaf.clone(), None).await;
        let other = side.call("other", deaf, None).await;
        assert_ne!(struck.worker, other.worker, "the longest idle one comes first");
        let clock = side.rig.shim.clock();
        let began = clock.now();
        side.drain(Duration::from_secs(10)).await;
        // stop_grace and kill_grace, half a second each.
        assert!(clock.now().since(began) >= Duration::from_secs(1), "it was asked first");
        struck
    })
}

/// 14: stopped for good.
pub(super) fn is_stopped<'a>(side: Side<'a>, victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        let struck = side.call("struck", json!({"fault": "pause"}), BRIEF);
        let stopped = async {
            side.begun("struck").await;
            send(victim.pid, Signal::STOP);
        };
        tokio::join!(struck, stopped).0
    })
}

/// 14: stopped, and continued between its deadline and its end, with its answer ready.
pub(super) fn is_continued_too_late<'a>(side: Side<'a>, victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        let struck = side.call("struck", json!({"fault": "hold"}), BRIEF);
        let continued = async {
            side.begun("struck").await;
            send(victim.pid, Signal::STOP);
            until("it is stopped", || state(victim.pid) == Some('T')).await;
            side.touch("file");
            side.slot_is(victim, "stopping").await;
            send(victim.pid, Signal::CONT);
        };
        tokio::join!(struck, continued).0
    })
}

/// 15: it answers between its deadline and its end, which waits for a stack dump in vain.
pub(super) fn answers_late<'a>(side: Side<'a>, victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        let struck = side.call("struck", json!({"fault": "hold_undumped"}), BRIEF);
        let overdue = async {
            side.slot_is(victim, "stopping").await;
            side.touch("file");
        };
        tokio::join!(struck, overdue).0
    })
}

/// 33: a worker that is slow because it is stopped again and again.
pub(super) fn limps<'a>(side: Side<'a>, victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        let struck = side.call("struck", json!({"fault": "hold"}), None);
        let limping = async {
            side.begun("struck").await;
            for _ in 0..20 {
                send(victim.pid, Signal::STOP);
                until("it is stopped", || state(victim.pid) == Some('T')).await;
                send(victim.pid, Signal::CONT);
                until("it goes on", || state(victim.pid) != Some('T')).await;
            }
            side.touch("file");
        };
        tokio::join!(struck, limping).0
    })
}

/// 19: its frame lies in the pipe before the next call comes.
pub(super) fn speaks_while_idle<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        let struck = side.call("struck", json!({"fault": "speak_later"}), None).await;
        side.touch("file");
        let spoken = PathBuf::from(format!("{}.done", side.path("file").display()));
        until("it has spoken", || spoken.exists()).await;
        struck
    })
}

/// 15: whichever comes first around the very moment of the deadline, no call gets the answer of
/// another; each is told its own, or that it was late.
#[tokio::test]
async fn a_reply_at_the_moment_of_its_deadline_answers_its_own_call_or_none() {
    let rig = Rig::start().await;
    tokio::join!(close_calls(rig.side(Lane::V2)), close_calls(rig.side(Lane::V3)));
    rig.finish().await;
}

async fn close_calls(side: Side<'_>) {
    for ms in [96, 98, 99, 100, 101] {
        let (name, budget) = (format!("after {ms}"), Duration::from_millis(100));
        let close = side.call(&name, json!({"fault": "nap", "ms": ms}), budget).await;
        assert!([OK, LATE].contains(&told(&close)), "{name}: {close:?}");
        let next = side.call(&format!("next to {ms}"), json!({}), None).await;
        assert_eq!(told(&next), OK, "{name}: {next:?}");
    }
}
