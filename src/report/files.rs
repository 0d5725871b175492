//! Runs on disk: a log, its record beside it, and percentile texts.

use std::collections::BTreeSet;
use std::fs::{self, File, FileType, OpenOptions, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use thiserror::Error;

use crate::call::Lane;
use crate::report::hgrm;
use crate::report::hlog::{self, BadLine};
use crate::report::kind::Span;
use crate::report::limits;
use crate::report::record::{FORMAT, RunRecord};
use crate::report::run::Run;
use crate::router::paths::folder_of;

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
    /// Two of a run's files would be one.
    #[error(
        "{} would be written twice, and the last would replace what is asked for first; \
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
    limits::check(&record).map_err(|beyond| bad(1, beyond.to_string()))?;
    Ok(Some(record))
}

/// What a file is called while it is written, before some more letters. Only a process that is
/// killed in that very moment leaves one.
const DRAFT: &str = ".poolshift-draft-";

/// Links that the kernel follows from one name, and the name itself.
const NAMES: usize = 41;

/// Files that were tried before a run, so that one that cannot be written costs nothing.
///
/// What had their names before stays as it was until all is written; if this is dropped instead,
/// it stays for good.
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
    sink: Sink,
}

/// Where the bytes go.
#[derive(Debug)]
enum Sink {
    /// Into a draft beside this file, which takes its name once all is whole.
    Draft(PathBuf),
    /// What is there already: a device, or a file in a folder that takes no other.
    InPlace(File),
}

/// An output that has been written; its draft, if it has one, is removed if this is dropped.
#[derive(Debug)]
struct Whole {
    path: PathBuf,
    draft: Option<(NamedTempFile, PathBuf)>,
}

impl Sink {
    fn open(path: &Path) -> io::Result<Self> {
        // Neither makes nor empties it; says whether it may be written to.
        let older = match OpenOptions::new().write(true).open(path) {
            Ok(device) if !device.metadata()?.is_file() => return Ok(Self::InPlace(device)),
            Ok(older) => Some(older),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let home = home(path);
        // Made for a try and removed at once: a run that is killed leaves nothing.
        match (draft(&home), older) {
            (Ok(_), _) => Ok(Self::Draft(home)),
            (Err(_), Some(older)) => Ok(Self::InPlace(older)),
            (Err(error), None) => Err(error),
        }
    }

    fn is_device(&self) -> bool {
        match self {
            Self::Draft(_) => false,
            Self::InPlace(file) => file.metadata().is_ok_and(|metadata| !metadata.is_file()),
        }
    }

    /// Writes the text to it, or to its draft, which is returned.
    fn write(
        self,
        text: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
    ) -> io::Result<Option<(NamedTempFile, PathBuf)>> {
        let is_device = self.is_device();
        let fill = |file: &File| {
            let mut out = BufWriter::new(file);
            text(&mut out).and_then(|()| out.flush())
        };
        match self {
            Self::Draft(home) => {
                let draft = draft(&home)?;
                fill(draft.as_file())?;
                Ok(Some((draft, home)))
            }
            Self::InPlace(file) => {
                if !is_device {
                    file.set_len(0)?;
                }
                fill(&file)?;
                Ok(None)
            }
        }
    }
}

/// A link is kept, and what it leads to is replaced, or made.
fn home(path: &Path) -> PathBuf {
    let follow = |link: &PathBuf| {
        let folder = link.parent().unwrap_or(Path::new(""));
        Some(folder.join(fs::read_link(link).ok()?))
    };
    let names = std::iter::successors(Some(path.to_owned()), follow);
    names.take(NAMES).last().expect("the first is the path itself")
}

/// An empty file beside `home`, with the rights of what is there, or of any new file.
fn draft(home: &Path) -> io::Result<NamedTempFile> {
    let draft = tempfile::Builder::new()
        .prefix(DRAFT)
        .permissions(Permissions::from_mode(0o666)) // less the umask
        .tempfile_in(folder_of(home))?;
    if let Ok(older) = fs::metadata(home) {
        draft.as_file().set_permissions(older.permissions())?;
    }
    Ok(draft)
}

impl Output {
    fn create(path: &Path) -> Result<Self, FileError> {
        let sink = Sink::open(path).map_err(io("write", path))?;
        Ok(Self { path: path.to_owned(), sink })
    }

    /// The file by the one name that does not depend on how it was asked for; a device may be asked
    /// for by several.
    fn file(&self) -> Option<PathBuf> {
        let home = home(&self.path);
        let folder = folder_of(&home).canonicalize().ok().filter(|_| !self.sink.is_device())?;
        Some(folder.join(home.file_name()?))
    }

    fn write(
        self,
        text: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
    ) -> Result<Whole, FileError> {
        let draft = self.sink.write(text).map_err(io("write", &self.path))?;
        Ok(Whole { path: self.path, draft })
    }
}

impl Whole {
    /// The draft takes its name. Returned is the file, in words.
    fn keep(self, what: &str) -> Result<String, FileError> {
        let Self { path, draft } = self;
        let kept = draft.map_or(Ok(()), |(draft, home)| match draft.persist(&home) {
            Ok(_) => Ok(()),
            // No other file can have the name of one that is mounted by itself.
            Err(refused) => fs::copy(refused.file.path(), home).map(drop),
        });
        kept.map_err(io("write", &path))?;
        Ok(format!("{} ({what})", path.display()))
    }
}

impl Outputs {
    /// Tries those that are asked for.
    ///
    /// # Errors
    /// At the first that cannot be written, or would be written twice.
    pub fn create(hlog: Option<&Path>, html: Option<&Path>) -> Result<Self, FileError> {
        let hlog = hlog.map(Output::create).transpose()?;
        let beside = hlog.as_ref().filter(|hlog| !hlog.sink.is_device());
        let beside = beside.map(|hlog| RunRecord::path(&hlog.path));
        let record = beside.map(|path| Output::create(&path)).transpose()?;
        let html = html.map(Output::create).transpose()?;
        let mut files = BTreeSet::new();
        for output in [&hlog, &record, &html].into_iter().flatten() {
            if !output.file().is_none_or(|file| files.insert(file)) {
                return Err(FileError::Twice { path: output.path.clone() });
            }
        }
        Ok(Self { hlog, record, html })
    }

    /// Writes the run to them; all are whole before the first takes its name. Returned are the
    /// files, in words.
    ///
    /// # Errors
    /// At the first that cannot be written.
    pub fn write(self, run: &Run, page: impl FnOnce() -> String) -> Result<Vec<String>, FileError> {
        let log = self.hlog.map(|log| log.write(|out| hlog::write(out, run))).transpose()?;
        let record = self.record.zip(run.record.as_ref()).map(|(output, record)| {
            let text = serde_json::to_string(record).expect("a record is plain data");
            output.write(|out| writeln!(out, "{text}"))
        });
        let record = record.transpose()?;
        let html = self.html.map(|html| html.write(|out| out.write_all(page().as_bytes())));
        let html = html.transpose()?;
        let whole = [(log, "histograms"), (record, "what happened"), (html, "the page")];
        let whole = whole.into_iter().filter_map(|(output, what)| Some((output?, what)));
        whole.map(|(output, what)| output.keep(what)).collect()
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
