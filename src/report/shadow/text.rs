//! The report for a terminal.

use std::fmt::Write as _;

use crate::report::markup::printable;
use crate::report::shadow::{PathReport, ShadowReport, Times, moment, percent, short};
use crate::router::compare::noise::Standing;

/// Further paths are told by their number; JSON has all of them.
const MAX_PATHS: usize = 40;

/// A value longer than this is cut in a terminal.
const MAX_VALUE: usize = 72;

pub(super) fn text(report: &ShadowReport) -> String {
    let mut text = summary(report);
    commands(&mut text, report);
    for (standing, title) in [
        (Standing::Mismatch, "mismatches"),
        (Standing::Undecided, "undecided: too few pairs, or too few of a lane with itself"),
        (Standing::Noise, "noise: a lane differs from itself there"),
    ] {
        let of_this: Vec<&PathReport> =
            report.by_path.iter().filter(|path| path.standing == standing).collect();
        paths(&mut text, title, &of_this);
    }
    if !report.proposals.is_empty() {
        let _ = write!(text, "\nto silence the noise, add to the config:\n\n{}", report.proposals);
    }
    text
}

fn summary(report: &ShadowReport) -> String {
    let pairs = &report.pairs;
    let mut text = format!(
        "{} compared: {} matched ({} by rules), {} mismatched, {} undecided, {} noise\n",
        pairs.compared,
        pairs.matched,
        pairs.ignored,
        pairs.mismatched,
        pairs.undecided,
        pairs.noise
    );
    let skipped: Vec<String> =
        pairs.skipped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let skipped = if skipped.is_empty() { "none".to_owned() } else { skipped.join(", ") };
    let _ = writeln!(
        text,
        "{} unknown (both timed out); skipped: {skipped}; {} pairs of a lane with itself",
        pairs.unknown, pairs.noise_pairs
    );
    if pairs.noise_pairs == 0 && pairs.compared > 0 {
        text.push_str("note: noise was not measured, so every difference counts as a mismatch\n");
    }
    if report.damaged_samples > 0 {
        let _ = writeln!(text, "note: {} samples cannot be read", report.damaged_samples);
    }
    text
}

fn commands(text: &mut String, report: &ShadowReport) {
    let names = report.commands.iter().map(|command| command.command.chars().count());
    let width = names.max().unwrap_or(0).max(7);
    let _ = writeln!(
        text,
        "\n{:<width$} {:>9} {:>10} {:>22}  {:>21} {:>21} {:>21}",
        "command",
        "compared",
        "mismatched",
        "99 % interval",
        "p50 ms v2 / v3",
        "p90 ms v2 / v3",
        "p99 ms v2 / v3"
    );
    for command in &report.commands {
        let interval = format!("{} - {}", percent(command.rate.low), percent(command.rate.high));
        let both = |of: fn(&Times) -> Option<f64>| {
            let shown = |times| of(times).map_or("-".to_owned(), |ms: f64| format!("{ms:.2}"));
            format!("{} / {}", shown(&command.v2), shown(&command.v3))
        };
        let _ = writeln!(
            text,
            "{:<width$} {:>9} {:>10} {interval:>22}  {:>21} {:>21} {:>21}",
            printable(&command.command),
            command.pairs.compared,
            command.pairs.mismatched,
            both(|times| times.p50_ms),
            both(|times| times.p90_ms),
            both(|times| times.p99_ms)
        );
    }
}

fn paths(text: &mut String, title: &str, paths: &[&PathReport]) {
    if paths.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for path in paths.iter().take(MAX_PATHS) {
        let _ = writeln!(
            text,
            "  {} {} {}: {} of {} ({} - {}), noise {} of {}",
            printable(&path.command),
            printable(path.shown_path()),
            path.kind.as_str(),
            path.count,
            path.compared,
            percent(path.rate.low),
            percent(path.rate.high),
            path.noise_count,
            path.noise_pairs
        );
        if path.standing == Standing::Noise {
            continue;
        }
        let (first, last) = (moment(path.first_seen_s), moment(path.last_seen_s));
        let id = path.first.as_deref().unwrap_or("-");
        let _ = writeln!(text, "      first {first} (call {}), last {last}", printable(id));
        if let Some(sample) = &path.sample {
            let shown = |value: &Option<String>| match value {
                Some(value) => short(&printable(value), MAX_VALUE),
                None => "(nothing)".to_owned(),
            };
            let _ = writeln!(
                text,
                "      {}  v2 {}  v3 {}",
                printable(&sample.path),
                shown(&sample.v2),
                shown(&sample.v3)
            );
        }
    }
    if paths.len() > MAX_PATHS {
        let _ = writeln!(text, "  and {} more: see --json", paths.len() - MAX_PATHS);
    }
}
