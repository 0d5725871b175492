//! `poolshift doctor`: whether this machine can run what the config asks for, and what to do if
//! it cannot.

mod check;
mod kernel;
mod limits;
mod memory;
mod python;
mod rollout;
mod worker;

use poolshift::config::{Config, Survey};
use serde_json::json;

use crate::cli::doctor::check::Check;
use crate::cli::doctor::worker::Probed;
use crate::cli::failure::Failure;
use crate::cli::stdout;

pub(crate) async fn doctor(survey: Survey, as_json: bool) -> Result<(), Failure> {
    let mut checks = vec![check::config(&survey)];
    match survey.config {
        Ok(config) => checks.extend(of_config(&config).await),
        Err(_) => checks.extend([kernel::pidfd(), Check::skipped("the rest", "config")]),
    }
    let failed = checks.iter().filter(|check| !check.ok).count();
    if as_json {
        stdout::json(&json!({ "ok": failed == 0, "checks": checks }))?;
    } else {
        checks.iter().try_for_each(|check| stdout::line(&check.to_string()))?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Failed(format!("{failed} of {} checks failed", checks.len()))),
    }
}

/// All are made, whatever became of the ones before; what needs a worker says so if there is
/// none.
async fn of_config(config: &Config) -> Vec<Check> {
    let python = python::version(&config.worker).await;
    let runtime = python::runtime(config);
    let workers = config.v3.size;
    let workers = workers + config.v2.size; // legacy
    let (worker, probed) = match (python.ok, runtime.ok) {
        (false, _) => (vec![Check::skipped("app", "python")], None),
        (_, false) => (vec![Check::skipped("app", "runtime")], None),
        _ => worker::probe(config).await,
    };
    let mut checks = vec![python, runtime];
    checks.extend(worker);
    let threads = probed.as_ref().map_or(1, |probed: &Probed| probed.threads);
    checks.push(limits::descriptors(workers));
    checks
        .extend([limits::processes(workers, threads), limits::cgroup_processes(workers, threads)]);
    checks.push(kernel::pidfd());
    checks.push(kernel::flock(&config.rollout.file));
    checks.push(kernel::inotify(&config.rollout.file).await);
    checks.push(match &probed {
        Some(probed) => memory::enough(workers, probed.rss_bytes),
        None => Check::skipped("memory", "app"),
    });
    checks.push(rollout::file(&config.rollout.file));
    checks
}
