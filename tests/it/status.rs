//! What a running process tells of itself, and how it is told from one that has ended.

use std::fs;
use std::process::Command;
use std::time::Duration;

use poolshift::clock::Clock;
use poolshift::shim::drain::Drain;
use poolshift::shim::status::ProcessStatus;
use poolshift::{Args, Call, Lane, Shim, ShimOptions};
use serde_json::Value;

use crate::service::Service;

impl Service {
    fn told(&self) -> ProcessStatus {
        let mut live = self.board().read().unwrap().live;
        assert_eq!(live.len(), 1, "{live:?}");
        live.remove(0)
    }

    async fn tells(&self, what: &str, is: impl Fn(&ProcessStatus) -> bool) -> ProcessStatus {
        let until = async {
            loop {
                let told = self.told();
                if is(&told) {
                    return told;
                }
                tokio::time::sleep(Duration::from_millis(2)).await; // polls a condition
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(30), until).await;
        told.unwrap_or_else(|_| panic!("still waiting until it tells {what}: {:?}", self.told()))
    }
}

fn call(command: &str, session: &str) -> Call {
    Call::new(command, Args::default()).with_session(session).unwrap()
}

#[tokio::test]
async fn every_change_is_told_at_once_and_every_refusal_too() {
    let service = Service::new();
    let shim = service.start().await;
    let told = service.told();
    assert_eq!((told.pid, told.rollout.version), (std::process::id(), 0));
    // Told once a second only, these would take twenty seconds.
    let clock = Clock::start();
    for _ in 0..10 {
        for killed in [true, false] {
            if killed {
                shim.router().kill()
            } else {
                shim.router().unkill()
            }
            service.tells("the switch", |told| told.rollout.killed == killed).await;
        }
    }
    let took = clock.now().since(poolshift::clock::Moment::ZERO);
    assert!(took < Duration::from_secs(5), "{took:?}");

    fs::write(&service.config.rollout.file, "version = 3\npercent = 40\n").unwrap();
    service.tells("version 3", |told| told.rollout.version == 3).await;
    fs::write(&service.config.rollout.file, "version = 2\npercent = 40\n").unwrap();
    let told = service.tells("the refusal", |told| told.rollout.refused.is_some()).await;
    assert!(told.rollout.refused.unwrap().contains("version 2 is older than version 3"));
    fs::write(&service.config.rollout.file, "version = 4\npercent = 41\n").unwrap();
    let told = service.tells("version 4", |told| told.rollout.version == 4).await;
    assert_eq!(told.rollout.refused, None);
    drop(shim);
    assert!(service.board().read().unwrap().is_empty());
    let left = fs::read_dir(service.paths().folder()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [service.paths().last_good()], "nothing else is left beside the file");
}

#[tokio::test]
async fn sessions_and_all_metrics_of_the_pools_are_told_by_name() {
    let service = Service::new();
    fs::write(&service.config.rollout.file, "percent = 100\n").unwrap();
    let shim = service.start().await;
    for n in 0..5 {
        assert!(shim.call(call("echo", &format!("s{n}"))).await.answer.result.is_ok());
    }
    assert!(shim.call(call("fail", "s0")).await.answer.result.is_err());
    let told = service.tells("the calls", |told| told.lanes[&Lane::V3].outcomes.len() == 2).await;
    assert_eq!((told.pins[&Lane::V3].count, told.pins[&Lane::V2].count), (5, 0));
    assert!(told.pins[&Lane::V3].oldest_s >= told.pins[&Lane::V3].mean_age_s);
    assert_eq!((told.draws[&Lane::V2], told.draws[&Lane::V3]), (0, 5));
    let drain = Drain::of([&told]);
    assert_eq!((drain.v2.count, drain.rollback_moves, drain.v2_empty_s), (0, 5, 0.0));
    let shown = String::from_utf8(service.rollout(&["show"]).stdout).unwrap();
    assert!(shown.contains("live sessions: 0 in v2") && shown.contains("5 in v3"), "{shown}");
    assert!(shown.contains("a rollback now would move 5 sessions"), "{shown}");
    assert!(shown.contains("as none is drawn to it any more"), "{shown}");
    let text = fs::read_to_string(service.paths().status(told.pid)).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let pool = &json["lanes"]["v3"];
    for metric in ["size", "available", "busy", "queue_size", "startup_duration_s"] {
        assert!(pool[metric].is_number(), "{metric} in {pool}");
    }
    for time in ["queued_time_ms", "total_time_ms"] {
        assert!(pool["request"][time]["p99"].as_f64().unwrap() >= 0.0, "{time} in {pool}");
    }
    let worker = &pool["workers"][0];
    assert_eq!((worker["requests"].as_u64(), worker["errors"].as_u64()), (Some(6), Some(1)));
    assert!(worker["response_time_s"].as_f64().unwrap() > 0.0, "{worker}");
    assert_eq!(worker["health_status"], "idle");
    assert_eq!(serde_json::from_str::<ProcessStatus>(&text).unwrap(), told, "it reads back");
    shim.drain().await;
}

#[tokio::test]
async fn who_has_ended_is_not_shown_and_is_swept_by_the_next() {
    let service = Service::new();
    let shim = service.start().await;
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let of = |pid: u32, start_ticks: u64| {
        let status = ProcessStatus { pid, start_ticks, ..service.told() };
        fs::write(service.paths().status(pid), serde_json::to_string(&status).unwrap()).unwrap();
        service.paths().status(pid)
    };
    // One that is gone, and one whose id now belongs to somebody else.
    let files = [of(ended.id(), 1), of(1, u64::MAX)];
    assert_eq!(service.told().pid, std::process::id());
    drop(shim);
    assert!(files.iter().all(|file| file.exists()));
    let _shim = service.start().await;
    assert!(!files.iter().any(|file| file.exists()), "swept");
    assert!(service.folder.path().exists());
}

#[tokio::test]
async fn one_word_that_cannot_be_understood_blinds_nobody() {
    let service = Service::new();
    let _shim = service.start().await;
    fs::write(service.paths().status(1), "{\"x\": 1}").unwrap();
    let board = service.board().read().unwrap();
    assert_eq!((board.live.len(), board.unreadable.len()), (1, 1));
    assert!(board.unreadable[0].1.contains("another version"), "{:?}", board.unreadable);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_stops_nobody() {
    let service = Service::new();
    fs::write(service.paths().folder(), "a file where the folder should be").unwrap();
    let shim = service.start().await;
    assert!(shim.call(call("echo", "s")).await.answer.result.is_ok());
    shim.drain().await;
}

#[tokio::test]
async fn a_shim_with_fixed_shares_follows_no_file_and_tells_nothing() {
    let service = Service::new();
    let percents = Some("100".parse().map(poolshift::router::policy::Percents::all).unwrap());
    let options = ShimOptions { percents, ..ShimOptions::default() };
    let shim = Shim::start(&service.config, options).await.unwrap();
    assert_eq!(shim.call(call("echo", "s")).await.decision.lane, Lane::V3);
    assert!(service.board().read().unwrap().is_empty());
    shim.drain().await;
}
