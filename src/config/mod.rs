//! From a file and the environment to a checked [`Config`].
//!
//! Every problem is reported at once, each with its line. Precedence: defaults, then the file,
//! then `POOLSHIFT__SECTION__KEY`.

mod about;
mod commands;
mod compare;
mod problem;
mod reader;
pub mod schema;
mod sections;
mod setting;
mod survey;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::call::CallId;
pub use crate::config::problem::{ConfigError, Problem};
use crate::config::reader::Reader;
pub use crate::config::reader::environment;
pub use crate::config::survey::{Origin, Shown, Survey};
use crate::machine::quarantine::QuarantineTerms;
use crate::machine::retry::{RetryTerms, Share};
use crate::router::compare::rule::RuleBook;
use crate::session::commands::{Commands, Sampling};
use crate::v2_session_pool::config::V2Config; // legacy
use crate::v3_pool::config::V3Config;
use crate::worker::redaction::{Redaction, SECRETS};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "poolshift.toml";

/// All settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// What workers are and how they are ended.
    pub worker: WorkerConfig,
    /// The legacy pool.
    pub v2: V2Config, // legacy
    /// The new pool.
    pub v3: V3Config,
    /// What each command may change, saves and loads.
    pub commands: Arc<Commands>,
    /// How long the host keeps sessions, and how many.
    pub session: SessionConfig,
    /// How the share of V3 is set.
    pub rollout: RolloutConfig,
    /// How answers of both lanes are compared, and what is kept of those that differ.
    pub shadow: ShadowConfig,
}

/// The `[worker]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerConfig {
    /// The Python executable.
    pub python_path: String,
    /// Its own arguments.
    pub python_args: Vec<String>,
    /// What it runs.
    pub program: WorkerProgram,
    /// How it is started.
    pub start_method: StartMethod,
    /// Modules that a warm parent imports before the app.
    pub preload: Vec<String>,
    /// Added to the inherited environment.
    pub env: BTreeMap<String, String>,
    /// The largest frame in either direction.
    pub max_frame_bytes: usize,
    /// From a probe's ping to its answer.
    pub health_timeout: Duration,
    /// From the shutdown frame to SIGTERM.
    pub stop_grace: Duration,
    /// From SIGTERM to SIGKILL.
    pub kill_grace: Duration,
    /// How long a drain serves calls that wait or run.
    pub drain_timeout: Duration,
    /// Whether calls are tried again: the `[retry]` section.
    pub retry: Option<RetryTerms>,
    /// Whether calls that kill workers are refused: the `[quarantine]` section.
    pub quarantine: Option<QuarantineTerms>,
    /// What is logged of workers: the `[debug]` section.
    pub debug: DebugConfig,
}

/// The `[debug]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugConfig {
    /// Whether every line that a worker writes to stderr is logged.
    pub debug: bool,
    /// Whether each frame between host and worker is logged.
    pub trace_requests: bool,
    /// Which members of frames are left out of the log: those whose key contains one of these.
    pub redact: Vec<String>,
}

impl Default for DebugConfig {
    fn default() -> Self {
        let redact = SECRETS.map(str::to_owned).into();
        Self { debug: false, trace_requests: false, redact }
    }
}

impl DebugConfig {
    /// What is left out of logged frames, if frames are logged.
    #[must_use]
    pub fn trace(&self) -> Option<Arc<Redaction>> {
        self.trace_requests.then(|| Arc::new(Redaction::of(self.redact.iter().cloned())))
    }
}

/// What a worker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerProgram {
    /// An app, `MODULE` or `MODULE:ATTR`, under the runtime that the binary carries.
    App(String),
    /// A script that speaks the protocol by itself, with its arguments.
    Script(String, Vec<String>),
}

/// How workers are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartMethod {
    /// Each as a program of its own, which imports the app.
    Spawn,
    /// Each by a fork of a warm parent, which has imported the app once.
    Fork,
    /// By a fork, or as a program of its own where the app does not let itself be forked.
    Auto,
}

