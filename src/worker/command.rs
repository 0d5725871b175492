//! What to run, as data.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use crate::call::Lane;
use crate::pool::WorkerId;

/// Numeric libraries start a thread for each core in each worker unless told otherwise; a pool
/// of them starts thousands.
const THREAD_CAPS: [&str; 5] = [
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
];

/// A worker's command line and environment, but for its own id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The pool's lane, which begins each worker's id.
    pub lane: Lane,
    /// The Python executable.
    pub python_path: String,
    /// Its own arguments.
    pub python_args: Vec<String>,
    /// What Python runs.
    pub program: Program,
    /// Added to the inherited environment.
    pub env: BTreeMap<String, String>,
    /// Where our runtime notes each call that it executes (R18).
    pub ledger: Option<PathBuf>,
}

/// What Python runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// An app under our runtime.
    App {
        /// `MODULE` or `MODULE:ATTR`.
        app: String,
        /// Where our runtime was unpacked to; first on `PYTHONPATH`.
        runtime: PathBuf,
    },
    /// A script that speaks the protocol by itself.
    Script {
        /// Its path.
        script: String,
        /// Its arguments.
        args: Vec<String>,
    },
}

impl WorkerCommand {
    /// The command for one worker.
    #[must_use]
    pub fn for_worker(&self, worker: WorkerId) -> Command {
        let mut command = Command::new(&self.python_path);
        command.args(self.arguments());
        command.args(["--mode", "pool-worker", "--worker-id"]);
        command.arg(format!("{}-{worker}", self.lane));
        for name in THREAD_CAPS.iter().filter(|name| std::env::var_os(name).is_none()) {
            command.env(name, "1");
        }
        command.env("PYTHONUNBUFFERED", "1").envs(&self.env);
        if let Program::App { runtime, .. } = &self.program {
            command.env("PYTHONPATH", self.python_path_with(runtime));
            // The host arms the parent-death signal itself, before exec.
            command.env("POOLSHIFT_PDEATHSIG", "0");
        }
        command
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = self.python_args.clone();
        match &self.program {
            Program::App { app, .. } => {
                arguments.extend(["-m", "poolshift_worker", "--app", app].map(str::to_owned));
            }
            Program::Script { script, args } => {
                arguments.push(script.clone());
                arguments.extend(args.iter().cloned());
            }
        }
        if let (Program::App { .. }, Some(ledger)) = (&self.program, &self.ledger) {
            arguments.extend(["--ledger".to_owned(), ledger.display().to_string()]);
        }
        arguments
    }

    /// Our runtime first, then what the user has.
    fn python_path_with(&self, runtime: &std::path::Path) -> OsString {
        let own = self.env.get("PYTHONPATH").map(OsString::from);
        let users = own.or_else(|| std::env::var_os("PYTHONPATH")).unwrap_or_default();
        let mut path = OsString::from(runtime);
        if !users.is_empty() {
            path.push(":");
            path.push(users);
        }
        path
    }
}

/// The command line as a shell would take it, without the worker's id.
impl fmt::Display for WorkerCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(&self.python_path))?;
        self.arguments().iter().try_for_each(|argument| write!(f, " {}", quoted(argument)))
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
