//! `poolshift config`: what the tool would run with.

use std::path::Path;

use clap::Subcommand;
use poolshift::config::schema::schema;
use poolshift::config::{DEFAULT_FILE, Origin, Shown, Survey};
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::stdout;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check file and environment; every problem at once, with its line (exit 4)
    Check,
    /// Every key with the value in force and where it comes from: default, FILE:LINE, variable
    Show,
    /// The JSON Schema of poolshift.toml, for your editor
    Schema,
}

/// Works on what `survey` read, be it good or bad.
pub(crate) fn config(
    survey: Survey,
    file: Option<&Path>,
    command: ConfigCommand,
    json: bool,
) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check => check(survey, json),
        ConfigCommand::Show => show(survey, file, json),
        ConfigCommand::Schema => {
            stdout::line(&serde_json::to_string_pretty(&schema()).map_err(Failure::failed)?)
        }
    }
}

fn check(survey: Survey, as_json: bool) -> Result<(), Failure> {
    let Survey { file, config, settings, .. } = survey;
    let set: Vec<&Shown> =
        settings.iter().filter(|shown| shown.origin != Origin::Default).collect();
    let variables = set.iter().filter(|shown| matches!(shown.origin, Origin::Variable(_)));
    let variables: Vec<String> = variables.map(|shown| shown.origin.to_string()).collect();
    if as_json {
        let problems: Vec<String> = config.as_ref().err().map_or_else(Vec::new, |error| {
            error.problems.iter().map(|flaw| format!("{}: {}", flaw.place, flaw.message)).collect()
        });
        stdout::json(&json!({
            "ok": problems.is_empty(), "file": file, "variables": variables,
            "problems": problems,
        }))?;
    }
    config?;
    if as_json {
        return Ok(());
    }
    let from = file.unwrap_or_else(|| format!("no {DEFAULT_FILE}"));
    stdout::line(&format!("ok: {from}, {} keys set", set.len()))?;
    variables.iter().try_for_each(|name| stdout::line(&format!("  by the environment: {name}")))
}

fn show(survey: Survey, file: Option<&Path>, as_json: bool) -> Result<(), Failure> {
    let Survey { config, settings, .. } = survey;
    let file = file.unwrap_or(Path::new(DEFAULT_FILE));
    if as_json {
        let ok = config.is_ok();
        stdout::json(&json!({ "file": file, "ok": ok, "settings": settings }))?;
    } else {
        for Shown { key, value, origin, .. } in &settings {
            let value = value.as_deref().unwrap_or("-");
            stdout::line(&format!("{key:<32} {value:<32} {origin}"))?;
        }
    }
    config.map(drop).map_err(Failure::from)
}
