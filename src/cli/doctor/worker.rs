//! One real worker: whether the app can be imported, and what a worker costs.

use std::time::Duration;

use poolshift::clock::{Clock, millis};
use poolshift::config::{Config, StartMethod, WorkerProgram};
use poolshift::pool::WorkerId;
use poolshift::worker::link::{Link, LinkError, Progress};
use poolshift::worker::process::ProcessSpawner;
use poolshift::worker::wire::Outgoing;
use poolshift::worker::{Process, Signal, Spawner};
use poolshift::{Args, Lane, shim};
use serde::Deserialize;

use crate::cli::doctor::check::Check;
use crate::cli::doctor::memory::usage;

/// What a request must carry without harm.
const ECHO_BYTES: usize = 1024 * 1024;

/// How long a worker that fell silent is given to end by itself.
const POST_MORTEM: Duration = Duration::from_millis(250);

/// What one worker was found to cost.
#[derive(Debug)]
pub(super) struct Probed {
    pub(super) rss_bytes: u64,
    pub(super) threads: u64,
}

/// What a ping reply tells.
#[derive(Debug, Default, Deserialize)]
struct Pong {
    #[serde(default)]
    commands: Vec<String>,
    import_s: Option<f64>,
}

type WorkerLink = Link<<ProcessSpawner as Spawner>::Reader, <ProcessSpawner as Spawner>::Writer>;

/// Starts a worker as the pools do, asks it, and ends it. What its own checks found, and what it
/// costs, if it came up.
pub(super) async fn probe(config: &Config) -> (Vec<Check>, Option<Probed>) {
    let name = match &config.worker.program {
        WorkerProgram::App(app) => format!("app {app}"),
        WorkerProgram::Script(script, _) => format!("script {script}"),
    };
    let spawner = match shim::spawner(config, Lane::V3, None) {
        Ok(spawner) => spawner,
        Err(error) => return (vec![Check::bad("app", error.to_string(), "as runtime")], None),
    };
    let clock = Clock::start();
    let spawned = spawner.spawn(WorkerId { slot: 0, generation: 1 }).await;
    let spawned = match spawned {
        Ok(spawned) => spawned,
        Err(error) => {
            let detail = format!("cannot run `{}`: {error}", spawner.command_line());
            // Python itself has been tried before: what is wrong is in the error.
            let fix = match config.worker.start_method {
                StartMethod::Fork => {
                    "mend what its last lines say, or set [worker] start_method = \"spawn\""
                }
                StartMethod::Spawn | StartMethod::Auto => "as the error says",
            };
            return (vec![Check::bad("app", detail, fix)], None);
        }
    };
    let process = spawned.process;
    let mut link = Link::new(spawned.reader, spawned.writer, config.worker.max_frame_bytes);
    let (limit, nothing) = (config.v3.startup_timeout, Args::default());
    let asked = tokio::select! {
        biased;
        reply = ask(&mut link, "ping", &nothing) => reply,
        exit = process.exited() => Err(format!("it ended ({exit})")),
        () = clock.sleep_until(clock.now() + limit) => {
            Err(format!("no answer to its start ping within startup_timeout = {limit:?}"))
        }
    };
    let ready = clock.now().since(poolshift::clock::Moment::ZERO);
    let checks_and_cost = match asked {
        Ok(reply) => {
            let pong: Pong = serde_json::from_str(&reply).unwrap_or_default();
            let app = Check::good("app", came_up(&name, &pong, ready));
            let echo = echo(&mut link, &pong, config.worker.health_timeout).await;
            (vec![app, echo], process.pid().and_then(usage))
        }
        Err(error) => {
            // A pipe that closes is a process that ends: how it does so tells more.
            let exit = tokio::time::timeout(POST_MORTEM, process.exited()).await;
            let error = exit.map_or(error, |exit| format!("it ended ({exit})"));
            process.signal(Signal::Kill);
            process.exited().await;
            (vec![failed(&name, config, &error, &process.stderr_tail())], None)
        }
    };
    process.signal(Signal::Kill);
    process.exited().await;
    checks_and_cost
}

fn came_up(name: &str, pong: &Pong, ready: Duration) -> String {
    let ready_ms = ready.as_millis();
    match pong.import_s {
        Some(import_s) => {
            let import_ms = import_s * 1e3;
            format!("{name} answered after {ready_ms} ms, {import_ms:.0} ms of it its import")
        }
        None => format!("{name} answered after {ready_ms} ms"),
    }
}

fn failed(name: &str, config: &Config, error: &str, stderr: &str) -> Check {
    let stderr = if stderr.is_empty() { "it wrote nothing to stderr" } else { stderr };
    let fix = match &config.worker.program {
        WorkerProgram::App(app) => {
            let module = app.split(':').next().unwrap_or_default();
            format!(
                "set [worker] app to an importable module (`{} -c 'import {module}'`), add its \
                 folder as PYTHONPATH to [worker] env, or raise startup_timeout",
                config.worker.python_path
            )
        }
        WorkerProgram::Script(script, _) => format!(
            "`{} {script} --mode pool-worker` must answer pings on stdin and stdout, and print \
             nothing else there",
            config.worker.python_path
        ),
    };
    Check::bad("app", format!("{name}: {error}\n{stderr}"), fix)
}

/// A frame there and back by the real codec: a large one, if the app can echo.
async fn echo(link: &mut WorkerLink, pong: &Pong, limit: Duration) -> Check {
    let fix = "see that nothing writes to stdout under the app, and raise max_frame_bytes";
    let text = "x".repeat(ECHO_BYTES);
    let large = pong.commands.iter().any(|command| command == "echo");
    let (command, args, bytes) = match large {
        true => ("echo", format!(r#"{{"text":"{text}"}}"#), ECHO_BYTES),
        false => ("ping", "{}".to_owned(), 0),
    };
    let args = Args::parse(&args).expect("it is an object");
    let clock = Clock::start();
    let asked = tokio::time::timeout(limit, ask(link, command, &args)).await;
    let took = clock.now().since(poolshift::clock::Moment::ZERO);
    let took_ms = millis(took);
    match asked {
        Ok(Ok(reply)) if !large || reply.contains(&text) => {
            Check::good("frame", format!("{command} of {bytes} bytes came back in {took_ms:.1} ms"))
        }
        Ok(Ok(_)) => Check::bad("frame", "an echo came back changed", fix),
        Ok(Err(error)) => Check::bad("frame", format!("{command}: {error}"), fix),
        Err(_) => Check::bad("frame", format!("{command}: no answer within {limit:?}"), fix),
    }
}

async fn ask(link: &mut WorkerLink, command: &str, args: &Args) -> Result<String, String> {
    link.prepare(Outgoing::own(command, args)).map_err(|refusal| refusal.to_string())?;
    let said = |error: LinkError| error.to_string();
    // Dropped here: the worker is killed, whatever it was sent.
    link.send(&Progress::default()).await.map_err(said)?;
    let reply = link.receive().await.map_err(said)?;
    reply.result.map(|result| result.get().to_owned()).map_err(|error| error.to_string())
}
