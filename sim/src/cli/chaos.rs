//! `poolshift-sim chaos`: real Python workers under load and real faults.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use poolshift_sim::chaos::options::ChaosOptions;
use poolshift_sim::chaos::planted::Planted;
use poolshift_sim::chaos::report::Report;
use poolshift_sim::chaos::{Progress, run};
use poolshift_sim::real::error::RealError;
use poolshift_sim::real::stop::Stop;

use crate::cli::failure::{Failure, print};

#[derive(Debug, Args)]
pub(crate) struct ChaosArgs {
    /// How long calls are made, such as 10m: 1s to 1day
    #[arg(long = "for", value_name = "TIME", default_value = "30s",
          value_parser = humantime::parse_duration)]
    lasts: Duration,
    /// One worker is killed in each of these spans: 10ms to 1day
    #[arg(long, value_name = "TIME", default_value = "250ms",
          value_parser = humantime::parse_duration)]
    kill_every: Duration,
    /// Workers of each lane: 1 to 64
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// How workers are started, as `[worker] start_method` has it
    #[arg(long, default_value = "spawn")]
    start_method: String,
    /// Decides the calls, the faults and the victims; when they meet is up to the machine
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the last events before a broken law are written
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    trace_dir: PathBuf,
    /// Put a planted bug to the test, and not the product
    #[arg(long, value_name = "BUG", hide = true)]
    planted: Option<String>,
}

pub(crate) fn chaos(args: &ChaosArgs, json: bool) -> Result<(), Failure> {
    let options = ChaosOptions {
        seed: args.seed,
        lasts: args.lasts,
        kill_every: args.kill_every,
        workers: args.workers,
        start_method: args.start_method.clone(),
    };
    let planted = args.planted.as_deref().map(planted).transpose()?;
    let lasts = options.lasts;
    let stop = Stop::listen(true).map_err(RealError::from).map_err(failure)?;
    let report = run(&options, planted, &stop, move |now| progress(now, lasts));
    clear_progress();
    let report = report.map_err(failure)?;
    let evidence = report.evidence.as_ref().and_then(|text| write(args, text));
    let printed = match json {
        true => serde_json::to_string(&report).expect("a report is plain data") + "\n",
        false => text(&report, evidence.as_ref()),
    };
    let verdict = match (report.interrupted, report.is_good()) {
        (true, _) => Err(Failure::Interrupted),
        (false, true) => Ok(()),
        (false, false) => Err(Failure::Gate),
    };
    print(&printed, verdict)
}

fn failure(error: RealError) -> Failure {
    match error {
        RealError::Impossible(_) | RealError::Config(_) => Failure::Usage(error.to_string()),
        RealError::Shim(_) | RealError::Io(_) => Failure::Failed(error.to_string()),
        RealError::Interrupted => Failure::Interrupted,
    }
}

fn planted(name: &str) -> Result<Planted, Failure> {
    let bug = Planted::ALL.into_iter().find(|bug| bug.as_str() == name);
    let known = || Planted::ALL.map(Planted::as_str).join(", ");
    bug.ok_or_else(|| Failure::Usage(format!("no bug {name:?} is planted: use {}", known())))
}

fn text(report: &Report, evidence: Option<&PathBuf>) -> String {
    let told = evidence.map(|path| format!("the last events: {}\n", path.display()));
    report.text() + &told.unwrap_or_default()
}

/// The run cannot be made again, so what led to the first broken law is kept.
fn write(args: &ChaosArgs, text: &str) -> Option<PathBuf> {
    let path = args.trace_dir.join(format!("poolshift-sim-chaos-seed-{}.txt", args.seed));
    let written =
        std::fs::create_dir_all(&args.trace_dir).and_then(|()| std::fs::write(&path, text));
    match written {
        Ok(()) => Some(path),
        Err(error) => {
            let path = path.display();
            let _ = writeln!(
                io::stderr(),
                "poolshift-sim: no trace of the run: {path}: {error}; choose another --trace-dir"
            );
            None
        }
    }
}

fn progress(now: Progress, lasts: Duration) {
    if io::stderr().is_terminal() {
        let Progress { since, calls, kills, broken } = now;
        let (since, lasts) = (since.as_secs(), lasts.as_secs());
        // What cannot be shown is not worth a failure.
        let _ = write!(
            io::stderr(),
            "\r{since} s of {lasts}: {calls} calls, {kills} kills, {broken} laws broken"
        );
    }
}

fn clear_progress() {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}
