//! Why a store cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a store cannot be opened, read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// Another process writes into it.
    #[error("{} is held by another process: give each its own [shadow] store", folder.display())]
    Held {
        /// The store.
        folder: PathBuf,
    },
    /// There is nothing to read.
    #[error(
        "no compared answers in {}: name the store of a shadow run, or [shadow] store",
        folder.display()
    )]
    Empty {
        /// The folder that was looked at.
        folder: PathBuf,
    },
    /// Written by a version that writes otherwise, or by somebody else.
    #[error("{} is not of format {expected}: {found}; read it with the version that wrote it, or \
             move it away", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that this version reads.
        expected: &'static str,
        /// What is there instead.
        found: String,
    },
}

impl StoreError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }
}
