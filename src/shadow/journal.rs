//! Samples on disk: a line each, with a check sum, in a file that never grows beyond its bound.
//!
//! A line is written by one `write`; one that a crash cut short does not fit its check sum, and
//! is left out. When the file is full, what is still wanted is written beside it and takes its
//! place by a rename, so there is one whole file at each moment.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::shadow::error::StoreError;
use crate::shadow::sample::Sample;

const NAME: &str = "samples.log";
const HEADER: &str = "poolshift shadow samples 1";

/// The file while it is written.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// The draft of a rewrite is at most half as large, and both stand beside each other.
    max_bytes: u64,
}

/// What a file held.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The whole lines, in order.
    pub(super) samples: Vec<Sample>,
    /// Lines that do not fit their check sum, or are none of ours.
    pub(super) damaged: u64,
}

impl Journal {
    /// Opens the file or begins one. The caller holds the store's lock.
    pub(super) fn open(folder: &Path, max_bytes: u64) -> Result<(Self, Contents), StoreError> {
        let path = folder.join(NAME);
        let (contents, whole) = read_bytes(&path)?;
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(StoreError::io(&path))?;
        let mut journal = Self { path, file, bytes: whole, max_bytes };
        // What a crash cut short must not be glued to the next line.
        journal.file.set_len(whole).map_err(StoreError::io(&journal.path))?;
        if whole == 0 {
            journal.write(&format!("{HEADER}\n"))?;
        }
        Ok((journal, contents))
    }

    /// Reads the file, also while another process writes it.
    pub(super) fn read(folder: &Path) -> Result<Contents, StoreError> {
        read_bytes(&folder.join(NAME)).map(|(contents, _)| contents)
    }

    /// Whether lines of so many bytes more would be too much.
    pub(super) fn is_full(&self, bytes: usize) -> bool {
        self.bytes + bytes as u64 > self.max_bytes
    }

    /// Appends lines made by [`line_of`]. The kernel has them when this returns, so they outlive
    /// this process, but not a power failure.
    pub(super) fn append(&mut self, lines: &str) -> Result<(), StoreError> {
        self.write(lines)
    }

    fn write(&mut self, text: &str) -> Result<(), StoreError> {
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            // Shortening needs no room; if it fails, the next line's check sum tells.
            let _ = self.file.set_len(self.bytes);
            return Err(StoreError::io(&self.path)(error));
        }
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Replaces everything by these lines.
    pub(super) fn rewrite<'a>(
        &mut self,
        lines: impl Iterator<Item = &'a str>,
    ) -> Result<(), StoreError> {
        let draft = self.path.with_extension("draft");
        let replaced = (|| {
            let mut bytes = HEADER.len() as u64 + 1;
            let mut file = io::BufWriter::new(File::create(&draft)?);
            writeln!(file, "{HEADER}")?;
            for line in lines {
                file.write_all(line.as_bytes())?;
                bytes += line.len() as u64;
            }
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            fs::rename(&draft, &self.path)?;
            Ok((OpenOptions::new().append(true).open(&self.path)?, bytes))
        })();
        match replaced {
            Ok((file, bytes)) => {
                (self.file, self.bytes) = (file, bytes);
                Ok(())
            }
            Err(error) => {
                let _ = fs::remove_file(&draft);
                Err(StoreError::io(&self.path)(error))
            }
        }
    }
}

/// A sample as a line.
pub(super) fn line_of(sample: &Sample) -> String {
    let json = serde_json::to_string(sample).expect("a sample is plain data");
    format!("{} {json}\n", check_sum(&json))
}

fn check_sum(json: &str) -> String {
    let digest = Sha256::digest(json.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What the file holds, and how many bytes of it are whole lines.
fn read_bytes(path: &Path) -> Result<(Contents, u64), StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(StoreError::io(path)(error)),
    };
    let mut contents = Contents::default();
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    contents.damaged += u64::from(whole < bytes.len() && whole > 0);
    let text = String::from_utf8_lossy(&bytes[..whole]);
    let mut lines = text.lines();
    match lines.next() {
        None => return Ok((contents, 0)),
        Some(HEADER) => {}
        Some(other) => {
            let found = other.chars().take(60).collect();
            return Err(StoreError::Format { path: path.to_owned(), expected: HEADER, found });
        }
    }
    for line in lines {
        let sample = line.split_once(' ').filter(|(sum, json)| *sum == check_sum(json));
        match sample.and_then(|(_, json)| serde_json::from_str(json).ok()) {
            Some(sample) => contents.samples.push(sample),
            None => contents.damaged += 1,
        }
    }
    Ok((contents, whole as u64))
}