impl StartMethod {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Spawn, Self::Fork, Self::Auto];

    /// Its name in the config.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spawn => "spawn",
            Self::Fork => "fork",
            Self::Auto => "auto",
        }
    }
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            python_path: "python3".to_owned(),
            python_args: vec!["-u".to_owned()],
            program: WorkerProgram::App("poolshift_worker.apps.demo".to_owned()),
            start_method: StartMethod::Spawn,
            preload: Vec::new(),
            env: BTreeMap::new(),
            max_frame_bytes: 16 * 1024 * 1024,
            health_timeout: Duration::from_secs(5),
            stop_grace: Duration::from_millis(500),
            kill_grace: Duration::from_millis(500),
            drain_timeout: Duration::from_secs(25),
            retry: None,
            quarantine: None,
            debug: DebugConfig::default(),
        }
    }
}

/// The `[session]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// How long a session is kept after its last call.
    pub ttl: Duration,
    /// How many sessions are kept.
    pub max_sessions: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(3600), max_sessions: 10_000 }
    }
}

/// The `[rollout]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutConfig {
    /// The rollout file, which is watched.
    pub file: PathBuf,
    /// The flag's key: the salt of each session's bucket.
    pub flag: String,
    /// Whether a session's commands may run in different lanes.
    pub session_lane: SessionLane,
    /// How many sessions keep their pin.
    pub max_pins: usize,
}

/// Whether a session's commands may run in different lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionLane {
    /// Each class goes by its own percentage.
    PerClass,
    /// The lowest percentage governs the whole session, for apps that keep state in the worker.
    Whole,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        Self {
            file: PathBuf::from("rollout.toml"),
            flag: "v3-rollout".to_owned(),
            session_lane: SessionLane::PerClass,
            max_pins: 200_000,
        }
    }
}

/// The `[shadow]` section, and the rules of `[compare]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ShadowConfig {
    /// The share of sessions whose reads are shadowed, and of reads without a session.
    pub sample: Share,
    /// The share of these that are asked of control's own lane again, in place of the other.
    pub noise: Share,
    /// A lane admits a shadow only if more workers than this are idle (R16).
    pub reserve: usize,
    /// Shadows that may be made in a second.
    pub max_per_s: usize,
    /// A shadow's whole time, from its submit to its answer.
    pub timeout: Duration,
    /// The folder where counts and samples are kept.
    pub store: PathBuf,
    /// How many bytes samples may take there.
    pub store_max_bytes: usize,
    /// What is left out of samples beside [`SECRETS`]: parts of key names, or, from a slash on,
    /// globs over JSON Pointers.
    pub redact: Vec<String>,
    /// What does not count as a difference.
    pub rules: RuleBook,
}

impl Default for ShadowConfig {
    fn default() -> Self {
        Self {
            sample: Share::NONE,
            noise: Share::new(0.1).expect("a tenth is a share"),
            reserve: 1,
            max_per_s: 50,
            timeout: Duration::from_secs(10),
            store: PathBuf::from("shadow.d"),
            store_max_bytes: 64 * 1024 * 1024,
            redact: Vec::new(),
            rules: RuleBook::default(),
        }
    }
}

impl Config {
    /// Whether any live call may be shadowed.
    #[must_use]
    pub fn samples_shadows(&self) -> bool {
        let none = Sampling::Share(Share::NONE);
        let commands = self.commands.by_name();
        let mut own = commands.values().filter_map(|command| command.shadow);
        self.shadow.sample != Share::NONE || own.any(|sampling| sampling != none)
    }

    /// Reads the file (or [`DEFAULT_FILE`] if it is there), then the environment over it.
    ///
    /// # Errors
    /// With every problem at once.
    pub fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Survey::of(file, env).config
    }

    /// Reads a file's text, then the environment over it. `name` is for messages.
    ///
    /// # Errors
    /// With every problem at once.
    pub fn parse(
        name: &str,
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Survey::parse(name, text, env).config
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            worker: sections::worker(reader),
            v2: sections::v2(reader), // legacy
            v3: sections::v3(reader),
            commands: Arc::new(commands::commands(reader)),
            session: sections::session(reader),
            rollout: sections::rollout(reader),
            shadow: compare::shadow(reader),
        }
    }

    /// How long a pin lives without calls (R14): as long as the longest-lived state that its
    /// session may have in either lane.
    #[must_use]
    pub fn pin_ttl(&self) -> Duration {
        let ttl = self.session.ttl;
        let ttl = ttl.max(self.v2.session_idle); // legacy
        ttl
    }
}

/// A seed that differs between hosts, so that they do not restart and probe in step.
#[must_use]
pub fn random_seed() -> u64 {
    match CallId::random() {
        CallId::Random(bits) => bits as u64,
        CallId::Given(_) => unreachable!("a random id is random"),
    }
}
