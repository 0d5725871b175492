//! What each worker did: a row a slot, darker where it was busier, a tick where a new process
//! took over.

use crate::report::chart::panel::{LEFT, RIGHT, WIDTH, shades, time_axis};
use crate::report::chart::scale::Scale;
use crate::report::chart::svg::{drawing, label, line, rect};
use crate::report::record::{RunRecord, WorkerRow};

const TOP: f64 = 40.0;
const ROW: f64 = 17.0;
const BAR: f64 = 13.0;

/// Shares of busy time are told apart in so many shades.
const SHADES: f32 = 10.0;

/// The chart.
#[must_use]
pub fn chart(record: &RunRecord) -> String {
    let bottom = TOP + ROW * record.workers.len() as f64;
    let x = Scale::linear((0.0, record.lasted_s.max(1e-3)), (LEFT, RIGHT));
    let mut inside = shades(&record.marks, &x, TOP, bottom);
    for (index, row) in record.workers.iter().enumerate() {
        let top = TOP + ROW * index as f64;
        let name = format!("{}-{}", row.lane, row.slot);
        inside.push_str(&label("tick", "end", (LEFT - 6.0, top + BAR - 2.0), &name));
        inside.push_str(&bars(row, record.slice_ms / 1e3, &x, top));
        for life in row.lives.iter().skip(1) {
            let at = x.at(life.from_ms / 1e3);
            inside.push_str(&line("birth", (at, top - 1.0), (at, top + BAR + 1.0)));
        }
    }
    inside.push_str(&time_axis(&x, bottom + 4.0));
    drawing((WIDTH, bottom + 28.0), "What each worker did over the run's time", &inside)
}

/// One bar for neighbouring slices of one shade.
fn bars(row: &WorkerRow, slice_s: f64, x: &Scale, top: f64) -> String {
    let mut out = String::new();
    let mut from = 0;
    while from < row.busy.len() {
        let shade = shade_of(row.busy[from]);
        let same = row.busy[from..].iter().take_while(|busy| shade_of(**busy) == shade).count();
        if shade > 0 {
            let (left, right) = (x.at(slice_s * from as f64), x.at(slice_s * (from + same) as f64));
            let class = format!("busy b{shade} {}", row.lane);
            let mean = row.busy[from..from + same].iter().sum::<f32>() / same as f32;
            let words = format!("{}-{}: {:.0} % busy", row.lane, row.slot, mean * 100.0);
            out.push_str(&rect(&class, (left, top), (right - left, BAR), &words));
        }
        from += same;
    }
    out
}

/// 0 is idle, 10 is busy all the time; a little is something.
fn shade_of(busy: f32) -> u32 {
    (busy.clamp(0.0, 1.0) * SHADES).ceil() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Lane;

    #[test]
    fn neighbours_of_one_shade_are_one_bar() {
        let busy = vec![0.0, 0.95, 1.0, 0.31, 0.0];
        let row = WorkerRow { lane: Lane::V3, slot: 2, busy, lives: Vec::new(), calls: 9 };
        let x = Scale::linear((0.0, 5.0), (0.0, 500.0));
        let drawn = bars(&row, 1.0, &x, 50.0);
        assert_eq!(drawn.matches("<rect").count(), 2);
        assert!(
            drawn.contains(r#"class="busy b10 v3" x="100.0" y="50.0" width="200.0""#),
            "{drawn}"
        );
        assert!(
            drawn.contains(r#"class="busy b4 v3" x="300.0" y="50.0" width="100.0""#),
            "{drawn}"
        );
        assert!(drawn.contains("v3-2: 98 % busy"), "{drawn}");
    }
}
