//! Logs and records on disk: other programs read them, and what is wrong with one is named.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use poolshift::report::files::load;
use poolshift::report::hlog::parse;
use poolshift::report::kind::{Span, Tag};
use poolshift::report::outputs::Outputs;
use poolshift::report::record::RunRecord;
use poolshift::report::run::Run;
use poolshift::{Lane, Outcome};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use super::{MS, Sketch, close, jitter, recorder, steady};
use crate::tool::{Tool, skip, until};

pub(super) fn write(run: &Run, path: &Path) {
    let outputs = Outputs::create(Some(path), None).unwrap();
    outputs.write(run, String::new).unwrap();
}

/// Every outcome in both lanes, with lengths from a nanosecond to an hour.
fn varied() -> Run {
    let mut recorder = recorder();
    let mut nanos = 1u64;
    for n in 0..2000u32 {
        nanos = (nanos * 48271) % 0x7fff_ffff;
        let service = std::time::Duration::from_nanos(nanos >> (n % 31));
        let outcome = Outcome::ALL[n as usize % Outcome::ALL.len()];
        let lane = if n % 3 == 0 { Lane::V2 } else { Lane::V3 };
        Sketch { outcome, ..Sketch::ok(lane, MS * 7 * n, service) }.told_to(&mut recorder);
    }
    Sketch::ok(Lane::V2, MS, std::time::Duration::from_secs(3600)).told_to(&mut recorder);
    close(recorder, 142.0)
}

#[test]
fn what_was_written_is_read_again_to_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.hlog");
    let run = varied();
    write(&run, &path);
    let read = load(&path).unwrap();
    assert_eq!(read.slices.width(), run.slices.width());
    assert_eq!(read.record, run.record);
    assert_eq!(read.began, run.began);
    let (before, after) = (run.whole(), read.whole());
    assert_eq!(before.len(), 20);
    for (kind, spans) in before {
        for span in Span::ALL {
            let (one, other) = (spans.of(span), after[kind].of(span));
            assert_eq!(one.histogram(), other.histogram(), "{kind} {}", span.as_str());
            let off = one.max().abs_diff(other.max());
            assert!(off.as_nanos() <= 1, "the record has the exact maximum: off by {off:?}");
        }
    }
}

/// The crate's own reader, which shares no line with ours.
#[test]
fn the_rust_reader_finds_every_interval() {
    let run = varied();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.hlog");
    write(&run, &path);
    let bytes = std::fs::read(&path).unwrap();
    let mut rows = Vec::new();
    for entry in IntervalLogIterator::new(&bytes) {
        match entry.unwrap() {
            LogEntry::StartTime(time) | LogEntry::BaseTime(time) => {
                assert_eq!((time, rows.len()), (run.began, 0), "both are said before any interval");
            }
            LogEntry::Interval(interval) => {
                let tag: Tag = interval.tag().unwrap().as_str().parse().unwrap();
                let (start, width) = (interval.start_timestamp(), interval.duration());
                assert_eq!(width, run.slices.width());
                rows.push((start.as_millis(), tag, interval.max()));
            }
        }
    }
    let mut expected = Vec::new();
    for (start, slice) in run.slices.timed() {
        for (kind, spans) in &slice.0 {
            for span in Span::ALL {
                let max_ms = spans.of(span).max().as_secs_f64() * 1e3;
                expected.push((start.as_millis(), Tag { kind: *kind, span }, max_ms));
            }
        }
    }
    assert_eq!(rows.len(), expected.len());
    for ((start, tag, max), (expected_start, expected_tag, max_ms)) in rows.iter().zip(&expected) {
        assert_eq!((start, tag), (expected_start, expected_tag));
        assert!((max - max_ms).abs() <= 0.000_51, "{tag}: {max} ms, not {max_ms}");
    }
}

/// A Python with HdrHistogram's reader: `scripts/test` names one, and then it must be there.
fn python() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("POOLSHIFT_TEST_PYTHON") {
        return Some(named.into());
    }
    let found = Command::new("python3").args(["-c", "import hdrh"]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some("python3".into());
    }
    skip("python3 has no hdrhistogram; scripts/test installs it");
    None
}

