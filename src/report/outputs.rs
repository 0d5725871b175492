//! Files that a report is written to, whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::call::Lane;
use crate::report::files::{FileError, io};
use crate::report::hgrm;
use crate::report::hlog;
use crate::report::kind::Span;
use crate::report::record::RunRecord;
use crate::report::run::Run;
use crate::router::paths::folder_of;

/// What a file is called while it is written, before some more letters. Only a process that is
/// killed in that very moment leaves one.
const DRAFT: &str = ".poolshift-draft-";

/// What a page is, where it is told that one was written.
const PAGE: &str = "the page";

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

/// A file by the one name that does not depend on how it is asked for. None for a device, which
/// several may be asked for by.
fn one_name(path: &Path) -> Option<PathBuf> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return None;
    }
    let home = home(path);
    let folder = folder_of(&home).canonicalize().ok()?;
    Some(folder.join(home.file_name()?))
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
    /// At the first that cannot be written, or if two are one file.
    pub fn create(hlog: Option<&Path>, html: Option<&Path>) -> Result<Self, FileError> {
        let hlog = hlog.map(Output::create).transpose()?;
        let beside = hlog.as_ref().filter(|hlog| !hlog.sink.is_device());
        let beside = beside.map(|hlog| RunRecord::path(&hlog.path));
        let record = beside.map(|path| Output::create(&path)).transpose()?;
        let html = html.map(Output::create).transpose()?;
        let outputs = Self { hlog, record, html };
        let paths: Vec<&Path> = outputs.paths().collect();
        for (n, path) in paths.iter().enumerate() {
            apart(path, paths[..n].iter().copied())?;
        }
        Ok(outputs)
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        let all = [&self.hlog, &self.record, &self.html];
        all.into_iter().flatten().map(|output| output.path.as_path())
    }

    /// Refuses to replace what is read, or written for something else.
    ///
    /// # Errors
    /// If one of these files is one of `others`.
    pub fn apart_from<'a>(
        &self,
        others: impl IntoIterator<Item = &'a Path, IntoIter: Clone>,
    ) -> Result<(), FileError> {
        let others = others.into_iter();
        self.paths().try_for_each(|path| apart(path, others.clone()))
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
        let whole = [(log, "histograms"), (record, "what happened"), (html, PAGE)];
        let whole = whole.into_iter().filter_map(|(output, what)| Some((output?, what)));
        whole.map(|(output, what)| output.keep(what)).collect()
    }
}

/// Refuses a file to be written that is one of `others`.
///
/// # Errors
/// If it is, by whatever name.
pub fn apart<'a>(
    written: &Path,
    others: impl IntoIterator<Item = &'a Path>,
) -> Result<(), FileError> {
    let Some(name) = one_name(written) else { return Ok(()) };
    match others.into_iter().any(|other| one_name(other).as_ref() == Some(&name)) {
        true => Err(FileError::Twice { path: written.to_owned() }),
        false => Ok(()),
    }
}

/// A page that was tried before what it tells was found out, as [`Outputs`] are.
#[derive(Debug)]
pub struct Page(Output);

impl Page {
    /// Tries it.
    ///
    /// # Errors
    /// If it cannot be written, or is one of the files that are `read`.
    pub fn create<'a>(
        path: &Path,
        read: impl IntoIterator<Item = &'a Path>,
    ) -> Result<Self, FileError> {
        apart(path, read)?;
        Output::create(path).map(Self)
    }

    /// Writes it; it takes its name when it is whole. Returned is the file, in words.
    ///
    /// # Errors
    /// If it cannot be written after all.
    pub fn write(self, text: &str) -> Result<String, FileError> {
        self.0.write(|out| out.write_all(text.as_bytes()))?.keep(PAGE)
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
        let text = hgrm::text(&series);
        let whole = Output::create(&path)?.write(|out| out.write_all(text.as_bytes()))?;
        whole.keep("percentiles").map(|_| path)
    };
    run.lanes().into_iter().map(write).collect()
}
