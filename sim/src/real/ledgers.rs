//! What workers note of the calls that they execute, read while they write it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use poolshift::{Lane, WorkerId};
use serde::Deserialize;

use crate::real::kernel::exists;
use crate::trace::CallNo;

/// One execution that was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// The worker's lane.
    pub lane: Lane,
    /// The worker.
    pub worker: WorkerId,
    /// What it began to execute.
    pub call: CallNo,
}

/// The ledgers of all workers of a run (R18). Files of processes that have ended are removed once
/// they are read, so neither memory nor disk grows with the run.
#[derive(Debug)]
pub struct Ledgers {
    folder: PathBuf,
    open: BTreeMap<(Lane, WorkerId), Ledger>,
}

#[derive(Debug)]
struct Ledger {
    path: PathBuf,
    pid: u32,
    file: File,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
}

#[derive(Deserialize)]
struct Line {
    /// As a [`CallId::Random`](poolshift::CallId) is printed.
    call_id: String,
}

impl Ledgers {
    /// The ledgers in this folder.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), open: BTreeMap::new() }
    }

    /// What this worker has noted since it was last read.
    ///
    /// # Errors
    /// If its ledger cannot be read, or says what is no note.
    pub fn of_worker(&mut self, lane: Lane, worker: WorkerId) -> io::Result<Vec<Note>> {
        if !self.open.contains_key(&(lane, worker)) {
            self.discover()?;
        }
        let Some(ledger) = self.open.get_mut(&(lane, worker)) else { return Ok(Vec::new()) };
        ledger.read(lane, worker)
    }

    /// What all workers have noted since they were last read.
    ///
    /// # Errors
    /// As [`Self::of_worker`].
    pub fn all(&mut self) -> io::Result<Vec<Note>> {
        self.discover()?;
        let mut notes = Vec::new();
        let mut ended = Vec::new();
        for ((lane, worker), ledger) in &mut self.open {
            // Before the last read: what ends meanwhile is read once more, the next time.
            let lives = exists(ledger.pid);
            notes.extend(ledger.read(*lane, *worker)?);
            if !lives {
                ended.push((*lane, *worker));
            }
        }
        for name in ended {
            let ledger = self.open.remove(&name);
            ledger.map_or(Ok(()), |ledger| fs::remove_file(ledger.path))?;
        }
        Ok(notes)
    }

    fn discover(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let Some((name, pid)) = parse(stem) else {
                return Err(io::Error::other(format!("{} is no ledger", path.display())));
            };
            if let Entry::Vacant(unknown) = self.open.entry(name) {
                let file = File::open(&path)?;
                unknown.insert(Ledger { path, pid, file, rest: Vec::new() });
            }
        }
        Ok(())
    }
}

impl Ledger {
    fn read(&mut self, lane: Lane, worker: WorkerId) -> io::Result<Vec<Note>> {
        self.file.read_to_end(&mut self.rest)?;
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let note = |line: &[u8]| {
            let id = serde_json::from_slice::<Line>(line)?.call_id;
            let call = CallNo(u64::from_str_radix(&id, 16).map_err(io::Error::other)?);
            Ok(Note { lane, worker, call })
        };
        lines.map(note).collect()
    }
}

/// `v2-0.1-4711`: the worker, then its process.
fn parse(stem: &str) -> Option<((Lane, WorkerId), u32)> {
    let (name, pid) = stem.rsplit_once('-')?;
    let (lane, worker) = name.split_once('-')?;
    let lane = [Lane::V2, Lane::V3].into_iter().find(|known| known.as_str() == lane)?;
    Some(((lane, worker.parse().ok()?), pid.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn each_note_is_read_once_when_its_line_is_whole_and_a_dead_workers_file_goes() {
        let folder = tempfile::tempdir().unwrap();
        // No process has this id: it is above the kernel's limit.
        let path = folder.path().join("v3-1.7-99999999.jsonl");
        let mut file = File::create(&path).unwrap();
        let mut ledgers = Ledgers::of(folder.path());
        let worker = WorkerId { slot: 1, generation: 7 };
        let calls = |notes: Vec<Note>| notes.iter().map(|note| note.call.0).collect::<Vec<u64>>();
        file.write_all(b"{\"call_id\": \"05\"}\n{\"call_").unwrap();
        assert_eq!(calls(ledgers.of_worker(Lane::V3, worker).unwrap()), [5]);
        assert_eq!(calls(ledgers.of_worker(Lane::V3, worker).unwrap()), [0; 0]);
        assert_eq!(calls(ledgers.of_worker(Lane::V2, worker).unwrap()), [0; 0]);
        file.write_all(b"id\": \"0a\"}\n").unwrap();
        assert_eq!(calls(ledgers.all().unwrap()), [10]);
        assert!(!path.exists());
        fs::write(folder.path().join("v2-0.1-99999999.jsonl"), "nonsense\n").unwrap();
        assert!(ledgers.all().is_err());
    }
}
