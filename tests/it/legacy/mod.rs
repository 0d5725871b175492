//! Our pools on the legacy worker, `tests/fixtures/legacy_bridge.py`: part 1 of the protocol from
//! the host's side. The worker's side is in `python/tests/test_legacy_*.py`.
//!
//! - `commands` and `faults` are tables: a row per command and per quirk.
//! - `life` is how its processes start, end, and share programs.

mod commands;
mod faults;
mod life;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use poolshift::config::{Config, WorkerProgram};
use poolshift::{Args, Call, CallError, Lane, Pool, Ran, WorkerId};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::python::{call, result, v2, v3};

/// Legacy workers with a folder of their own for their debug file.
struct Bridge {
    folder: TempDir,
    config: Config,
}

impl Bridge {
    /// `libraries` are those that the workers find installed; see `legacy_libraries.py`.
    fn new(size: usize, libraries: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        (config.v2.size, config.v3.size, config.v3.min_ready) = (size, size, size);
        // It never ends by itself, so a stop takes all of both.
        config.worker.stop_grace = Duration::from_millis(50);
        config.worker.kill_grace = Duration::from_millis(200);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/legacy_bridge.py");
        config.worker.program = WorkerProgram::Script(script.to_owned(), Vec::new());
        let folder_name = folder.path().to_str().unwrap();
        for (name, value) in [("TMPDIR", folder_name), ("LEGACY_LIBRARIES", libraries)] {
            config.worker.env.insert(name.to_owned(), value.to_owned());
        }
        Self { folder, config }
    }

