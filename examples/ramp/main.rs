//! A ramp by plan over real Python workers, from 0 to 100 % of V3 by itself, with its time
//! compressed. With `--planted`, one command fails five times as often in V3, and the ramp takes
//! everything back by itself.
//!
//! ```text
//! cargo build && cargo run --example ramp [-- --planted]
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use poolshift::config::{Config, environment};
use poolshift::router::stage::Stage;
use poolshift::{Args, Call, Outcome, Shim, ShimOptions};
use tokio::task::JoinSet;

/// Callers, each with one session after the other.
const CALLERS: u64 = 4;

#[derive(Default)]
struct Books {
    calls: AtomicU64,
    /// Look-ups that found nothing, as some do.
    not_found: AtomicU64,
    sessions: AtomicU64,
    over: AtomicBool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let planted = std::env::args().any(|arg| arg == "--planted");
    let folder = std::env::temp_dir().join(format!("poolshift-ramp-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let done = ramp(&folder.join("rollout.toml"), planted).await;
    std::fs::remove_dir_all(&folder)?;
    done
}

async fn ramp(file: &Path, planted: bool) -> Result<(), Box<dyn Error>> {
    let mut config = Config::load(Some(Path::new("examples/ramp/poolshift.toml")), environment())?;
    config.rollout.file = file.to_owned();
    config.worker.env.insert("PLANTED".to_owned(), u8::from(planted).to_string());
    // The service: it follows the rollout file, and steers the ramp as long as it is the one.
    let shim = Arc::new(Shim::start(&config, ShimOptions::default()).await?);
    shim.router().legacy().ready(config.v2.size).await?;
    let books = Arc::new(Books::default());
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(call(Arc::clone(&shim), Arc::clone(&books), caller));
    }

    // The operator, in another terminal: the kill switch is tried, and the ramp may begin.
    tool(file, &["ramp", "drill"])?;
    tool(file, &["ramp", "start", "examples/ramp/plan.toml", "--wait", "10s"])?;
    let mut epochs = shim.router().epochs();
    let is_over = |stage| matches!(stage, Stage::Complete | Stage::RolledBack);
    while !is_over(shim.router().policy().stages.overall()) {
        tokio::select! {
            changed = epochs.changed() => changed?,
            // No caller is done before it is told so: this one has met a lost call or note.
            Some(failed) = callers.join_next() => failed??,
        }
    }
    books.over.store(true, Ordering::SeqCst);
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    tool(file, &["show"])?;
    tool(file, &["history", "--verify"])?;
    let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
    println!(
        "{}: {} calls were answered, {} found nothing; none was lost, and {} sessions kept their \
         notes",
        shim.router().policy().stages.overall().as_str(),
        of(&books.calls),
        of(&books.not_found),
        of(&books.sessions),
    );
    shim.drain().await;
    Ok(())
}

/// Sessions that remember something, look something up, and recall what they remembered, wherever
/// each call is sent; and look-ups without a session between them.
async fn call(shim: Arc<Shim>, books: Arc<Books>, caller: u64) -> Result<(), String> {
    for n in (0_u64..).take_while(|_| !books.over.load(Ordering::SeqCst)) {
        let session = format!("{caller}-{n}");
        let note = format!(r#"{{"topic": "tea", "text": "{session}"}}"#);
        made(&shim, &books, "remember", &note, &session).await?;
        for part in 0..4 {
            let place = if part == 0 { session.as_str() } else { "anonymous" };
            let key = format!(r#"{{"key": "{session}-{part}"}}"#);
            if made(&shim, &books, "look_up", &key, place).await?.is_none() {
                books.not_found.fetch_add(1, Ordering::SeqCst);
            }
        }
        let recalled = made(&shim, &books, "recall", r#"{"topic": "tea"}"#, &session).await?;
        if recalled != Some(format!(r#"{{"text":"{session}"}}"#)) {
            return Err(format!("{session} has lost its note: {recalled:?}"));
        }
        books.sessions.fetch_add(1, Ordering::SeqCst);
        let id = session.as_str();
        shim.end_session(&poolshift::SessionId::new(id).map_err(|error| error.to_string())?).await;
    }
    Ok(())
}

/// One call: its result, or nothing if the app itself raised. Anything else is a lost call.
async fn made(
    shim: &Shim,
    books: &Books,
    command: &str,
    args: &str,
    session: &str,
) -> Result<Option<String>, String> {
    let call = Args::parse(args).map(|args| Call::new(command, args));
    let call = call.and_then(|call| call.with_session(session)).map_err(|bad| bad.to_string())?;
    let routed = shim.call(call).await;
    books.calls.fetch_add(1, Ordering::SeqCst);
    match (routed.answer.outcome(), routed.answer.result) {
        (_, Ok(result)) => Ok(Some(result.get().to_owned())),
        (Outcome::Raised, _) if command == "look_up" => Ok(None),
        (_, Err(error)) => Err(format!("{command} in {}: {error}", routed.decision.lane)),
    }
}

/// Runs `poolshift rollout`, which lies beside this example's folder, and prints what it says.
fn tool(file: &Path, args: &[&str]) -> Result<(), Box<dyn Error>> {
    let beside = std::env::current_exe()?;
    let tool: Option<PathBuf> = beside.ancestors().nth(2).map(|folder| folder.join("poolshift"));
    let tool = tool.filter(|tool| tool.exists()).ok_or("build the tool first: cargo build")?;
    let mut command = Command::new(tool);
    command.args(["--config", "examples/ramp/poolshift.toml", "rollout", "--file"]);
    println!("$ poolshift rollout {}", args.join(" "));
    let output = command.arg(file).args(args).output()?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into())
}
