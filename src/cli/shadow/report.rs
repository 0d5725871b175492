//! `poolshift shadow report`.

use std::path::PathBuf;

use clap::Args;
use poolshift::config::Survey;
use poolshift::report::shadow::ShadowReport;
use poolshift::shadow::Evidence;

use crate::cli::failure::Failure;
use crate::cli::shadow::{Telling, tell};

/// Reads stores of compared answers, also while they are written.
#[derive(Debug, Args)]
#[command(after_help = READING)]
pub(crate) struct ReportArgs {
    /// The stores [default: the config's `[shadow] store`]
    #[arg(value_name = "STORE")]
    stores: Vec<PathBuf>,
    #[command(flatten)]
    telling: Telling,
}

const READING: &str = "A path is a mismatch if the lanes differ there more often than a lane \
                       differs from itself: three pairs at least, and the 99 % interval of the \
                       difference above zero. compared = matched + mismatched + undecided + \
                       noise.";

pub(super) fn report(survey: Survey, args: ReportArgs, as_json: bool) -> Result<(), Failure> {
    let stores = match args.stores.is_empty() {
        true => vec![survey.config?.shadow.store],
        false => args.stores,
    };
    let page = args.telling.page(&stores)?;
    let mut evidence = Evidence::default();
    for store in &stores {
        evidence.merge(Evidence::read(store)?);
    }
    tell(&ShadowReport::of(&evidence), &args.telling, page, as_json)
}
