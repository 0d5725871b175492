//! Why a rollout file was not changed.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::router::draft::Action;
use crate::router::edit::{LOCK_WAIT, MAX_TEXT};
use crate::router::file::BadRolloutFile;
use crate::router::steer::Unsteered;

/// Why the rollout file is as it was.
#[derive(Debug, Error)]
pub enum EditError {
    /// Another writer holds the lock.
    #[error(
        "another poolshift has been changing {} for {LOCK_WAIT:?}; if it hangs, end it \
         (`fuser {}` names it)", file.display(), lock.display()
    )]
    Locked {
        /// The rollout file.
        file: PathBuf,
        /// The lock.
        lock: PathBuf,
    },
    /// The asker had seen another version.
    #[error(
        "{} is at version {found}, not {wanted}: somebody has changed it meanwhile; look at \
         `poolshift rollout show` and ask again", file.display()
    )]
    Version {
        /// The rollout file.
        file: PathBuf,
        /// What the asker had seen.
        wanted: u64,
        /// What the file says.
        found: u64,
    },
    /// A newer poolshift has written the file.
    #[error(
        "{} is of format {format}, which a newer poolshift has written; change it with that one. \
         In an emergency write `killed = true` into it: every running process hears it",
        file.display()
    )]
    Newer {
        /// The rollout file.
        file: PathBuf,
        /// Its format.
        format: u64,
    },
    /// The file cannot be understood, so it cannot be changed; only the kill switch can be set.
    #[error("{}: {error}; mend it first (`rollout kill` works all the same)", file.display())]
    Bad {
        /// The rollout file.
        file: PathBuf,
        /// What is wrong with it.
        error: BadRolloutFile,
    },
    /// The change itself is not possible.
    #[error("{action} is refused: {error}")]
    Refused {
        /// What was asked.
        action: Action,
        /// What would be wrong with the file.
        error: BadRolloutFile,
    },
    /// The rollout's stages, or its ramp, do not allow the change.
    #[error("{action} is refused: {error}")]
    Unsteered {
        /// What was asked.
        action: Action,
        /// What stands against it.
        error: Unsteered,
    },
    /// A text is too long to be kept.
    #[error("{field} has {bytes} bytes; at most {MAX_TEXT} are kept")]
    TooLong {
        /// Which.
        field: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The operating system refused a step.
    #[error(
        "cannot write {}: {error}; nothing was changed. As the service's own user it may go; in an \
         emergency write `killed = true` into the rollout file by hand",
        path.display()
    )]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// The file cannot be read.
    #[error(
        "cannot read {}: {error}; in an emergency write `killed = true` into the rollout file by \
         hand",
        path.display()
    )]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
}

impl EditError {
    pub(super) fn unwritable(path: &Path, error: io::Error) -> Self {
        Self::Write { path: path.to_owned(), error }
    }
}
