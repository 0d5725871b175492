//! The HdrHistogram log, version 1.3: one line for each slice and tag that has calls.
//!
//! Values are nanoseconds, the maxima beside them milliseconds, as the other readers expect.
//! Times of lines count from the start, which is written twice, since a reader would guess else.

use std::io::{self, Read, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use thiserror::Error;

use crate::meter::{Slices, SparseSeries};
use crate::report::kind::{Span, Tag};
use crate::report::run::{Run, Slice};

const VERSION: &str = "#[Histogram log format version 1.3]";
const LEGEND: &str =
    r#""StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram""#;

/// A log's line that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct BadLine {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Writes the histograms of a run.
///
/// # Errors
/// If the output cannot be written.
pub fn write(out: &mut impl Write, run: &Run) -> io::Result<()> {
    let began = run.began.as_secs_f64();
    writeln!(out, "#[poolshift {}: {}]", env!("CARGO_PKG_VERSION"), run.name.replace('\n', " "))?;
    writeln!(out, "{VERSION}")?;
    writeln!(out, "#[StartTime: {began:.3} (seconds since epoch)]")?;
    writeln!(out, "#[BaseTime: {began:.3} (seconds since epoch)]")?;
    writeln!(out, "{LEGEND}")?;
    let mut serializer = V2DeflateSerializer::new();
    let width = run.slices.width().as_secs_f64();
    for (start, slice) in run.slices.timed() {
        for (kind, spans) in &slice.0 {
            for span in Span::ALL {
                let (tag, series) = (Tag { kind: *kind, span }, spans.of(span));
                if series.is_empty() {
                    continue;
                }
                let mut bytes = Vec::new();
                serializer
                    .serialize(&series.histogram(), &mut bytes)
                    .map_err(|error| io::Error::other(error.to_string()))?;
                let (start, max) = (start.as_secs_f64(), series.max().as_secs_f64() * 1e3);
                let histogram = STANDARD.encode(&bytes);
                writeln!(out, "Tag={tag},{start:.3},{width:.3},{max:.3},{histogram}")?;
            }
        }
    }
    Ok(())
}

/// What a log says.
#[derive(Clone, Debug)]
pub struct Hlog {
    /// The run's start, since the Unix epoch.
    pub began: Duration,
    /// The histograms.
    pub slices: Slices<Slice>,
}

/// Reads a log that [`write()`] wrote; others may have copied or cut it, so every line is
/// checked.
///
/// # Errors
/// At the first line that is not as it must be, or if there is no histogram.
pub fn parse(text: &str) -> Result<Hlog, BadLine> {
    let mut began = Duration::ZERO;
    let mut slices: Option<Slices<Slice>> = None;
    let mut deserializer = Deserializer::new();
    let mut last = 0;
    for (line, text) in (1..).zip(text.lines()) {
        last = line;
        let bad = |what: String| BadLine { line, what };
        if let Some(start) = text.strip_prefix("#[StartTime: ") {
            let number = start.split_whitespace().next().unwrap_or_default();
            began = seconds(number, "a start time").map_err(bad)?;
        } else if !(text.is_empty() || text.starts_with(['#', '"'])) {
            let row = Row::parse(text, &mut deserializer).map_err(bad)?;
            let slices = slices.get_or_insert_with(|| Slices::from_parts(row.width, Vec::new()));
            row.put(slices).map_err(bad)?;
        }
    }
    let empty = "there is no histogram before the end of the file".to_owned();
    let slices = slices.ok_or(BadLine { line: last.max(1), what: empty })?;
    Ok(Hlog { began, slices })
}

/// One line.
struct Row {
    tag: Tag,
    start: Duration,
    width: Duration,
    series: SparseSeries,
}

impl Row {
    fn parse(text: &str, deserializer: &mut Deserializer) -> Result<Self, String> {
        let fields: Vec<&str> = text.split(',').collect();
        let [tag, start, width, max, histogram] = fields[..] else {
            return Err(format!(
                "not a line of an interval log: expected Tag=…,start,length,max,histogram, found \
                 {} of the 5 fields; poolshift run --hlog OUT writes such a log",
                fields.len()
            ));
        };
        let tag = tag.strip_prefix("Tag=").ok_or_else(|| format!("no tag in front: {tag:?}"))?;
        let tag: Tag = tag.parse()?;
        let (start, width) = (seconds(start, "a start")?, seconds(width, "a length")?);
        if width.is_zero() {
            return Err("the interval has no length".to_owned());
        }
        let max_ms: f64 = max.parse().map_err(|_| format!("{max:?} is no maximum"))?;
        let max = Duration::try_from_secs_f64(max_ms / 1e3)
            .map_err(|error| format!("{max:?} is no maximum: {error}"))?;
        let bytes = STANDARD
            .decode(histogram)
            .map_err(|error| format!("the histogram is not base64: {error}"))?;
        let histogram = decode(&bytes, deserializer)
            .map_err(|error| format!("the histogram cannot be decoded: {error}"))?;
        if histogram.len() > MOST_CALLS {
            return Err(format!("the histogram has {} calls", histogram.len()));
        }
        let series = SparseSeries::of(&histogram, max)
            .ok_or("the histogram has other bounds than 1 ns to an hour")?;
        Ok(Self { tag, start, width, series })
    }

    fn put(self, slices: &mut Slices<Slice>) -> Result<(), String> {
        let Self { tag, start, width, series } = self;
        let index = (start.as_secs_f64() / width.as_secs_f64()).round();
        let off = (index * width.as_secs_f64() - start.as_secs_f64()).abs();
        if width != slices.width() || off > 0.000_5 || index >= Slices::<Slice>::MOST as f64 {
            return Err(format!(
                "the interval from {start:?} for {width:?} is none of the {} of {:?} that a log \
                 of ours has at most",
                Slices::<Slice>::MOST,
                slices.width()
            ));
        }
        // The middle, so that a start cut to milliseconds cannot fall into the slice before.
        let spans = slices.at(start + width / 2).0.entry(tag.kind).or_default();
        let own = spans.of_mut(tag.span);
        if !own.is_empty() {
            return Err(format!("{tag} has this interval twice"));
        }
        *own = series;
        Ok(())
    }
}

/// More than any run has, and few enough that the sum of a log's intervals can be counted.
const MOST_CALLS: u64 = 1 << 40;

/// What a histogram of ours takes at most: nine bytes for each of 33 times 1024 counts.
const MOST_PAYLOAD: u32 = 9 * 33 * 1024;

/// Cookie, length, offset, digits, bounds and ratio, before the counts.
const HEADER: usize = 40;

/// Checks the header before the library reads it, which makes as much room as the header says.
fn decode(bytes: &[u8], deserializer: &mut Deserializer) -> Result<Histogram<u64>, String> {
    const COMPRESSED: [u8; 4] = 0x1c84_9314_u32.to_be_bytes();
    let deflated = bytes.strip_prefix(&COMPRESSED).and_then(|rest| rest.split_at_checked(4));
    let (_, deflated) = deflated.ok_or("it does not begin as a compressed one of version 2")?;
    let mut plain = Vec::new();
    let most = HEADER as u64 + u64::from(MOST_PAYLOAD);
    let inflated = ZlibDecoder::new(deflated).take(most).read_to_end(&mut plain);
    inflated.map_err(|error| error.to_string())?;
    let field = |at: usize| {
        let bytes = plain.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().expect("it is four bytes")))
    };
    let (length, digits) = field(4).zip(field(12)).ok_or("its header is cut")?;
    if digits != 3 {
        return Err(format!("it has {digits} digits, ours have 3"));
    }
    if length > MOST_PAYLOAD {
        return Err(format!(
            "it says that it has {length} bytes, ours have {MOST_PAYLOAD} at most"
        ));
    }
    deserializer.deserialize(&mut plain.as_slice()).map_err(|error| error.to_string())
}

/// Logs have three decimals: what a float adds to them is rounded away.
fn seconds(text: &str, what: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is not {what} in seconds"))?;
    Duration::try_from_secs_f64(seconds)
        .map(|span| Duration::from_millis((span.as_secs_f64() * 1e3).round() as u64))
        .map_err(|error| format!("{text:?} is not {what}: {error}"))
}
