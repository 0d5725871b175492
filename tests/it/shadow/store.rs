//! The store: quotas, bounds, crashes, and one writer at a time.

use std::fs;
use std::path::Path;

use poolshift::Lane;
use poolshift::clock::Clock;
use poolshift::config::Config;
use poolshift::report::shadow::ShadowReport;
use poolshift::router::compare::Kind;
use poolshift::router::compare::rule::RuleBook;
use poolshift::shadow::recorder::{MAX_BYTES, Recorder};
use poolshift::shadow::{Evidence, Store, StoreError};
use serde_json::{Value, json};

use super::{MIB, Pair, open};

fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

fn numbers(evidence: &Evidence) -> Vec<u64> {
    evidence.samples.iter().map(|sample| sample.n).collect()
}

#[test]
fn the_first_and_the_newest_are_kept_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let mut store = open(folder.path(), MIB).unwrap();
        for n in 0..50 {
            let n = round * 50 + n;
            Pair::of("predict", &json!({"x": n}), &json!({"x": -1})).record(&mut store, n);
        }
    }
    let evidence = Evidence::read(folder.path()).unwrap();
    let numbers = numbers(&evidence);
    assert_eq!((&numbers[..2], &numbers[5..]), (&[0, 1][..], &[97, 98, 99][..]), "{numbers:?}");
    let path = &evidence.tally.commands["predict"].paths[0];
    assert_eq!((path.shape.as_str(), path.kind, path.count), ("/x", Kind::Changed, 100));
    assert_eq!(path.first.as_deref(), Some("call-0"));
    assert_eq!((path.first_seen_s, path.last_seen_s), (Some(1.7e9), Some(1_700_000_099.0)));
    let newest = evidence.samples.last().unwrap();
    assert_eq!((newest.v2.as_deref(), newest.v3.as_deref()), (Some("99"), Some("-1")));
    assert_eq!((newest.id.as_str(), newest.session.as_deref()), ("call-99", Some("alice")));
}

#[test]
fn the_config_says_where_how_much_and_what_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("deep/shadow.d");
    let text = format!(
        "[shadow]\nstore = {store:?}\nstore_max_bytes = 2000000\nredact = [\"iban\", \"/who/*\"]\n"
    );
    let config = Config::parse("poolshift.toml", &text, []).unwrap().shadow;
    let mut open = Store::of(&config, 1).unwrap();
    let filler = "x".repeat(900);
    for n in 0..3000 {
        let v2 = json!({"IBAN": "DE02-1203", "who": {"name": "Ada L", "age": n}, "n": filler});
        Pair::of(&format!("c{}", n % 90), &v2, &json!({"n": n})).record(&mut open, n);
    }
    drop(open);
    let samples = fs::read_to_string(store.join("samples.log")).unwrap();
    assert!((600_000..1_333_334).contains(&samples.len()), "{}", samples.len());
    assert!(!samples.contains("DE02") && !samples.contains("Ada L"));
}

#[test]
fn lanes_keep_their_sides_whoever_answers_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), MIB).unwrap();
    let mut pair = Pair::of("predict", &json!({"new": 1}), &json!({"old": 1}));
    (pair.lanes, pair.took_ms) = ([Lane::V3, Lane::V2], [30, 10]);
    pair.record(&mut store, 0);
    let command = &store.tally().commands["predict"];
    let told = command.paths.iter().map(|path| (path.shape.as_str(), path.kind));
    assert_eq!(told.collect::<Vec<_>>(), [("/old", Kind::Missing), ("/new", Kind::Extra)]);
    assert_eq!((command.v2.max().as_millis(), command.v3.max().as_millis()), (10, 30));
}

