//! Several sources of the rollout: which one counts, and what counts when one is no good.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poolshift::Class;
use poolshift::clock::Clock;
use poolshift::router::file::RolloutFile;
use poolshift::router::paths::RolloutPaths;
use poolshift::router::policy::Policy;
use poolshift::router::source::environment::Environment;
use poolshift::router::source::file::WatchedFile;
use poolshift::router::source::{FlagSource, SourceStatus};
use poolshift::router::watch::{RolloutWatch, watch};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A source that says what a test wants, when it wants.
#[derive(Clone, Debug, Default)]
struct Told {
    says: Arc<Mutex<Option<String>>>,
    changed: Arc<Mutex<Option<Arc<Notify>>>>,
}

impl Told {
    fn say(&self, text: &str) {
        *self.says.lock().unwrap() = Some(text.to_owned());
        if let Some(changed) = self.changed.lock().unwrap().as_ref() {
            changed.notify_one();
        }
    }
}

impl FlagSource for Told {
    fn name(&self) -> String {
        "a test".to_owned()
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.says.lock().unwrap().clone().map(String::into_bytes))
    }

    fn watch(&self, changed: &Arc<Notify>) -> Option<Box<dyn std::any::Any + Send + Sync>> {
        *self.changed.lock().unwrap() = Some(Arc::clone(changed));
        None
    }
}

/// What is put into force is noted: V3's share of reads in buckets, and whether it is killed.
struct Followed {
    in_force: UnboundedReceiver<(u32, bool)>,
    watch: RolloutWatch,
}

impl Followed {
    fn start(sources: Vec<Box<dyn FlagSource>>) -> Self {
        let (sender, in_force) = unbounded_channel();
        let policy = Mutex::new(Policy::initial("f", false));
        let watch = watch(sources, move |file: &RolloutFile| {
            let mut policy = policy.lock().unwrap();
            *policy = policy.replaced_by(file.policy(&policy)).map_err(|e| e.to_string())?;
            let buckets = policy.percents.of(Class::Read).buckets();
            sender.send((buckets, policy.killed)).unwrap();
            Ok(format!("version {}", policy.version))
        });
        Self { in_force, watch }
    }

    async fn next(&mut self) -> (u32, bool) {
        let next = tokio::time::timeout(Duration::from_secs(30), self.in_force.recv()).await;
        next.expect("nothing comes into force").unwrap()
    }

    fn nothing_more(&mut self) {
        assert!(self.in_force.try_recv().is_err());
    }

    async fn status(&mut self, is: impl Fn(&[SourceStatus]) -> bool) -> Vec<SourceStatus> {
        let mut sources = self.watch.sources();
        let told = sources.wait_for(|sources| is(sources));
        let told = tokio::time::timeout(Duration::from_secs(30), told).await;
        told.expect("the sources never stand so").unwrap().clone()
    }
}

#[tokio::test]
async fn the_first_source_that_says_anything_counts_and_any_kill_switch() {
    let (first, second) = (Told::default(), Told::default());
    second.say("percent = 2\n");
    let mut followed = Followed::start(vec![Box::new(first.clone()), Box::new(second.clone())]);
    assert_eq!(followed.next().await, (2000, false));
    first.say("percent = 1\n");
    assert_eq!(followed.next().await, (1000, false));
    let status = followed.status(|sources| sources[0].in_force).await;
    assert!(!status[1].in_force && status[1].refused.is_none());
    second.say("percent = 3\n");
    second.say("percent = 3\nkilled = true\n");
    assert_eq!(followed.next().await, (1000, true), "its share does not count, its switch does");
    // Bad texts change nothing; but what kills in one is heard, and stays until a good one.
    second.say("percent = \n");
    first.say("percent = 9999\n");
    followed.status(|sources| sources.iter().all(|source| source.refused.is_some())).await;
    second.say("percent = 4\n");
    assert_eq!(followed.next().await, (1000, false));
    second.say("kil\nkilled = true\n");
    assert_eq!(followed.next().await, (1000, true));
    second.say("percent = 4\n");
    assert_eq!(followed.next().await, (1000, false));
    first.say("percent = 6\n");
    assert_eq!(followed.next().await, (6000, false));
    followed.nothing_more();
}

struct Place {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { file: folder.path().join("rollout.toml"), _folder: folder }
    }

    fn start(&self) -> Followed {
        Followed::start(vec![Box::new(WatchedFile::at(&self.file))])
    }
}

