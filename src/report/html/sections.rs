//! The tables and lists of a page.

use std::fmt::Write as _;

use crate::report::bootstrap::METHOD;
use crate::report::compare::{Comparison, Difference};
use crate::report::markup::escaped;
use crate::report::quantiles::{QUANTILES, Row, outcomes, split};
use crate::report::record::{ClockKind, Load, RunRecord};
use crate::report::run::Run;
use crate::report::story::story;
use crate::report::verdict::{Finding, Grade, Verdict};

pub(super) fn findings(findings: &[Finding]) -> String {
    let item = |grade: Grade, text: &str| {
        let class = match grade {
            Grade::Good => "good",
            Grade::Note => "note",
            Grade::Invalid | Grade::Failed => "bad",
        };
        format!("<li class=\"{class}\">{}</li>", escaped(text))
    };
    let items: String = findings.iter().map(|finding| item(finding.grade, &finding.text)).collect();
    format!("<ul class=\"findings\">{items}</ul>")
}

/// The figures that a reader looks for first.
pub(super) fn figures(run: &Run, verdict: &Verdict) -> String {
    let mut boxes = Vec::new();
    let mut add = |name: &str, value: String| {
        boxes.push(format!("<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(&value)));
    };
    let calls: u64 =
        outcomes(run).iter().filter(|row| !row.is_part).map(|row| row.calls).max().unwrap_or(0);
    add("calls", calls.to_string());
    if let Some(record) = &run.record {
        let time = match record.origin.clock {
            ClockKind::Real => "seconds",
            ClockKind::Virtual => "virtual seconds",
        };
        add(time, format!("{:.2}", record.lasted_s));
        if let Load::Closed { concurrency } = record.load {
            add("callers", concurrency.to_string());
        }
    }
    if let Some(offered) = verdict.offered_per_s {
        add("offered a second", format!("{offered:.1}"));
    }
    add("answered a second", format!("{:.1}", verdict.achieved_per_s));
    if let Some(record) = run.record.as_ref().filter(|record| record.books.audited) {
        add("lost, duplicated", format!("{}, {}", record.books.lost, record.books.duplicated));
    }
    format!("<dl class=\"figures\">{}</dl>", boxes.concat())
}

pub(super) fn outcome_table(run: &Run) -> String {
    table(&outcomes(run))
}

pub(super) fn split_table(run: &Run) -> String {
    table(&split(run))
}

fn table(rows: &[Row]) -> String {
    let has = |index: &usize| rows.iter().any(|row| row.quantiles_ms[*index].is_some());
    let columns: Vec<usize> =
        (0..QUANTILES.len()).filter(|index| *index < 4 || has(index)).collect();
    let mut out = String::from("<div class=\"wide\"><table><thead><tr><th></th><th>calls</th>");
    for index in &columns {
        let _ = write!(out, "<th>{}</th>", QUANTILES[*index].1);
    }
    out.push_str("<th>max</th><th>mean</th></tr></thead><tbody>");
    for row in rows {
        let lane = row.lane.map_or_else(String::new, |lane| lane.to_string());
        let class = if row.is_part { "part" } else { "sum" };
        let name = escaped(&row.name);
        let _ = write!(
            out,
            "<tr class=\"{class}\"><td class=\"{lane}\">{name}</td><td>{}</td>",
            row.calls
        );
        for index in &columns {
            let shown = row.quantiles_ms[*index].map(|ms| format!("{ms:.3}"));
            let _ = write!(out, "<td>{}</td>", shown.as_deref().unwrap_or("&ndash;"));
        }
        let _ = write!(out, "<td>{:.3}</td><td>{:.3}</td></tr>", row.max_ms, row.mean_ms);
    }
    out.push_str("</tbody></table></div>");
    out
}

pub(super) fn comparison_table(both: &Comparison) -> String {
    let (left, right) = (escaped(&both.left), escaped(&both.right));
    let mut out = format!(
        "<div class=\"wide\"><table><thead><tr><th></th><th>{left}</th><th>{right}</th>\
         <th>difference</th><th>95 % interval</th><th>change</th><th>95 % interval</th></tr>\
         </thead><tbody>"
    );
    for quantile in &both.quantiles {
        let Difference { quantile: name, left_ms, right_ms, difference_ms, change, .. } = quantile;
        let class = if quantile.is_clear() { "" } else { "soft" };
        let interval = |interval: Option<[f64; 2]>, factor: f64, digits: usize, unit: &str| {
            interval.map_or_else(
                || "run too short".to_owned(),
                |[low, high]| {
                    format!("{:+.digits$} to {:+.digits$}{unit}", low * factor, high * factor)
                },
            )
        };
        let difference_interval = interval(quantile.difference_interval_ms, 1.0, 3, " ms");
        let change_interval = interval(quantile.change_interval, 100.0, 1, " %");
        let _ = write!(
            out,
            "<tr class=\"{class}\"><td>{name}</td><td>{left_ms:.3}</td><td>{right_ms:.3}</td>\
             <td>{difference_ms:+.3} ms</td><td>{difference_interval}</td>\
             <td>{:+.1} %</td><td>{change_interval}</td></tr>",
            change * 100.0
        );
    }
    let (left, right) = (both.left_failed * 100.0, both.right_failed * 100.0);
    let _ = write!(
        out,
        "<tr><td>failed</td><td>{left:.2} %</td><td>{right:.2} %</td><td colspan=\"4\"></td></tr>\
         </tbody></table></div><p class=\"soft\">{METHOD}. Faint rows may be chance.</p>"
    );
    out
}

pub(super) fn predictions(record: &RunRecord) -> String {
    let mut out = String::new();
    if !record.predictions.is_empty() {
        out.push_str(
            "<div class=\"wide\"><table><thead><tr><th></th><th>measured</th><th>expected</th>\
             <th></th></tr></thead><tbody>",
        );
        for expected in &record.predictions {
            let (lane, figure, by) =
                (expected.lane, escaped(&expected.figure), escaped(&expected.by));
            let (measured, formula) = (expected.measured, expected.expected);
            let _ = write!(
                out,
                "<tr><td class=\"{lane}\">{lane} {figure}</td><td>{measured:.4}</td>\
                 <td>{formula:.4}</td><td class=\"soft\">{by}</td></tr>"
            );
        }
        out.push_str("</tbody></table></div>");
    }
    if let Some(why) = &record.unpredicted {
        let _ = write!(out, "<p>No exact formula: {}.</p>", escaped(why));
    }
    out
}

pub(super) fn slowest(record: &RunRecord) -> String {
    let mut out = String::from("<ol class=\"slowest\">");
    for call in &record.slowest {
        let lane = call.kind.split('.').next().unwrap_or_default();
        let told = escaped(&story(call, record));
        let ms = call.response_ms;
        let _ = write!(out, "<li><b class=\"{}\">{ms:.1} ms</b> {told}</li>", escaped(lane));
    }
    out.push_str("</ol>");
    out
}
