//! Workers whose successors cannot start, or start badly.

use std::fs;
use std::time::Duration;

use poolshift::Answer;
use serde_json::json;

use super::rig::{Acting, STARTUP, Side, Victim};
use super::{OK, REFUSED, told};
use crate::process::gone;

/// 7: a slot rests longer after each failure, and those who wait are told what the start-up said.
pub(super) fn crash_again_and_again<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(cannot_become_ready(side, "exit"))
}

/// 11: our own runtime, of a version that speaks another protocol.
pub(super) fn speak_another_protocol<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(cannot_become_ready(side, "protocol"))
}

/// Gives the answer of a call that waits until the breaker opens; another is then refused at
/// once. The breaker closes by itself.
async fn cannot_become_ready(side: Side<'_>, birth: &str) -> Answer {
    side.births(birth);
    side.kill_all().await;
    let struck = side.call("struck", json!({}), None).await;
    assert!(side.status().breaker.open, "{:?}", side.status());
    let late = side.call("late", json!({}), None).await;
    assert_eq!(told(&late), REFUSED, "{late:?}");
    side.births_are_good_again();
    side.until("the breaker is closed", |status| !status.breaker.open).await;
    for (slot, at) in side.failures() {
        // 100 ms and twice as much each time, less a quarter at most.
        let rests = at.windows(2).map(|pair| pair[1].duration_since(pair[0]).unwrap());
        for (n, rest) in rests.enumerate() {
            assert!(rest >= Duration::from_millis(75) * (1 << n.min(3)), "slot {slot}: {at:?}");
        }
    }
    struck
}

/// 8: the program is gone.
pub(super) fn find_no_program<'a>(side: Side<'a>, victim: Victim) -> Acting<'a> {
    Box::pin(cannot_be_spawned(side, victim, move || fs::remove_file(side.python()).unwrap()))
}

/// 8: what is in its place is no program; even root may not execute it.
pub(super) fn may_not_be_executed<'a>(side: Side<'a>, victim: Victim) -> Acting<'a> {
    Box::pin(cannot_be_spawned(side, victim, move || {
        fs::remove_file(side.python()).unwrap();
        fs::write(side.python(), "").unwrap();
    }))
}

/// The other worker serves on meanwhile, and no start permit is lost: there is one.
async fn cannot_be_spawned(side: Side<'_>, victim: Victim, spoil: impl FnOnce()) -> Answer {
    let python = fs::read_link(side.python()).unwrap();
    spoil();
    side.kill(victim).await;
    let held = json!({"fault": "hold", "file": side.path("other")});
    let held = side.call("held", held, None);
    let meet = async {
        side.begun("held").await;
        let waiting = side.call("struck", json!({}), None);
        let failing = async {
            side.until("starts have failed", |status| status.start_failures >= 2).await;
            side.touch("other");
        };
        tokio::join!(waiting, failing).0
    };
    let (held, struck) = tokio::join!(held, meet);
    assert_eq!(told(&held), OK, "{held:?}");
    assert_ne!(struck.worker.map(|worker| worker.slot), Some(victim.worker.slot));
    let _ = fs::remove_file(side.python());
    std::os::unix::fs::symlink(python, side.python()).unwrap();
    struck
}

/// 10: what is not ready in time is ended, and so never ready.
pub(super) fn take_too_long<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        side.births("rest");
        side.kill_all().await;
        let struck = side.call("struck", json!({}), STARTUP * 3);
        let slow = async {
            let newborn = side.newborn().await;
            side.births_are_good_again();
            side.until("its time is over", |status| status.start_failures == 1).await;
            gone(newborn).await;
        };
        tokio::join!(struck, slow).0
    })
}
