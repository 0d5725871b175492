//! `poolshift run`: the calls of JSON-lines files through the router.

mod line;
pub(crate) mod pool;
mod record;
mod summary;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use clap::Args;
use indicatif::ProgressBar;
use poolshift::clock::Moment;
use poolshift::config::Config;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::{Outcome, Shim, ShimOptions};
use tokio::sync::mpsc;

use crate::cli::corpus::{Corpus, Step, by_session};
use crate::cli::failure::Failure;
use crate::cli::pace::{Pace, rate};
use crate::cli::run::line::Caller;
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
    /// Write the latencies as an HdrHistogram log
    #[arg(long, value_name = "OUT")]
    hlog: Option<PathBuf>,
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
    let read = |path: &PathBuf| Corpus::read(path);
    let files: Vec<Corpus> = args.files.iter().map(read).collect::<Result<_, _>>()?;
    let mut books = Books::open(args.ledger.clone(), args.hlog.as_deref())?;
    let record = args.record.as_deref();
    let record = record.map(|path| Record::create(path, args.record_share, &config.shadow));
    let record = Arc::new(Mutex::new(record.transpose()?));
    let percents = args.percent.map(Percents::all);
    let options = ShimOptions { percents, ledger: Some(books.folder().to_owned()) };
    let shim = Arc::new(stop.before_calls(Shim::start(&config, options)).await??);
    let lines = files.iter().map(|file| file.len() as u64).sum();
    let pace = Pace::of(args.rate, concurrency(&config, &args));
    let bar = progress::bar(lines);
    // Asked to stop, the pools refuse first, and only then do calls come that were to come later:
    // each line has its outcome, and none runs for nothing.
    let drain = async |limit| {
        tokio::join!(biased; shim.drain_within(limit), async { pace.hurry() });
    };
    let plays = play_all(files, &shim, &pace, args.pool, &mut books, &record, &bar);
    stop.draining(plays, config.worker.drain_timeout, drain).await?;
    bar.finish_and_clear();
    let recorded = lock(&record).take().map_or(Ok(()), Record::finish);
    let summary = books.close(&shim, &config);
    shim.drain().await;
    let summary = summary?;
    if json {
        stdout::json(&summary)?;
    } else {
        summary.tell();
    }
    books.write_hlog(&shim)?;
    recorded?;
    summary.verdict()
}

/// Plays one file after the other, and prints what comes of each line.
async fn play_all(
    files: Vec<Corpus>,
    shim: &Arc<Shim>,
    pace: &Pace,
    pool: Option<PoolArg>,
    books: &mut Books,
    record: &SharedRecord,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    for file in files {
        let mut results = play(file, shim, pace, pool, books, record);
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        while let Some(played) = results.recv().await {
            bar.inc(1);
            books.note(&played);
            waiting.insert(played.index, played.output);
            // Lines come out in the order in which they went in.
            while let Some(output) = waiting.remove(&next) {
                stdout::line(&output)?;
                next += 1;
            }
        }
    }
    Ok(())
}

/// Sessions write into it in turn.
type SharedRecord = Arc<Mutex<Option<Record>>>;

fn lock(record: &SharedRecord) -> MutexGuard<'_, Option<Record>> {
    record.lock().expect("nothing panics while it writes a line")
}

/// One line that has been run.
struct Played {
    index: usize,
    /// What the caller's ledger gets; nothing for a line that holds no call.
    id: Option<String>,
    outcome: Outcome,
    output: String,
}

fn concurrency(config: &Config, args: &RunArgs) -> usize {
    let workers = config.v3.size;
    let workers = workers + config.v2.size; // legacy
    args.concurrency.map_or(workers * 2, usize::from)
}

/// Starts all calls of a file: those of one session strictly one after another in the file's
/// order, sessions beside each other, calls without a session on their own.
fn play(
    file: Corpus,
    shim: &Arc<Shim>,
    pace: &Pace,
    pool: Option<PoolArg>,
    books: &mut Books,
    record: &SharedRecord,
) -> mpsc::UnboundedReceiver<Played> {
    // Bounded by the file, which is in memory already.
    let (results, received) = mpsc::unbounded_channel();
    let mut steps = Vec::new();
    for (index, (place, parsed)) in file.into_calls().enumerate() {
        match parsed.and_then(|call| books.submit(&call.id, &place).map(|()| call)) {
            Ok(mut call) => {
                call.forced = pool.map(PoolArg::lane);
                steps.push(Step { index, call });
            }
            Err(error) => refuse(&results, index, &place, &error),
        }
    }
    let began = shim.clock().now();
    let first = books.begin(began);
    for steps in by_session(steps) {
        let (shim, pace, results) = (Arc::clone(shim), pace.clone(), results.clone());
        let record = Arc::clone(record);
        let player = Player { shim, pace, began, first, record, results };
        tokio::spawn(player.play(steps));
    }
    received
}

fn refuse(results: &mpsc::UnboundedSender<Played>, index: usize, place: &str, error: &str) {
    tracing::warn!(line = %place, %error, "not a call; the rest runs");
    let output = line::refused(place, error);
    // The receiver is held until the file has been played.
    let _ = results.send(Played { index, id: None, outcome: Outcome::Rejected, output });
}

/// Plays the calls of one session, or one call without a session.
struct Player {
    shim: Arc<Shim>,
    pace: Pace,
    /// When this file began, and when the run did.
    began: Moment,
    first: Moment,
    record: SharedRecord,
    results: mpsc::UnboundedSender<Played>,
}

impl Player {
    async fn play(self, steps: Vec<Step>) {
        for Step { index, mut call } in steps {
            let caller = Caller::of(&call);
            let permit;
            (permit, call.planned) = self.pace.turn(index, self.began, self.shim.clock()).await;
            if let Some(record) = lock(&self.record).as_mut() {
                record.note(&call);
            }
            let routed = self.shim.call(call).await;
            drop(permit);
            let output = line::answered(&caller, &routed, self.first);
            let outcome = routed.answer.outcome();
            let played = Played { index, id: Some(caller.id), outcome, output };
            if self.results.send(played).is_err() {
                // The command has failed meanwhile; nobody listens any more.
                return;
            }
        }
    }
}
