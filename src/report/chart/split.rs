//! What a response time is made of: means, since only they add up.

use crate::call::Lane;
use crate::report::chart::panel::{LEFT, RIGHT, WIDTH};
use crate::report::chart::scale::Scale;
use crate::report::chart::svg::{drawing, figure, label, rect};

const ROW: f64 = 40.0;
const BAR: f64 = 22.0;
const TOP: f64 = 6.0;

/// Means of a lane's calls in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// The lane.
    pub lane: Lane,
    /// Waiting for a worker.
    pub wait_ms: f64,
    /// With a worker.
    pub service_ms: f64,
    /// The generator's lateness.
    pub lag_ms: f64,
}

/// A bar for each lane, all on one scale.
#[must_use]
pub fn chart(splits: &[Split]) -> String {
    let total = |split: &Split| split.wait_ms + split.service_ms + split.lag_ms;
    let most = splits.iter().map(total).fold(1e-6, f64::max);
    // Room at the right for the sum.
    let x = Scale::linear((0.0, most), (LEFT, RIGHT - 80.0));
    let mut inside = String::new();
    for (index, split) in splits.iter().enumerate() {
        let top = TOP + ROW * index as f64;
        inside.push_str(&label("tick", "end", (LEFT - 6.0, top + 16.0), split.lane.as_str()));
        let parts = [("wait", split.wait_ms), ("service", split.service_ms), ("lag", split.lag_ms)];
        let mut left = 0.0;
        for (name, ms) in parts {
            let (from, until) = (x.at(left), x.at(left + ms));
            let words = format!("{} {name}: {} ms on average", split.lane, figure(ms));
            inside.push_str(&rect(
                &format!("part {name}"),
                (from, top),
                (until - from, BAR),
                &words,
            ));
            let inner = format!("{name} {}", figure(ms));
            if until - from > 7.5 * inner.len() as f64 {
                let place = (f64::midpoint(from, until), top + 15.5);
                inside.push_str(&label(&format!("part-name {name}"), "middle", place, &inner));
            }
            left += ms;
        }
        let sum = format!("{} ms", figure(total(split)));
        inside.push_str(&label("tick", "start", (x.at(total(split)) + 8.0, top + 16.0), &sum));
    }
    let height = TOP + ROW * splits.len() as f64;
    drawing((WIDTH, height), "Mean wait, service and lag of each lane", &inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_side_by_side_on_one_scale() {
        let splits = [
            Split { lane: Lane::V2, wait_ms: 3.0, service_ms: 1.0, lag_ms: 0.0 },
            Split { lane: Lane::V3, wait_ms: 1.0, service_ms: 1.0, lag_ms: 0.0 },
        ];
        let drawn = chart(&splits);
        let unit = (RIGHT - 80.0 - LEFT) / 4.0;
        let wide = format!(r#"class="part wait" x="{LEFT:.1}" y="6.0" width="{:.1}""#, unit * 3.0);
        assert!(drawn.contains(&wide), "{drawn}");
        let next = format!(r#"class="part service" x="{:.1}" y="6.0""#, LEFT + unit * 3.0);
        assert!(drawn.contains(&next), "{drawn}");
        assert!(drawn.contains(">4 ms<") && drawn.contains(">2 ms<"), "{drawn}");
    }
}
