//! Runs on disk: a log, and its record beside it.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::report::hlog::{self, BadLine};
use crate::report::limits;
use crate::report::record::{FORMAT, RunRecord};
use crate::report::run::Run;

/// A run's file that cannot be read or written.
#[derive(Debug, Error)]
pub enum FileError {
    /// The operating system said no.
    #[error("cannot {doing} {}: {error}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A log that is none of ours, or was cut.
    #[error("{}, {bad}", path.display())]
    Log {
        /// Which file.
        path: PathBuf,
        /// Where, and why.
        bad: BadLine,
    },
    /// A record that is none of ours, or was cut.
    #[error("{}, line {line}: {what}; remove it to report on the histograms alone", path.display())]
    Record {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        what: String,
    },
    /// A record that lies beside another run's log.
    #[error(
        "{} is not the record of {}: {what}; one of them was changed or cut, or is another run's. \
         Remove the record to report on the histograms alone",
        path.display(), log.display()
    )]
    Stranger {
        /// The record.
        path: PathBuf,
        /// The log.
        log: PathBuf,
        /// In what they differ.
        what: String,
    },
    /// A file that is to be written is one that is read, or written for something else.
    #[error(
        "{} is named twice, and what is written last would replace the rest; \
         give each file a name of its own",
        path.display()
    )]
    Twice {
        /// The file.
        path: PathBuf,
    },
}

/// No log or record of ours comes near it: slices, tags and buckets of a log are bounded.
const LARGEST: u64 = 256 << 20;

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: opening a FIFO waits for somebody who writes to it.
    let kind = fs::metadata(path)?.file_type();
    if !kind.is_file() {
        let text = format!("it is {}; only a regular file can be a run's", word(kind));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut bytes = Vec::new();
    let got = File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if got as u64 > LARGEST {
        let text = format!("larger than {} MiB, as no file of a run is", LARGEST >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

fn word(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |error| FileError::Io { doing, path: path.to_owned(), error }
}

/// Reads a log, and its record if there is one.
///
/// # Errors
/// If either is there and cannot be used.
pub fn load(path: &Path) -> Result<Run, FileError> {
    let bytes = read(path).map_err(io("read", path))?;
    let bad = |bad| FileError::Log { path: path.to_owned(), bad };
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        bad(BadLine { line, what: "not UTF-8".to_owned() })
    })?;
    let log = hlog::parse(&text).map_err(bad)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let beside = RunRecord::path(path);
    let record = load_record(&beside)?;
    let run = Run::new(name, log.began, log.slices, record);
    match run.strangeness() {
        Some(what) => Err(FileError::Stranger { path: beside, log: path.to_owned(), what }),
        None => Ok(run),
    }
}

fn load_record(path: &Path) -> Result<Option<RunRecord>, FileError> {
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("read", path)(error)),
    };
    let bad = |line, what| FileError::Record { path: path.to_owned(), line, what };
    let record: RunRecord = serde_json::from_slice(&bytes)
        .map_err(|error| bad(error.line().max(1), error.to_string()))?;
    if record.format != FORMAT {
        let what = format!("its format is {}, this version reads {FORMAT}", record.format);
        return Err(bad(1, what));
    }
    limits::check(&record).map_err(|beyond| bad(1, beyond.to_string()))?;
    Ok(Some(record))
}