#[test]
fn pythons_reader_agrees_on_every_count() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.hlog");
    let run = varied();
    write(&run, &path);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/read_hlog.py");
    let output = Command::new(python).arg(script).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["start_s"], Value::from(1_700_000_000.123));
    let mut ours = BTreeMap::new();
    for (start, slice) in run.slices.timed() {
        for (kind, spans) in &slice.0 {
            for span in Span::ALL {
                let tag = Tag { kind: *kind, span }.to_string();
                ours.insert((tag, start.as_millis() as i64), spans.of(span).count());
            }
        }
    }
    let intervals = told["intervals"].as_array().unwrap();
    assert_eq!(intervals.len(), ours.len());
    for row in intervals {
        let start = row["start_ms"].as_f64().unwrap().round() as i64;
        let key = (row["tag"].as_str().unwrap().to_owned(), start);
        assert_eq!(row["count"].as_u64(), ours.get(&key).copied(), "{key:?}");
    }
    for (kind, spans) in run.whole() {
        for span in Span::ALL {
            let tag = Tag { kind: *kind, span }.to_string();
            let theirs = &told["tags"][&tag];
            let histogram = spans.of(span).histogram();
            let counts: BTreeMap<String, u64> = histogram
                .iter_recorded()
                .map(|item| (item.value_iterated_to().to_string(), item.count_at_value()))
                .collect();
            assert_eq!(theirs["counts"], serde_json::to_value(counts).unwrap(), "{tag}");
            assert_eq!(theirs["count"], Value::from(histogram.len()), "{tag}");
        }
    }
}

