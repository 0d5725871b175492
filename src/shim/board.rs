//! Where running processes tell of themselves: `FILE.d/PID.json`.
//!
//! A process is alive while the kernel knows its id with the start time that it wrote. Readers
//! must therefore see the same process ids: in a container, run the tool inside it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::router::paths::RolloutPaths;
use crate::shim::status::ProcessStatus;

/// More files than this in the folder are not status files of ours.
const MAX_FILES: usize = 10_000;

/// What is known of running processes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Board {
    /// What each live process told last, by its id.
    pub live: Vec<ProcessStatus>,
    /// Live processes whose word cannot be understood, and why.
    pub unreadable: Vec<(u32, String)>,
}

impl Board {
    /// Whether nobody runs, as far as anybody can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.unreadable.is_empty()
    }
}

/// The status files beside one rollout file.
#[derive(Clone, Debug)]
pub struct StatusBoard {
    paths: RolloutPaths,
}

impl StatusBoard {
    /// The board beside a rollout file.
    #[must_use]
    pub fn beside(file: &Path) -> Self {
        Self { paths: RolloutPaths::of(file) }
    }

    /// What every live process told last, by its id; those that have ended are left out.
    ///
    /// # Errors
    /// If the folder cannot be read. A file that cannot is one of [`Board::unreadable`].
    pub fn read(&self) -> io::Result<Board> {
        let mut board = Board::default();
        for (pid, path) in self.files()? {
            // It has ended, also if that was in this very moment.
            let Some(ticks) = start_ticks(pid) else { continue };
            let read = fs::read(&path).map_err(|error| error.to_string());
            let told = read.and_then(|json| {
                let told = serde_json::from_slice::<ProcessStatus>(&json);
                told.map_err(|error| format!("{error}; is it of another version of poolshift?"))
            });
            match told {
                Ok(status) if status.start_ticks == ticks => board.live.push(status),
                Ok(_) => {}
                Err(_) if !path.exists() => {}
                Err(why) => board.unreadable.push((pid, format!("{}: {why}", path.display()))),
            }
        }
        board.live.sort_by_key(|status| status.pid);
        Ok(board)
    }

    /// Replaces what this process told.
    pub(super) fn write(&self, status: &ProcessStatus) -> io::Result<()> {
        match fs::create_dir(self.paths.folder()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let json = serde_json::to_vec(status).map_err(io::Error::other)?;
        let draft = self.paths.folder().join(format!(".{}.draft", status.pid));
        fs::write(&draft, json)?;
        fs::rename(&draft, self.paths.status(status.pid))
    }

    /// This process tells no more; the folder goes too, if nothing else is in it.
    pub(super) fn remove(&self, pid: u32) {
        // What cannot be removed is swept by the next process.
        let _ = fs::remove_file(self.paths.status(pid));
        let _ = fs::remove_dir(self.paths.folder());
    }

    /// Removes what processes left that have ended without doing so.
    pub(super) fn sweep(&self) -> io::Result<()> {
        for (pid, path) in self.files()? {
            let told = || serde_json::from_slice::<ProcessStatus>(&fs::read(&path).ok()?).ok();
            let alive = start_ticks(pid)
                .is_some_and(|ticks| told().is_none_or(|status| status.start_ticks == ticks));
            if !alive {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn files(&self) -> io::Result<Vec<(u32, PathBuf)>> {
        let entries = match fs::read_dir(self.paths.folder()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(at(self.paths.folder(), &error)),
        };
        let mut files = Vec::new();
        for entry in entries.take(MAX_FILES) {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let pid = name.and_then(|name| name.strip_suffix(".json")?.parse().ok());
            files.extend(pid.map(|pid| (pid, path)));
        }
        Ok(files)
    }
}

fn at(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

/// When a process started, in ticks since boot: the 22nd field of its `stat`, the 20th after
/// its name, which may hold spaces and brackets itself. None if there is no such process, or
/// if it has ended and was not reaped.
pub(super) fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let ticks = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_id_and_its_start() {
        let own = start_ticks(std::process::id()).unwrap();
        assert_eq!(start_ticks(std::process::id()), Some(own));
        assert_ne!(start_ticks(1), Some(own));
        assert_eq!(start_ticks(u32::MAX), None);
    }
}
