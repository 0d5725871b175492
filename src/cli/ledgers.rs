//! The folder in which workers keep their ledgers.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;

/// A folder for ledgers; one that nobody asked to keep is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct LedgerFolder {
    path: PathBuf,
    temporary: bool,
}

impl LedgerFolder {
    /// The given folder, or a temporary one.
    pub(crate) fn open(kept: Option<PathBuf>) -> Result<Self, Failure> {
        let temporary = kept.is_none();
        let path = kept.unwrap_or_else(|| {
            std::env::temp_dir().join(format!("poolshift-ledgers-{}", std::process::id()))
        });
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(Self { path, temporary }),
            Err(error) => {
                let path = path.display();
                Err(Failure::Failed(format!("cannot keep ledgers in {path}: {error}")))
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LedgerFolder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(folder = %self.path.display(), %error, "cannot remove ledgers");
        }
    }
}
