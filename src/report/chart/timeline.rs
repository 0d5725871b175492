//! A run over time: response times, and calls that waited, with what happened shaded behind.

use std::time::Duration;

use crate::call::Lane;
use crate::clock::millis;
use crate::meter::SparseSeries;
use crate::report::chart::panel::{LEFT, RIGHT, WIDTH, shades, time_axis, upright_axis};
use crate::report::chart::scale::{Scale, round_down, round_up};
use crate::report::chart::svg::{drawing, label, polyline, rect, steps};
use crate::report::kind::Span;
use crate::report::record::{Flow, Mark, RunRecord};
use crate::report::run::{Run, pick};

const TOP: f64 = 40.0;

/// The scale goes down to this part of the longest: what took no time at all has no place on it.
const DEEPEST: f64 = 1e5;

/// Median and longest response of each slice, on a scale of powers of ten.
#[must_use]
pub fn response(run: &Run) -> String {
    const BOTTOM: f64 = 260.0;
    let lanes: Vec<(Lane, Vec<SparseSeries>)> =
        run.lanes().into_iter().map(|lane| (lane, by_slice(run, lane))).collect();
    let all = || lanes.iter().flat_map(|(_, slices)| slices).filter(|slice| !slice.is_empty());
    let least = all().map(|slice| millis(slice.quantile(0.5))).fold(f64::INFINITY, f64::min);
    let most = all().map(|slice| millis(slice.max())).fold(0.001, f64::max);
    let x = time(run);
    let y =
        Scale::log((round_down(least.clamp(most / DEEPEST, most)), round_up(most)), (BOTTOM, TOP));
    let mut inside = shades(marks(run), &x, TOP, BOTTOM);
    inside.push_str(&upright_axis(&y, 9, "ms"));
    inside.push_str(&time_axis(&x, BOTTOM));
    let width = run.slices.width();
    let middle = |index: usize| x.at(width.as_secs_f64() * (index as f64 + 0.5));
    for (lane, slices) in &lanes {
        for (class, of) in [("most", longest as fn(&SparseSeries) -> f64), ("curve", median)] {
            let points = slices.iter().enumerate().map(|(index, slice)| {
                (!slice.is_empty()).then(|| (middle(index), y.at(of(slice).max(0.001))))
            });
            inside.push_str(&polyline(&format!("{class} {lane}"), points));
        }
    }
    inside.push_str(&hover(&lanes, width, &x, BOTTOM));
    drawing((WIDTH, BOTTOM + 24.0), "Response times over the run's time", &inside)
}

fn median(series: &SparseSeries) -> f64 {
    millis(series.quantile(0.5))
}

fn longest(series: &SparseSeries) -> f64 {
    millis(series.max())
}

fn by_slice(run: &Run, lane: Lane) -> Vec<SparseSeries> {
    let of = |kinds: &crate::report::run::Slice| {
        pick(&kinds.0, Span::Response, |kind| kind.lane == Some(lane))
    };
    run.slices.iter().map(of).collect()
}

/// An unseen column for each slice, with its figures for who points at it.
fn hover(lanes: &[(Lane, Vec<SparseSeries>)], width: Duration, x: &Scale, bottom: f64) -> String {
    let slices = lanes.iter().map(|(_, slices)| slices.len()).max().unwrap_or(0);
    let mut out = String::new();
    for index in 0..slices {
        let start = width.as_secs_f64() * index as f64;
        let (from, until) = (x.at(start), x.at(start + width.as_secs_f64()));
        let mut words = format!("{start:.1} s");
        for (lane, slices) in lanes {
            let slice = &slices[index];
            if !slice.is_empty() {
                let (calls, half, most) = (slice.count(), median(slice), longest(slice));
                words
                    .push_str(&format!("\n{lane}: {calls} calls, p50 {half:.3}, max {most:.3} ms"));
            }
        }
        out.push_str(&rect("hover", (from, TOP), (until - from, bottom - TOP), &words));
    }
    out
}

/// Calls that waited for a worker, at each slice's end.
#[must_use]
pub fn waiting(run: &Run, record: &RunRecord) -> String {
    const BOTTOM: f64 = 140.0;
    let most = record.flows.values().flatten().map(|flow| flow.waiting).max().unwrap_or(0);
    let x = time(run);
    let y = Scale::linear((0.0, round_up(most.max(1) as f64)), (BOTTOM, TOP));
    let mut inside = shades(&record.marks, &x, TOP, BOTTOM);
    inside.push_str(&upright_axis(&y, 4, "calls"));
    inside.push_str(&time_axis(&x, BOTTOM));
    for (lane, flows) in &record.flows {
        let at = |(index, flow): (usize, &Flow)| {
            let end = record.slice_ms / 1e3 * (index + 1) as f64;
            (x.at(end), y.at(flow.waiting as f64))
        };
        let points: Vec<(f64, f64)> = flows.iter().enumerate().map(at).collect();
        inside.push_str(&steps(&format!("curve {lane}"), &points, RIGHT));
    }
    if most == 0 {
        let middle = (f64::midpoint(LEFT, RIGHT), f64::midpoint(TOP, BOTTOM));
        inside.push_str(&label("step-name", "middle", middle, "nobody waited at a slice's end"));
    }
    drawing((WIDTH, BOTTOM + 24.0), "Calls that waited, over the run's time", &inside)
}

/// The run's time in seconds, from left to right.
fn time(run: &Run) -> Scale {
    let slices = run.slices.width().as_secs_f64() * run.slices.len().max(1) as f64;
    Scale::linear((0.0, run.lasted().as_secs_f64().min(slices).max(1e-3)), (LEFT, RIGHT))
}

fn marks(run: &Run) -> &[Mark] {
    run.record.as_ref().map_or(&[], |record| &record.marks)
}
