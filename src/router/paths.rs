//! Where a rollout keeps its files.

use std::path::{Path, PathBuf};

use crate::router::audit::hash;

/// The folder in which a file lies; a bare name lies in the present one.
#[must_use]
pub fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// The rollout file and what lies beside it: `FILE.d/` with the audit, the writers' lock, and one
/// status file for each running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutPaths {
    file: PathBuf,
    folder: PathBuf,
}

impl RolloutPaths {
    /// The paths that belong to a rollout file.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        let mut folder = file.as_os_str().to_owned();
        folder.push(".d");
        Self { file: file.to_owned(), folder: folder.into() }
    }

    /// The rollout file itself.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The folder beside it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The audit of its changes.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.folder.join("audit.jsonl")
    }

    /// What a writer holds while it writes.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.folder.join("lock")
    }

    /// The text that came into force last, for a process that starts when the file is no good.
    #[must_use]
    pub fn last_good(&self) -> PathBuf {
        self.folder.join("last_good.toml")
    }

    /// The plans of ramps, by the hash of their content.
    #[must_use]
    pub fn plan(&self, name: &str) -> PathBuf {
        self.folder.join(format!("plan-{name}.json"))
    }

    /// What each process knows of one build of V3 under one plan.
    #[must_use]
    pub fn evidence(&self, plan: &str, build: &str) -> PathBuf {
        // By digits, since a build may be called anything.
        let name = hash(format!("{plan} {build}").as_bytes());
        self.folder.join("evidence").join(&name[..16])
    }

    /// What recorded calls came to in both lanes, with one build of V3.
    #[must_use]
    pub fn corpora(&self, build: &str) -> PathBuf {
        self.folder.join("corpora").join(&hash(build.as_bytes())[..16])
    }

    /// The last time that the kill switch was tried.
    #[must_use]
    pub fn drill(&self) -> PathBuf {
        self.folder.join("drill.json")
    }

    /// What the one process holds that steers the ramp.
    #[must_use]
    pub fn controller(&self) -> PathBuf {
        self.folder.join("controller")
    }

    /// What a running process tells of itself.
    #[must_use]
    pub fn status(&self, pid: u32) -> PathBuf {
        self.folder.join(format!("{pid}.json"))
    }
}
