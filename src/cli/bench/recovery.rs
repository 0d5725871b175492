//! `bench recovery`: how long it takes from a worker's SIGKILL to its successor's first answer,
//! while every worker is in a call of some milliseconds.

use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use poolshift::clock::{Clock, Moment, millis};
use poolshift::config::{Config, StartMethod};
use poolshift::v3_pool::V3Pool;
use poolshift::{Answer, Args, Call, Outcome, Pool, WorkerId};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cli::bench::{heavy, quantile};
use crate::cli::failure::Failure;
use crate::cli::{progress, stdout};

/// What workers are asked for: they wait, as for a model, and leave the processor alone.
const CALL: (&str, &str) = ("sleep", r#"{"ms": 2}"#);

/// No successor takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, ClapArgs)]
pub(crate) struct RecoveryArgs {
    /// Workers of the pool, each with a caller
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// A module that each worker imports
    #[arg(long, value_name = "MODULE")]
    import: Option<String>,
    /// How workers are started: spawn, fork or auto; without it as the config has it
    #[arg(long, value_name = "METHOD", value_parser = heavy::start_method)]
    start_method: Option<StartMethod>,
    /// How often a worker is killed
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
}

/// What a caller was told, and when.
struct Told {
    at: Moment,
    answer: Answer,
}

/// What the calls beside the killed workers came to.
#[derive(Default)]
struct Calls {
    answered: u64,
    /// In flight on a worker that was killed.
    struck: u64,
    /// Failed, and on no such worker.
    lost: u64,
}

pub(crate) async fn recovery(
    config: Config,
    args: RecoveryArgs,
    json: bool,
) -> Result<(), Failure> {
    let workers = usize::from(args.workers);
    let method = args.start_method.unwrap_or(config.worker.start_method);
    let config = heavy::config(config, workers, None, args.import.as_deref());
    let clock = Clock::start();
    let pool = Arc::new(heavy::v3(&heavy::started_by(&config, method), clock).await?);
    // Room for what all callers are told at once.
    let (sender, mut told) = mpsc::channel(workers);
    let mut callers = JoinSet::new();
    for _ in 0..workers {
        callers.spawn(call_again_and_again(Arc::clone(&pool), clock, sender.clone()));
    }
    let (mut times, mut calls) = (Vec::new(), Calls::default());
    let bar = progress::bar(u64::from(args.kills));
    for kill in 0..args.kills as usize {
        let killed = clock.now();
        let struck = kill_one(&pool, kill % workers)?;
        let recovered = calls.until_replaced(&mut told, struck, killed);
        times.push(tokio::time::timeout(PATIENCE, recovered).await.map_err(|_| {
            Failure::Failed(format!("no successor of {struck} answered within {PATIENCE:?}"))
        })?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    callers.shutdown().await;
    pool.drain(Duration::ZERO).await;
    let figures = figures(times, &calls, method);
    let told = if json { stdout::json(&figures) } else { tell(&figures) };
    // The gate first: it holds for a reader who has gone, too.
    match calls.lost {
        0 => told,
        lost => Err(Failure::Gate(format!("{lost} calls were lost that no killed worker had"))),
    }
}

/// Dropped: its call is cancelled, and nobody counts it.
async fn call_again_and_again(pool: Arc<V3Pool>, clock: Clock, told: mpsc::Sender<Told>) {
    let args = Args::parse(CALL.1).expect("it is an object");
    loop {
        let answer = pool.call(Call::new(CALL.0, args.clone())).await;
        if told.send(Told { at: clock.now(), answer }).await.is_err() {
            return;
        }
    }
}

/// Kills the slot's worker, and gives its id.
fn kill_one(pool: &V3Pool, slot: usize) -> Result<WorkerId, Failure> {
    let status = pool.status();
    let worker = status.workers.get(slot);
    let worker = worker.ok_or_else(|| Failure::Failed(format!("slot {slot} has no worker")))?;
    let pid = worker.pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let pid = pid.ok_or_else(|| Failure::Failed(format!("{} has no process", worker.id)))?;
    kill_process(pid, Signal::KILL).map_err(Failure::failed)?;
    Ok(worker.id)
}

impl Calls {
    /// Counts what callers are told until a successor of the worker has answered one of them, and
    /// gives how long that took from the kill on. Dropped midway, what was counted stays.
    async fn until_replaced(
        &mut self,
        told: &mut mpsc::Receiver<Told>,
        struck: WorkerId,
        killed: Moment,
    ) -> Duration {
        loop {
            let Told { at, answer } = told.recv().await.expect("callers call to the end");
            let by = answer.worker;
            match answer.outcome() {
                Outcome::Ok => self.answered += 1,
                Outcome::WorkerLost if by == Some(struck) => self.struck += 1,
                _ => self.lost += 1,
            }
            let succeeds = |worker: WorkerId| {
                worker.slot == struck.slot && worker.generation > struck.generation
            };
            if answer.outcome() == Outcome::Ok && by.is_some_and(succeeds) {
                return at.since(killed);
            }
        }
    }
}

fn figures(mut times: Vec<Duration>, calls: &Calls, method: StartMethod) -> Value {
    let mut ms = |q| millis(quantile(&mut times, q));
    let (p50, p90, p99, max) = (ms(0.5), ms(0.9), ms(0.99), ms(1.0));
    json!({
        "start_method": method.as_str(),
        "runs": times.len(),
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        "max_ms": max,
        "answered_calls": calls.answered,
        "struck_calls": calls.struck,
        "lost_calls": calls.lost,
    })
}

fn tell(figures: &Value) -> Result<(), Failure> {
    let ms = |key: &str| figures[key].as_f64().unwrap_or(f64::NAN);
    stdout::line(&format!(
        "{} kills, {}: a successor answered after p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max \
         {:.1} ms",
        figures["runs"],
        figures["start_method"].as_str().unwrap_or_default(),
        ms("p50_ms"),
        ms("p90_ms"),
        ms("p99_ms"),
        ms("max_ms"),
    ))?;
    stdout::line(&format!(
        "{} calls answered, {} in flight on a killed worker, {} lost otherwise",
        figures["answered_calls"], figures["struck_calls"], figures["lost_calls"],
    ))
}
