//! A team whose V2 is not ours: their pool stands behind the `Pool` trait in lane V2, and V3 is
//! the next one.
//!
//! ```text
//! cargo run --example own_legacy_pool
//! ```
//!
//! The old pool here is one Python process that takes a line of JSON and answers with one. Its
//! wire is nobody's business: the router sees calls and answers. Sessions survive the move, since
//! the old pool loads and saves by the same rules as V3.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poolshift::call::Timing;
use poolshift::clock::Clock;
use poolshift::config::Config;
use poolshift::router::policy::Percents;
use poolshift::session::Sessions;
use poolshift::{
    Answer, Args, Call, CallError, Lane, Pool, PoolStatus, Ran, SessionId, Shim, ShimOptions,
    StartError,
};
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// The team's old worker.
const OLD_WORKER: &str = r#"
import json, sys
for line in sys.stdin:
    call = json.loads(line)
    args = call["args"]
    if call["command"] == "remember":
        answer = {"topic": args["topic"], "text": args["text"]}
    elif call["command"] == "recall" and args.get("note"):
        answer = {"topic": args["topic"], "text": args["note"]["text"]}
    else:
        answer = {"error": "nothing is known"}
    print(json.dumps(answer), flush=True)
"#;

/// Callers that may wait; more are refused by waiting themselves.
const WAITING: usize = 64;

struct OldPool {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    worker: Mutex<Option<JoinHandle<()>>>,
    sessions: Arc<Sessions>,
    clock: Clock,
}

/// A line for the worker, and who waits for the answer.
struct Job {
    line: Vec<u8>,
    answer: oneshot::Sender<String>,
}

impl OldPool {
    fn start(clock: Clock, sessions: Arc<Sessions>) -> Result<Self, StartError> {
        let mut command = Command::new("python3");
        command.args(["-u", "-c", OLD_WORKER]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.kill_on_drop(true).spawn();
        let child = child.map_err(|error| StartError::Own(format!("python3: {error}")))?;
        let (jobs, received) = mpsc::channel(WAITING);
        let worker = tokio::spawn(work(child, received));
        let (jobs, worker) = (Mutex::new(Some(jobs)), Mutex::new(Some(worker)));
        Ok(Self { jobs, worker, sessions, clock })
    }

    async fn run(&self, call: &Call) -> Result<Box<RawValue>, CallError> {
        // The session is in use until the call is over, and what it needs is added to the args.
        let _visit = self.sessions.begin(self.clock.now(), call.session.as_ref()).await?;
        let loaded = self.sessions.enrich(call).await?;
        let command = serde_json::to_string(&*call.command).expect("a text is JSON");
        let mut line = format!(r#"{{"command":{command},"args":"#).into_bytes();
        let extra = loaded.as_ref().map(|(into, row)| (*into, row.get()));
        call.args.write_with(None, extra, &mut line);
        line.extend_from_slice(b"}\n");
        let jobs = self.jobs.lock().expect("nothing panics here").clone();
        let jobs = jobs.ok_or(CallError::Draining)?;
        let (answer, answered) = oneshot::channel();
        // Dropped here: nothing was sent.
        jobs.send(Job { line, answer }).await.map_err(|_| CallError::Draining)?;
        // Dropped here: the worker's task reads the late answer, and nobody else gets it.
        let lost = |_| CallError::WorkerLost { ran: Ran::Maybe, post_mortem: Default::default() };
        let text = answered.await.map_err(lost)?;
        let broke = |error: serde_json::Error| CallError::Protocol {
            ran: Ran::Maybe,
            reason: error.to_string(),
        };
        let result: Box<RawValue> = serde_json::from_str(&text).map_err(broke)?;
        self.sessions.record(call, &result, Clock::unix_now()).await;
        Ok(result)
    }
}

/// The worker's only reader and writer: one call at a time, until nobody can send any more.
async fn work(mut child: Child, mut jobs: mpsc::Receiver<Job>) {
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    while let Some(Job { line, answer }) = jobs.recv().await {
        let answered = async {
            stdin.write_all(&line).await.ok()?;
            lines.next_line().await.ok()?
        };
        let Some(text) = answered.await else { break };
        // A caller who has gone does not want it.
        let _ = answer.send(text);
    }
    drop(stdin);
    let _ = child.wait().await;
}

impl Pool for OldPool {
    async fn call(&self, call: Call) -> Answer {
        let submitted = self.clock.now();
        let result = self.run(&call).await;
        let (planned, finished) = (call.planned.unwrap_or(submitted), self.clock.now());
        let timing = Timing { planned, submitted, dispatched: Some(submitted), finished };
        Answer { result, worker: None, timing, first_try: None }
    }

    fn end_session(&self, _session: &SessionId) {
        // It keeps nothing of a session; what did would forget it here.
    }

    async fn drain(&self, limit: Duration) {
        drop(self.jobs.lock().expect("nothing panics here").take());
        let worker = self.worker.lock().expect("nothing panics here").take();
        if let Some(worker) = worker {
            // Past the limit the task ends with the process, and its child with it.
            let _ = tokio::time::timeout(limit, worker).await;
        }
    }

    fn status(&self) -> PoolStatus {
        let up = usize::from(self.jobs.lock().expect("nothing panics here").is_some());
        PoolStatus { size: 1, ready: up, live: up, draining: up == 0, ..PoolStatus::default() }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::load(Some("examples/my_app.toml".as_ref()), [])?;
    let percents = Some(Percents::all("0".parse()?));
    let options = ShimOptions { percents, ..ShimOptions::default() };
    let old = |clock, sessions| async move { OldPool::start(clock, sessions) };
    let shim = Shim::with_legacy(&config, options, old).await?;

    let args = Args::parse(r#"{"topic": "tea", "text": "green"}"#)?;
    let call = Call::new("remember", args).with_session("ann")?;
    let routed = shim.call(call).await;
    println!("{}: {}", routed.decision.lane, routed.answer.result?.get());
    assert_eq!(routed.decision.lane, Lane::V2);

    // All new sessions go to V3; Ann's stays where it is until it ends, or until this call,
    // which is forced.
    shim.router().set_percents(Percents::all("100".parse()?));
    let args = Args::parse(r#"{"topic": "tea"}"#)?;
    let mut call = Call::new("recall", args).with_session("ann")?;
    call.forced = Some(Lane::V3);
    let routed = shim.call(call).await;
    let recalled = routed.answer.result?;
    println!("{}: {}", routed.decision.lane, recalled.get());
    assert_eq!(recalled.get(), r#"{"topic":"tea","text":"green"}"#);
    shim.drain().await;
    Ok(())
}
