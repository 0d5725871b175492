//! The report as one HTML page: style inline, no script, nothing fetched.

use std::fmt::Write as _;

use crate::report::markup::{STYLE, escaped};
use crate::report::shadow::{
    CommandReport, PathReport, Rate, ShadowReport, Times, moment, percent, short,
};
use crate::router::compare::noise::Standing;
use crate::shadow::sample::Sample;

/// What this page has beyond the others.
const OWN_STYLE: &str = include_str!("page.css");

/// Further paths are told by their number; JSON has all of them.
const MAX_PATHS: usize = 200;

/// A value longer than this is cut where calls stand below each other.
const MAX_VALUE: usize = 120;

pub(super) fn html(report: &ShadowReport) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>V2 beside V3: compared answers</title>\n<style>\n{STYLE}{OWN_STYLE}</style>\n\
         <h1>Does <span class=\"v3\">V3</span> answer as <span class=\"v2\">V2</span> does?</h1>\n"
    );
    verdict(&mut page, report);
    figures(&mut page, report);
    commands(&mut page, &report.commands);
    for (standing, title, about) in [
        (
            Standing::Mismatch,
            "Mismatches",
            "Paths in which the lanes differ more often than a lane differs from itself.",
        ),
        (
            Standing::Undecided,
            "Undecided",
            "Too few pairs, or too few of a lane with itself, to tell a mismatch from noise.",
        ),
        (
            Standing::Noise,
            "Noise",
            "A lane differs from itself here; the rules below silence exactly these paths.",
        ),
    ] {
        let of_this: Vec<&PathReport> =
            report.by_path.iter().filter(|path| path.standing == standing).collect();
        section(&mut page, title, about, &of_this);
    }
    if !report.proposals.is_empty() {
        let _ = write!(
            page,
            "<h2>Rules for the noise</h2>\n<p class=\"soft\">Ready to be added at the end of \
             poolshift.toml.</p>\n<pre>{}</pre>\n",
            escaped(&report.proposals)
        );
    }
    page.push_str(
        "<footer>\n<p>Bars run from 0 to 100 %: the mark is the share of pairs that differ, the \
         band its interval; the thin one below is a lane with itself.</p>\n\
         <p>Intervals are 99 %: Wilson's for a share, Newcombe's (1998, method 10) for \
         the difference of two. They are made for looking now and then, not for a decision that \
         looks all the time. A mismatch needs three pairs at least.</p>\n\
         <p>Values are redacted and cut; paths have * for indices. Percentiles are told from ten \
         calls beyond them on.</p>\n</footer>\n</html>\n",
    );
    page
}

/// The answer to the question above it.
fn verdict(page: &mut String, report: &ShadowReport) {
    let pairs = &report.pairs;
    let told = match (pairs.compared, pairs.mismatched, pairs.undecided) {
        (0, ..) => "Nothing has been compared.".to_owned(),
        (of, 0, 0) => format!("Yes, in all {of} pairs, noise aside."),
        (of, 0, open) => format!("No mismatch is proven in {of} pairs; {open} are undecided."),
        (of, bad, _) => {
            let share = percent(bad as f64 / of as f64);
            format!("No: {bad} of {of} pairs are mismatched ({share}).")
        }
    };
    let _ = writeln!(page, "<p>{told}</p>");
    if pairs.noise_pairs == 0 && pairs.compared > 0 {
        page.push_str(
            "<p class=\"soft\">Noise was not measured, so every difference counts as a \
             mismatch.</p>\n",
        );
    }
    if report.damaged_samples > 0 {
        let _ = writeln!(
            page,
            "<p class=\"soft\">{} samples cannot be read.</p>",
            report.damaged_samples
        );
    }
}

fn figures(page: &mut String, report: &ShadowReport) {
    let pairs = &report.pairs;
    page.push_str("<dl class=\"figures\">\n");
    let mut figure = |name: &str, count: u64, bad: bool| {
        let class = if bad && count > 0 { " class=\"bad\"" } else { "" };
        let name = escaped(name);
        let _ = writeln!(page, "<div{class}><dt>{name}</dt><dd>{count}</dd></div>");
    };
    figure("compared", pairs.compared, false);
    figure("matched", pairs.matched, false);
    figure("mismatched", pairs.mismatched, true);
    figure("undecided", pairs.undecided, false);
    figure("noise only", pairs.noise, false);
    figure("by rules", pairs.ignored, false);
    figure("both timed out", pairs.unknown, false);
    for (reason, count) in &pairs.skipped {
        figure(&format!("skipped: {}", reason.replace('_', " ")), *count, false);
    }
    figure("noise pairs", pairs.noise_pairs, false);
    page.push_str("</dl>\n");
}

