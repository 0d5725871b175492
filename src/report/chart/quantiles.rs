//! Response times against log(1/(1-q)): each further nine is as wide as the one before, so that
//! tails can be seen.

use crate::clock::millis;
use crate::meter::SparseSeries;
use crate::report::chart::panel::{LEFT, RIGHT, WIDTH, upright_axis};
use crate::report::chart::scale::{Scale, round_down, round_up};
use crate::report::chart::svg::{drawing, label, line, polyline};
use crate::report::quantiles::is_shown;

const TOP: f64 = 26.0;
const BOTTOM: f64 = 300.0;

/// The scale of times begins at this quantile; below, a curve runs along its edge.
const LEAST: f64 = 0.02;

/// Points of a curve for each nine.
const PER_NINE: u32 = 40;

/// A curve: its class, its name, its calls.
#[derive(Clone, Debug)]
pub struct Curve<'a> {
    /// The style's class, such as v2.
    pub class: &'a str,
    /// What it is called.
    pub name: &'a str,
    /// Its times.
    pub series: &'a SparseSeries,
}

/// The chart. Each curve ends where fewer than ten calls lie beyond.
#[must_use]
pub fn chart(curves: &[Curve<'_>]) -> String {
    let ends: Vec<f64> = curves.iter().map(|curve| last_shown(curve.series)).collect();
    let end = ends.iter().copied().fold(0.9, f64::max);
    let x = Scale::tail((0.0, end), (LEFT, RIGHT));
    let times = |of: fn(&SparseSeries, f64) -> f64| {
        curves.iter().zip(&ends).map(move |(curve, end)| of(curve.series, *end))
    };
    // What takes no time at all has no place on a scale of powers of ten, nor have a few such.
    let least = times(|series, _| at(series, LEAST)).fold(f64::INFINITY, f64::min);
    let most = times(at).fold(0.0, f64::max);
    let y = Scale::log((round_down(least.min(most)), round_up(most)), (BOTTOM, TOP));
    let mut inside = upright_axis(&y, 9, "ms");
    for tick in x.ticks(9) {
        let place = x.at(tick);
        inside.push_str(&line("grid", (place, TOP), (place, BOTTOM + 4.0)));
        let name = format!("p{}", percent(tick));
        inside.push_str(&label("tick", "middle", (place, BOTTOM + 18.0), &name));
    }
    for (curve, end) in curves.iter().zip(&ends) {
        let class = format!("curve {}", curve.class);
        let points = steps_to(*end).map(|q| Some((x.at(q), y.at(at(curve.series, q)))));
        inside.push_str(&polyline(&class, points));
        // Above the curve, unless another one is there.
        let (right, height) = (x.at(*end), y.at(at(curve.series, *end)));
        let is_below = curves.iter().any(|other| at(other.series, *end) > at(curve.series, *end));
        let height = if is_below { height + 18.0 } else { height - 7.0 };
        let name = format!("name {}", curve.class);
        inside.push_str(&label(&name, "end", (right - 4.0, height), curve.name));
    }
    let words = "Response time by quantile, each further nine as wide as the one before";
    drawing((WIDTH, BOTTOM + 26.0), words, &inside)
}

/// The highest quantile with enough calls beyond.
fn last_shown(series: &SparseSeries) -> f64 {
    let quantile = 1.0 - 10.0 / series.count().max(11) as f64;
    debug_assert!(series.count() < 11 || is_shown(series.count(), quantile));
    quantile
}

fn steps_to(end: f64) -> impl Iterator<Item = f64> {
    let nines = -(1.0 - end).log10();
    let steps = (nines * f64::from(PER_NINE)).ceil().max(1.0) as u32;
    (0..=steps).map(move |step| 1.0 - 10f64.powf(-nines * f64::from(step) / f64::from(steps)))
}

fn at(series: &SparseSeries, quantile: f64) -> f64 {
    millis(series.quantile(quantile)).max(0.001)
}

fn percent(quantile: f64) -> String {
    let text = format!("{:.4}", quantile * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_curve_rises_from_left_to_right_and_ends_where_calls_are_few() {
        let mut series = SparseSeries::default();
        (1..=1000).for_each(|n| series.record(Duration::from_micros(n * 10)));
        assert!((last_shown(&series) - 0.99).abs() < 1e-12);
        let drawn = chart(&[Curve { class: "v3", name: "v3", series: &series }]);
        let path =
            drawn.split("class=\"curve v3\" d=\"M").nth(1).unwrap().split('"').next().unwrap();
        let points: Vec<(f64, f64)> = path
            .split('L')
            .map(|point| {
                let (x, y) = point.split_once(' ').unwrap();
                (x.parse().unwrap(), y.parse().unwrap())
            })
            .collect();
        assert_eq!(points.len(), 81);
        assert!(points.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 >= two[1].1));
        assert_eq!((points[0].0, points[80].0), (LEFT, RIGHT));
        assert!(drawn.contains(">p99<") && !drawn.contains(">p99.9<"), "{drawn}");
        assert!(points.iter().all(|(_, y)| (TOP..=BOTTOM).contains(y)));
    }

    #[test]
    fn nothing_is_drawn_of_nothing_and_it_does_not_fail() {
        assert!(chart(&[]).contains("<svg"));
        let empty = SparseSeries::default();
        assert!(chart(&[Curve { class: "v2", name: "v2", series: &empty }]).contains("<svg"));
    }
}
