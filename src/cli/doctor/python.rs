//! Python itself, and our runtime for it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use poolshift::Lane;
use poolshift::config::{Config, WorkerConfig, WorkerProgram};
use poolshift::pool::WorkerId;
use poolshift::worker::command::{Program, WorkerCommand};
use poolshift::worker::process::ProcessSpawner;
use poolshift::worker::runtime::{caches, unpack};
use poolshift::worker::{Process, Signal, Spawned, Spawner};

use crate::cli::doctor::check::Check;

/// The oldest that the runtime supports.
const OLDEST: (u32, u32) = (3, 9);

/// How long Python may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// Written to stderr, whose last lines a process keeps.
const TELL: &str = "import sys; sys.stderr.write('%d.%d.%d %s\\n' % (sys.version_info[:3] + \
                    (sys.executable,)))";

/// Runs Python as workers are run, but for what it runs.
pub(super) async fn version(worker: &WorkerConfig) -> Check {
    let fix = "install Python 3.9 or newer, or set [worker] python_path";
    let mut python_args = worker.python_args.clone();
    python_args.extend(["-c", TELL].map(str::to_owned));
    let program = Program::Script { script: "version".to_owned(), args: Vec::new() };
    let (python_path, env, ledger) = (worker.python_path.clone(), worker.env.clone(), None);
    let path = python_path.clone();
    let lane = Lane::V3;
    let command = WorkerCommand { lane, python_path, python_args, program, env, ledger };
    let first = WorkerId { slot: 0, generation: 1 };
    let Spawned { process, .. } = match ProcessSpawner::new(command).spawn(first).await {
        Ok(spawned) => spawned,
        Err(error) => return Check::bad("python", format!("cannot run {path}: {error}"), fix),
    };
    let Ok(exit) = tokio::time::timeout(PATIENCE, process.exited()).await else {
        process.signal(Signal::Kill);
        process.exited().await;
        return Check::bad("python", format!("{path} said nothing for {PATIENCE:?}"), fix);
    };
    let told = process.stderr_tail();
    match parse(&told) {
        Some(version) if version >= OLDEST => found(worker, told),
        Some(_) => Check::bad("python", format!("{told} is older than 3.9"), fix),
        None => Check::bad("python", format!("{path} is no Python ({exit}): {told}"), fix),
    }
}

/// A launcher, such as pyenv's, is a shell script in Python's place, and runs at every start.
fn found(worker: &WorkerConfig, told: String) -> Check {
    let own = worker.env.get("PATH").map(OsString::from);
    let path = own.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    let interpreter = told.lines().last().and_then(|line| line.split_once(' '));
    match (launcher(&worker.python_path, &path), interpreter) {
        (Some(script), Some((_, interpreter))) => Check::tight(
            "python",
            format!("{told}; {} is a script that looks for it at every start", script.display()),
            format!("set [worker] python_path = \"{interpreter}\" to start workers sooner"),
        ),
        _ => Check::good("python", told),
    }
}

/// The program's file, if that is a script.
fn launcher(program: &str, path: &OsStr) -> Option<PathBuf> {
    let file = match program.contains('/') {
        true => PathBuf::from(program),
        false => {
            let all = std::env::split_paths(path).map(|folder| folder.join(program));
            all.into_iter().find(|file| file.is_file())?
        }
    };
    let mut start = [0; 2];
    let read = File::open(&file).and_then(|mut file| file.read_exact(&mut start));
    (read.is_ok() && &start == b"#!").then_some(file)
}

fn parse(told: &str) -> Option<(u32, u32)> {
    let mut numbers = told.lines().last()?.split_whitespace().next()?.split('.');
    let mut number = || numbers.next()?.parse().ok();
    Some((number()?, number()?))
}

/// An app needs the runtime that the binary carries; a script does not.
pub(super) fn runtime(config: &Config) -> Check {
    if let WorkerProgram::Script(script, _) = &config.worker.program {
        return Check::good("runtime", format!("not needed: {script} speaks for itself"));
    }
    match unpack(&caches(|name| std::env::var(name).ok())) {
        Ok(folder) => Check::good("runtime", format!("unpacked in {}", folder.display())),
        Err(error) => Check::bad(
            "runtime",
            error.to_string(),
            "point XDG_CACHE_HOME at a folder of yours that can be written",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(parse("3.11.7 /usr/bin/python3"), Some((3, 11)));
        assert_eq!(parse("a warning\n3.8.20 python"), Some((3, 8)));
        assert!(parse("3.10.0 x") > Some(OLDEST) && parse("3.8.1 x") < Some(OLDEST));
        assert_eq!(parse(""), None);
        assert_eq!(parse("not python"), None);
    }
}
