//! `poolshift run`: the calls of JSON-lines files through the router.

mod line;
mod player;
pub(crate) mod pool;
mod record;
mod summary;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clap::Args;
use indicatif::ProgressBar;
use poolshift::config::Config;
use poolshift::report::outputs::apart;
use poolshift::report::record::Load;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::{Shim, ShimOptions};

use crate::cli::corpus::Corpus;
use crate::cli::failure::Failure;
use crate::cli::leaving::LeavingArgs;
use crate::cli::ledgers::LedgerFolder;
use crate::cli::pace::{Pace, rate};
use crate::cli::run::player::{Stage, lock, play};
use crate::cli::run::pool::PoolArg;
use crate::cli::run::record::Record;
use crate::cli::run::summary::Books;
use crate::cli::stop::Stop;
use crate::cli::{progress, stdout};

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Files of lines {"command","args","session"?,"id"?,"attrs"?}, one file after the other
    #[arg(required = true, value_name = "FILE.jsonl")]
    files: Vec<PathBuf>,
    /// At most this many calls at once [default: twice the workers of both lanes]
    #[arg(long, conflicts_with = "rate", value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: Option<u16>,
    /// Calls per second, open loop: each call is measured from its planned arrival
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// V3's share for this run, instead of the rollout file
    #[arg(long)]
    percent: Option<Percent>,
    /// Force a lane for every call
    #[arg(long)]
    pool: Option<PoolArg>,
    #[command(flatten)]
    leaving: LeavingArgs,
    /// Write the calls into this file as they are made, without secrets, for `shadow run`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// The share of sessions that are recorded, in percent
    #[arg(long, value_name = "PERCENT", default_value = "100", requires = "record")]
    record_share: Percent,
    /// Keep the workers' ledgers in this folder
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
}

pub(crate) async fn run(
    config: Config,
    args: RunArgs,
    json: bool,
    stop: Stop,
) -> Result<(), Failure> {
    // Every file is read before the first call: a missing one costs nothing then.
    let files = stop.before_calls(Corpus::read_all(args.files.clone())).await??;
    let folder = LedgerFolder::open(args.ledger.clone())?;
    let outputs = args.leaving.open()?;
    let record = args.record.as_deref();
    let read = args.files.iter().map(PathBuf::as_path);
    outputs.apart_from(read.clone().chain(record))?;
    record.map_or(Ok(()), |record| apart(record, read))?;
    let record = record.map(|path| Record::create(path, args.record_share, &config.shadow));
    let mut record = record.transpose()?;
    let percents = args.percent.map(Percents::all);
    let options = ShimOptions { percents, ledger: Some(folder.path().to_owned()) };
    let shim = Arc::new(stop.before_calls(Shim::start(&config, options)).await??);
    record.as_mut().map_or(Ok(()), Record::begin)?;
    let record = Arc::new(Mutex::new(record));
    let bar = progress::bar(files.iter().map(|file| file.len() as u64).sum());
    let load = load(&config, &args);
    let pace = Pace::of(args.rate, concurrency(&config, &args));
    let mut books = Books::new(folder, &shim);
    // Asked to stop, the pools refuse first, and only then do calls come that were to come later:
    // each line has its outcome, and none runs for nothing.
    let drain = async |limit| {
        tokio::join!(biased; shim.drain_within(limit), async { pace.hurry() });
    };
    let (pace, record_too) = (pace.clone(), Arc::clone(&record));
    let stage = Stage { shim: Arc::clone(&shim), pace, pool: args.pool, record: record_too };
    let plays = play_all(files, &stage, &mut books, &bar);
    let played = stop.draining(plays, config.worker.drain_timeout, drain).await;
    bar.finish_and_clear();
    let recorded = lock(&record).take().map_or(Ok(()), Record::finish);
    let summary = books.close(&config, load, title(&args), outputs);
    shim.drain().await;
    let summary = summary?;
    let told = summary.tell(json);
    // The verdict first: it holds for a reader who has gone, too.
    recorded.and(summary.verdict()).and(played).and(told)
}

/// Plays one file after the other, and prints what comes of each line. A reader who has gone ends
/// the printing only: calls are made for their own sake, and none is lost.
async fn play_all(
    files: Vec<Corpus>,
    stage: &Stage,
    books: &mut Books,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    // Nor does one that can take no more, as a full disk; but that is told at the end.
    let (mut is_read, mut printed) = (true, Ok(()));
    for file in files {
        let (_playing, mut results) = play(file, stage, books).map_err(Failure::failed)?;
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        while let Some(mut played) = results.recv().await {
            bar.inc(1);
            waiting.insert(played.index, std::mem::take(&mut played.output));
            books.note(played);
            // Lines come out in the order in which they went in.
            while let Some(output) = waiting.remove(&next) {
                next += 1;
                if is_read {
                    let read = stdout::is_read(stdout::line(&output));
                    is_read = matches!(read, Ok(true));
                    printed = printed.and(read.map(drop));
                }
            }
        }
    }
    printed
}

fn concurrency(config: &Config, args: &RunArgs) -> usize {
    let workers = config.v3.size;
    let workers = workers + config.v2.size; // legacy
    args.concurrency.map_or(workers * 2, usize::from)
}

fn load(config: &Config, args: &RunArgs) -> Load {
    match args.rate {
        Some(offered_per_s) => Load::Open { offered_per_s },
        None => Load::Closed { concurrency: concurrency(config, args) as u64 },
    }
}

fn title(args: &RunArgs) -> String {
    let names: Vec<String> = args.files.iter().map(|path| path.display().to_string()).collect();
    format!("run {}", names.join(" "))
}
