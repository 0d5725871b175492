//! R16: shadows of live calls, behind pools that do as they are told, on a paused clock.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use poolshift::machine::retry::Share;
use poolshift::router::bucket::draw;
use poolshift::router::file::RolloutFile;
use poolshift::router::guard::slow::Thresholds;
use poolshift::router::guard::strata::Strata;
use poolshift::router::policy::Percents;
use poolshift::router::post::{GuardPost, Watch};
use poolshift::router::ramp::Plan;
use poolshift::router::shadow::{Dropped, ShadowTerms};
use poolshift::session::commands::{Command, Sampling};
use poolshift::{Class, Lane, Outcome};
use serde_json::json;

use super::MIB;
use super::desk::Manner;
use super::rig::{NONE, Rig, call, commands, dropped, run, share, terms};
use poolshift::shadow::recorder::ComparedCounts;

#[test]
fn r16_only_reads_are_shadowed_and_the_copy_is_control_s_call_in_no_session() {
    run(async {
        let rig = Rig::new(terms(), commands(), Manner::Answers);
        for command in ["leave", "peek", "configure_lm", "unheard_of", "create_program", "note"] {
            rig.call(call(command, "ann", &json!({"topic": "tea"}))).await.unwrap();
        }
        assert_eq!((rig.settle().await.sampled, rig.v3().asked()), (0, 0));
        let look = call("look", "ann", &json!({"topic": "tea"}));
        let told = rig.call(look.clone()).await.unwrap();
        let status = rig.settle().await;
        assert_eq!((status.sampled, status.paired, status.dropped.len()), (1, 1, 0), "{status:?}");
        let copy = rig.v3().shadows.lock().unwrap().remove(0);
        assert!(told.contains("\"row\":{\"args\":"), "{told}");
        let (into, row) = copy.loaded.unwrap();
        assert_eq!((into.as_str(), copy.reserve), ("note", 3));
        assert!(told.contains(row.get()), "{told} without {row}");
        assert_eq!((copy.call.id, copy.call.budget), (look.id, Some(Duration::from_secs(10))));
        let counts = rig.counts("look").await;
        assert_eq!(counts, ComparedCounts { compared: 1, matched: 1, ..NONE });
    });
}

#[test]
fn r16_sessions_are_drawn_whole_by_a_salt_of_their_own_and_commands_by_their_own_rate() {
    run(async {
        let mut table = commands();
        let of = |shadow| Command { shadow: Some(shadow), ..Command::of(Class::Read) };
        table.set("rare", of(Sampling::Always));
        table.set("never", of(Sampling::Share(Share::NONE)));
        table.set("often", of(Sampling::Share(share(0.8))));
        let rig = Rig::new(ShadowTerms { sample: share(0.3), ..terms() }, table, Manner::Answers);
        let mut rolled_out = 0;
        for n in 0..300 {
            let session = format!("session-{n}");
            for command in ["echo", "echo", "rare", "never", "often"] {
                rig.call(call(command, &session, &json!({}))).await.unwrap();
            }
            rig.settle().await;
            let asked = std::mem::take(&mut *rig.v3().shadows.lock().unwrap());
            let asked = |name: &str| asked.iter().filter(|of| &*of.call.command == name).count();
            let bucket = draw("v3-rollout/shadow", &session).bucket;
            let echoes = if bucket < 30_000 { 2 } else { 0 };
            assert_eq!((asked("echo"), asked("rare"), asked("never")), (echoes, 1, 0), "{session}");
            assert_eq!(asked("often"), usize::from(bucket < 80_000), "{session}");
            let first = draw("v3-rollout", &session).bucket < 30_000;
            rolled_out += usize::from(first && echoes == 2);
        }
        assert!((10..60).contains(&rolled_out), "{rolled_out} of about 90: another set");
    });
}

