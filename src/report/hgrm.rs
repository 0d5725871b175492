//! Percentiles as text, as HdrHistogram's plotter reads them (`.hgrm`).

use std::fmt::Write as _;

use crate::meter::SparseSeries;

/// Steps for each halving of what is left to 100 %.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// The percentiles of a series, in milliseconds.
///
/// The plotter takes the lines with exactly four numbers; the last line, at 100 %, has three, as
/// 1/(1-1) is none.
#[must_use]
pub fn text(series: &SparseSeries) -> String {
    let histogram = series.histogram();
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let millis = |nanos: u64| nanos as f64 / 1e6;
    let mut seen = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        seen += step.count_since_last_iteration();
        let (value, quantile) = (millis(step.value_iterated_to()), step.quantile_iterated_to());
        let _ = write!(text, "{value:>12.3} {quantile:>14.12} {seen:>10}");
        if quantile < 1.0 {
            let _ = write!(text, " {:>14.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let (mean, deviation) = (histogram.mean() / 1e6, histogram.stdev() / 1e6);
    let max = millis(histogram.max());
    let _ = writeln!(text, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]");
    let _ = writeln!(text, "#[Max     = {max:>12.3}, Total count    = {:>12}]", histogram.len());
    // A power of two each: what lies between 2^10 and the range's end, in so many steps.
    let _ =
        writeln!(text, "#[Buckets = {:>12}, SubBuckets     = {:>12}]", histogram.buckets(), 2048);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_plotter_finds_four_numbers_in_each_line_but_the_last() {
        let mut series = SparseSeries::default();
        (1..=10_000).for_each(|micros| series.record(Duration::from_micros(micros)));
        let text = text(&series);
        let mut lines = text.lines();
        let head = "       Value     Percentile TotalCount 1/(1-Percentile)";
        assert_eq!((lines.next(), lines.next()), (Some(head), Some("")));
        let rows: Vec<Vec<f64>> = lines
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        let (last, rows) = rows.split_last().unwrap();
        assert_eq!((last.len(), last[1], last[2]), (3, 1.0, 10_000.0));
        assert!(rows.len() > 40 && rows.iter().all(|row| row.len() == 4), "{text}");
        assert!(rows.windows(2).all(|two| two[0][0] <= two[1][0] && two[0][1] < two[1][1]));
        let half = rows.iter().find(|row| row[1] == 0.5).unwrap();
        assert!((half[0] - 5.0).abs() < 0.01 && half[3] == 2.0, "{half:?}");
        assert!(text.contains("Total count    =        10000]"), "{text}");
    }
}