    fn with_env(mut self, name: &str, value: &str) -> Self {
        self.config.worker.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn debug_file(&self) -> PathBuf {
        self.folder.path().join("legacy_bridge_debug.log")
    }

    /// Gives its workers, however busy the machine, the time to read and answer their farewell.
    fn patient(mut self) -> Self {
        self.config.worker.stop_grace = Duration::from_secs(1);
        self
    }

    /// Every message that its workers have read or written so far.
    fn debug_text(&self) -> String {
        std::fs::read_to_string(self.debug_file()).unwrap_or_default()
    }
}

/// One call, what comes of it, and what becomes of its worker. Rows run in order, on one worker.
struct Row {
    command: &'static str,
    session: &'static str,
    args: &'static str,
    seen: Seen,
    fate: Fate,
}

/// What comes of a call.
#[derive(Debug)]
enum Seen {
    /// A result like this: see [`fits`].
    Is(&'static str),
    /// `raised`, with exactly this text and no more than text.
    Raised(&'static str),
    /// `raised`, with a text that begins so.
    RaisedWith(&'static str),
    /// `raised` by us: the reply holds NaN or Infinity.
    NotJson,
    /// `exec_timeout`: nothing comes.
    Nothing,
    /// `protocol`, whose reason has this in it.
    Broken(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    Retired,
}

/// A call that never gets its reply is given this long; any time would do.
const IN_VAIN: Duration = Duration::from_millis(200);

/// Runs the rows on a pool of one legacy worker in each lane.
async fn walk(bridge: Bridge, rows: &[Row]) {
    let (old, new) = tokio::join!(v2(&bridge.config), v3(&bridge.config));
    tokio::join!(walk_in(Lane::V2, &old, rows), walk_in(Lane::V3, &new, rows));
    tokio::join!(old.drain(IN_VAIN), new.drain(IN_VAIN));
}

async fn walk_in(lane: Lane, pool: &impl Pool, rows: &[Row]) {
    for row in rows {
        let before = serving(pool).await;
        let call = Call::new(row.command, Args::parse(row.args).unwrap());
        let budget = matches!(row.seen, Seen::Nothing).then_some(IN_VAIN);
        let call = Call { budget, ..call.with_session(row.session).unwrap() };
        let name = format!("{lane} {} in {}: {}", row.command, row.session, row.args);
        let answer = pool.call(call).await;
        assert_eq!(answer.worker, Some(before), "{name}");
        match (&row.seen, &answer.result) {
            (Seen::Is(pattern), Ok(result)) => {
                let pattern = serde_json::from_str(pattern).unwrap();
                let result = serde_json::from_str(result.get()).unwrap();
                assert!(fits(&pattern, &result), "{name}\n{pattern:#}\n{result:#}");
            }
            (seen, Err(error)) => assert_error(&name, seen, error),
            (seen, Ok(result)) => panic!("{name}: not {seen:?}: {result}"),
        }
        let fate = if serving(pool).await == before { Fate::Stays } else { Fate::Retired };
        assert_eq!(fate, row.fate, "{name}");
    }
}

/// The worker that serves now. Not in a session, which a dead worker would have to tell.
async fn serving(pool: &impl Pool) -> WorkerId {
    let pong = pool.call(call("ping", &json!({}))).await;
    assert_eq!(result(&pong)["status"], json!("ok"));
    pong.worker.unwrap()
}

fn assert_error(row: &str, seen: &Seen, error: &CallError) {
    let ran = if matches!(error, CallError::Raised { .. }) { Ran::Yes } else { Ran::Maybe };
    assert_eq!(error.ran(), ran, "{row}");
    match (seen, error) {
        (Seen::Raised(text), CallError::Raised { message, error_type: None, traceback }) => {
            assert_eq!((message.as_str(), traceback.len()), (*text, 0), "{row}");
        }
        (Seen::RaisedWith(start), CallError::Raised { message, error_type: None, .. }) => {
            assert!(message.starts_with(start), "{row}: {message}");
        }
        (Seen::NotJson, CallError::Raised { error_type: Some(name), .. }) => {
            assert_eq!(name, "NotJson", "{row}");
        }
        (Seen::Nothing, CallError::ExecTimeout { post_mortem, .. }) => {
            // Only our runtime is asked for its stacks: a legacy worker would die of the signal.
            assert_eq!(post_mortem.stacks.len(), 0, "{row}");
            assert_eq!(post_mortem.exit.as_deref(), Some("killed by SIGKILL"), "{row}");
        }
        (Seen::Broken(part), CallError::Protocol { reason, .. }) => {
            assert!(reason.contains(part), "{row}: {reason}");
        }
        _ => panic!("{row}: not {seen:?}: {error:?}"),
    }
}

/// Whether a result is as the pattern has it, to the key; texts in `<>` stand for what changes.
fn fits(pattern: &Value, value: &Value) -> bool {
    match (pattern, value) {
        (Value::Object(pattern), Value::Object(value)) => {
            pattern.len() == value.len()
                && pattern.iter().all(|(name, pattern)| {
                    value.get(name).is_some_and(|value| fits(pattern, value))
                })
        }
        (Value::String(name), value) if name.starts_with('<') => match name.as_str() {
            "<now>" => value.is_f64() && (value.as_f64().unwrap() - unix_now()).abs() < 60.0,
            "<span>" => value.is_f64() && (0.0..60.0).contains(&value.as_f64().unwrap()),
            "<count>" => value.is_u64(),
            "<text>" => value.as_str().is_some_and(|text| !text.is_empty()),
            "<class>" => value.as_str().is_some_and(|text| text.starts_with("Dynamic_")),
            unknown => panic!("no such pattern: {unknown}"),
        },
        _ => pattern == value,
    }
}

#[expect(clippy::disallowed_methods, reason = "the worker reads the wall clock too")]
fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// A call in a session, for tests that are no table.
fn in_session(command: &str, args: &Value, session: &str) -> Call {
    call(command, args).with_session(session).unwrap()
}

#[test]
fn a_row_fits_what_it_says_and_nothing_else() {
    let fit = |pattern: &str, value: &str| {
        fits(&serde_json::from_str(pattern).unwrap(), &serde_json::from_str(value).unwrap())
    };
    assert!(fit(r#"{"a": "<count>", "b": null}"#, r#"{"b": null, "a": 7}"#));
    for (pattern, value) in [
        (r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#),
        (r#"{"a": 1, "b": 2}"#, r#"{"a": 1}"#),
        (r#"{"a": 1}"#, r#"{"a": 1.0}"#),
        (r#"{"a": "<now>"}"#, r#"{"a": 0.1}"#),
        (r#"{"a": "<now>"}"#, r#"{"a": 1700000000}"#),
        (r#"{"a": "<text>"}"#, r#"{"a": ""}"#),
    ] {
        assert!(!fit(pattern, value), "{pattern} {value}");
    }
}