fn commands(page: &mut String, commands: &[CommandReport]) {
    page.push_str(
        "<h2>Commands</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>command</th>\
         <th>compared</th><th>mismatched</th><th>share</th><th>99 % interval</th></tr></thead>\n\
         <tbody>\n",
    );
    for CommandReport { command, pairs, rate, .. } in commands {
        let _ = writeln!(
            page,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td><td>{} – {}</td></tr>",
            escaped(command),
            pairs.compared,
            pairs.mismatched,
            percent(rate.value),
            percent(rate.low),
            percent(rate.high)
        );
    }
    page.push_str(
        "</tbody></table></div>\n<h2>Time of the same calls in both lanes, in ms</h2>\n\
         <div class=\"wide\"><table>\n<thead><tr><th>command</th><th>lane</th>\
         <th>p50</th><th>p90</th><th>p99</th><th>longest</th></tr></thead>\n",
    );
    for CommandReport { command, v2, v3, .. } in commands {
        let (command, v2, v3) = (escaped(command), times("v2", v2), times("v3", v3));
        let _ = writeln!(
            page,
            "<tbody><tr><td rowspan=\"2\"><code>{command}</code></td>{v2}</tr><tr>{v3}</tr></tbody>"
        );
    }
    page.push_str("</table></div>\n");
}

fn times(lane: &str, times: &Times) -> String {
    let name = lane.to_uppercase();
    let mut cells = format!("<td class=\"{lane}\">{name}</td>");
    for millis in [times.p50_ms, times.p90_ms, times.p99_ms, times.max_ms] {
        let shown = millis.map_or("–".to_owned(), |millis| format!("{millis:.2}"));
        let _ = write!(cells, "<td>{shown}</td>");
    }
    cells
}

fn section(page: &mut String, title: &str, about: &str, paths: &[&PathReport]) {
    if paths.is_empty() {
        return;
    }
    let _ = writeln!(page, "<h2>{title}</h2>\n<p class=\"soft\">{about}</p>");
    for path in paths.iter().take(MAX_PATHS) {
        article(page, path);
    }
    if paths.len() > MAX_PATHS {
        let more = paths.len() - MAX_PATHS;
        let _ = writeln!(page, "<p class=\"soft\">And {more} more, in the JSON report.</p>");
    }
}

fn article(page: &mut String, path: &PathReport) {
    let _ = write!(
        page,
        "<article>\n<header><code>{}</code> <code class=\"soft\">{}</code> \
         <span class=\"kind\">{}</span> <span class=\"count\">{} of {} \
         <span class=\"soft\">({} – {})</span></span></header>\n",
        escaped(path.shown_path()),
        escaped(&path.command),
        path.kind.as_str(),
        path.count,
        path.compared,
        percent(path.rate.low),
        percent(path.rate.high)
    );
    bar(page, "of both lanes", path.rate);
    if path.noise_pairs > 0 {
        bar(page, "of a lane with itself", path.noise_rate);
    }
    let _ = writeln!(
        page,
        "<p class=\"soft\">a lane with itself: {} of {} · first <time>{}</time> · last \
         <time>{}</time></p>",
        path.noise_count,
        path.noise_pairs,
        moment(path.first_seen_s),
        moment(path.last_seen_s)
    );
    if let Some(sample) = &path.sample {
        newest(page, sample);
    }
    if path.samples.len() > 1 {
        others(page, &path.samples);
    }
    page.push_str("</article>\n");
}

fn newest(page: &mut String, sample: &Sample) {
    let session = sample.session.as_ref().map(|name| format!(" · session {}", escaped(name)));
    let _ = write!(
        page,
        "<dl class=\"pair\"><dt class=\"v2\">V2</dt><dd>{}</dd>\
         <dt class=\"v3\">V3</dt><dd>{}</dd></dl>\n<details><summary>the newest call\
         </summary><p class=\"soft\">call <code>{}</code>{} · at <code>{}</code></p>\
         <code>{}</code></details>\n",
        told(sample.v2.as_deref()),
        told(sample.v3.as_deref()),
        escaped(&sample.id),
        session.unwrap_or_default(),
        escaped(if sample.path.is_empty() { "(the answer)" } else { &sample.path }),
        escaped(&sample.args)
    );
}

/// The calls that are kept, without their args.
fn others(page: &mut String, samples: &[Sample]) {
    let _ = writeln!(
        page,
        "<details><summary>{} calls that are kept: the first, some between, the newest\
         </summary><div class=\"wide\"><table>",
        samples.len()
    );
    for sample in samples {
        let value = |value: &Option<String>| {
            let value = value.as_deref().map(|value| short(value, MAX_VALUE));
            told(value.as_deref())
        };
        let _ = writeln!(
            page,
            "<tr><td><code>{}</code></td><td><time>{}</time></td>\
             <td class=\"v2\">{}</td><td class=\"v3\">{}</td></tr>",
            escaped(&sample.id),
            moment(Some(sample.at_s)),
            value(&sample.v2),
            value(&sample.v3)
        );
    }
    page.push_str("</table></div></details>\n");
}

fn told(value: Option<&str>) -> String {
    match value {
        Some(value) => format!("<code>{}</code>", escaped(value)),
        None => "<span class=\"soft\">nothing</span>".to_owned(),
    }
}

/// A share on a line from 0 to 100 %, with its interval.
fn bar(page: &mut String, whose: &str, rate: Rate) {
    let Rate { value, low, high } = rate;
    let _ = writeln!(
        page,
        "<div class=\"rate\" role=\"img\" aria-label=\"{} of the pairs {whose}\">\
         <span style=\"left:{:.2}%;width:{:.2}%\"></span><b style=\"left:{:.2}%\"></b></div>",
        percent(value),
        low * 100.0,
        (high - low) * 100.0,
        value * 100.0
    );
}
