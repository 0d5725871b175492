//! The shrunk plan of a failing run, as a file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use poolshift_sim::options::Options;
use poolshift_sim::shrink::Shrunk;
use poolshift_sim::subject::Subject;

use crate::cli::failure::Failure;

/// What `run` and `swarm` share: what is under test, and where its failures go.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Where the shrunk plan of a failing run is written
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    plan_dir: PathBuf,
    /// Put a planted bug to the test, and not the product
    #[arg(long, value_name = "BUG", hide = true)]
    planted: Option<String>,
}

/// A plan that was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// Where.
    pub(crate) path: String,
    /// What to say of it.
    pub(crate) told: String,
}

impl PlanArgs {
    pub(crate) fn subject(&self) -> Result<Subject, Failure> {
        subject(self.planted.as_deref())
    }

    /// What a command line must have beside seed and options to mean the same.
    pub(crate) fn suffix(&self) -> String {
        self.planted.as_ref().map_or(String::new(), |bug| format!(" --planted {bug}"))
    }

    /// Shrinks the failing run and writes its plan. That the run failed is told in any case: if
    /// there is no plan, the reason goes to stderr.
    pub(crate) fn write(&self, seed: u64, options: &Options, law: &str) -> Option<Written> {
        let complain = |why: &str| {
            let _ = writeln!(io::stderr(), "poolshift-sim: no plan of seed {seed}: {why}");
        };
        let shrunk = self.subject().ok().and_then(|it| quietly(|| it.shrink(seed, options, law)));
        let Some(shrunk) = shrunk else {
            complain(&format!("it does not break {law} again from a list of its events"));
            return None;
        };
        let path = self.plan_dir.join(format!("poolshift-sim-{law}-seed-{seed}.json"));
        let written = std::fs::create_dir_all(&self.plan_dir)
            .and_then(|()| std::fs::write(&path, shrunk.plan.to_text()));
        if let Err(error) = written {
            complain(&format!("{}: {error}; choose another --plan-dir", path.display()));
            return None;
        }
        let told = self.told(&path, &shrunk);
        Some(Written { path: path.display().to_string(), told })
    }

    fn told(&self, path: &Path, shrunk: &Shrunk) -> String {
        let events = shrunk.plan.events();
        let minimal = match shrunk.is_minimal {
            true => "none can go",
            false => "the budget for shrinking is spent",
        };
        let (path, suffix) = (path.display(), self.suffix());
        let runs = shrunk.runs;
        format!(
            "plan: poolshift-sim replay {path}{suffix} ({events} events, {minimal}; {runs} runs)"
        )
    }
}

/// The product, or the planted bug of this name.
pub(crate) fn subject(bug: Option<&str>) -> Result<Subject, Failure> {
    Subject::named(bug).map_err(|error| Failure::Usage(error.to_string()))
}

/// A run that panics tells of it once; the thousands that shrink it need not.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let done = work();
    std::panic::set_hook(hook);
    done
}