#[test]
fn a_broken_log_is_named_with_its_line() {
    let tool = Tool::new();
    let path = tool.path("a.hlog");
    write(&steady(jitter), &path);
    std::fs::remove_file(RunRecord::path(&path)).unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    assert!(parse(&good).is_ok());
    let lines: Vec<&str> = good.lines().collect();
    let changed = |line: usize, with: &str| {
        let mut lines = lines.clone();
        lines[line - 1] = with;
        lines.join("\n")
    };
    let row = lines[5];
    let cut = &row[..row.len() / 2];
    let field = |index: usize, with: &str| {
        let mut fields: Vec<&str> = row.split(',').collect();
        fields[index] = with;
        fields.join(",")
    };
    for (text, line, says) in [
        (changed(6, cut), 6, "the histogram"),
        (changed(6, &field(0, "Tag=jitter")), 6, "is no tag of ours"),
        (changed(6, &row.replace("Tag=", "")), 6, "no tag in front"),
        (changed(6, &field(1, "soon")), 6, "is not a start in seconds"),
        (changed(6, &field(1, "-1.000")), 6, "is not a start"),
        (changed(6, &field(1, "0.050")), 6, "is none of the 120"),
        (changed(6, &field(1, "1e300")), 6, "is"),
        (changed(6, &field(2, "0.000")), 6, "no length"),
        (changed(6, &field(3, "NaN")), 6, "is no maximum"),
        (changed(6, &field(4, "HISTFAAAnonsense")), 6, "the histogram"),
        (changed(7, row), 7, "twice"),
        (changed(3, "#[StartTime: yesterday]"), 3, "is not a start time"),
        (lines[..5].join("\n"), 5, "there is no histogram"),
        (String::new(), 1, "there is no histogram"),
    ] {
        tool.write("a.hlog", &text);
        let ran = tool.run(&["report", "a.hlog"]);
        let place = format!("a.hlog, line {line}: ");
        assert_eq!(ran.code, Some(1), "{says}: {}", ran.stdout);
        assert!(ran.stderr.contains(&place) && ran.stderr.contains(says), "{says}: {}", ran.stderr);
    }
    std::fs::write(&path, b"#[StartTime: 1.0]\n\xff\n").unwrap();
    let ran = tool.run(&["report", "a.hlog"]);
    assert!(ran.stderr.contains("a.hlog, line 2: not UTF-8"), "{}", ran.stderr);
    let ran = tool.run(&["report", "none.hlog"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("cannot read none.hlog"), "{}", ran.stderr);
}

#[test]
fn a_broken_record_is_named_with_its_line_and_a_missing_one_is_said() {
    let tool = Tool::new();
    write(&steady(jitter), &tool.path("a.hlog"));
    let good = std::fs::read_to_string(tool.path("a.run.json")).unwrap();
    for (text, says) in [
        ("{\n\n nonsense".to_owned(), "a.run.json, line 3: "),
        (good.replace("\"format\":1", "\"format\":2"), "its format is 2"),
        (good.replace("\"books\"", "\"booklets\""), "unknown field `booklets`"),
    ] {
        tool.write("a.run.json", &text);
        let ran = tool.run(&["report", "a.hlog"]);
        assert!(ran.code == Some(1) && ran.stderr.contains(says), "{says}: {}", ran.stderr);
    }
    std::fs::remove_file(tool.path("a.run.json")).unwrap();
    let ran = tool.run(&["report", "a.hlog"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("no record beside it"), "{}", ran.stdout);
}

#[test]
fn a_record_of_another_run_is_refused_and_so_is_a_log_that_was_cut() {
    let tool = Tool::new();
    write(&steady(jitter), &tool.path("a.hlog"));
    write(&steady(|n| jitter(n) * 2), &tool.path("b.hlog"));
    let (log, record) = (tool.path("a.hlog"), tool.path("a.run.json"));
    let good = std::fs::read_to_string(&log).unwrap();
    let refused = |why: &str| {
        let ran = tool.run(&["report", "a.hlog"]);
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
        let is_told = ran.stderr.contains("a.run.json is not the record of a.hlog: ");
        assert!(is_told && ran.stderr.contains(why), "{why}: {}", ran.stderr);
    };
    // The same calls, twice as slow; then another start; then without a lane.
    std::fs::copy(tool.path("b.run.json"), &record).unwrap();
    refused("ms in the log");
    write(&steady(jitter), &log);
    std::fs::write(&log, good.replace("[StartTime: 1", "[StartTime: 2")).unwrap();
    refused("the log begins at 2700000000.123, the record at 1700000000.123");
    let keep = |line: &&str| !line.starts_with("Tag=v3");
    let lines: Vec<&str> = good.lines().filter(keep).collect();
    std::fs::write(&log, lines.join("\n")).unwrap();
    refused("the record has 4 histograms that the log has not");
    // Cut where nothing but the number of calls tells.
    let lines: Vec<&str> = good.lines().collect();
    let cut = &lines[..lines.len() - 8];
    std::fs::write(&log, cut.join("\n")).unwrap();
    let ran = tool.run(&["report", "a.hlog"]);
    let is_told = ran.stdout.starts_with("FAILED") && ran.stdout.contains("the log was cut");
    assert!(is_told || ran.code == Some(1), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn a_histogram_that_would_take_all_memory_is_refused_by_its_header() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use std::io::Write as _;
    let packed = |length: u32, digits: u32, high: u64| {
        let mut plain = Vec::new();
        for word in [0x1c84_9313, length, 0, digits] {
            plain.extend(u32::to_be_bytes(word));
        }
        plain.extend(
            [1_u64.to_be_bytes(), high.to_be_bytes(), 1f64.to_bits().to_be_bytes()].concat(),
        );
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&plain).unwrap();
        let deflated = zlib.finish().unwrap();
        let length = u32::try_from(deflated.len()).unwrap();
        let bytes = [&0x1c84_9314_u32.to_be_bytes()[..], &length.to_be_bytes(), &deflated].concat();
        STANDARD.encode(bytes)
    };
    let hour = 3_600_000_000_000;
    for (histogram, says) in [
        (packed(u32::MAX, 3, hour), "4294967295 bytes"),
        (packed(0, 5, hour), "5 digits"),
        (packed(0, 3, hour * 2), "other bounds"),
    ] {
        let log = format!("Tag=v3.read.ok.response,0.000,0.100,1.000,{histogram}\n");
        let error = parse(&log).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
}

#[test]
fn a_full_disk_is_told_when_all_else_has_been() {
    let tool = Tool::new();
    tool.write("calls.jsonl", "{\"command\":\"echo\"}\n");
    for (option, name) in [("--hlog", "/dev/full"), ("--html", "/dev/full")] {
        let ran = tool.run(&["run", "calls.jsonl", "--json", option, name]);
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
        assert!(ran.stderr.contains("cannot write /dev/full: No space left"), "{}", ran.stderr);
        let summary: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
        assert_eq!(summary["summary"]["files"], Value::Array(Vec::new()), "{summary}");
    }
    // A device has no record beside it.
    assert!(!Path::new("/dev/full.run.json").exists());
    let ran = tool.run(&["run", "calls.jsonl", "--hlog", "a.hlog", "--html", "none/a.html"]);
    assert!(
        ran.code == Some(1) && ran.stderr.contains("cannot write none/a.html"),
        "{}",
        ran.stderr
    );
    write(&steady(jitter), &tool.path("b.hlog"));
    for args in [["--html", "/dev/full"], ["--html", "none/b.html"], ["--hgrm", "b.hlog/x"]] {
        let ran = tool.run(&[&["report", "b.hlog"][..], &args].concat());
        assert!(ran.code == Some(1) && ran.stderr.contains("cannot "), "{}", ran.stderr);
    }
}

#[test]
fn a_number_that_no_run_can_have_is_named_with_its_field_and_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.hlog");
    write(&steady(jitter), &path);
    let beside = RunRecord::path(&path);
    let record: Value = serde_json::from_slice(&std::fs::read(&beside).unwrap()).unwrap();
    let told = |field: &str, value: Value| {
        let mut record = record.clone();
        *record.pointer_mut(field).unwrap() = value;
        std::fs::write(&beside, record.to_string()).unwrap();
        load(&path).map_or_else(|error| error.to_string(), |_| String::new())
    };
    for (field, value, says) in [
        ("/lasted_s", json!(1e308), "lasted_s is 1e+308; it can be 0 to 1.8e10, 570 years"),
        ("/slice_ms", json!(-1.5), "slice_ms is -1.5; it can be 0 to 1.8e13, 570 years"),
        ("/began_unix_s", json!(1e11), "began_unix_s is 100000000000.0; it can be 0 to 1.8e10"),
        ("/load/open/offered_per_s", json!(1e300), "load.open.offered_per_s is 1e+300; it can be"),
        ("/exact_max_ms/v2.read.ok.wait", json!(1e99), "exact_max_ms.v2.read.ok.wait is 1e+99"),
        ("/books/outcomes/ok", json!(u64::MAX), "books.outcomes.ok is 18446744073709551615; it"),
        ("/flows/v3/1/waiting", json!(u64::MAX), "flows.v3[1].waiting is 18446744073709551615"),
        ("/workers/0/busy/0", json!(1.5), "workers[0].busy[0] is 1.5; it can be 0 to 1"),
        ("/slowest/2/lag_ms", json!(1e18), "slowest[2].lag_ms is 1e+18; it can be 0 to 1.8e13"),
    ] {
        let told = told(field, value);
        assert!(told.contains(&format!("a.run.json, line 1: {says}")), "{field}: {told}");
    }
    // A seed is no amount of anything.
    assert_eq!(told("/origin/seed", json!(u64::MAX)), "");
}

#[test]
fn a_file_that_is_no_file_is_refused_and_not_waited_for() {
    let tool = Tool::new();
    let fifo = tool.path("a.hlog");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    // Who reads it all the same waits only for as long as this test holds it.
    let _held = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    for (name, is) in [("a.hlog", "a FIFO"), (".", "a folder"), ("/dev/zero", "a device")] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut report = tool.command(&["report", name]).stderr(writer).spawn().unwrap();
        until("it has ended", || report.try_wait().unwrap().is_some());
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(report.wait().unwrap().code(), Some(1), "{said}");
        let says = format!("cannot read {name}: it is {is}; only a regular file can be a run's");
        assert!(said.contains(&says), "{said}");
    }
}
