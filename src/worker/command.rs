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

/// The runtime that the binary carries, as a program.
const RUNTIME: &str = "poolshift_worker";

/// Its warm parent.
const PARENT: &str = "poolshift_worker.zygote";

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
        let mut command = self.python();
        match &self.program {
            Program::App { .. } => command.args(["-m", RUNTIME]),
            Program::Script { script, .. } => command.arg(script),
        };
        command.args(self.arguments_of(worker));
        command
    }

    /// The command for a warm parent of workers, which imports `preload` and the app.
    ///
    /// # Panics
    /// If the program is a script, which nobody but itself can start.
    #[must_use]
    pub fn for_parent(&self, preload: &[String]) -> Command {
        let Program::App { app, .. } = &self.program else {
            panic!("the config lets no script be forked")
        };
        let mut command = self.python();
        command.args(["-m", PARENT, "--app", app]);
        for module in preload {
            command.args(["--preload", module]);
        }
        command
    }

    /// The arguments of one worker, after the program's name.
    #[must_use]
    pub fn arguments_of(&self, worker: WorkerId) -> Vec<String> {
        let mut arguments = self.own_arguments();
        arguments.extend(["--mode", "pool-worker", "--worker-id"].map(str::to_owned));
        arguments.push(format!("{}-{worker}", self.lane));
        arguments
    }

    fn python(&self) -> Command {
        let mut command = Command::new(&self.python_path);
        command.args(&self.python_args);
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

    /// What the program is given, but for the worker's own id.
    fn own_arguments(&self) -> Vec<String> {
        match (&self.program, &self.ledger) {
            (Program::App { app, .. }, None) => vec!["--app".to_owned(), app.clone()],
            (Program::App { app, .. }, Some(ledger)) => {
                let ledger = ledger.display().to_string();
                vec!["--app".to_owned(), app.clone(), "--ledger".to_owned(), ledger]
            }
            (Program::Script { args, .. }, _) => args.clone(),
        }
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
        let program = match &self.program {
            Program::App { .. } => vec!["-m".to_owned(), RUNTIME.to_owned()],
            Program::Script { script, .. } => vec![script.clone()],
        };
        let words = self.python_args.iter().chain(&program).cloned().chain(self.own_arguments());
        words.map(|word| quoted(&word)).try_for_each(|word| write!(f, " {word}"))
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
