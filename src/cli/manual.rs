//! `poolshift completions` and `poolshift man`: what shells and manuals need to know.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::cli::failure::Failure;
use crate::cli::stdout;

#[derive(Debug, Args)]
#[command(after_help = "For bash: poolshift completions bash > \
                        ~/.local/share/bash-completion/completions/poolshift")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "To read it now: poolshift man | man -l -")]
pub(crate) struct ManArgs {
    /// Write a page for each subcommand into this folder, instead of the first to stdout
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn completions(mut command: Command, args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "poolshift", &mut script);
    stdout::text(&String::from_utf8_lossy(&script))
}

pub(crate) fn man(command: Command, args: &ManArgs) -> Result<(), Failure> {
    let Some(folder) = &args.dir else {
        return stdout::text(&page(&command)?);
    };
    let written =
        fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    written.map_err(|error| {
        Failure::Failed(format!("cannot write pages into {}: {error}", folder.display()))
    })
}

fn page(command: &Command) -> Result<String, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text).map_err(Failure::failed)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
