//! Runs on disk: a log, its record beside it, and percentile texts.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::call::Lane;
use crate::report::hgrm;
use crate::report::hlog::{self, BadLine};
use crate::report::kind::Span;
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
}

/// No log or record of ours comes near it: slices, tags and buckets of a log are bounded.
const LARGEST: u64 = 256 << 20;

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let got = File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if got as u64 > LARGEST {
        let text = format!("larger than {} MiB, as no file of a run is", LARGEST >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
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
    Ok(Some(record))
}

/// Files that have been opened before a run, so that one that cannot be written costs nothing.
#[derive(Debug)]
pub struct Outputs {
    hlog: Option<Output>,
    /// Beside the log, if that is a file and no device.
    record: Option<Output>,
    html: Option<Output>,
}

#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    fn create(path: &Path) -> Result<Self, FileError> {
        let file = File::create(path).map_err(io("write", path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn is_device(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| !metadata.is_file())
    }

    /// Returned is the file, in words.
    fn write(
        self,
        what: &str,
        text: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<String, FileError> {
        let mut out = BufWriter::new(self.file);
        text(&mut out).and_then(|()| out.flush()).map_err(io("write", &self.path))?;
        Ok(format!("{} ({what})", self.path.display()))
    }
}

impl Outputs {
    /// Creates those that are asked for.
    ///
    /// # Errors
    /// At the first that cannot be created.
    pub fn create(hlog: Option<&Path>, html: Option<&Path>) -> Result<Self, FileError> {
        let hlog = hlog.map(Output::create).transpose()?;
        let beside = hlog.as_ref().filter(|hlog| !hlog.is_device());
        let beside = beside.map(|hlog| RunRecord::path(&hlog.path));
        let record = beside.map(|path| Output::create(&path)).transpose()?;
        Ok(Self { hlog, record, html: html.map(Output::create).transpose()? })
    }

    /// Writes the run to them. Returned are the files, in words.
    ///
    /// # Errors
    /// At the first that cannot be written.
    pub fn write(self, run: &Run, page: impl FnOnce() -> String) -> Result<Vec<String>, FileError> {
        let mut written = Vec::new();
        if let Some(hlog) = self.hlog {
            written.push(hlog.write("histograms", |out| hlog::write(out, run))?);
        }
        if let Some((output, record)) = self.record.zip(run.record.as_ref()) {
            let text = serde_json::to_string(record).expect("a record is plain data");
            written.push(output.write("what happened", |out| writeln!(out, "{text}"))?);
        }
        if let Some(html) = self.html {
            written.push(html.write("the page", |out| out.write_all(page().as_bytes()))?);
        }
        Ok(written)
    }
}

/// Writes the percentiles of each lane's response times into a folder, as `v2.hgrm` and
/// `v3.hgrm`. Returned are the files.
///
/// # Errors
/// If the folder or a file cannot be written.
pub fn write_hgrm(folder: &Path, run: &Run) -> Result<Vec<PathBuf>, FileError> {
    fs::create_dir_all(folder).map_err(io("make", folder))?;
    let write = |lane: Lane| {
        let path = folder.join(format!("{lane}.hgrm"));
        let series = run.series(Span::Response, |kind| kind.lane == Some(lane));
        fs::write(&path, hgrm::text(&series)).map_err(io("write", &path))?;
        Ok(path)
    };
    run.lanes().into_iter().map(write).collect()
}
