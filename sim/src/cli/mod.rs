//! The subcommands: one file each.

mod chaos;
mod failure;
mod input;
mod plans;
mod planted;
mod queue;
mod replay;
mod run;
mod swarm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Both of poolshift's pools and its router in virtual time, with everything that goes wrong.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    /// Print JSON on stdout
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 a law was broken, 2 usage, \
    3 a law was broken among real processes, or two worlds differ, 4 bad input file, \
    130 interrupted.";

#[derive(Debug, Subcommand)]
enum Command {
    /// One run of one seed
    Run(run::RunArgs),
    /// Many runs, each with options drawn from its seed
    Swarm(swarm::SwarmArgs),
    /// The plan of a failing run once more, line by line
    Replay(replay::ReplayArgs),
    /// The real machine under a textbook workload, beside what the formula expects
    Queue(queue::QueueArgs),
    /// The rig against every planted bug
    Planted(planted::PlantedArgs),
    /// Real Python workers under load, while they are killed, stopped, slowed and made to lie
    Chaos(chaos::ChaosArgs),
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Run(args) => run::run(&args, cli.json),
        Command::Swarm(args) => swarm::swarm(&args, cli.json),
        Command::Replay(args) => replay::replay(&args, cli.json),
        Command::Queue(args) => queue::queue(&args, cli.json),
        Command::Planted(args) => planted::planted(&args, cli.json),
        Command::Chaos(args) => chaos::chaos(&args, cli.json),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.explain();
            failure.exit_code()
        }
    }
}
