//! `poolshift shadow`: the same asked of both lanes, and what the compared answers say.

mod report;
mod run; // legacy

use std::path::PathBuf;

use clap::{Args, Subcommand};
use poolshift::Class;
use poolshift::config::Survey;
use poolshift::report::files::FileError;
use poolshift::report::outputs::Page;
use poolshift::report::shadow::{Pairs, ShadowReport};
use poolshift::router::percent::Percent;
use poolshift::shadow::StoreError;

use crate::cli::failure::Failure;
use crate::cli::stdout;

#[derive(Debug, Subcommand)]
pub(crate) enum ShadowCommand {
    /// Run recorded calls in both lanes, with workers of their own, and compare the answers
    Run(run::RunArgs), // legacy
    /// Where the answers of both lanes differ: mismatches, noise, and rules to silence it
    Report(report::ReportArgs),
}

pub(crate) async fn shadow(
    survey: Survey,
    command: ShadowCommand,
    json: bool,
) -> Result<(), Failure> {
    match command {
        ShadowCommand::Run(args) => run::run(survey.config?, args, json).await, // legacy
        ShadowCommand::Report(args) => report::report(survey, args, json),
    }
}

/// How a report is told, and when it is a failure.
#[derive(Debug, Args)]
struct Telling {
    /// Write one HTML page that needs nothing else
    #[arg(long, value_name = "OUT")]
    html: Option<PathBuf>,
    /// Print only the proposed rules, ready to be added to the config
    #[arg(long, conflicts_with = "json")]
    rules: bool,
    /// Exit 3 if more than so many percent of the pairs are mismatched or undecided, or if
    /// nothing was compared
    #[arg(long, value_name = "PERCENT")]
    max_mismatch: Option<Percent>,
}

impl Telling {
    /// The page, which must not replace what is `read`.
    fn page(&self, read: &[PathBuf]) -> Result<Option<Page>, FileError> {
        let read = read.iter().map(PathBuf::as_path);
        self.html.as_deref().map(|path| Page::create(path, read)).transpose()
    }
}

fn tell(
    report: &ShadowReport,
    telling: &Telling,
    page: Option<Page>,
    as_json: bool,
) -> Result<(), Failure> {
    if let Some(page) = page {
        stdout::aside(&format!("written: {}", page.write(&report.html())?));
    }
    let told = match (as_json, telling.rules) {
        (true, _) => stdout::json(report),
        (false, true) => stdout::text(&report.proposals),
        (false, false) => stdout::text(&report.text()),
    };
    // The gate first: it holds for a reader who has gone, too.
    telling.max_mismatch.map_or(Ok(()), |limit| gate(report, limit)).and(told)
}

fn gate(report: &ShadowReport, limit: Percent) -> Result<(), Failure> {
    match report.worst_share() {
        None => Err(nothing_compared(&report.pairs)),
        Some(share) if share > limit.share() => Err(Failure::Gate(format!(
            "{:.3} % of the pairs are mismatched or undecided, above --max-mismatch {limit}",
            share * 100.0
        ))),
        Some(_) => Ok(()),
    }
}

/// Not knowing is no pass.
fn nothing_compared(pairs: &Pairs) -> Failure {
    let skipped = pairs.skipped.iter().map(|(reason, count)| format!("{count} {reason}"));
    let skipped = skipped.reduce(|all, next| format!("{all}, {next}"));
    let changes = [Class::Write, Class::Critical].map(Class::as_str);
    let hint = match changes.iter().any(|class| pairs.skipped.contains_key(*class)) {
        true => "; --allow-writes runs those that change something",
        false => "",
    };
    Failure::Gate(format!(
        "nothing was compared, which is no pass: skipped {}; both lanes timed out in {}{hint}",
        skipped.as_deref().unwrap_or("none"),
        pairs.unknown
    ))
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::failed(error)
    }
}