#[test]
fn a_flood_of_large_samples_stays_within_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), MIB).unwrap();
    let long = "x".repeat(5000);
    for n in 0..1500_u64 {
        let (v2, v3) = (format!("{long}{n}"), format!("{n}{long}"));
        let key = format!("key-{}", n % 300);
        let mut pair = Pair::of("predict", &json!({&key: v2}), &json!({&key: v3}));
        pair.args = json!({"text": long});
        pair.record(&mut store, n);
        if n % 100 == 0 {
            store.flush().unwrap();
            assert!(bytes_in(folder.path()) < 2 * MIB as u64, "{}", bytes_in(folder.path()));
        }
    }
    let samples = fs::metadata(folder.path().join("samples.log")).unwrap().len();
    assert!(samples <= MIB as u64 * 2 / 3, "{samples}");
    assert!(store.refused() > 0, "there was more than there was room for");
    drop(store);
    let evidence = Evidence::read(folder.path()).unwrap();
    // Counts are exact whatever became of samples.
    assert_eq!(evidence.tally.commands["predict"].paths.len(), 300);
    assert_eq!(evidence.tally.commands["predict"].lanes.compared, 1500);
    assert!(evidence.samples.len() > 50 && evidence.damaged == 0);
}

#[test]
fn a_crash_at_any_byte_costs_at_most_the_line_it_cut() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), MIB).unwrap();
    for n in 0..4 {
        Pair::of("predict", &json!(n), &json!(-1)).record(&mut store, n);
    }
    drop(store);
    let path = folder.path().join("samples.log");
    let whole = fs::read(&path).unwrap();
    let lines: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let before = lines.iter().skip(1).filter(|line| **line < end).count();
        assert_eq!(Evidence::read(folder.path()).unwrap().samples.len(), before, "at {end}");
        // The next process goes on, and its line is not glued to the rest.
        let mut store = open(folder.path(), MIB).unwrap();
        Pair::of("predict", &json!("next"), &json!(-1)).record(&mut store, 9);
        drop(store);
        let evidence = Evidence::read(folder.path()).unwrap();
        assert_eq!((evidence.samples.len(), evidence.damaged), (before + 1, 0), "at {end}");
        let newest = evidence.samples.iter().any(|sample| sample.v2.as_deref() == Some("\"next\""));
        assert!(newest, "at {end}");
    }
}

#[test]
fn a_changed_byte_costs_its_line_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), MIB).unwrap();
    for n in 0..3 {
        Pair::of("predict", &json!(n), &json!(-1)).record(&mut store, n);
    }
    drop(store);
    let path = folder.path().join("samples.log");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("call-1", "call-7")).unwrap();
    let evidence = Evidence::read(folder.path()).unwrap();
    assert_eq!((numbers(&evidence), evidence.damaged), (vec![0, 2], 1));
}

#[test]
fn what_cannot_be_used_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let told = |error: StoreError| error.to_string();
    assert!(told(Evidence::read(folder.path()).unwrap_err()).contains("no compared answers in"));
    let store = open(folder.path(), MIB).unwrap();
    assert!(told(open(folder.path(), MIB).unwrap_err()).contains("held by another process"));
    drop(store);
    drop(open(folder.path(), MIB).unwrap());
    for (file, text) in [
        ("samples.log", "poolshift shadow samples 2\n"),
        ("tally.json", r#"{"format": "poolshift shadow tally 2", "commands": 7}"#),
        ("tally.json", "{"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(file), text).unwrap();
        for error in
            [Evidence::read(folder.path()).unwrap_err(), open(folder.path(), MIB).unwrap_err()]
        {
            let told = told(error);
            assert!(told.contains("is not of format") && told.contains(file), "{told}");
        }
        assert_eq!(fs::read_to_string(folder.path().join(file)).unwrap(), text, "left as it was");
    }
}

#[test]
fn paths_and_commands_without_end_are_bounded_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), MIB).unwrap();
    for n in 0..700 {
        let value = json!({format!("key-{n}"): n});
        Pair::of("predict", &value, &json!({})).record(&mut store, n);
        Pair::of(&format!("command-{n}"), &json!(1), &json!(1)).record(&mut store, n);
    }
    let wide: Value = (0..2000).map(|n| (format!("k{n}"), json!(n))).collect();
    Pair::of("predict", &wide, &json!({})).record(&mut store, 700);
    let tally = store.tally();
    assert_eq!(tally.commands.len(), 101);
    let command = &tally.commands["predict"];
    assert_eq!((command.paths.len(), command.lanes.compared), (500, 701));
    let listed: u64 = command.lanes.patterns.iter().map(|pattern| pattern.pairs).sum();
    assert_eq!(listed + command.lanes.unlisted, 701);
    let commands: u64 = tally.commands.values().map(|command| command.lanes.compared).sum();
    assert_eq!(commands, 1401);
    // Nor are samples kept that no report could show: of each path that has a name, and no other.
    for n in [150, 699] {
        Pair::of(&format!("command-{n}"), &json!(1), &json!(2)).record(&mut store, n);
    }
    drop(store);
    let evidence = Evidence::read(folder.path()).unwrap();
    let report = ShadowReport::of(&evidence);
    let shown: usize = report.by_path.iter().map(|path| path.samples.len()).sum();
    assert_eq!(shown, evidence.samples.len());
    assert!(report.by_path.iter().all(|path| path.sample.is_some()), "{report:?}");
}

