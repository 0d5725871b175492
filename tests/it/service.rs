//! A service that follows a rollout file of its own, and the tool beside it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use poolshift::config::{Config, environment};
use poolshift::router::paths::RolloutPaths;
use poolshift::shim::board::StatusBoard;
use poolshift::{Shim, ShimOptions};
use tempfile::TempDir;

/// What a process of the service would start with; nothing runs yet.
pub(crate) struct Service {
    pub(crate) folder: TempDir,
    pub(crate) config: Config,
}

impl Service {
    /// With one worker of the default app in each lane.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        (config.v2.size, config.v3.size) = (1, 1);
        config.rollout.file = folder.path().join("rollout.toml");
        Self { folder, config }
    }

    /// With settings and an app of its own, which the tool is given too.
    pub(crate) fn of(settings: &str, app: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rollout = folder.path().join("rollout.toml");
        let path = folder.path().join("poolshift.toml");
        fs::write(folder.path().join("app.py"), app).unwrap();
        let own = format!(
            "[worker]\napp = \"app\"\nenv = {{ PYTHONPATH = {:?} }}\n\
             [rollout]\nfile = {rollout:?}\n",
            folder.path()
        );
        fs::write(&path, format!("{own}{settings}")).unwrap();
        let config = Config::load(Some(&path), environment()).unwrap();
        Self { folder, config }
    }

    pub(crate) async fn start(&self) -> Shim {
        Shim::start(&self.config, ShimOptions::default()).await.unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn paths(&self) -> RolloutPaths {
        RolloutPaths::of(&self.config.rollout.file)
    }

    pub(crate) fn board(&self) -> StatusBoard {
        StatusBoard::beside(&self.config.rollout.file)
    }

    /// The tool with the service's settings, in its folder.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolshift"));
        command.current_dir(self.folder.path());
        if self.path("poolshift.toml").exists() {
            command.args(["--config", "poolshift.toml"]);
        }
        command
    }

    /// `poolshift rollout` on the service's file.
    pub(crate) fn rollout(&self, args: &[&str]) -> Output {
        let mut command = self.command();
        command.args(["rollout", "--file"]).arg(&self.config.rollout.file);
        command.args(args).output().unwrap()
    }
}
