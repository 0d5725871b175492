//! The subcommands: one file each.

mod bench;
mod call;
mod demo;
mod failure;
mod ledgers;
mod logging;
mod progress;
mod rate;
mod rollout;
mod run;
mod status;
mod stdout;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use poolshift::config::{Config, ConfigError};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::failure::Failure;
use crate::cli::logging::LogFormat;

/// Takes a service from a session-bound Python worker pool (V2) to a stateless one (V3)
/// without an outage.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 failed, 2 usage, 3 a gate or comparison failed, \
                          4 bad config, 5 cannot reach a running process, 130 interrupted.";

/// What every subcommand understands.
#[derive(Debug, Args)]
struct Global {
    /// Settings; without it poolshift.toml if it is there, else the defaults
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON on stdout
    #[arg(long, global = true)]
    json: bool,
    /// Log more: -v info, -vv debug (one event per call); RUST_LOG wins
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// How log lines on stderr look
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A rollout from V2 to V3 and back on real Python workers, with a worker killed in each lane
    Demo(demo::DemoArgs),
    /// Run the calls of JSON-lines files through the router
    Run(run::RunArgs),
    /// How the running processes are: rollout, sessions, both pools
    Status(status::StatusArgs),
    /// Look at the rollout, and change it in running processes
    #[command(subcommand)]
    Rollout(rollout::RolloutCommand),
    /// Start what is needed, make one call, print its result
    Call(call::CallArgs),
    /// Measure
    #[command(subcommand)]
    Bench(bench::BenchCommand),
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    // Read first, since it says what is to be logged; one that is wrong is told later.
    let config = Config::load(cli.global.config.as_deref(), std::env::vars());
    let debug = config.as_ref().map(|config| config.worker.debug.clone()).unwrap_or_default();
    logging::start(cli.global.verbose, cli.global.log_format, &debug);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(interruptible(cli, config)),
        Err(error) => Err(Failure::Failed(format!("cannot start a runtime: {error}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.explain();
            failure.exit_code()
        }
    }
}

/// Ctrl-C and SIGTERM drop what runs: callers are cancelled, and every worker is killed with its
/// children.
async fn interruptible(cli: Cli, config: Result<Config, ConfigError>) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::failed)?;
    tokio::select! {
        done = dispatch(cli, config) => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        _ = terminate.recv() => Err(Failure::Interrupted),
    }
}

async fn dispatch(cli: Cli, config: Result<Config, ConfigError>) -> Result<(), Failure> {
    let global = cli.global;
    let config = config?;
    match cli.command {
        Command::Demo(args) => demo::demo(config, args, global.json).await,
        Command::Run(args) => run::run(config, args, global.json).await,
        Command::Status(args) => status::status(config, args, global.json).await,
        Command::Rollout(command) => rollout::rollout(config, command, global.json).await,
        Command::Call(args) => call::call(config, args, global.json).await,
        Command::Bench(command) => bench::bench(config, command, global.json).await,
    }
}
