//! `poolshift status`: how the running processes are.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use poolshift::Lane;
use poolshift::config::Survey;
use poolshift::pool::{PoolStatus, RetryCounts};
use poolshift::router::shadow::ShadowStatus;
use poolshift::shadow::recorder::ComparedCounts;
use poolshift::shim::board::{Board, StatusBoard};
use poolshift::shim::status::ProcessStatus;
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::rollout::{RolloutFileArg, shares};
use crate::cli::stdout;

/// Processes write their status each second.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    which: RolloutFileArg,
    /// Again each second, until Ctrl-C; with --json one object a line
    #[arg(long)]
    watch: bool,
}

pub(crate) async fn status(survey: Survey, args: StatusArgs, json: bool) -> Result<(), Failure> {
    let config = args.which.config(survey)?;
    let file = &config.rollout.file;
    let board = StatusBoard::beside(file);
    if !args.watch {
        let told = board.read().map_err(Failure::failed)?;
        print(file, &told, json)?;
        return match told.is_empty() {
            false => Ok(()),
            true => Err(Failure::Unreachable(format!(
                "no running process follows {}; is this its folder?",
                file.display()
            ))),
        };
    }
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        // Dropped here, by Ctrl-C: nothing is half-done.
        ticks.tick().await;
        let told = board.read().map_err(Failure::failed)?;
        if !json && std::io::stdout().is_terminal() {
            // Home, and clear what is below: no flicker, and the scrollback stays.
            stdout::text("\x1b[H\x1b[J")?;
        }
        print(file, &told, json)?;
    }
}

fn print(file: &Path, board: &Board, as_json: bool) -> Result<(), Failure> {
    let Board { live, unreadable } = board;
    for (pid, why) in unreadable {
        stdout::aside(&format!("process {pid} cannot be understood: {why}"));
    }
    if as_json {
        return stdout::json(&json!({ "file": file, "processes": live }));
    }
    if board.is_empty() {
        return stdout::line(&format!("{}: no running process follows it", file.display()));
    }
    live.iter().try_for_each(|status| stdout::line(describe(status).trim_end()))
}

fn describe(status: &ProcessStatus) -> String {
    let ProcessStatus { pid, rollout, uptime_s, written_at, .. } = status;
    let uptime = humantime::format_duration(Duration::from_secs(*uptime_s as u64));
    let (version, stage) = (rollout.version, rollout.stage.as_str());
    let shares = shares(&rollout.percents);
    let mut text = format!("process {pid}, up {uptime}, told at {written_at}\n");
    let _ = writeln!(text, "rollout version {version}: {stage}, V3's share {shares}");
    if let Some(refused) = &rollout.refused {
        let _ = writeln!(text, "REFUSES the rollout file: {refused}");
    }
    if let Some(verdict) = &status.last_verdict {
        let (says, reason) = (verdict.verdict.as_str(), verdict.reason().join("; "));
        let _ = writeln!(text, "steers the ramp; last verdict {says}: {reason}");
    }
    let _ = writeln!(
        text,
        "lane  size ready avail  busy start  wait restarts   p50 ms   p99 ms  sessions  oldest"
    );
    for lane in [Lane::V2, Lane::V3] {
        if let Some(pool) = status.lanes.get(&lane) {
            row(&mut text, lane, pool, status);
        }
    }
    if let Some(shadow) = &status.shadow {
        shadows(&mut text, shadow);
    }
    text
}

fn shadows(text: &mut String, shadow: &ShadowStatus) {
    let commands = || shadow.compared.commands.values();
    let sum = |of: fn(&ComparedCounts) -> u64| commands().map(of).sum::<u64>();
    let (compared, matched) = (sum(|counts| counts.compared), sum(|counts| counts.matched));
    let dropped: u64 = shadow.dropped.values().sum();
    let _ = writeln!(
        text,
        "shadows: {} sampled, {dropped} dropped; {compared} compared in all, {matched} alike",
        shadow.sampled
    );
    let reasons: Vec<String> =
        shadow.dropped.iter().map(|(why, count)| format!("{count} {}", why.as_str())).collect();
    if !reasons.is_empty() {
        let _ = writeln!(text, "      dropped: {}", reasons.join(", "));
    }
    if shadow.breaker_open {
        let _ = writeln!(text, "      BREAKER OPEN: shadows kept failing");
    }
    if let Some(error) = &shadow.compared.error {
        let _ = writeln!(text, "      NOT KEPT: {error}");
    }
}

fn row(text: &mut String, lane: Lane, pool: &PoolStatus, status: &ProcessStatus) {
    let PoolStatus { size, ready, available, busy, starting, queue_size, restarts, .. } = pool;
    let _ = write!(
        text,
        "{lane:<4}{size:>6}{ready:>6}{available:>6}{busy:>6}{starting:>6}{queue_size:>6}\
         {restarts:>9}"
    );
    let times = pool.request.unwrap_or_default().total_time_ms;
    let pins = status.pins.get(&lane).copied().unwrap_or_default();
    let oldest = humantime::format_duration(Duration::from_secs(pins.oldest_s as u64));
    let _ = writeln!(text, "{:>9.2}{:>9.2}{:>10}  {oldest}", times.p50, times.p99, pins.count);
    let failed: Vec<String> = pool
        .outcomes
        .iter()
        .filter(|(outcome, _)| **outcome != poolshift::Outcome::Ok)
        .map(|(outcome, count)| format!("{count} {}", outcome.as_str()))
        .collect();
    if !failed.is_empty() {
        let _ = writeln!(text, "      failed: {}", failed.join(", "));
    }
    let recycled: Vec<String> =
        pool.recycled.iter().map(|(why, count)| format!("{count} {}", why.as_str())).collect();
    if !recycled.is_empty() {
        let _ = writeln!(text, "      recycled: {}", recycled.join(", "));
    }
    if pool.retries != RetryCounts::default() {
        let RetryCounts { made, over_budget } = pool.retries;
        let _ = writeln!(text, "      tried again: {made}, and {over_budget} over budget");
    }
    if pool.breaker.open {
        let (failures, cause) = (pool.breaker.failures, pool.breaker.cause.as_deref());
        let cause = cause.unwrap_or("unknown");
        let _ = writeln!(text, "      BREAKER OPEN: {failures} starts in a row failed: {cause}");
    }
    if pool.draining {
        let _ = writeln!(text, "      draining");
    }
}
