//! A chart's ground: two axes with their grid, and what is shaded behind.

use crate::report::chart::scale::Scale;
use crate::report::chart::svg::{figure, label, line, polyline, rect};
use crate::report::record::{Mark, MarkKind};

/// How wide every chart is; the page scales it, but never so small that words cannot be read.
pub(super) const WIDTH: f64 = 760.0;

/// Left of a plot, for the figures of its axis; and right of it, for half of the last name below.
pub(super) const LEFT: f64 = 52.0;
pub(super) const RIGHT: f64 = WIDTH - 26.0;

/// The axis of time, in seconds from the run's start.
pub(super) fn time_axis(x: &Scale, bottom: f64) -> String {
    let mut out = String::new();
    for tick in x.ticks(8) {
        let at = x.at(tick);
        out.push_str(&line("grid", (at, bottom), (at, bottom + 4.0)));
        out.push_str(&label("tick", "middle", (at, bottom + 17.0), &format!("{} s", figure(tick))));
    }
    out.push_str(&line("axis", (x.range().0, bottom), (x.range().1, bottom)));
    out
}

/// The upright axis, with a line across the plot for each figure. Its unit stands on top.
pub(super) fn upright_axis(y: &Scale, about: usize, unit: &str) -> String {
    let mut out = String::new();
    for tick in y.ticks(about) {
        let at = y.at(tick);
        out.push_str(&line("grid", (LEFT, at), (RIGHT, at)));
        out.push_str(&label("tick", "end", (LEFT - 6.0, at + 4.0), &figure(tick)));
    }
    let top = y.range().0.min(y.range().1);
    out.push_str(&label("tick", "end", (LEFT - 6.0, top - 14.0), unit));
    out
}

/// What happened, from `top` to `bottom`: every other step is tinted and named, kills and faults
/// are bands with a line at their beginning.
pub(super) fn shades(marks: &[Mark], x: &Scale, top: f64, bottom: f64) -> String {
    let mut out = String::new();
    let steps = marks.iter().filter(|mark| mark.what == MarkKind::Step);
    for (index, step) in steps.enumerate() {
        let (from, until) = (x.at(step.from_ms / 1e3), x.at(step.until_ms / 1e3));
        let class = if index % 2 == 0 { "step" } else { "step odd" };
        out.push_str(&rect(class, (from, top), (until - from, bottom - top), &step.label));
        // A name that would not fit is in the band's own words.
        if until - from > 7.0 * step.label.len() as f64 {
            let middle = (from + until) / 2.0;
            out.push_str(&label("step-name", "middle", (middle, top - 14.0), &step.label));
        }
    }
    for mark in marks.iter().filter(|mark| mark.what != MarkKind::Step) {
        let (from, until) = (x.at(mark.from_ms / 1e3), x.at(mark.until_ms / 1e3));
        let size = ((until - from).max(1.5), bottom - top);
        out.push_str(&rect("harm", (from, top), size, &mark.label));
        let tip = [(from - 4.0, top - 7.0), (from + 4.0, top - 7.0), (from, top)];
        out.push_str(&polyline("harm-tip", tip.map(Some)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(what: MarkKind, from_ms: f64, until_ms: f64) -> Mark {
        Mark { what, lane: None, from_ms, until_ms, label: "what".to_owned() }
    }

    #[test]
    fn a_kill_is_as_wide_as_it_lasted_and_never_invisible() {
        let x = Scale::linear((0.0, 10.0), (0.0, 1000.0));
        let wide = shades(&[mark(MarkKind::Kill, 1000.0, 3000.0)], &x, 20.0, 100.0);
        assert!(wide.contains(r#"x="100.0" y="20.0" width="200.0" height="80.0""#), "{wide}");
        let instant = shades(&[mark(MarkKind::Fault, 5000.0, 5000.0)], &x, 20.0, 100.0);
        assert!(instant.contains(r#"x="500.0" y="20.0" width="1.5""#), "{instant}");
    }

    #[test]
    fn steps_alternate_and_are_named_where_there_is_room() {
        let x = Scale::linear((0.0, 10.0), (0.0, 1000.0));
        let steps = [(0.0, 5000.0), (5000.0, 5100.0), (5100.0, 10_000.0)];
        let steps = steps.map(|(from, until)| mark(MarkKind::Step, from, until));
        let drawn = shades(&steps, &x, 0.0, 10.0);
        assert_eq!(drawn.matches("step odd").count(), 1);
        assert_eq!(drawn.matches("step-name").count(), 2);
    }
}
