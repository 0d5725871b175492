//! `poolshift shadow run`: recorded calls through two private lanes, compared.

mod gauntlet;
mod player;
mod script;

use std::path::PathBuf;

use clap::Args;
use poolshift::clock::Clock;
use poolshift::config::{Config, ShadowConfig};
use poolshift::report::shadow::ShadowReport;
use poolshift::router::percent::Percent;
use poolshift::shadow::{Evidence, Store};
use poolshift::shim::private::PrivateLanes;

use crate::cli::failure::Failure;
use crate::cli::pace::{Pace, rate};
use crate::cli::shadow::run::player::play;
use crate::cli::shadow::run::script::Script;
use crate::cli::shadow::{Telling, nothing_compared, tell};
use crate::cli::{progress, stdout};

/// Asks V2 and V3 the same, each with workers and sessions of its own, and tells where their
/// answers differ. Each call is also asked of a second V2: where V2 differs from itself, V3 may.
#[derive(Debug, Args)]
#[command(after_help = WHAT_RUNS)]
pub(crate) struct RunArgs {
    /// Files of lines {"command","args","session"?,"id"?,"attrs"?}, one file after the other
    #[arg(required = true, value_name = "CALLS.jsonl")]
    files: Vec<PathBuf>,
    /// At most this many calls at once [default: the workers of the smaller lane]
    #[arg(long, conflicts_with = "rate", value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: Option<u16>,
    /// Calls per second, whether or not earlier ones have been answered
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// The share of sessions, in percent, for which V2 is compared with itself; 0 starts no
    /// second V2, and then every difference counts
    #[arg(long, value_name = "PERCENT", default_value = "100")]
    noise: Percent,
    /// Run the commands that change something, too, once in each lane
    #[arg(long)]
    allow_writes: bool,
    /// Leave out lines that hold no call, instead of running nothing
    #[arg(long)]
    keep_going: bool,
    /// Keep counts and samples in this folder, which must hold none yet, for `shadow report`
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Count what is alike for the gauntlet of a ramp of this build of V3, beside the config's
    /// rollout file; the same calls count once, however often they are run
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    build: Option<String>,
    #[command(flatten)]
    telling: Telling,
}

const WHAT_RUNS: &str = "Reads, commands with a save rule, and idempotent writes run in each lane; \
                         other commands need --allow-writes, and are counted as skipped without \
                         it. Calls of one session run one after the other. A run that compares \
                         nothing has shown nothing, and exits 3.";

pub(crate) async fn run(config: Config, args: RunArgs, json: bool) -> Result<(), Failure> {
    let script = Script::read(&args, &config.commands)?;
    let page = args.telling.page(&args.files)?;
    let folder = Folder::of(args.store)?;
    let shadow = ShadowConfig { store: folder.path(), ..config.shadow.clone() };
    let mut store = Store::of(&shadow, seed())?;
    script.skipped().for_each(|(command, reason)| store.skip(command, reason));
    let workers = config.v3.size.min(config.v2.size);
    let pace = Pace::of(args.rate, args.concurrency.map_or(workers, usize::from));
    let lanes = PrivateLanes::start(&config, args.noise > Percent::ZERO).await?;
    let lanes = std::sync::Arc::new(lanes);
    let bar = progress::bar(script.len());
    let mut unanswered = script.len();
    let played = play(script, &lanes, &pace, args.noise).map_err(Failure::failed)?;
    let (_playing, mut trials) = played;
    while let Some(played) = trials.recv().await {
        unanswered -= 1;
        for trial in played {
            let verdict = trial.verdict(&shadow.rules);
            store.record(&trial, &verdict)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    lanes.drain(config.worker.drain_timeout).await;
    store.flush()?;
    if unanswered > 0 {
        let lost = format!("{unanswered} calls were lost: the log says who panicked");
        return Err(Failure::Failed(lost));
    }
    if store.refused() > 0 {
        let note = format!("note: {} samples found no room; counts are exact", store.refused());
        stdout::aside(&note);
    }
    let evidence = Evidence::read(&folder.path())?;
    if let Some(build) = &args.build {
        gauntlet::keep(&config, build, &args.files, &evidence.tally)?;
    }
    let report = ShadowReport::of(&evidence);
    let told = tell(&report, &args.telling, page, json);
    match report.pairs.compared {
        0 => Err(nothing_compared(&report.pairs)),
        _ => told,
    }
}

/// Where the evidence of one run is: nothing of another run may be in it.
enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn of(kept: Option<PathBuf>) -> Result<Self, Failure> {
        let Some(kept) = kept else {
            return tempfile::tempdir().map(Self::Temporary).map_err(Failure::failed);
        };
        match Evidence::read(&kept) {
            Err(poolshift::shadow::StoreError::Empty { .. }) => Ok(Self::Kept(kept)),
            Err(error) => Err(error.into()),
            Ok(_) => Err(Failure::Usage(format!(
                "{} holds compared answers already, and a run is judged by its own: name a new \
                 folder, or leave --store out",
                kept.display()
            ))),
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Kept(path) => path.clone(),
            Self::Temporary(folder) => folder.path().to_owned(),
        }
    }
}

/// Draws samples; nothing that is told depends on which ones are kept.
fn seed() -> u64 {
    Clock::unix_now().as_secs()
}
