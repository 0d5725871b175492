//! The rollout file.

use std::any::Any;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::router::paths::{RolloutPaths, folder_of};
use crate::router::source::FlagSource;

/// A file that people and the tool replace; what came into force last is kept beside it.
#[derive(Clone, Debug)]
pub struct WatchedFile {
    paths: RolloutPaths,
}

impl WatchedFile {
    /// The source of a rollout file, which need not be there yet.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { paths: RolloutPaths::of(path) }
    }
}

impl FlagSource for WatchedFile {
    fn name(&self) -> String {
        format!("file {}", self.paths.file().display())
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.paths.file()) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn watch(&self, changed: &Arc<Notify>) -> Option<Box<dyn Any + Send + Sync>> {
        let watcher = watch_folder(self.paths.file(), Arc::clone(changed))?;
        Some(Box::new(watcher))
    }

    fn last_good(&self) -> Option<PathBuf> {
        Some(self.paths.last_good())
    }
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
            tracing::warn!(%folder, %error, "cannot watch; looking every two seconds instead");
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the watcher makes of these reads and writes, it comes before the rename's event.
    #[tokio::test]
    async fn an_idle_file_in_a_busy_folder_costs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("rollout.toml"), folder.path().join("a.log"));
        fs::write(&file, "percent = 1").unwrap();
        fs::write(&other, "").unwrap();
        let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let event = event.unwrap();
            let told = (may_concern(&event, Some(OsStr::new("rollout.toml"))), event);
            sender.send(told).unwrap();
        });
        let mut watcher = watcher.unwrap();
        watcher.watch(folder.path(), RecursiveMode::NonRecursive).unwrap();
        for n in 0..20 {
            fs::read_to_string(&file).unwrap();
            fs::write(&other, format!("line {n}\n")).unwrap();
        }
        fs::rename(&other, folder.path().join("rollout.toml")).unwrap();
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
