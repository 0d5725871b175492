//! A run's files take their names when they are whole: no run that fails costs an older one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use poolshift::report::files::load;
use poolshift::report::outputs::{Outputs, Page};

use super::files::write;
use super::{jitter, steady};
use crate::tool::Tool;

const OLDER: &str = "older";
const FILES: [&str; 3] = ["a.hlog", "a.html", "a.run.json"];

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

fn assert_older(folder: &Path) {
    for name in FILES {
        assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), OLDER, "{name}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode()
}

#[test]
fn what_was_there_stays_until_all_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let [log, page, _] = FILES.map(|name| folder.path().join(name));
    FILES.iter().for_each(|name| fs::write(folder.path().join(name), OLDER).unwrap());
    let open = |html: &Path| Outputs::create(Some(&log), Some(html)).unwrap();
    let opened = open(&page);
    assert_older(folder.path());
    assert_eq!(names(folder.path()), FILES, "what a killed run leaves");
    drop(opened);
    assert_older(folder.path());
    assert_eq!(names(folder.path()), FILES);
    // The log and its record are whole by then, and no part of a report.
    let run = steady(jitter);
    open(Path::new("/dev/full")).write(&run, || "new".to_owned()).unwrap_err();
    assert_older(folder.path());
    open(&page).write(&run, || "new".to_owned()).unwrap();
    assert_eq!(load(&log).unwrap().record, run.record);
    assert_eq!(fs::read_to_string(&page).unwrap(), "new");
    assert_eq!(names(folder.path()), FILES);
}

#[test]
fn two_outputs_of_one_name_are_refused_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let log = folder.path().join("a.hlog");
    symlink(&log, folder.path().join("link")).unwrap();
    for html in ["a.hlog", "sub/../a.hlog", "link", "a.run.json"] {
        let refused = Outputs::create(Some(&log), Some(&folder.path().join(html))).unwrap_err();
        let told = refused.to_string();
        assert!(told.contains(html) && told.contains("a name of its own"), "{html}: {told}");
    }
    Outputs::create(Some(Path::new("/dev/null")), Some(Path::new("/dev/null"))).unwrap();
    let tool = Tool::new();
    tool.write("calls.jsonl", "{\"command\":\"echo\"}\n");
    let ran = tool.run(&["run", "calls.jsonl", "--hlog", "a.hlog", "--html", "./a.hlog"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert_eq!(names(&tool.path("")), ["calls.jsonl"]);
}

#[test]
fn no_output_replaces_what_is_read() {
    let tool = Tool::new();
    let calls = "{\"command\":\"echo\"}\n";
    tool.write("calls.jsonl", calls);
    symlink("calls.jsonl", tool.path("link")).unwrap();
    write(&steady(jitter), &tool.path("a.hlog"));
    write(&steady(jitter), &tool.path("b.hlog"));
    let before = names(&tool.path(""));
    let read = || ["a.hlog", "a.run.json", "b.hlog"].map(|name| fs::read(tool.path(name)).unwrap());
    let runs = read();
    for words in [
        "run calls.jsonl --html link",
        "run calls.jsonl --hlog calls.jsonl",
        "run calls.jsonl --record ./calls.jsonl",
        "run calls.jsonl --record new.html --html new.html",
        "shadow run calls.jsonl --html calls.jsonl",
        "report a.hlog --html a.hlog",
        "report a.hlog --html a.run.json",
        "report a.hlog b.hlog --html b.hlog",
    ] {
        let ran = tool.run(&words.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.code, Some(2), "{words}: {}", ran.stderr);
        assert!(ran.stderr.contains("a name of its own"), "{words}: {}", ran.stderr);
        assert_eq!(fs::read_to_string(tool.path("calls.jsonl")).unwrap(), calls, "{words}");
        assert!(read() == runs, "{words}");
        assert_eq!(names(&tool.path("")), before, "{words}");
    }
}

#[test]
fn a_run_that_fails_leaves_an_older_report_alone() {
    let tool = Tool::new();
    tool.write("poolshift.toml", "[worker]\npython_path = \"/bin/false\"\n");
    tool.write("calls.jsonl", "{\"command\":\"echo\"}\n");
    FILES.iter().for_each(|name| drop(tool.write(name, OLDER)));
    let before = names(&tool.path(""));
    let ran = tool.run(&["run", "calls.jsonl", "--hlog", "a.hlog", "--html", "a.html"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_older(&tool.path(""));
    assert_eq!(names(&tool.path("")), before);
}

#[test]
fn a_link_is_kept_and_so_are_a_files_rights() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["own.html", "link.html", "fresh.html", "plain", "day.html", "latest.html"];
    let [own, link, fresh, plain, day, latest] = files.map(|name| folder.path().join(name));
    fs::write(&own, OLDER).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("own.html", &link).unwrap();
    fs::write(&plain, "").unwrap();
    fs::create_dir(folder.path().join("links")).unwrap();
    let middle = folder.path().join("links/today.html");
    symlink("links/today.html", &latest).unwrap();
    symlink("../day.html", &middle).unwrap();
    let run = steady(jitter);
    for path in [&link, &fresh, &latest] {
        let outputs = Outputs::create(None, Some(path)).unwrap();
        outputs.write(&run, || "new".to_owned()).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "new");
    }
    for link in [&link, &latest, &middle] {
        assert!(fs::symlink_metadata(link).unwrap().is_symlink());
    }
    assert_eq!(
        fs::read_to_string(&day).unwrap(),
        "new",
        "a link may lead to what is not there yet"
    );
    assert_eq!(fs::read_to_string(&own).unwrap(), "new");
    assert_eq!(mode(&own) & 0o777, 0o640);
    assert_eq!(mode(&fresh), mode(&plain), "any new file's");
}

#[test]
fn what_cannot_be_written_is_told_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("none/a.hlog")] {
        let refused = Outputs::create(Some(&path), None).unwrap_err().to_string();
        assert!(refused.contains(&format!("cannot write {}", path.display())), "{refused}");
        let refused = Page::create(&path, None).unwrap_err().to_string();
        assert!(refused.contains(&format!("cannot write {}", path.display())), "{refused}");
    }
}
