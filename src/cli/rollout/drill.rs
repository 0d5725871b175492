//! `poolshift rollout ramp drill`: the kill switch tried on a canary, on running processes.

use std::time::Duration;

use clap::Args;
use poolshift::Lane;
use poolshift::clock::{Clock, Moment, millis};
use poolshift::router::draft::Action;
use poolshift::router::edit::{Change, edit};
use poolshift::router::paths::RolloutPaths;
use poolshift::router::ramp::Drill;
use poolshift::router::shelf;
use poolshift::shim::board::{Board, StatusBoard};
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::rollout::change::whoami;
use crate::cli::rollout::course::text;
use crate::cli::rollout::show;
use crate::cli::stdout;

/// How often the status files are looked at.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Debug, Args)]
pub(crate) struct DrillArgs {
    /// A process that has not decided otherwise by then has failed the drill
    #[arg(long, value_parser = humantime::parse_duration, default_value = "10s")]
    wait: Duration,
}

/// The canary goes to V2 as all others would by the kill switch, and then back.
pub(super) async fn drill(
    paths: &RolloutPaths,
    args: DrillArgs,
    as_json: bool,
) -> Result<(), Failure> {
    let board = StatusBoard::beside(paths.file());
    let processes = match board.read().map_err(Failure::failed)? {
        Board { live, unreadable } if !live.is_empty() => live.len() + unreadable.len(),
        _ => {
            return Err(Failure::Unreachable(
                "no running process follows the rollout file, so nothing can be tried".to_owned(),
            ));
        }
    };
    let switched = show::file(paths)?.is_some_and(|file| file.canary);
    // One that was cut short left the canary switched; then the way back comes first.
    let mut took = Duration::ZERO;
    let mut heard = true;
    for on in [!switched, switched] {
        let (time, by_all) = switch(paths, &board, on, args.wait).await?;
        took = took.max(time);
        heard &= by_all;
    }
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let drill = Drill { at: Clock::wall(), took_ms };
    // Also one that failed: the ramp must not go on by an older, better one.
    shelf::keep_drill(paths, drill).map_err(Failure::failed)?;
    let (at, took_ms) = (text(drill.at), millis(took));
    let told = if as_json {
        stdout::json(&json!({
            "processes": processes, "took_ms": took_ms, "heard": heard, "at": at,
        }))
    } else if heard {
        stdout::line(&format!(
            "the kill switch works: {processes} processes decided otherwise within {took_ms:.1} ms"
        ))
    } else {
        Ok(())
    };
    // The gate first: it holds for a reader who has gone, too.
    match heard {
        true => told,
        false => Err(Failure::Gate(format!(
            "the kill switch was not heard by every process within {:?}; `poolshift rollout show` \
             tells which one lags",
            args.wait
        ))),
    }
}

/// From before the file is written until each process decides so; whether all did in time.
async fn switch(
    paths: &RolloutPaths,
    board: &StatusBoard,
    on: bool,
    limit: Duration,
) -> Result<(Duration, bool), Failure> {
    let clock = Clock::start();
    let told = board.read().map_err(Failure::failed)?;
    let above = told.live.iter().map(|status| status.rollout.version).max().unwrap_or(0);
    let change = Change {
        action: Action::Canary(on),
        actor: whoami(),
        reason: None,
        if_version: None,
        above,
        killed_anywhere: told.live.iter().any(|status| status.rollout.killed),
        verdict: None,
    };
    edit(paths, &change, false).await?;
    let lane = if on { Lane::V2 } else { Lane::V3 };
    loop {
        let Board { live, unreadable } = board.read().map_err(Failure::failed)?;
        let took = clock.now().since(Moment::ZERO);
        let heard = unreadable.is_empty() && live.iter().all(|status| status.canary == lane);
        if heard || took >= limit {
            return Ok((took, heard));
        }
        // Dropped here: the canary stays switched, and the next drill switches it back.
        tokio::time::sleep(LOOK).await; // polls a condition: the status files
    }
}