#[test]
fn r16_what_was_saved_meanwhile_makes_a_shadow_stale() {
    run(async {
        let rig = Rig::new(terms(), commands(), Manner::Waits);
        let tea = json!({"topic": "tea"});
        rig.call(call("note", "ann", &tea)).await.unwrap();
        // Before it is tried: the runner has had no turn yet.
        rig.call(call("look", "ann", &tea)).await.unwrap();
        rig.call(call("note", "ann", &tea)).await.unwrap();
        assert_eq!(dropped(&rig.settle().await, Dropped::Stale), 1);
        assert_eq!(rig.v3().asked(), 0);
        // While it runs.
        rig.call(call("look", "ann", &tea)).await.unwrap();
        rig.settle().await;
        assert_eq!(rig.v3().asked(), 1);
        rig.call(call("note", "ann", &tea)).await.unwrap();
        rig.v3().go_on.notify_one();
        assert_eq!(dropped(&rig.settle().await, Dropped::Stale), 2);
        // Another session's save is another matter.
        rig.call(call("look", "ann", &tea)).await.unwrap();
        rig.settle().await;
        rig.call(call("note", "bob", &tea)).await.unwrap();
        rig.v3().go_on.notify_one();
        assert_eq!(rig.counts("look").await.matched, 1);
    });
}

/// Whatever the candidate does, its callers are told the same at the same moment (S24).
#[test]
fn r16_no_candidate_changes_anything_for_callers() {
    for manner in [
        Manner::Answers,
        Manner::Lies,
        Manner::Raises,
        Manner::Crashes,
        Manner::Dawdles(3000),
        Manner::Hangs,
        Manner::Declines,
    ] {
        run(async {
            let rig = Rig::new(terms(), commands(), manner);
            for n in 0..500 {
                let (session, args) = (format!("s{}", n % 50), json!({"n": n, "topic": "t"}));
                let command = ["look", "fail", "echo", "note"][n % 4];
                let told = rig.call(call(command, &session, &args)).await;
                match command {
                    "fail" => assert_eq!(told, Err(Outcome::Raised)),
                    _ => assert!(told.unwrap().contains(&format!("\"n\":{n}")), "{n}"),
                }
                if n % 10 == 9 {
                    rig.settle().await;
                }
            }
            let status = rig.settle().await;
            assert_eq!(rig.router.draws().v3, 0);
            assert!(rig.v3().most_running.load(Ordering::SeqCst) <= 64);
            tokio::time::sleep(Duration::from_secs(20)).await; // paused clock
            let late = rig.settle().await;
            let lost: u64 = late.dropped.values().sum();
            assert_eq!(late.paired + lost, 375, "{manner:?}: each is accounted for, {late:?}");
            assert_eq!((late.buffered_bytes, rig.v3().running.load(Ordering::SeqCst)), (0, 0));
            match manner {
                Manner::Answers | Manner::Lies | Manner::Raises => {
                    assert!(late.paired > 200, "{late:?}");
                }
                Manner::Crashes => assert!(dropped(&late, Dropped::Breaker) > 200, "{late:?}"),
                Manner::Hangs => {
                    assert!(dropped(&status, Dropped::Busy) > 50, "{status:?}");
                    assert_eq!((late.paired, dropped(&late, Dropped::NotRun)), (0, 64));
                    assert!(late.breaker_open);
                }
                Manner::Declines => assert!(dropped(&late, Dropped::NoRoom) > 200, "{late:?}"),
                Manner::Dawdles(_) | Manner::Waits => assert!(late.paired >= 32, "{late:?}"),
            }
        });
    }
}

#[test]
fn r16_what_waits_for_a_shadow_is_bounded_in_calls_and_in_bytes() {
    run(async {
        let rig = Rig::new(terms(), commands(), Manner::Hangs);
        // Nobody but this task has a turn, so nothing is taken out of the buffer.
        for n in 0..1000 {
            rig.call(call("echo", &format!("s{n}"), &json!({}))).await.unwrap();
        }
        assert_eq!(dropped(&rig.status(), Dropped::BufferFull), 1000 - 256);
        rig.settle().await;
        *rig.router.legacy().filler.lock().unwrap() = "x".repeat(900_000);
        for n in 0..200 {
            rig.call(call("echo", &format!("t{n}"), &json!({}))).await.unwrap();
        }
        let status = rig.status();
        assert!(status.buffered_bytes <= 32 * MIB, "{}", status.buffered_bytes);
        assert!(status.buffered_bytes > 28 * MIB, "{}", status.buffered_bytes);
        let full = dropped(&status, Dropped::BufferFull) - 744;
        assert!((160..175).contains(&full), "{full}");
        *rig.router.legacy().filler.lock().unwrap() = "x".repeat(MIB);
        rig.call(call("echo", "u", &json!({}))).await.unwrap();
        assert_eq!(dropped(&rig.status(), Dropped::TooLarge), 1);
    });
}

