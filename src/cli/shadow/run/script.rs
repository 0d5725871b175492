//! The calls of a run, and those that are left out, decided before the first worker starts.

use std::path::PathBuf;

use poolshift::session::commands::{Command, Commands};
use poolshift::{Call, CallId, Class};

use crate::cli::corpus::{Corpus, Step, by_session};
use crate::cli::failure::Failure;
use crate::cli::shadow::run::RunArgs;
use crate::cli::stdout;

/// Stands for the command of a line that holds no call.
const NO_CALL: &str = "(no call)";

/// More bad lines than this are told by their number.
const MAX_TOLD: usize = 20;

/// What is to be played, in order, by session.
pub(super) struct Script {
    pub(super) sessions: Vec<Vec<Step>>,
    calls: u64,
    skipped: Vec<(String, &'static str)>,
}

impl Script {
    /// Reads every file.
    ///
    /// # Errors
    /// If one cannot be read, or if a line holds no call and `--keep-going` is not given.
    pub(super) fn read(args: &RunArgs, commands: &Commands) -> Result<Self, Failure> {
        let read = |path: &PathBuf| Corpus::read(path);
        let files: Vec<Corpus> = args.files.iter().map(read).collect::<Result<_, _>>()?;
        let (mut steps, mut skipped, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        let lines = files.into_iter().flat_map(Corpus::into_calls).enumerate();
        for (index, (place, line)) in lines {
            let call = match line {
                Ok(call) => named(call, &place),
                Err(error) => {
                    bad.push(format!("{place}: {error}"));
                    skipped.push((NO_CALL.to_owned(), "not_a_call"));
                    continue;
                }
            };
            match left_out(commands.get(&call.command), args.allow_writes) {
                Some(reason) => skipped.push((call.command.to_string(), reason)),
                None => steps.push(Step { index, call }),
            }
        }
        refuse(&bad, args.keep_going)?;
        Ok(Self { calls: steps.len() as u64, sessions: by_session(steps), skipped })
    }

    /// How many calls are played.
    pub(super) fn len(&self) -> u64 {
        self.calls
    }

    /// The command of each line that is left out, and the reason.
    pub(super) fn skipped(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.skipped.iter().map(|(command, reason)| (command.as_str(), *reason))
    }
}

/// A call without an id is known by its line, which can be found again.
fn named(call: Call, place: &str) -> Call {
    match (&call.id, CallId::new(place)) {
        (CallId::Random(_), Ok(id)) => Call { id, ..call },
        _ => call,
    }
}

/// Why a command is not run in both lanes, if it is not: it changes something beyond its session.
fn left_out(command: &Command, allow_writes: bool) -> Option<&'static str> {
    let harmless = command.class == Class::Read || command.idempotent || command.saves.is_some();
    (!harmless && !allow_writes).then(|| command.class.as_str())
}

fn refuse(bad: &[String], keep_going: bool) -> Result<(), Failure> {
    if bad.is_empty() {
        return Ok(());
    }
    let mut told = bad[..bad.len().min(MAX_TOLD)].join("\n");
    if bad.len() > MAX_TOLD {
        told.push_str(&format!("\nand {} more", bad.len() - MAX_TOLD));
    }
    if keep_going {
        stdout::aside(&told);
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "{told}\nnothing was run: mend these lines, or leave them out with --keep-going"
    )))
}
