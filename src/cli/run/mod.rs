//! `poolshift run`: the calls of JSON-lines files through the router.

mod line;
pub(crate) mod pool;
mod summary;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::Utf8Error;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use poolshift::clock::Moment;
use poolshift::config::Config;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::{Call, Outcome, SessionId, Shim, ShimOptions};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::cli::failure::Failure;
use crate::cli::rate::rate;
use crate::cli::run::line::Caller;
use crate::cli::run::pool::PoolArg;
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
    let files: Vec<File> = args.files.iter().map(File::read).collect::<Result<_, _>>()?;
    let mut books = Books::open(args.ledger.clone(), args.hlog.as_deref())?;
    let percents = args.percent.map(Percents::all);
    let options = ShimOptions { percents, ledger: Some(books.folder().to_owned()) };
    let shim = Arc::new(stop.before_calls(Shim::start(&config, options)).await??);
    let lines = files.iter().map(|file| file.lines.len() as u64).sum();
    let pace = Pace::new(&config, &args);
    let bar = progress::bar(lines);
    // Asked to stop, the pools refuse first, and only then do calls come that were to come later:
    // each line has its outcome, and none runs for nothing.
    let drain = async |limit| {
        tokio::join!(biased; shim.drain_within(limit), async { pace.hurry.cancel() });
    };
    let plays = play_all(files, &shim, &pace, args.pool, &mut books, &bar);
    stop.draining(plays, config.worker.drain_timeout, drain).await?;
    bar.finish_and_clear();
    let summary = books.close(&shim, &config.commands);
    shim.drain().await;
    let summary = summary?;
    if json {
        stdout::json(&summary)?;
    } else {
        summary.tell();
    }
    books.write_hlog(&shim)?;
    summary.verdict()
}

/// Plays one file after the other, and prints what comes of each line.
async fn play_all(
    files: Vec<File>,
    shim: &Arc<Shim>,
    pace: &Pace,
    pool: Option<PoolArg>,
    books: &mut Books,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    for file in files {
        let mut results = play(file, shim, pace, pool, books);
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

/// A file's lines, with their numbers.
struct File {
    name: String,
    lines: Vec<(usize, Line)>,
}

/// A line, or why it is no text.
type Line = Result<String, Utf8Error>;

impl File {
    fn read(path: &PathBuf) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let text = std::fs::read(path)
            .map_err(|error| Failure::Failed(format!("cannot read {name}: {error}")))?;
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let lines = lines.enumerate().filter(|(_, line)| !line.is_empty());
        let decode = |line| std::str::from_utf8(line).map(str::to_owned);
        let lines = lines.map(|(index, line)| (index + 1, decode(line))).collect();
        Ok(Self { name, lines })
    }
}

/// One line that has been run.
struct Played {
    index: usize,
    /// What the caller's ledger gets; nothing for a line that holds no call.
    id: Option<String>,
    outcome: Outcome,
    output: String,
}

/// When calls start.
#[derive(Clone)]
struct Pace {
    beat: Beat,
    /// Cancelled when there is nothing to wait for any more: every call is refused.
    hurry: CancellationToken,
}

/// As slots free up, or by plan.
#[derive(Clone)]
enum Beat {
    Concurrency(Arc<Semaphore>),
    Rate(f64),
}

impl Pace {
    fn new(config: &Config, args: &RunArgs) -> Self {
        let hurry = CancellationToken::new();
        if let Some(rate) = args.rate {
            return Self { beat: Beat::Rate(rate), hurry };
        }
        let workers = config.v3.size;
        let workers = workers + config.v2.size; // legacy
        let calls = args.concurrency.map_or(workers * 2, usize::from);
        Self { beat: Beat::Concurrency(Arc::new(Semaphore::new(calls))), hurry }
    }
}

struct Step {
    index: usize,
    call: Call,
}

/// Starts all calls of a file: those of one session strictly one after another in the file's
/// order, sessions beside each other, calls without a session on their own.
fn play(
    file: File,
    shim: &Arc<Shim>,
    pace: &Pace,
    pool: Option<PoolArg>,
    books: &mut Books,
) -> mpsc::UnboundedReceiver<Played> {
    // Bounded by the file, which is in memory already.
    let (results, received) = mpsc::unbounded_channel();
    let mut sessions: BTreeMap<SessionId, Vec<Step>> = BTreeMap::new();
    let mut order: Vec<Vec<Step>> = Vec::new();
    for (index, (number, text)) in file.lines.into_iter().enumerate() {
        let place = format!("{}:{number}", file.name);
        let text = text.map_err(|error| format!("not UTF-8: {error}"));
        let parsed =
            text.and_then(|text| Call::from_json(&text).map_err(|error| error.to_string()));
        match parsed.and_then(|call| books.submit(&call.id, &place).map(|()| call)) {
            Ok(mut call) => {
                call.forced = pool.map(PoolArg::lane);
                match call.session.clone() {
                    Some(session) => {
                        sessions.entry(session).or_default().push(Step { index, call })
                    }
                    None => order.push(vec![Step { index, call }]),
                }
            }
            Err(error) => refuse(&results, index, &place, &error),
        }
    }
    order.extend(sessions.into_values());
    order.sort_by_key(|steps| steps[0].index);
    let began = shim.clock().now();
    let first = books.begin(began);
    for steps in order {
        let (shim, pace, results) = (Arc::clone(shim), pace.clone(), results.clone());
        let player = Player { shim, pace, began, first, results };
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
    results: mpsc::UnboundedSender<Played>,
}

impl Player {
    async fn play(self, steps: Vec<Step>) {
        for Step { index, mut call } in steps {
            let caller = Caller::of(&call);
            let hurry = self.pace.hurry.cancelled();
            let permit = match &self.pace.beat {
                Beat::Concurrency(slots) => tokio::select! {
                    permit = slots.acquire() => Some(permit.expect("nobody closes it")),
                    () = hurry => None,
                },
                Beat::Rate(rate) => {
                    let planned = self.began + Duration::from_secs_f64(index as f64 / rate);
                    call.planned = Some(planned);
                    let clock = self.shim.clock();
                    tokio::select! {
                        () = clock.sleep_until(planned) => {}
                        () = hurry => call.planned = None,
                    }
                    None
                }
            };
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
