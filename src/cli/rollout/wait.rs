//! Waiting until every running process has a version of the rollout file in force.

use std::time::Duration;

use poolshift::clock::{Clock, millis};
use poolshift::shim::board::{Board, StatusBoard};
use poolshift::shim::status::ProcessStatus;
use serde::Serialize;

use crate::cli::failure::Failure;

/// How often the status files are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// It is in force everywhere.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Waited {
    /// In how many processes.
    pub(super) processes: usize,
    /// After how long.
    pub(super) waited_ms: f64,
}

/// It is not.
#[derive(Clone, Debug)]
pub(super) enum NotInForce {
    /// Nobody follows the file.
    NobodyRuns,
    /// Somebody does not have it in force, and why.
    Behind(String),
}

/// Waits until every live process shows the version, or a later one.
pub(super) async fn wait(
    board: &StatusBoard,
    version: u64,
    limit: Duration,
) -> Result<Waited, NotInForce> {
    let clock = Clock::start();
    let began = clock.now();
    loop {
        let waited = clock.now().since(began);
        let behind = match board.read() {
            Ok(board) if board.is_empty() => return Err(NotInForce::NobodyRuns),
            Ok(Board { live, unreadable }) => {
                let behind = live.iter().filter_map(|status| behind(status, version));
                let unknown = unreadable.iter().map(|(pid, why)| format!("process {pid}? {why}"));
                let behind: Vec<String> = behind.chain(unknown).collect();
                if behind.is_empty() {
                    let (processes, waited_ms) = (live.len(), millis(waited));
                    return Ok(Waited { processes, waited_ms });
                }
                behind.join("; ")
            }
            Err(error) => error.to_string(),
        };
        if waited >= limit {
            return Err(NotInForce::Behind(format!(
                "version {version} is written, but after {limit:?} not in force everywhere: \
                 {behind}"
            )));
        }
        // Dropped here: the file stays changed, and nobody says where it is in force.
        tokio::time::sleep(LOOK).await; // polls a condition: the status files
    }
}

fn behind(status: &ProcessStatus, version: u64) -> Option<String> {
    let ProcessStatus { pid, rollout, written_at, .. } = status;
    let behind = rollout.version < version || rollout.refused.is_some();
    behind.then(|| match &rollout.refused {
        Some(refused) => format!("process {pid} refuses it: {refused}"),
        None => {
            let source = rollout.sources.iter().find(|source| source.in_force);
            let by = source.map_or(String::new(), |source| format!(" by {}", source.name));
            let version = rollout.version;
            format!("process {pid} is at version {version}{by} (told at {written_at})")
        }
    })
}

impl From<NotInForce> for Failure {
    fn from(error: NotInForce) -> Self {
        match error {
            NotInForce::NobodyRuns => Self::Unreachable(
                "the file is written, but no running process follows it".to_owned(),
            ),
            NotInForce::Behind(text) => Self::Failed(text),
        }
    }
}
