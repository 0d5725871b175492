//! A run as a report sees it: histograms by slice of time, and the record beside them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::call::Lane;
use crate::clock::millis;
use crate::meter::{Merge, Slices, SparseSeries};
use crate::report::kind::{Kind, Span, Spans, Tag};
use crate::report::record::RunRecord;

/// The histograms of one slice: of the calls whose planned arrival was in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slice(pub BTreeMap<Kind, Spans>);

impl Merge for Slice {
    fn merge(&mut self, other: Self) {
        for (kind, spans) in other.0 {
            self.0.entry(kind).or_default().merge(spans);
        }
    }
}

/// A run with all that is known of it.
#[derive(Clone, Debug)]
pub struct Run {
    /// What to call it: the log's file name, or the run's title.
    pub name: String,
    /// When it began, since the Unix epoch.
    pub began: Duration,
    /// Its histograms.
    pub slices: Slices<Slice>,
    /// What is known beside them; nothing if the log came without its record.
    pub record: Option<RunRecord>,
    /// All slices in one.
    whole: BTreeMap<Kind, Spans>,
}

impl Run {
    /// Puts a run together.
    #[must_use]
    pub fn new(
        name: String,
        began: Duration,
        slices: Slices<Slice>,
        record: Option<RunRecord>,
    ) -> Self {
        let mut whole = Slice::default();
        slices.iter().for_each(|slice| whole.merge(slice.clone()));
        let exact = record.iter().flat_map(|record| &record.exact_max_ms);
        for (tag, max_ms) in exact {
            let known = tag.parse().ok().and_then(|Tag { kind, span }| {
                Some((
                    whole.0.get_mut(&kind)?.of_mut(span),
                    Duration::try_from_secs_f64(max_ms / 1e3),
                ))
            });
            if let Some((series, Ok(max))) = known {
                series.set_max(max);
            }
        }
        Self { name, began, slices, record, whole: whole.0 }
    }

    /// In what the record differs from the histograms, if it is not theirs: a start, a kind of
    /// call, or a longest time that is in another bucket.
    #[must_use]
    pub fn strangeness(&self) -> Option<String> {
        let record = self.record.as_ref()?;
        let (own, theirs) = (self.began.as_secs_f64(), record.began_unix_s);
        // Logs have three decimals.
        if (own - theirs).abs() > 0.001 {
            return Some(format!("the log begins at {own:.3}, the record at {theirs:.3}"));
        }
        let mut whole = Slice::default();
        self.slices.iter().for_each(|slice| whole.merge(slice.clone()));
        let mut tags = 0;
        for (kind, spans) in &whole.0 {
            for span in Span::ALL.into_iter().filter(|span| !spans.of(*span).is_empty()) {
                tags += 1;
                let tag = Tag { kind: *kind, span }.to_string();
                let Some(exact_ms) = record.exact_max_ms.get(&tag) else {
                    return Some(format!("the log has {tag}, the record does not"));
                };
                let own_ms = millis(spans.of(span).max());
                // Logs have the longest to a microsecond.
                if (own_ms - exact_ms).abs() > 0.001 {
                    return Some(format!(
                        "the longest {tag} is {own_ms:.3} ms in the log, {exact_ms:.3} ms in the \
                         record"
                    ));
                }
            }
        }
        let absent = record.exact_max_ms.len() - tags;
        (absent > 0).then(|| format!("the record has {absent} histograms that the log has not"))
    }

    /// The histograms of the whole run.
    #[must_use]
    pub fn whole(&self) -> &BTreeMap<Kind, Spans> {
        &self.whole
    }

    /// One time of all calls that `wanted` picks, whatever else they are.
    #[must_use]
    pub fn series(&self, span: Span, wanted: impl Fn(&Kind) -> bool) -> SparseSeries {
        pick(&self.whole, span, wanted)
    }

    /// The lanes that had calls.
    #[must_use]
    pub fn lanes(&self) -> Vec<Lane> {
        let has_calls = |lane: &Lane| self.whole.keys().any(|kind| kind.lane == Some(*lane));
        [Lane::V2, Lane::V3].into_iter().filter(has_calls).collect()
    }

    /// From its start to its end, as far as that is known.
    #[must_use]
    pub fn lasted(&self) -> Duration {
        let slices = self.slices.width() * u32::try_from(self.slices.len()).unwrap_or(u32::MAX);
        let recorded = self.record.as_ref().map(|record| record.lasted_s);
        recorded.and_then(|lasted| Duration::try_from_secs_f64(lasted).ok()).unwrap_or(slices)
    }
}

/// One time of all calls that `wanted` picks, merged.
#[must_use]
pub fn pick(
    whole: &BTreeMap<Kind, Spans>,
    span: Span,
    wanted: impl Fn(&Kind) -> bool,
) -> SparseSeries {
    let mut series = SparseSeries::default();
    for (_, spans) in whole.iter().filter(|(kind, _)| wanted(kind)) {
        series.merge(spans.of(span).clone());
    }
    series
}
