//! The subcommands: one file each.

mod bench;
mod call;
mod config;
mod corpus;
mod demo;
mod doctor;
mod failure;
mod leaving;
mod ledgers;
mod logging;
mod manual;
mod open_loop;
mod pace;
mod progress;
mod report;
mod rollout;
mod run;
mod shadow;
mod status;
mod stdout;
mod stop;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use poolshift::config::{Survey, environment};

use crate::cli::failure::Failure;
use crate::cli::logging::LogFormat;
use crate::cli::stop::Stop;

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
    Rollout(rollout::RolloutArgs),
    /// What the compared answers of both lanes say
    #[command(subcommand)]
    Shadow(shadow::ShadowCommand),
    /// Check Python, the app, this machine's limits and the rollout file; say what to do
    Doctor,
    /// What the tool would run with
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Start what is needed, make one call, print its result
    Call(call::CallArgs),
    /// A run's latency report, or two runs side by side
    Report(report::ReportArgs),
    /// Measure
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// A script that completes commands and options in your shell
    Completions(manual::CompletionsArgs),
    /// The manual page
    Man(manual::ManArgs),
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    // Read first, since it says what is to be logged; one that is wrong is told later.
    let survey = Survey::of(cli.global.config.as_deref(), environment());
    let debug = survey.config.as_ref().map(|config| config.worker.debug.clone());
    let debug = debug.unwrap_or_default();
    logging::start(cli.global.verbose, cli.global.log_format, &debug);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(interruptible(cli, survey)),
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

/// A command that drains ends by itself when it is told to stop (R7). Any other is dropped:
/// callers are cancelled, and every worker is killed with its children.
async fn interruptible(cli: Cli, survey: Survey) -> Result<(), Failure> {
    let drains = cli.command.drains();
    let stop = Stop::listen(drains).map_err(Failure::failed)?;
    tokio::select! {
        done = dispatch(cli, survey, stop.clone()) => {
            if stop.is_told() { interrupted(done) } else { done }
        }
        () = stop.hurried(), if !drains => Err(Failure::Interrupted),
    }
}

/// Told to stop, it came to its end; that it also failed is told, but is not what ended it.
fn interrupted(done: Result<(), Failure>) -> Result<(), Failure> {
    if let Err(failure) = done
        && !matches!(failure, Failure::Interrupted)
    {
        failure.explain();
    }
    Err(Failure::Interrupted)
}

impl Command {
    /// Whether it serves calls, which are brought to their end before it stops.
    fn drains(&self) -> bool {
        matches!(self, Self::Demo(_) | Self::Run(_) | Self::Call(_))
    }
}

/// A config that is wrong ends only those commands that need all of it.
async fn dispatch(cli: Cli, survey: Survey, stop: Stop) -> Result<(), Failure> {
    let Global { config: file, json, .. } = cli.global;
    match cli.command {
        Command::Demo(args) => demo::demo(survey.config?, args, json, stop).await,
        Command::Run(args) => run::run(survey.config?, args, json, stop).await,
        Command::Status(args) => status::status(survey, args, json).await,
        Command::Rollout(args) => rollout::rollout(survey, args, json).await,
        Command::Call(args) => call::call(survey.config?, args, json, stop).await,
        Command::Bench(command) => bench::bench(survey.config?, command, json).await,
        Command::Shadow(command) => shadow::shadow(survey, command, json).await,
        Command::Report(args) => report::report(&args, json),
        Command::Doctor => doctor::doctor(survey, json).await,
        Command::Config(command) => config::config(survey, file.as_deref(), command, json),
        Command::Completions(args) => manual::completions(Cli::command(), &args),
        Command::Man(args) => manual::man(Cli::command(), &args),
    }
}
