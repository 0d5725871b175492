//! Watching the rollout file.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::sync::watch::{Receiver, Sender};
use tokio::task::JoinHandle;

use crate::router::file::RolloutFile;
use crate::router::paths::folder_of;

/// Network mounts send no events; their files are looked at this often.
const POLL: Duration = Duration::from_secs(2);

/// Keeps a rollout file and the policy together. Dropping it ends the watch.
#[derive(Debug)]
pub struct RolloutWatch {
    task: JoinHandle<()>,
    refused: Receiver<Option<String>>,
    _watcher: Option<RecommendedWatcher>,
}

impl RolloutWatch {
    /// Why the file, as it is now, is not in force: it is refused, cannot be read, or is gone. None
    /// while it is in force, and before there is one.
    #[must_use]
    pub fn refused(&self) -> Receiver<Option<String>> {
        self.refused.clone()
    }
}

impl Drop for RolloutWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the file, if it is there, and puts it into force; then does so again whenever its
/// content changes. A file that is bad, refused or gone leaves the last good one in force.
///
/// `apply` puts a file into force and says what is in force then, or why it was refused.
pub fn watch(
    path: &Path,
    apply: impl Fn(&RolloutFile) -> Result<String, String> + Send + 'static,
) -> RolloutWatch {
    let (refusals, refused) = tokio::sync::watch::channel(None);
    let (seen, missed) = (None, None);
    let mut reader = FileReader { path: path.to_owned(), seen, missed, refusals, apply };
    reader.look();
    let changed = Arc::new(Notify::new());
    let watcher = watch_folder(path, Arc::clone(&changed));
    let task = tokio::spawn(async move {
        loop {
            // Dropped here, with the watch: what is in force stays.
            let _ = tokio::time::timeout(POLL, changed.notified()).await;
            reader.look();
        }
    });
    RolloutWatch { task, refused, _watcher: watcher }
}

/// The folder, not the file: a rename puts another file in its place, and a mounted ConfigMap
/// swaps a link beside it.
fn watch_folder(path: &Path, changed: Arc<Notify>) -> Option<RecommendedWatcher> {
    let folder = folder_of(path);
    let name = path.file_name().map(ToOwned::to_owned);
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // An error may stand for events that were lost.
        if event.map_or(true, |event| may_concern(&event, name.as_deref())) {
            changed.notify_one();
        }
    });
    let watched = watcher.and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        // A link's file is replaced where the link leads to.
        if let Ok(target) = path.canonicalize() {
            watcher.watch(folder_of(&target), RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    });
    watched
        .inspect_err(|error| {
            let folder = folder.display();
            tracing::warn!(%folder, %error, "cannot watch; looking every {POLL:?} instead");
        })
        .ok()
}

/// Our own look at the file raises an event too, and so does each line that somebody logs into
/// the same folder: only the file's own content and names that come, go or move are worth a look.
fn may_concern(event: &Event, name: Option<&OsStr>) -> bool {
    match event.kind {
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
            event.paths.iter().any(|path| path.file_name() == name)
        }
        _ => true,
    }
}

struct FileReader<A> {
    path: PathBuf,
    /// The content that was looked at last, good or bad; `None` if there was none.
    seen: Option<Vec<u8>>,
    /// Why it could not be read when it was looked at last, if it could not.
    missed: Option<String>,
    refusals: Sender<Option<String>>,
    apply: A,
}

impl<A: Fn(&RolloutFile) -> Result<String, String>> FileReader<A> {
    fn look(&mut self) {
        let file = self.path.display();
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) => return self.miss(&error),
        };
        self.missed = None;
        if self.seen.as_ref() == Some(&bytes) {
            return;
        }
        let applied = match RolloutFile::read(&bytes) {
            Ok(parsed) => (self.apply)(&parsed),
            Err(error) if error.killed => {
                let killed = (self.apply)(&RolloutFile::kill_switch());
                killed.and_then(|_| Err(format!("{error}; but its kill switch is in force")))
            }
            Err(error) => Err(error.to_string()),
        };
        match &applied {
            Ok(in_force) => tracing::info!(%file, %in_force, "rollout file is in force"),
            Err(error) => {
                tracing::error!(%file, %error, "rollout file is refused; what is in force stays");
            }
        }
        self.refusals.send_replace(applied.err());
        self.seen = Some(bytes);
    }

    /// There is no file, or none that this process may read: told once, and what is in force
    /// stays.
    fn miss(&mut self, error: &io::Error) {
        let (file, why) = (self.path.display(), error.to_string());
        if self.missed.as_ref() == Some(&why) {
            return;
        }
        let was_there = self.seen.take().is_some() || self.missed.is_some();
        let gone = error.kind() == io::ErrorKind::NotFound;
        if gone && !was_there {
            tracing::info!(%file, %error, "no rollout file yet; all calls go to V2");
        } else {
            let what = if gone { "is gone" } else { "cannot be read" };
            tracing::error!(%file, %error, "rollout file {what}; what is in force stays");
            self.refusals.send_replace(Some(format!("the file {what}: {why}")));
        }
        self.missed = Some(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the watcher makes of these reads and writes, it comes before the rename's event.
    #[tokio::test]
    async fn an_idle_file_in_a_busy_folder_costs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("rollout.toml"), folder.path().join("a.log"));
        std::fs::write(&file, "percent = 1").unwrap();
        std::fs::write(&other, "").unwrap();
        let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let event = event.unwrap();
            let told = (may_concern(&event, Some(OsStr::new("rollout.toml"))), event);
            sender.send(told).unwrap();
        });
        let mut watcher = watcher.unwrap();
        watcher.watch(folder.path(), RecursiveMode::NonRecursive).unwrap();
        for n in 0..20 {
            std::fs::read_to_string(&file).unwrap();
            std::fs::write(&other, format!("line {n}\n")).unwrap();
        }
        std::fs::rename(&other, folder.path().join("rollout.toml")).unwrap();
        let mut ignored = 0;
        loop {
            let (concerns, event) = events.recv().await.unwrap();
            if concerns {
                assert!(matches!(event.kind, EventKind::Modify(ModifyKind::Name(_))), "{event:?}");
                break;
            }
            ignored += 1;
        }
        assert!(ignored >= 20, "reads and foreign writes did raise events: {ignored}");
    }
}
