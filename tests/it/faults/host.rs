//! Faults of the host's own process, which a test must not share.

use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::rig::{Acting, Side, Victim};
use super::{OK, told};

/// 9: no descriptor is left, for which RLIMIT_NOFILE is lowered: RLIMIT_NPROC means nothing to
/// root. The other worker serves on, and all is well when the limit is lifted.
pub(super) fn is_out_of_descriptors<'a>(side: Side<'a>, victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..before }).unwrap();
        side.kill(victim).await;
        // Two at a time: V2 starts another worker only for a call that waits.
        let nap = json!({"fault": "nap", "ms": 300});
        let one = side.call("one", nap.clone(), None);
        let (one, other) = tokio::join!(one, side.call("other", nap, None));
        assert_eq!((told(&one), told(&other)), (OK, OK));
        assert_eq!(one.worker, other.worker, "there is one worker");
        assert!(side.status().start_failures > 0);
        setrlimit(Resource::Nofile, before).unwrap();
        side.call("struck", json!({}), None).await
    })
}

/// 30: the host is interrupted by signals all the time.
pub(super) fn is_interrupted<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        // Without a handler the signal would interrupt nothing.
        let _handler = signal(SignalKind::window_change()).unwrap();
        let host = std::process::id();
        let mut storm = Command::new("sh");
        storm.args(["-c", "while kill -WINCH $0; do :; done", &host.to_string()]);
        let mut storm = storm.spawn().unwrap();
        for n in 0..20 {
            let large = json!({"padding": "x".repeat(1 << 20)});
            let answer = side.call(&format!("call {n}"), large, None).await;
            assert_eq!(told(&answer), OK, "{n}: {answer:?}");
        }
        let struck = side.call("struck", json!({"fault": "drip", "bytes": 1, "every_ms": 1}), None);
        let struck = struck.await;
        storm.kill().unwrap();
        storm.wait().unwrap();
        struck
    })
}

/// 35: the host is stopped until after the deadline of a call whose reply has come meanwhile.
pub(super) fn is_stalled<'a>(side: Side<'a>, _victim: Victim) -> Acting<'a> {
    Box::pin(async move {
        let budget = Duration::from_secs(2);
        let struck = side.call("struck", json!({"fault": "hold"}), budget);
        let stalled = async {
            side.begun("struck").await;
            // It is stopped when each of its threads is, which takes a while.
            let script = "kill -STOP $0; \
                while grep -h ^State /proc/$0/task/*/status | grep -qv T; do :; done; \
                : > $1; sleep 2.5; kill -CONT $0";
            let host = std::process::id().to_string();
            let mut stall = Command::new("sh");
            stall.args(["-c", script, &host]).arg(side.path("file"));
            stall.spawn().unwrap()
        };
        let (struck, mut stall) = tokio::join!(struck, stalled);
        stall.wait().unwrap();
        assert!(struck.timing.total() > budget, "the stall came after the reply: {struck:?}");
        struck
    })
}
