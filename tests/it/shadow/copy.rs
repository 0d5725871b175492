//! R16: what a pool makes of a copy, with fake workers on a paused clock.

use std::sync::Arc;

use poolshift::machine::OnCancel;
use poolshift::{Args, Call, Lane, Pool, ShadowCall};
use poolshift_sim::shell_rig::spawner::FakeSpawner;

use super::rig::run;
use crate::sim_pool::{SimPool, sessions};

#[test]
fn r16_a_copy_saves_nothing_and_is_in_no_count_of_calls() {
    for lane in [Lane::V2, Lane::V3] {
        run(async {
            let (sessions, spawner) = (sessions(), FakeSpawner::with_births([]));
            let kept = Arc::clone(&sessions);
            let pool = SimPool::with_sessions(lane, 1, OnCancel::Drain, &spawner, kept).await;
            // It saves a row, so it is shadowed by nobody but this test.
            let args = Args::parse(r#"{"id": "p1"}"#).unwrap();
            let call = Call::new("create_program", args).with_session("ann").unwrap();
            let saves = || sessions.saves(call.session.as_ref());
            let calls = || pool.status().outcomes.values().sum::<u64>();
            let before = saves();
            let copy = ShadowCall { call: call.clone(), loaded: None, reserve: 0 };
            assert!(pool.shadow(copy).await.unwrap().result.is_ok());
            assert_eq!((saves(), calls()), (before, 0), "{lane}");
            assert_eq!(pool.status().shadows.values().sum::<u64>(), 1);
            assert!(pool.call(call.clone()).await.result.is_ok());
            assert!(saves() > before && calls() == 1, "{lane}");
        });
    }
}
