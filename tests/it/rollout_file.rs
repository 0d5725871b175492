//! The rollout file on a real file system: every way in which people replace a file.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use poolshift::router::file::RolloutFile;
use poolshift::router::source::file::WatchedFile;
use poolshift::router::watch::{RolloutWatch, watch};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A watched folder, and what was put into force, in order.
struct Watched {
    folder: TempDir,
    in_force: UnboundedReceiver<u32>,
    _watch: RolloutWatch,
}

impl Watched {
    fn start(prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let (sender, in_force) = unbounded_channel();
        let sender = Arc::new(sender);
        let file = WatchedFile::at(&folder.path().join("rollout.toml"));
        let watch = watch(vec![Box::new(file)], move |file: &RolloutFile| {
            let percents = file.percents.expect("these files say a percentage");
            let buckets = percents.of(poolshift::Class::Read).buckets();
            sender.send(buckets).unwrap();
            Ok(format!("{buckets} buckets"))
        });
        Self { folder, in_force, _watch: watch }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Waits for the next file that is put into force.
    async fn next(&mut self) -> u32 {
        self.in_force.recv().await.unwrap()
    }
}

fn percent(percent: u32) -> String {
    format!("percent = {percent}\n")
}

fn write_whole(folder: &Path, name: &str, text: &str) {
    let draft = folder.join(format!("{name}.draft"));
    fs::write(&draft, text).unwrap();
    fs::rename(draft, folder.join(name)).unwrap();
}

#[tokio::test]
async fn renames_writes_in_place_and_a_new_file_are_seen() {
    let mut watched = Watched::start(|_| {});
    write_whole(watched.folder.path(), "rollout.toml", &percent(1));
    assert_eq!(watched.next().await, 1000);
    write_whole(watched.folder.path(), "rollout.toml", &percent(2));
    assert_eq!(watched.next().await, 2000);
    fs::write(watched.path("rollout.toml"), percent(3)).unwrap();
    assert_eq!(watched.next().await, 3000, "a file that is still empty says nothing");
    fs::remove_file(watched.path("rollout.toml")).unwrap();
    write_whole(watched.folder.path(), "rollout.toml", &percent(4));
    assert_eq!(watched.next().await, 4000);
}

#[tokio::test]
async fn what_is_there_at_the_start_is_in_force_before_the_first_call() {
    let mut watched = Watched::start(|folder| {
        fs::write(folder.join("rollout.toml"), percent(7)).unwrap();
    });
    assert_eq!(watched.in_force.try_recv(), Ok(7000));
}

#[tokio::test]
async fn a_swapped_config_map_is_seen() {
    let mut watched = Watched::start(|folder| {
        for (name, n) in [("..1", 10), ("..2", 20)] {
            fs::create_dir(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("rollout.toml"), percent(n)).unwrap();
        }
        std::os::unix::fs::symlink("..1", folder.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/rollout.toml", folder.join("rollout.toml")).unwrap();
    });
    assert_eq!(watched.next().await, 10_000);
    std::os::unix::fs::symlink("..2", watched.path("..data_tmp")).unwrap();
    fs::rename(watched.path("..data_tmp"), watched.path("..data")).unwrap();
    assert_eq!(watched.next().await, 20_000);
}

#[tokio::test]
async fn a_bad_file_or_none_leaves_the_last_good_one() {
    let mut watched = Watched::start(|folder| {
        fs::write(folder.join("rollout.toml"), percent(5)).unwrap();
    });
    assert_eq!(watched.next().await, 5000);
    for bad in ["percent = 101\n", "percnt = 1\n", "percent = \n", "percent = 1.2345\n"] {
        write_whole(watched.folder.path(), "rollout.toml", bad);
    }
    fs::remove_file(watched.path("rollout.toml")).unwrap();
    write_whole(watched.folder.path(), "rollout.toml", &percent(6));
    assert_eq!(watched.next().await, 6000, "nothing bad came between");
}
