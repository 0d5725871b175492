//! Changing the rollout file: the one place that writes it.
//!
//! Under a lock, so that two writers come one after the other; with the version checked, so that
//! nobody overwrites what they did not see; and whole or not at all: a draft is written first,
//! then the audit line, then the draft takes the file's place. If a step fails, what the steps
//! before it did is taken back.

mod decided;
mod disk;
mod error;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::clock::Clock;
use crate::router::audit::Audit;
use crate::router::draft::Action;
use crate::router::edit::decided::Editor;
use crate::router::edit::disk::give_away;
pub use crate::router::edit::error::EditError;
use crate::router::file::Standing;
use crate::router::paths::{RolloutPaths, folder_of};
use crate::router::percent::Percent;

/// How long a writer waits for the one before it, whose work takes milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How often it looks whether the lock is free.
const LOCK_LOOK: Duration = Duration::from_millis(5);

/// Reasons and actors are kept for ever, so their length is bounded.
pub const MAX_TEXT: usize = 1000;

/// A change that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is to be done.
    pub action: Action,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The version that the asker has seen; another one is refused.
    pub if_version: Option<u64>,
    /// The new version is above this one: the highest that is known to be in force anywhere.
    pub above: u64,
    /// Whether a running process is known to be killed, whatever the file says.
    pub killed_anywhere: bool,
    /// The verdict that asks for it, if one does.
    pub verdict: Option<serde_json::Value>,
}

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What the file said before; none if it was missing, or could not be read.
    pub before: Option<Standing>,
    /// What it says now.
    pub after: Standing,
    /// The share that it now gives to every class that it does not name.
    pub percent: Option<Percent>,
    /// Whether the file was written: not if it said so already.
    pub written: bool,
    /// What the asker should know beside.
    pub remarks: Vec<String>,
}

/// Changes a rollout file. With `dry` nothing is written, and the lock is not taken.
///
/// Dropped while it waits for the lock, nothing has changed; after that the change is made to its
/// end, on a thread that may wait for the disk.
///
/// # Errors
/// If the change is refused or cannot be written; the file and its audit are then as they were.
pub async fn edit(paths: &RolloutPaths, change: &Change, dry: bool) -> Result<Changed, EditError> {
    let reason = change.reason.as_deref().unwrap_or_default();
    for (field, bytes) in [("the actor", change.actor.len()), ("the reason", reason.len())] {
        if bytes > MAX_TEXT {
            return Err(EditError::TooLong { field, bytes });
        }
    }
    if dry {
        return Editor::read(paths)?.decide(change).map(|decided| decided.changed);
    }
    let folder = paths.folder();
    // Not the folders above it: a path with a slip of the keyboard must not become a rollout that
    // nobody follows.
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(EditError::unwritable(folder, error));
        }
        Err(_) => {}
        Ok(()) => give_away(folder, folder_of(folder)),
    }
    let (lock, file) = (lock(paths).await?, paths.file());
    let (paths, change) = (paths.clone(), change.clone());
    let changed = tokio::task::spawn_blocking(move || {
        let editor = Editor::read(&paths)?;
        let decided = editor.decide(&change)?;
        if decided.changed.written {
            editor.write(&decided)?;
        }
        drop(lock);
        Ok(decided.changed)
    });
    // Dropped here: the change is made, and nobody hears of it.
    changed.await.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Err(EditError::unwritable(file, io::Error::other("the runtime has ended"))),
    })
}

/// Reads the rollout file, if there is one.
///
/// # Errors
/// If it is there and cannot be read.
pub fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, EditError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(EditError::Read { path: path.to_owned(), error }),
    }
}

/// Reads a rollout's audit; none is an empty one.
///
/// # Errors
/// If it is there and cannot be read.
pub fn read_audit(paths: &RolloutPaths) -> Result<Audit, EditError> {
    let path = paths.audit();
    match fs::read(&path) {
        Ok(bytes) => Ok(Audit::read(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Audit::default()),
        Err(error) => Err(EditError::Read { path, error }),
    }
}

/// The lock is let go when its file is closed, by whatever end of the process.
async fn lock(paths: &RolloutPaths) -> Result<File, EditError> {
    let path = paths.lock();
    let opened = OpenOptions::new().create(true).append(true).open(&path);
    let lock = opened.map_err(|error| EditError::unwritable(&path, error))?;
    give_away(&path, paths.folder());
    let clock = Clock::start();
    let give_up = clock.now() + LOCK_WAIT;
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(rustix::io::Errno::WOULDBLOCK) if clock.now() >= give_up => {
                return Err(EditError::Locked { file: paths.file().to_owned(), lock: path });
            }
            // Dropped here: the lock was not taken.
            Err(rustix::io::Errno::WOULDBLOCK) => {
                tokio::time::sleep(LOCK_LOOK).await; // polls a condition: the lock
            }
            Err(error) => return Err(EditError::unwritable(&path, error.into())),
        }
    }
}
