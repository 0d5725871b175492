//! A running process, and a rollout file in every state in which people leave one at night.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use poolshift::clock::{Clock, Moment};
use poolshift::config::Config;
use poolshift::shim::board::StatusBoard;
use poolshift::shim::status::RolloutStatus;
use poolshift::{Shim, ShimOptions};
use tempfile::TempDir;

struct Service {
    _folder: TempDir,
    file: PathBuf,
    _shim: Shim,
}

impl Service {
    /// A process in which the share is half.
    async fn at_half() -> Self {
        let service = Self::start(|_| {}).await;
        assert!(service.tool(&["set", "50", "--wait", "20s"]).status.success());
        service
    }

    async fn start(prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rollout.toml");
        let mut config = Config::default();
        (config.v2.size, config.v3.size) = (1, 1);
        config.rollout.file.clone_from(&file);
        prepare(&file);
        let shim = Shim::start(&config, ShimOptions::default()).await.unwrap();
        Self { _folder: folder, file, _shim: shim }
    }

    fn tool(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolshift"));
        command.args(["rollout", "--file"]).arg(&self.file).args(args).output().unwrap()
    }

    fn told(&self) -> RolloutStatus {
        StatusBoard::beside(&self.file).read().unwrap().live.remove(0).rollout
    }

    async fn tells(&self, what: &str, is: impl Fn(&RolloutStatus) -> bool) {
        let until = async {
            while !is(&self.told()) {
                tokio::time::sleep(Duration::from_millis(2)).await; // polls a condition
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(30), until).await;
        assert!(told.is_ok(), "still waiting until it tells {what}: {:?}", self.told());
    }

    fn replace(&self, bytes: &[u8]) {
        let draft = self.file.with_extension("new");
        fs::write(&draft, bytes).unwrap();
        fs::rename(draft, &self.file).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r13_killed_by_hand_is_heard_whatever_else_is_wrong_with_the_file() {
    let service = Service::at_half().await;
    let hurried: [&[u8]; 4] = [
        b"version = 9\npercent = 50\n[classes]\ncritical = 0\nkilled = true\n",
        b"killed = true\nkilled = false\npercent = 50\n",
        b"killed = true\npercent = \n",
        b"killed = true\npercent = 30 # caf\xe9\n",
    ];
    for bytes in hurried {
        service.replace(bytes);
        let what = String::from_utf8_lossy(bytes).into_owned();
        service.tells(&what, |told| told.killed && told.refused.is_some()).await;
        let shown = service.tool(&["show"]);
        let text = String::from_utf8_lossy(&shown.stdout);
        assert_eq!(shown.status.code(), Some(1), "{what}: {shown:?}");
        assert!(text.contains(", killed, ") && text.contains("REFUSES it"), "{what}: {text}");
        let killed = service.tool(&["kill", "--wait", "20s"]);
        assert!(killed.status.success(), "{what}: {killed:?}");
        assert!(service.told().refused.is_none(), "the tool's own file is not refused");
        assert!(service.tool(&["unkill", "--wait", "20s"]).status.success());
        service.tells("alive again", |told| !told.killed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_file_put_back_is_refused_and_no_change_counts_until_it_is_in_force() {
    let service = Service::at_half().await;
    assert!(service.tool(&["rollback", "--wait", "20s"]).status.success());
    let zero = fs::read(&service.file).unwrap();
    assert!(service.tool(&["set", "50", "--wait", "20s"]).status.success());
    service.replace(&zero);
    service.tells("the refusal", |told| told.refused.is_some()).await;
    let rolled_back = service.tool(&["rollback", "--wait", "20s"]);
    assert!(rolled_back.status.success(), "{rolled_back:?}");
    service.tells("nothing in V3", |told| told.percent(poolshift::Class::Read) == "0").await;
    assert!(service.told().refused.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_is_told_and_what_replaces_it_stays_killed() {
    let service = Service::at_half().await;
    let text = fs::read_to_string(&service.file).unwrap();
    service.replace(format!("killed = true\n{text}").as_bytes());
    service.tells("the kill by hand", |told| told.killed).await;
    fs::remove_file(&service.file).unwrap();
    let gone = |told: &RolloutStatus| told.refused.as_ref().is_some_and(|why| why.contains("gone"));
    service.tells("that it is gone", gone).await;
    assert!(service.tool(&["set", "41", "--wait", "20s"]).status.success());
    assert!(service.told().killed, "a new share takes no kill switch back");
    let shown = service.tool(&["show"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("KILLED"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_nothing_can_follow_is_refused_and_kill_works() {
    let service = Service::at_half().await;
    service.replace(b"version = 9223372036854775807\npercent = 55\n");
    service.tells("the refusal", |told| told.refused.is_some()).await;
    let killed = service.tool(&["kill", "--wait", "20s"]);
    assert!(killed.status.success() && service.told().killed, "{killed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_into_another_folder_is_followed_at_once() {
    let service = Service::start(|file| {
        let target = file.with_file_name("real").join("r.toml");
        fs::create_dir(target.parent().unwrap()).unwrap();
        fs::write(&target, "percent = 0\n").unwrap();
        std::os::unix::fs::symlink(&target, file).unwrap();
    })
    .await;
    // Seen by the poll only, these would take twenty seconds.
    let clock = Clock::start();
    for percent in 1..=10 {
        let set = service.tool(&["set", &percent.to_string(), "--wait", "20s"]);
        assert!(set.status.success(), "{set:?}");
    }
    let took = clock.now().since(Moment::ZERO);
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert!(fs::symlink_metadata(&service.file).unwrap().is_symlink());
}