#[test]
fn what_waits_to_be_compared_is_bounded_in_bytes_also_by_answers_that_nobody_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), MIB).unwrap();
    let recorder = Recorder::start(store, RuleBook::default(), Clock::start()).unwrap();
    let huge = json!("x".repeat(MAX_BYTES));
    assert!(!recorder.offer(Pair::of("predict", &json!(1), &huge).trial(0), None));
    let small = Pair::of("predict", &json!(1), &json!(1)).trial(1);
    assert!(recorder.offer(small, None), "it left no room");
    recorder.close();
    assert_eq!(recorder.books().commands["predict"].compared, 1);
}

#[test]
fn a_lane_beside_itself_leaves_counts_and_no_samples() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), MIB).unwrap();
    Pair::noise("predict", &json!({"x": 1}), &json!({"x": 2})).record(&mut store, 0);
    drop(store);
    let evidence = Evidence::read(folder.path()).unwrap();
    assert!(evidence.samples.is_empty(), "{:?}", evidence.samples);
    let path = &evidence.tally.commands["predict"].paths[0];
    assert_eq!((path.count, path.noise_count, path.first.as_deref()), (0, 1, None));
}

#[test]
fn a_pair_counts_once_where_it_differs_in_many_elements() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), MIB).unwrap();
    let items = |score: u64| json!({"items": [{"score": score}, {"score": score + 1}]});
    for n in 0..3 {
        Pair::of("predict", &items(10), &items(20)).record(&mut store, n);
    }
    let command = &store.tally().commands["predict"];
    let told: Vec<_> = command.paths.iter().map(|path| (&*path.shape, path.count)).collect();
    assert_eq!(told, [("/items/*/score", 3)]);
    assert_eq!(command.lanes.patterns[0].pairs, 3);
    // And leaves one sample: else the newest calls would be the last elements of one.
    drop(store);
    let samples = Evidence::read(folder.path()).unwrap().samples;
    let kept: Vec<_> = samples.iter().map(|sample| (&*sample.id, &*sample.path)).collect();
    let first = "/items/0/score";
    assert_eq!(kept, [("call-0", first), ("call-1", first), ("call-2", first)]);
}

/// A disk that refuses the counts loses no pair: they are written when it takes them again.
#[test]
fn counts_that_reach_the_disk_late_are_no_pairs_that_were_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), MIB).unwrap();
    fs::create_dir(folder.path().join("tally.draft")).unwrap();
    let recorder = Recorder::start(store, RuleBook::default(), Clock::start()).unwrap();
    assert!(recorder.offer(Pair::of("predict", &json!(1), &json!(1)).trial(0), None));
    recorder.close();
    let books = recorder.books();
    assert!(books.error.as_ref().is_some_and(|error| error.contains("tally")), "{books:?}");
    assert_eq!((books.unwritten, books.commands["predict"].matched), (0, 1));
}

#[test]
fn counts_that_somebody_changed_are_told_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), MIB).unwrap();
    Pair::of("predict", &json!(1), &json!(2)).record(&mut store, 0);
    drop(store);
    let path = folder.path().join("tally.json");
    let text = fs::read_to_string(&path).unwrap();
    for moment in ["-5.0", "1e300"] {
        fs::write(&path, text.replace("1700000000.0", moment)).unwrap();
        let mut all = Evidence::default();
        all.merge(Evidence::read(folder.path()).unwrap());
        let seen = all.tally.commands["predict"].paths[0].last_seen_s;
        assert_eq!(seen, Some(moment.parse().unwrap()));
    }
}
