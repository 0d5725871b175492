//! `poolshift rollout ramp forecast`.

use std::time::Duration;

use clap::Args;
use poolshift::config::Config;
use poolshift::router::paths::RolloutPaths;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::router::ramp::{Outlook, Plan, forecast as outlooks};
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::rollout::ramp::record::RecordArgs;
use crate::cli::rollout::{shares, show};
use crate::cli::stdout;

/// Plays the plan's own guards on made-up traffic with the record's rates.
#[derive(Debug, Args)]
pub(crate) struct ForecastArgs {
    #[command(flatten)]
    record: RecordArgs,
    /// V3's share of every class [default: the rollout file's, or the plan's first step]
    #[arg(long)]
    percent: Option<Percent>,
}

pub(super) fn forecast(
    config: &Config,
    paths: &RolloutPaths,
    args: ForecastArgs,
    as_json: bool,
) -> Result<(), Failure> {
    let plan = args.record.plan(config)?;
    let record = args.record.record()?;
    let percents = percents(paths, &args, &plan)?;
    let outlooks = outlooks(&record.calls, &plan.guards, &percents);
    if as_json {
        return stdout::json(&json!({
            "percents": percents, "alpha": plan.guards.alpha, "outlooks": outlooks,
        }));
    }
    stdout::line(&format!("V3's share: {}; until half of all runs have seen", shares(&percents)))?;
    let head = ["command", "guard", "units/s", "bad in V2", "2x", "5x", "10x"];
    stdout::line(&row(head.map(str::to_owned)))?;
    for outlook in &outlooks {
        stdout::line(&cells(outlook))?;
    }
    if outlooks.is_empty() {
        stdout::line("no command went bad in V2: only limits and fuses would see a regression")?;
    }
    Ok(())
}

fn percents(paths: &RolloutPaths, args: &ForecastArgs, plan: &Plan) -> Result<Percents, Failure> {
    if let Some(percent) = args.percent {
        return Ok(Percents::all(percent));
    }
    let file = show::file(paths)?.and_then(|file| file.percents);
    let under_way = file.filter(|percents| *percents != Percents::default());
    Ok(under_way.unwrap_or(plan.steps[0].percents))
}

fn cells(outlook: &Outlook) -> String {
    let Outlook { command, metric, units_per_s, v2_bad, regressions, .. } = outlook;
    let mut times = regressions.iter().map(|sight| match sight.median_s {
        Some(seconds) => {
            let whole = Duration::from_secs(seconds.ceil() as u64);
            humantime::format_duration(whole).to_string().replace(' ', "")
        }
        None => "not seen".to_owned(),
    });
    let mut time = || times.next().unwrap_or_default();
    row([
        command.clone(),
        metric.as_str().to_owned(),
        format!("{units_per_s:.2}"),
        format!("{:.3} %", v2_bad * 100.0),
        time(),
        time(),
        time(),
    ])
}

fn row([command, guard, units, bad, two, five, ten]: [String; 7]) -> String {
    format!("{command:<24} {guard:<9}{units:>9}{bad:>11}{two:>14}{five:>14}{ten:>14}")
}
