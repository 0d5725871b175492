//! Pools that end, or whose rollout changes, while something else goes wrong.

use std::time::Duration;

use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use rustix::process::Signal;
use serde_json::json;

use super::rig::{Acting, Side, Victim, send};
use crate::process::gone;

/// 37: whoever is born too late is ended and reaped.
pub(super) fn during_a_start<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        side.births("rest");
        side.kill_all().await;
        let struck = side.call("struck", json!({}), None);
        let drained = async {
            let newborn = side.newborn().await;
            side.drain(Duration::from_millis(100)).await;
            gone(newborn).await;
            assert_eq!(side.status().live, 0);
        };
        tokio::join!(struck, drained).0
    })
}

/// 37: a call that is under way is not disturbed by what is decided for others.
pub(super) fn rollout_changes<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        let struck = side.call("struck", json!({"fault": "hold"}), None);
        let changed = async {
            side.begun("struck").await;
            let router = side.rig.shim.router();
            router.set_percents(Percents::all(Percent::HUNDRED));
            router.kill();
            router.unkill();
            router.set_percents(Percents::all(Percent::ZERO));
            side.touch("file");
        };
        tokio::join!(struck, changed).0
    })
}

/// 38: a drain waits for a call that waits for a worker, which dies at its handshake. Another is
/// started for it, and the books are right at the end.
pub(super) fn death_at_the_handshake<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        side.births("rest");
        side.kill_all().await;
        let struck = side.call("struck", json!({}), None);
        let drained = async {
            let newborn = side.newborn().await;
            let dies = async {
                side.until("it drains", |status| status.draining).await;
                side.births_are_good_again();
                send(newborn, Signal::KILL);
            };
            tokio::join!(side.drain(Duration::from_secs(20)), dies);
            let status = side.status();
            assert_eq!((status.live, status.starting, status.queue_size), (0, 0, 0), "{status:?}");
            assert_eq!(status.start_failures, 1);
        };
        tokio::join!(struck, drained).0
    })
}
