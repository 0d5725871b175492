//! The folder in which workers keep their ledgers.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use poolshift::config::{Config, WorkerProgram};
use poolshift::report::ledger::{Audit, CallerLedger, WorkerLedger};
use tempfile::TempDir;

use crate::cli::failure::Failure;

/// A folder for ledgers; one that nobody asked to keep is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct LedgerFolder {
    path: PathBuf,
    /// The ledgers of earlier runs, which say nothing about this one.
    earlier: BTreeSet<OsString>,
    _temporary: Option<TempDir>,
}

impl LedgerFolder {
    /// The given folder, or a temporary one.
    pub(crate) fn open(kept: Option<PathBuf>) -> Result<Self, Failure> {
        let temporary = match kept {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("poolshift-ledgers-").tempdir()),
        };
        let temporary = temporary.transpose().map_err(|error| {
            Failure::Failed(format!("cannot make a folder for ledgers: {error}; set TMPDIR"))
        })?;
        let path = kept.or_else(|| temporary.as_ref().map(|folder| folder.path().to_owned()));
        let path = path.expect("it is kept or temporary");
        let earlier = fs::create_dir_all(&path).and_then(|()| names(&path)).map_err(|error| {
            Failure::Failed(format!("cannot keep ledgers in {}: {error}", path.display()))
        })?;
        Ok(Self { path, earlier, _temporary: temporary })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Compares what the callers know with what this run's workers noted.
    ///
    /// # Errors
    /// If the workers' ledgers cannot be read.
    pub(crate) fn audit(
        &self,
        callers: &CallerLedger,
        config: &Config,
    ) -> Result<Audited, Failure> {
        let workers = WorkerLedger::read(&self.path, &self.earlier).map_err(|error| {
            Failure::Failed(format!("cannot read ledgers in {}: {error}", self.path.display()))
        })?;
        let mut found = Audit::of(callers, &workers, |name| config.commands.get(name).idempotent);
        let has_workers = matches!(config.worker.program, WorkerProgram::App(_));
        if !has_workers {
            found.unexecuted = 0;
        }
        Ok(Audited { found, has_workers })
    }
}

/// What the ledgers say together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Audited {
    /// By the callers' alone, if there were no others.
    pub(crate) found: Audit,
    /// Whether workers kept ledgers: a script of the legacy kind does not.
    has_workers: bool,
}

impl Audited {
    /// What was found, if both sides were asked.
    pub(crate) fn by_workers(&self) -> Option<Audit> {
        self.has_workers.then_some(self.found)
    }
}

fn names(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}
