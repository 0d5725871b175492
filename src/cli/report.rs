//! `poolshift report`: a run's latency report, or two runs side by side.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use poolshift::report::compare::{self, Comparison};
use poolshift::report::contrast::Contrast;
use poolshift::report::files::{FileError, load};
use poolshift::report::html;
use poolshift::report::kind::{Span, Tag};
use poolshift::report::outputs::{Page, write_hgrm};
use poolshift::report::quantiles::{Row, outcomes, split};
use poolshift::report::record::RunRecord;
use poolshift::report::run::Run;
use poolshift::report::text;
use poolshift::report::verdict::Verdict;
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::stdout;

#[derive(Debug, Args)]
#[command(after_help = "Exits 3 if --max-regression is given and FILE2 is worse than FILE: a \
    quantile of the good answers is longer by more than P % and by more than chance, or one call \
    in a hundred more failed; or if the two cannot be compared: a run is not valid, or they had \
    not the same load or lanes, or too few good answers.")]
pub(crate) struct ReportArgs {
    /// A log that `run --hlog`, `demo --hlog` or `poolshift-sim run --hlog` wrote
    #[arg(value_name = "FILE.hlog")]
    file: PathBuf,
    /// A second one, to be compared with the first
    #[arg(value_name = "FILE2.hlog")]
    second: Option<PathBuf>,
    /// Write the report as one page, which loads nothing from anywhere
    #[arg(long, value_name = "OUT")]
    html: Option<PathBuf>,
    /// Write the percentiles of each lane into this folder, for HdrHistogram's plotter
    #[arg(long, value_name = "DIR", conflicts_with = "second")]
    hgrm: Option<PathBuf>,
    /// By how many percent a quantile may be longer in FILE2
    #[arg(long, value_name = "P", requires = "second", value_parser = percent)]
    max_regression: Option<f64>,
}

impl ReportArgs {
    /// The page, which must not replace a log or the record beside it.
    fn page(&self) -> Result<Option<Page>, FileError> {
        let Some(path) = &self.html else { return Ok(None) };
        let logs = [Some(&self.file), self.second.as_ref()];
        let read = logs.into_iter().flatten().flat_map(|log| [log.clone(), RunRecord::path(log)]);
        let read: Vec<PathBuf> = read.collect();
        Page::create(path, read.iter().map(PathBuf::as_path)).map(Some)
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.parse().ok().filter(|percent| (0.0..=1e6).contains(percent));
    percent.ok_or_else(|| "must be a number of percent, 0 or more".to_owned())
}

/// One run, as JSON.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    #[serde(flatten)]
    verdict: &'a Verdict,
    /// Each histogram of the log.
    tags: BTreeMap<String, Row>,
    outcomes: Vec<Row>,
    split: Vec<Row>,
    v3_over_v2: Option<Comparison>,
    record: Option<&'a RunRecord>,
}

impl<'a> Told<'a> {
    fn of(run: &'a Run, verdict: &'a Verdict) -> Self {
        let mut tags = BTreeMap::new();
        for (kind, spans) in run.whole() {
            for span in Span::ALL {
                let tag = Tag { kind: *kind, span }.to_string();
                let row = Row::of(tag.clone(), kind.lane, false, spans.of(span));
                tags.insert(tag, row);
            }
        }
        Self {
            name: &run.name,
            verdict,
            tags,
            outcomes: outcomes(run),
            split: split(run),
            v3_over_v2: compare::lanes(run),
            record: run.record.as_ref(),
        }
    }
}

/// Two runs, as JSON.
#[derive(Serialize)]
struct Compared<'a> {
    verdict: &'static str,
    runs: [Told<'a>; 2],
    #[serde(flatten)]
    contrast: &'a Contrast,
}

pub(crate) fn report(args: &ReportArgs, json: bool) -> Result<(), Failure> {
    let page = args.page()?;
    let run = load(&args.file)?;
    let verdict = Verdict::of(&run);
    if let Some(second) = &args.second {
        return report_two((&run, &verdict), &load(second)?, args, page, json);
    }
    let lanes = compare::lanes(&run);
    if let Some(page) = page {
        let written = page.write(&html::page(&run, &verdict, lanes.as_ref()))?;
        stdout::aside(&format!("written: {written}"));
    }
    if let Some(folder) = &args.hgrm {
        let written = write_hgrm(folder, &run)?;
        let names: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        stdout::aside(&format!("written: {}", names.join(", ")));
    }
    match json {
        true => stdout::json(&Told::of(&run, &verdict)),
        false => stdout::text(&text::report(&run, &verdict, lanes.as_ref())),
    }
}

fn report_two(
    (run, verdict): (&Run, &Verdict),
    second: &Run,
    args: &ReportArgs,
    page: Option<Page>,
    json: bool,
) -> Result<(), Failure> {
    let second_verdict = Verdict::of(second);
    let runs = [(run, verdict), (second, &second_verdict)];
    let most = args.max_regression.map(|percent| percent / 100.0);
    let contrast = Contrast::of(runs[0], runs[1], most);
    if let Some(page) = page {
        stdout::aside(&format!(
            "written: {}",
            page.write(&html::comparison_page(runs, &contrast))?
        ));
    }
    let told = if json {
        let (verdict, contrast) = (contrast.word(), &contrast);
        let runs = runs.map(|(run, verdict)| Told::of(run, verdict));
        stdout::json(&Compared { verdict, runs, contrast })
    } else {
        stdout::text(&text::contrast(runs, &contrast))
    };
    // The gate first: it holds for a reader who has gone, too.
    match contrast.regressions.is_empty() {
        true => told,
        false => Err(Failure::Gate(contrast.regressions.join("\n  "))),
    }
}
