//! A report as one page: everything in it, nothing loaded, light or dark as the reader likes.

mod sections;

use std::fmt::Write as _;

use crate::clock::millis;
use crate::report::chart::quantiles::{self, Curve};
use crate::report::chart::{gantt, split, timeline};
use crate::report::compare::Comparison;
use crate::report::contrast::Contrast;
use crate::report::html::sections::{
    comparison_table, figures, findings, outcome_table, predictions, slowest, split_table,
};
use crate::report::kind::Span;
use crate::report::markup::{STYLE, escaped, utc};
use crate::report::record::{ClockKind, LeftOut, Origin, RunRecord};
use crate::report::run::Run;
use crate::report::verdict::Verdict;

/// What reports of runs have beyond that.
const OWN_STYLE: &str = include_str!("page.css");

/// The page of one run.
#[must_use]
pub fn page(run: &Run, verdict: &Verdict, lanes: Option<&Comparison>) -> String {
    let mut body = head(&run.name, run, verdict);
    section(
        &mut body,
        "Response times",
        "in milliseconds, from each call's planned arrival",
        &[outcome_table(run)],
    );
    if let Some(lanes) = lanes {
        let intro = "good answers of the whole run by quantile, also of times when only one lane \
                     had calls; each further nine is as wide as the one before";
        section(&mut body, "V3 beside V2", intro, &[lane_curves(run), comparison_table(lanes)]);
    } else {
        let intro = "by quantile; each further nine is as wide as the one before";
        section(&mut body, "The tail", intro, &[lane_curves(run)]);
    }
    let intro = "median as a line, the longest of each slice of time faint above it, by planned \
                 arrival; shaded: steps of the rollout, and a kill until its slot served again";
    section(&mut body, "Over time", intro, &[legend(run), timeline::response(run)]);
    if let Some(record) = &run.record {
        of_record(&mut body, run, record);
    }
    document(&run.name, &body)
}

/// The page of two runs side by side.
#[must_use]
pub fn comparison_page(runs: [(&Run, &Verdict); 2], contrast: &Contrast) -> String {
    let [(left, left_verdict), (right, right_verdict)] = runs;
    let title = format!("{} against {}", right.name, left.name);
    let class = if contrast.is_bad() { "verdict bad" } else { "verdict" };
    let (name, word) = (escaped(&title), contrast.word());
    let mut body = format!("<h1>{name}</h1><p class=\"{class}\">{word}</p>");
    body.push_str(&findings(&contrast.findings()));
    for both in &contrast.comparisons {
        let lane = both.lane.map_or_else(String::new, |lane| lane.to_string());
        let ok = |run: &Run| {
            run.series(Span::Response, |kind| {
                kind.lane == both.lane && kind.ending.as_str() == "ok"
            })
        };
        let (old, new) = (ok(left), ok(right));
        let curves = [
            Curve { class: &format!("{lane} before"), name: &left.name, series: &old },
            Curve { class: &lane, name: &right.name, series: &new },
        ];
        let intro = "good answers; the first run is dashed";
        let parts = [quantiles::chart(&curves), comparison_table(both)];
        section(&mut body, &format!("Lane {lane}"), intro, &parts);
    }
    for (run, verdict) in [(left, left_verdict), (right, right_verdict)] {
        let parts = [findings(&verdict.findings), outcome_table(run)];
        section(&mut body, &run.name, verdict.word(), &parts);
    }
    document(&title, &body)
}

/// Which line is whose.
fn legend(run: &Run) -> String {
    let lane = |lane| format!("<span class=\"{lane}\">&#9473;&#9473; {lane}</span>");
    let lanes: String = run.lanes().into_iter().map(lane).collect();
    format!("<p class=\"legend\">{lanes}</p>")
}

fn head(title: &str, run: &Run, verdict: &Verdict) -> String {
    let class = if verdict.is_valid() { "verdict" } else { "verdict bad" };
    let mut body =
        format!("<h1>{}</h1><p class=\"{class}\">{}</p>", escaped(title), verdict.word());
    body.push_str(&findings(&verdict.findings));
    body.push_str(&figures(run, verdict));
    body
}

fn of_record(body: &mut String, run: &Run, record: &RunRecord) {
    let intro = "calls that waited for a worker at the end of each slice of time";
    section(body, "The queue", intro, &[legend(run), timeline::waiting(run, record)]);
    if !record.workers.is_empty() {
        let intro = "darker is busier; an upright line is where a new process took over a slot";
        let mut parts = vec![gantt::chart(record)];
        let LeftOut { workers, lives, .. } = record.left_out;
        if workers + lives > 0 {
            parts.push(format!(
                "<p class=\"soft\">not shown: {workers} slots, and {lives} processes of those \
                 that are</p>"
            ));
        }
        section(body, "The workers", intro, &parts);
    }
    let means = |lane| {
        let mean = |span| millis(run.series(span, |kind| kind.lane == Some(lane)).mean());
        let [wait_ms, service_ms, lag_ms] = [Span::Wait, Span::Service, Span::Lag].map(mean);
        split::Split { lane, wait_ms, service_ms, lag_ms }
    };
    let splits: Vec<split::Split> = run.lanes().into_iter().map(means).collect();
    let intro = "means, since only they add up; below, their quantiles in milliseconds";
    section(body, "What the time went into", intro, &[split::chart(&splits), split_table(run)]);
    if !record.predictions.is_empty() || record.unpredicted.is_some() {
        let intro = "what queueing theory expects of such a load";
        section(body, "Beside the formula", intro, &[predictions(record)]);
    }
    if !record.slowest.is_empty() {
        section(body, "The slowest calls", "and what held them up", &[slowest(record)]);
    }
    let command = escaped(&record.origin.command);
    section(body, "Again", &origin(record), &[format!("<pre>{command}</pre>")]);
}

/// What made the run, and when.
fn origin(record: &RunRecord) -> String {
    let Origin { tool, seed, clock, .. } = &record.origin;
    let seed = seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
    match clock {
        ClockKind::Real => format!("made by {tool}{seed}, begun {}", utc(record.began_unix_s)),
        ClockKind::Virtual => format!("made by {tool}{seed}, in virtual time, which has no date"),
    }
}

fn section(body: &mut String, title: &str, intro: &str, parts: &[String]) {
    let (title, intro) = (escaped(title), escaped(intro));
    let _ = write!(body, "<h2>{title}</h2><p class=\"soft\">{intro}</p>");
    parts.iter().for_each(|part| body.push_str(part));
}

fn lane_curves(run: &Run) -> String {
    let lanes = run.lanes();
    let good = |lane| {
        run.series(Span::Response, |kind| kind.lane == Some(lane) && kind.ending.as_str() == "ok")
    };
    let series: Vec<_> = lanes.iter().map(|lane| good(*lane)).collect();
    let curves: Vec<Curve<'_>> = lanes
        .iter()
        .zip(&series)
        .map(|(lane, series)| Curve { class: lane.as_str(), name: lane.as_str(), series })
        .collect();
    quantiles::chart(&curves)
}

fn document(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}: latency</title>\n<style>\n{STYLE}{OWN_STYLE}</style>\n</head>\n\
         <body>\n{body}\n\
         <footer>poolshift {}; this page loads nothing</footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    )
}
