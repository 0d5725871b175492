//! What one real run keeps on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use poolshift::config::{Config, ConfigError, WorkerProgram, environment};
use poolshift::{Lane, WorkerId};
use tempfile::TempDir;

/// The app, which fails as its calls' args say: the very one that the fault catalogue's tests use.
const FILES: [(&str, &str); 2] = [
    ("faulty.py", include_str!("../../../tests/fixtures/faulty.py")),
    ("faulty_service.py", include_str!("../../../tests/fixtures/faulty_service.py")),
];

/// Names the site's folder to its workers. Only they have it, so it also marks them.
const MARK: &str = "FAULTY";

/// What chooses another Python, and the only thing that the environment has a say in: a setting of
/// its own would make another run of the same options, and laws are judged by those.
const PYTHON_PATH: &str = "POOLSHIFT__WORKER__PYTHON_PATH";

/// A folder with the app and the workers' ledgers; removed when it is dropped.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// A new one, in the temp folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn open() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("poolshift-sim-").tempdir()?;
        let site = Self { folder };
        fs::create_dir(site.ledger())?;
        for (name, text) in FILES {
            fs::write(site.path().join(name), text)?;
        }
        Ok(site)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where workers note what they execute.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.path().join("ledger")
    }

    /// What the environment of each worker, and of what a worker started, has in it.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("{MARK}={}", self.path().display())
    }

    /// This worker fails before it is ready: `exit`, `rest` or `protocol`.
    ///
    /// # Errors
    /// If that cannot be written down.
    pub fn bear(&self, lane: Lane, worker: WorkerId, how: &str) -> io::Result<()> {
        fs::write(self.path().join(format!("birth.{lane}-{worker}")), how)
    }

    /// The config that `settings` has, for workers that run the app here. Of the environment only
    /// `POOLSHIFT__WORKER__PYTHON_PATH` counts.
    ///
    /// # Errors
    /// If the config reader refuses it.
    pub fn config(&self, settings: &str) -> Result<Config, ConfigError> {
        let mut env = environment();
        env.retain(|(name, _)| name == PYTHON_PATH);
        let is_chosen = !env.is_empty();
        let mut config = Config::parse("settings", settings, env)?;
        let worker = &mut config.worker;
        if !is_chosen {
            worker.python_path = python(&worker.python_path);
        }
        worker.program = WorkerProgram::App("faulty_service".to_owned());
        let folder = self.path().display().to_string();
        worker.env.insert("PYTHONPATH".to_owned(), folder.clone());
        worker.env.insert(MARK.to_owned(), folder);
        Ok(config)
    }
}

/// The program itself: what is on the path may be a script that looks for it, at each start anew.
fn python(on_path: &str) -> String {
    let ask = Command::new(on_path).args(["-c", "import sys; print(sys.executable)"]).output();
    let told = ask.ok().filter(|output| output.status.success());
    let told = told.and_then(|output| String::from_utf8(output.stdout).ok());
    let program = told.map(|program| program.trim().to_owned());
    program.filter(|program| !program.is_empty()).unwrap_or_else(|| on_path.to_owned())
}
