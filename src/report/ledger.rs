//! Lost and duplicated calls, from two ledgers that the pools cannot touch (R18): the caller's
//! ids with their outcomes, and the files in which workers noted what they executed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Outcome;

/// What the caller knows: each id that it submitted, with every outcome that it was told.
#[derive(Clone, Debug, Default)]
pub struct CallerLedger {
    outcomes: BTreeMap<String, Vec<Outcome>>,
}

/// What the workers noted: each id, with every execution of it.
#[derive(Clone, Debug, Default)]
pub struct WorkerLedger {
    executions: BTreeMap<String, Vec<Execution>>,
}

/// One execution, as its worker noted it before it began.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Execution {
    /// The call's id.
    pub call_id: String,
    /// Its command.
    pub command: String,
    /// The worker's process.
    pub pid: u32,
    /// Whether it was a shadow of the call; those are left out.
    #[serde(default)]
    pub shadow: bool,
    /// The worker's own name, which begins with its lane; taken from the file's name.
    #[serde(skip)]
    pub worker: String,
}

/// What the two ledgers say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Ids without an outcome.
    pub lost: u64,
    /// Ids with two outcomes, or executed twice though their command is not idempotent.
    pub duplicated: u64,
    /// Ids answered well that no worker says it executed.
    pub unexecuted: u64,
}

impl CallerLedger {
    /// The call is about to be made.
    pub fn submit(&mut self, id: &str) {
        self.outcomes.entry(id.to_owned()).or_default();
    }

    /// The caller was told.
    pub fn finish(&mut self, id: &str, outcome: Outcome) {
        self.outcomes.entry(id.to_owned()).or_default().push(outcome);
    }
}

impl WorkerLedger {
    /// Reads every worker's file in the folder but those in `except`. Shadows are left out: nobody
    /// was told anything of them. A last line that was cut
    /// by a crash counts as not written: the note comes before the execution.
    ///
    /// # Errors
    /// If the folder or a file cannot be read.
    pub fn read(folder: &Path, except: &BTreeSet<OsString>) -> io::Result<Self> {
        let mut ledger = Self::default();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if except.contains(&entry.file_name()) {
                continue;
            }
            let path = entry.path();
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let worker = name.unwrap_or_default();
            for line in fs::read_to_string(&path)?.lines() {
                let Ok(mut execution) = serde_json::from_str::<Execution>(line) else { continue };
                if execution.shadow {
                    continue;
                }
                execution.worker.clone_from(&worker);
                ledger.note(execution);
            }
        }
        Ok(ledger)
    }

    /// Adds one execution.
    pub fn note(&mut self, execution: Execution) {
        self.executions.entry(execution.call_id.clone()).or_default().push(execution);
    }

    /// All executions.
    pub fn executions(&self) -> impl Iterator<Item = &Execution> {
        self.executions.values().flatten()
    }
}

impl Audit {
    /// Compares the two; `idempotent` says which commands may run twice.
    #[must_use]
    pub fn of(
        callers: &CallerLedger,
        workers: &WorkerLedger,
        idempotent: impl Fn(&str) -> bool,
    ) -> Self {
        let mut audit = Self::default();
        for (id, outcomes) in &callers.outcomes {
            let executions = workers.executions.get(id).map_or(&[][..], Vec::as_slice);
            let repeated = executions.len() > 1 && !idempotent(&executions[0].command);
            audit.lost += u64::from(outcomes.is_empty());
            audit.duplicated += u64::from(outcomes.len() > 1 || repeated);
            let answered = outcomes.contains(&Outcome::Ok);
            audit.unexecuted += u64::from(answered && executions.is_empty());
        }
        audit
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(id: &str, command: &str) -> Execution {
        let (call_id, command) = (id.to_owned(), command.to_owned());
        Execution { call_id, command, pid: 1, shadow: false, worker: "v2-0.1-1".to_owned() }
    }

    fn audit(callers: &CallerLedger, workers: &WorkerLedger) -> Audit {
        Audit::of(callers, workers, |command| command == "read")
    }

    #[test]
    fn r18_each_figure_shows_what_it_is_named_for() {
        let mut callers = CallerLedger::default();
        let mut workers = WorkerLedger::default();
        callers.submit("a");
        callers.finish("a", Outcome::Ok);
        workers.note(execution("a", "write"));
        assert!(audit(&callers, &workers).is_clean());

        let mut told_twice = callers.clone();
        told_twice.finish("a", Outcome::Ok);
        assert_eq!(audit(&told_twice, &workers).duplicated, 1);

        let mut untold = callers.clone();
        untold.submit("b");
        assert_eq!(audit(&untold, &workers).lost, 1);

        let mut run_twice = workers.clone();
        run_twice.note(execution("a", "write"));
        assert_eq!(audit(&callers, &run_twice).duplicated, 1);

        assert_eq!(audit(&callers, &WorkerLedger::default()).unexecuted, 1);
    }

    #[test]
    fn r18_an_idempotent_command_may_run_twice() {
        let mut callers = CallerLedger::default();
        let mut workers = WorkerLedger::default();
        callers.submit("a");
        callers.finish("a", Outcome::Ok);
        workers.note(execution("a", "read"));
        workers.note(execution("a", "read"));
        assert!(audit(&callers, &workers).is_clean());
    }
}