#[tokio::test]
async fn a_process_that_starts_with_a_bad_file_or_none_goes_by_the_last_good_one() {
    let place = Place::new();
    let mut none = place.start();
    none.nothing_more();
    fs::write(&place.file, "version = 1\npercent = 5\n").unwrap();
    assert_eq!(none.next().await, (5000, false));
    fs::write(&place.file, "version = 2\npercent = 7\n").unwrap();
    assert_eq!(none.next().await, (7000, false));
    drop(none);
    fs::write(&place.file, "version = 3\npercent = 700\n").unwrap();
    let mut bad = place.start();
    assert_eq!(bad.next().await, (7000, false), "as in a process that has run all along");
    let status = bad.status(|sources| sources[0].refused.is_some()).await;
    assert!(status[0].in_force && status[0].refused.as_ref().unwrap().contains("700"));
    fs::write(&place.file, "version = 3\npercent = 8\n").unwrap();
    assert_eq!(bad.next().await, (8000, false));
    bad.status(|sources| sources[0].refused.is_none()).await;
    drop(bad);
    fs::remove_file(&place.file).unwrap();
    let mut gone = place.start();
    assert_eq!(gone.next().await, (8000, false));
    assert!(gone.status(|_| true).await[0].refused.as_ref().unwrap().contains("gone"));
    drop(gone);
    // A kill switch in a bad file is heard at the start too.
    fs::write(&place.file, "killed = true\npercent = \n").unwrap();
    let mut killed = place.start();
    assert_eq!(killed.next().await, (0, true));
    assert_eq!(killed.next().await, (8000, true));
    drop(killed);
    // Without anything that is good, V2 has everything.
    fs::write(RolloutPaths::of(&place.file).last_good(), "nonsense").unwrap();
    fs::write(&place.file, "nonsense").unwrap();
    let mut nothing = place.start();
    nothing.status(|sources| sources[0].refused.is_some()).await;
    nothing.nothing_more();
}

/// The median, since the machine may be busy for once; the poll alone would take seconds.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_file_is_in_force_within_a_quarter_of_a_second() {
    let place = Place::new();
    let mut followed = place.start();
    let clock = Clock::start();
    let mut took = Vec::new();
    for percent in 1..=21 {
        let draft = place.file.with_extension("draft");
        fs::write(&draft, format!("percent = {percent}\n")).unwrap();
        let began = clock.now();
        fs::rename(&draft, &place.file).unwrap();
        assert_eq!(followed.next().await, (percent * 1000, false));
        took.push(clock.now().since(began));
    }
    took.sort();
    assert!(took[10] < Duration::from_millis(250), "{took:?}");
}

#[test]
fn an_empty_variable_says_nothing() {
    assert_eq!(Environment::of(None), None);
    assert_eq!(Environment::of(Some("  ".to_owned())), None);
    assert!(Environment::of(Some("percent = 5".to_owned())).is_some());
}

fn run(place: &Place, variable: &str) -> Output {
    let calls = place.file.with_file_name("calls.jsonl");
    fs::write(&calls, "{\"command\":\"ping\"}\n".repeat(4)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolshift"));
    command.arg("run").arg(calls).env(Environment::VARIABLE, variable);
    command.envs(BTreeMap::from([
        ("POOLSHIFT__ROLLOUT__FILE", place.file.to_str().unwrap()),
        ("POOLSHIFT__V2__SIZE", "1"),
        ("POOLSHIFT__V3__SIZE", "1"),
    ]));
    command.output().unwrap()
}

/// In a real process: the environment stands before the file, and the file's kill switch before
/// everything.
#[test]
fn the_environment_comes_before_the_file_but_not_before_its_kill_switch() {
    let place = Place::new();
    let lanes = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (text.matches("\"lane\":\"v2\"").count(), text.matches("\"lane\":\"v3\"").count())
    };
    fs::write(&place.file, "percent = 0\n").unwrap();
    assert_eq!(lanes(&run(&place, "percent = 100")), (0, 4));
    assert_eq!(lanes(&run(&place, "")), (4, 0));
    assert_eq!(lanes(&run(&place, "percent = 101")), (4, 0), "a bad one does not count");
    fs::write(&place.file, "percent = 100\nkilled = true\n").unwrap();
    assert_eq!(lanes(&run(&place, "percent = 100")), (4, 0));
}