/// Each session once, with V2 beside itself as the control; and only what V2 has answered.
#[test]
fn guards_hear_whether_v3_answers_as_v2_and_v2_as_itself() {
    run(async {
        let rig = Rig::new(ShadowTerms { noise: share(0.5), ..terms() }, commands(), Manner::Lies);
        *rig.router.legacy().manner.lock().unwrap() = Manner::Answers;
        let plan = "[guards.mismatches]\nlimit = 0.5\n[shadow]\nmin_time = \"1s\"\n\
                    min_units = 1\n[[steps]]\npercent = 1\nmin_time = \"1s\"\nmin_units = 1\n";
        let guards = Plan::parse(plan, &[]).unwrap().guards;
        let strata = Strata::new([("echo".to_owned(), Class::Read)]);
        let (slow, half) = (Thresholds::default(), "50".parse().unwrap());
        let post = Arc::new(GuardPost::new("b", guards, strata, slow, half));
        let apply = |step, percent| {
            let watch = Watch { post: Arc::clone(&post), step, proving: Vec::new() };
            let file = RolloutFile::parse(&format!("percent = {percent}")).unwrap();
            rig.router.apply(&file, Some(watch)).unwrap();
        };
        let make = async |sessions: std::ops::Range<u64>, times: u64| {
            for n in sessions.flat_map(|n| (0..times).map(move |_| n)) {
                rig.call(call("echo", &format!("s{n}"), &json!({}))).await.unwrap();
                rig.settle().await;
            }
        };
        make(100..106, 1).await;
        apply(1, 0);
        make(0..24, 3).await;
        let evidence = post.evidence();
        let (_, comparison) = evidence.comparisons().next().unwrap();
        let units = evidence.compared.units;
        assert_eq!((units.total(), comparison.bad_units().control), (24, 0));
        assert_eq!(comparison.bad_units().candidate, units.candidate, "each once");
        assert!((4..20).contains(&units.candidate), "{units:?}");
        assert_eq!(evidence.matches("echo"), 0);
        // What matches counts each time, also in sessions that began too early to be judged.
        *rig.v3().manner.lock().unwrap() = Manner::Answers;
        make(100..106, 2).await;
        make(24..30, 2).await;
        let (before, after) = (units, post.evidence());
        let new = after.compared.units.candidate - before.candidate;
        assert_eq!(after.compared.units.total(), 30);
        let early = after.matches("echo") - 2 * new;
        assert!(new > 0 && early > 0 && early.is_multiple_of(2), "{new} {early}");
        apply(2, 100);
        make(30..40, 1).await;
        assert_eq!(post.evidence().compared.units, after.compared.units, "V3 answered these");
    });
}

#[test]
fn r16_a_rate_is_kept_and_rare_commands_come_first() {
    run(async {
        let mut table = commands();
        let shadow = Some(Sampling::Always);
        table.set("rare", Command { shadow, ..Command::of(Class::Read) });
        let rig = Rig::new(ShadowTerms { max_per_s: 40, ..terms() }, table, Manner::Answers);
        for n in 0..100 {
            rig.call(call("echo", &format!("s{n}"), &json!({}))).await.unwrap();
            rig.settle().await;
        }
        for n in 0..3 {
            rig.call(call("rare", &format!("s{n}"), &json!({}))).await.unwrap();
        }
        let status = rig.settle().await;
        assert_eq!((status.paired, dropped(&status, Dropped::Rate)), (39, 64), "{status:?}");
        assert_eq!(rig.counts("rare").await.matched, 3);
    });
}

