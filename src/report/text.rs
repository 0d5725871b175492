//! A report for a terminal: verdict first.

use std::fmt::Write as _;

use crate::report::bootstrap::METHOD;
use crate::report::compare::{Comparison, Difference};
use crate::report::contrast::Contrast;
use crate::report::markup::printable;
use crate::report::quantiles::{QUANTILES, Row, outcomes, split};
use crate::report::record::{ClockKind, MarkKind, RunRecord};
use crate::report::run::Run;
use crate::report::story::story;
use crate::report::verdict::{Finding, Grade, Verdict};

/// The whole report of one run.
#[must_use]
pub fn report(run: &Run, verdict: &Verdict, lanes: Option<&Comparison>) -> String {
    let mut text = head(run, verdict);
    let _ = write!(text, "\n{}", tables(run));
    if let Some(lanes) = lanes {
        let _ = write!(text, "\n{}", comparison(lanes));
    }
    let Some(record) = &run.record else { return text };
    predictions(&mut text, record);
    slowest(&mut text, record);
    let _ = writeln!(text, "\nagain: {}", printable(&record.origin.command));
    text
}

/// Two runs side by side.
#[must_use]
pub fn contrast(runs: [(&Run, &Verdict); 2], contrast: &Contrast) -> String {
    let [(left, _), (right, _)] = runs;
    let names = (printable(&right.name), printable(&left.name));
    let mut text = format!("{}: {} against {}\n", contrast.word(), names.0, names.1);
    findings(&mut text, &contrast.findings());
    for both in &contrast.comparisons {
        let _ = write!(text, "\n{}", comparison(both));
    }
    for (run, verdict) in runs {
        let _ = write!(text, "\n{}", head(run, verdict));
    }
    text
}

/// The verdict, and what it stands on.
#[must_use]
pub fn head(run: &Run, verdict: &Verdict) -> String {
    let mut text = format!("{}: {}", verdict.word(), printable(&run.name));
    if let Some(record) = &run.record {
        let time = match record.origin.clock {
            ClockKind::Real => "",
            ClockKind::Virtual => " of virtual time",
        };
        let seed = record.origin.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
        let (tool, lasted) = (printable(&record.origin.tool), record.lasted_s);
        let _ = write!(text, ", {lasted:.2} s{time}, {tool}{seed}");
    }
    text.push('\n');
    findings(&mut text, &verdict.findings);
    text
}

fn findings(text: &mut String, findings: &[Finding]) {
    for finding in findings {
        let mark = match finding.grade {
            Grade::Good => ' ',
            Grade::Note => '-',
            Grade::Invalid | Grade::Failed => '!',
        };
        let _ = writeln!(text, "{mark} {}", printable(&finding.text));
    }
}

/// Response times by lane and outcome, then what they are made of.
#[must_use]
pub fn tables(run: &Run) -> String {
    let mut text = String::new();
    table(&mut text, "response, ms", &outcomes(run));
    let split = split(run);
    if !split.is_empty() {
        text.push('\n');
        table(&mut text, "made of, ms", &split);
    }
    text
}

fn table(text: &mut String, title: &str, rows: &[Row]) {
    // p99.99 takes 100,000 calls: a column of dashes says nothing.
    let has = |index: &usize| rows.iter().any(|row| row.quantiles_ms[*index].is_some());
    let columns: Vec<usize> =
        (0..QUANTILES.len()).filter(|index| *index < 4 || has(index)).collect();
    let _ = write!(text, "{title:<19}{:>9}", "calls");
    for index in &columns {
        let _ = write!(text, "{:>10}", QUANTILES[*index].1);
    }
    let _ = writeln!(text, "{:>13}{:>13}", "max", "mean");
    for row in rows {
        let name = if row.is_part { format!("  {}", row.name) } else { row.name.clone() };
        let _ = write!(text, "{name:<19}{:>9}", row.calls);
        for index in &columns {
            let shown = row.quantiles_ms[*index].map(|ms| format!("{ms:.3}"));
            let _ = write!(text, "{:>10}", shown.unwrap_or_else(|| "-".to_owned()));
        }
        let _ = writeln!(text, "{:>13.3}{:>13.3}", row.max_ms, row.mean_ms);
    }
}

/// Two series side by side.
#[must_use]
pub fn comparison(both: &Comparison) -> String {
    let lane = both.lane.map_or_else(String::new, |lane| format!("{lane}, "));
    let (left, right) = (printable(&both.left), printable(&both.right));
    let mut text = format!("{lane}good answers: {right} against {left}\n");
    let (left, right) = (clipped(&both.left), clipped(&both.right));
    let _ = writeln!(text, "{:<8}{left:>13}{right:>13}{:>12}{:>24}", "", "change", "95 % interval");
    for quantile in &both.quantiles {
        let Difference { quantile: name, left_ms, right_ms, change, .. } = quantile;
        let interval = quantile.change_interval.map_or_else(
            || "run too short".to_owned(),
            |[low, high]| format!("{:+.1} % to {:+.1} %", low * 100.0, high * 100.0),
        );
        let clear = if quantile.is_clear() { "" } else { "  may be chance" };
        let change = format!("{:+.1} %", change * 100.0);
        let _ = writeln!(
            text,
            "{name:<8}{left_ms:>13.3}{right_ms:>13.3}{change:>12}{interval:>24}{clear}"
        );
    }
    let (left, right) = (both.left_failed * 100.0, both.right_failed * 100.0);
    let _ = writeln!(text, "{:<8}{left:>11.2} %{right:>11.2} %", "failed");
    let _ = writeln!(text, "{METHOD}");
    text
}

fn clipped(name: &str) -> String {
    printable(name).chars().take(12).collect()
}

fn predictions(text: &mut String, record: &RunRecord) {
    if !record.predictions.is_empty() {
        let _ =
            writeln!(text, "\n{:<34}{:>12}{:>12}", "beside the formula", "measured", "expected");
    }
    for expected in &record.predictions {
        let name = format!("{} {}", expected.lane, printable(&expected.figure));
        let (measured, formula) = (expected.measured, expected.expected);
        let _ = writeln!(
            text,
            "{name:<34}{measured:>12.4}{formula:>12.4}  {}",
            printable(&expected.by)
        );
    }
    if let Some(why) = &record.unpredicted {
        let _ = writeln!(text, "\nno formula: {}", printable(why));
    }
}

fn slowest(text: &mut String, record: &RunRecord) {
    let kills: Vec<_> = record.marks.iter().filter(|mark| mark.what != MarkKind::Step).collect();
    if !kills.is_empty() {
        let _ = writeln!(text, "\nwhat happened");
        const SHOWN: usize = 10;
        for mark in kills.iter().take(SHOWN) {
            let _ = writeln!(text, "{:>9.3} s  {}", mark.from_ms / 1e3, printable(&mark.label));
        }
        let more = kills.len().saturating_sub(SHOWN) as u64 + record.left_out.marks;
        if more > 0 {
            let _ = writeln!(text, "{:>9}    and {more} more", "");
        }
    }
    if !record.slowest.is_empty() {
        let _ = writeln!(text, "\nthe slowest calls");
    }
    for call in &record.slowest {
        let _ = writeln!(text, "{:>9.3} ms  {}", call.response_ms, printable(&story(call, record)));
    }
}