#[test]
fn r16_a_part_is_asked_of_control_s_own_lane_again() {
    run(async {
        let rig = Rig::new(ShadowTerms { noise: share(0.5), ..terms() }, commands(), Manner::Lies);
        *rig.router.legacy().manner.lock().unwrap() = Manner::Answers;
        for n in 0..24 {
            rig.call(call("echo", &format!("s{n}"), &json!({}))).await.unwrap();
            rig.settle().await;
        }
        let (again, other) = (rig.router.legacy().asked(), rig.v3().asked());
        assert!(again + other == 24 && (4..20).contains(&again), "{again} and {other}");
        let (again, other) = (again as u64, other as u64);
        let expected = ComparedCounts {
            compared: other,
            matched: 0,
            noise_compared: again,
            noise_matched: again,
        };
        assert_eq!(rig.counts("echo").await, expected);
        // The lanes change roles with the rollout.
        let rig = Rig::new(terms(), commands(), Manner::Answers);
        rig.router.set_percents(Percents::all("100".parse().unwrap()));
        let routed = rig.router.call(call("echo", "ann", &json!({}))).await;
        assert_eq!(routed.decision.lane, Lane::V3);
        rig.settle().await;
        assert_eq!((rig.router.legacy().asked(), rig.v3().asked()), (1, 0));
    });
}

/// A lane that answers says nothing of the other one.
#[test]
fn r16_the_breaker_of_a_lane_that_fails_is_not_closed_by_the_other_s_answers() {
    run(async {
        let rig =
            Rig::new(ShadowTerms { noise: share(0.5), ..terms() }, commands(), Manner::Crashes);
        *rig.router.legacy().manner.lock().unwrap() = Manner::Answers;
        for n in 0..60 {
            rig.call(call("echo", &format!("s{n}"), &json!({}))).await.unwrap();
            rig.settle().await;
        }
        let (status, again) = (rig.status(), rig.router.legacy().asked());
        assert_eq!((rig.v3().asked(), status.breaker_open), (5, true), "{status:?}");
        assert_eq!(dropped(&status, Dropped::Breaker), 60 - 5 - again as u64);
    });
}

#[test]
fn r16_while_the_kill_switch_is_on_nothing_runs_in_v3_not_even_a_shadow() {
    run(async {
        let terms = ShadowTerms { noise: share(0.5), ..terms() };
        let rig = Rig::new(terms, commands(), Manner::Answers);
        rig.router.kill();
        for n in 0..20 {
            rig.call(call("echo", &format!("s{n}"), &json!({}))).await.unwrap();
        }
        assert_eq!((rig.settle().await.sampled, rig.v3().asked()), (0, 0));
        rig.router.unkill();
        for n in 0..20 {
            rig.call(call("echo", &format!("s{n}"), &json!({}))).await.unwrap();
        }
        assert!(rig.settle().await.sampled == 20 && rig.v3().asked() > 0);
    });
}

#[test]
fn r16_what_control_did_not_answer_is_not_shadowed() {
    run(async {
        let mut table = commands();
        table.set("give_up", Command::of(Class::Read));
        let rig = Rig::new(terms(), table, Manner::Answers);
        let told = rig.call(call("give_up", "ann", &json!({}))).await;
        assert_eq!(told, Err(Outcome::QueueTimeout));
        let status = rig.settle().await;
        assert_eq!((status.sampled, dropped(&status, Dropped::Unanswered)), (1, 1), "{status:?}");
        assert_eq!(rig.v3().asked(), 0);
    });
}

/// The other lane would be given less time than control had, and its timeout would be told as
/// another answer.
#[test]
fn r16_what_takes_control_longer_than_a_shadow_may_is_not_held_against_the_other_lane() {
    run(async {
        let rig = Rig::new(terms(), commands(), Manner::Dawdles(10_500));
        *rig.router.legacy().takes.lock().unwrap() = Duration::from_secs(10);
        rig.router.call(call("echo", "ann", &json!({}))).await;
        let status = rig.settle().await;
        assert_eq!((status.sampled, dropped(&status, Dropped::TooSlow)), (1, 1), "{status:?}");
        assert_eq!(rig.v3().asked(), 0);
        *rig.router.legacy().takes.lock().unwrap() = Duration::from_millis(9999);
        rig.router.call(call("echo", "ann", &json!({}))).await;
        rig.settle().await;
        assert_eq!(rig.v3().asked(), 1);
    });
}
