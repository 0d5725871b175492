//! `poolshift-sim chaos`: real workers under real faults, and the proof that it sees what is wrong.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use poolshift::clock::{Clock, Moment};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn chaos(args: &[&str], traces: &Path) -> Output {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_poolshift-sim"));
    // What the environment says of pools is not what a run's options say.
    sim.env("POOLSHIFT__V2__SIZE", "0").env("POOLSHIFT__RETRY__ATTEMPTS", "3");
    sim.arg("chaos").args(args).arg("--trace-dir").arg(traces).output().unwrap()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Laws that a real run can put to the test.
const LAWS: [&str; 9] = ["L1", "S1", "S10", "S14", "S17", "S19", "S2", "S23", "S24"];

/// Three seconds of what `scripts/soak` does for ten minutes.
#[test]
fn r18_nothing_is_lost_doubled_crossed_or_left_behind_while_everything_goes_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let rough = ["--for", "3s", "--kill-every", "250ms", "--workers", "2", "--seed", "7"];
    let output = chaos(&[&rough[..], &["--json"]].concat(), folder.path());
    let told = report(&output);
    assert_eq!(output.status.code(), Some(0), "{told:#}");
    assert!(output.stderr.is_empty(), "progress is for terminals: {output:?}");
    for figure in ["lost", "duplicated", "cross_talk", "leaked_processes"] {
        assert_eq!(told[figure], 0, "{told:#}");
    }
    for figure in ["fd_delta", "thread_delta"] {
        assert_eq!(told[figure], 0, "{told:#}");
    }
    let outcomes = told["outcomes"].as_object().unwrap();
    let ended: u64 = outcomes.values().filter_map(Value::as_u64).sum();
    assert_eq!(told["submitted"], ended, "{told:#}");
    // It was rough, as far as a machine with other work lets it be.
    for happened in [&told["outcomes"]["ok"], &told["restarts"], &told["policies"]] {
        assert!(happened.as_u64() > Some(0), "{told:#}");
    }
    assert!(told["faults"]["kill"].as_u64() >= Some(3), "{told:#}");
    for law in LAWS {
        assert!(told["laws"][law]["checked"].as_u64() > Some(0), "{law}: {told:#}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing to show");
}

/// A planted bug, the figure that shows it if there is one, and the law.
const PLANTED: [(&str, Option<&str>, &str); 10] = [
    ("answers_swapped", Some("cross_talk"), "S3"),
    ("call_lost", Some("lost"), "S1"),
    ("call_repeated", Some("duplicated"), "S14"),
    ("process_left", Some("leaked_processes"), "S17"),
    ("descriptor_left", Some("fd_delta"), "S17"),
    ("thread_left", Some("thread_delta"), "S17"),
    ("workers_too_many", None, "S10"),
    ("books_wrong", None, "S19"),
    ("told_late", None, "L1"),
    ("drain_stuck", None, "L6"),
];

#[test]
fn each_planted_bug_shows_in_its_figure_and_breaks_its_law() {
    // Five at once: each has two workers to start, and then mostly waits.
    for bugs in PLANTED.chunks(5) {
        std::thread::scope(|scope| {
            bugs.iter()
                .for_each(|(bug, figure, law)| drop(scope.spawn(|| shows(bug, *figure, law))));
        });
    }
}

fn shows(bug: &str, figure: Option<&str>, law: &str) {
    let folder = tempfile::tempdir().unwrap();
    // Nothing is killed: each answer of V2 is one more chance for the bug.
    let quiet = ["--for", "3s", "--kill-every", "1h", "--workers", "1", "--json"];
    let output = chaos(&[&quiet[..], &["--planted", bug]].concat(), folder.path());
    let told = report(&output);
    assert_eq!(output.status.code(), Some(3), "{bug}: {told:#}");
    assert!(figure.is_none_or(|figure| told[figure].as_i64() > Some(0)), "{bug}: {told:#}");
    let violations = told["violations"].as_array().unwrap();
    let broken = violations.iter().any(|broken| broken["law"] == law);
    assert!(broken, "{bug}: {told:#}");
    let again = told["again"].as_str().unwrap();
    assert!(again.contains("chaos --for 3s --kill-every 1h --workers 1"), "{again}");
    let trace = folder.path().join("poolshift-sim-chaos-seed-1.txt");
    let trace = fs::read_to_string(trace).unwrap();
    assert!(trace.contains(&format!(">>> {law}")), "{bug}: {trace}");
}

/// A run whose temp folder is known.
pub(crate) struct Interrupted {
    sim: Child,
    temp: tempfile::TempDir,
}

impl Interrupted {
    /// Begins it, and waits until its workers execute calls.
    pub(crate) fn begin(args: &[&str]) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let stderr = fs::File::create(temp.path().join("stderr")).unwrap();
        let mut sim = Command::new(env!("CARGO_BIN_EXE_poolshift-sim"));
        sim.args(args).env("TMPDIR", temp.path()).current_dir(temp.path());
        let sim = sim.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let run = Self { sim, temp };
        let executes = || {
            let sites = run.sites().into_iter();
            let ledgers = sites.flat_map(|site| fs::read_dir(site.join("ledger")).into_iter());
            ledgers.flatten().any(|file| file.unwrap().metadata().is_ok_and(|file| file.len() > 0))
        };
        until("workers note what they execute", executes);
        run
    }

    fn sites(&self) -> Vec<std::path::PathBuf> {
        let files = fs::read_dir(self.temp.path()).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.is_dir()).collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.sim), signal).unwrap();
    }

    fn until_draining(&self) {
        let told = || fs::read_to_string(self.temp.path().join("stderr")).unwrap();
        until("it says that it drains", || told().contains("draining; a second signal"));
    }

    /// Its end, which leaves neither a folder nor a process. Gives what it printed.
    pub(crate) fn ended(self) -> String {
        let Self { sim, temp } = self;
        let output = sim.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        let left: Vec<_> = fs::read_dir(temp.path()).unwrap().map(|file| file.unwrap()).collect();
        assert_eq!(left.len(), 1, "its stderr, and {left:?}");
        let living = marked(temp.path());
        assert!(living.is_empty(), "{living:?} have its folder in their environment");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test outside every clock of the product")]
fn until(what: &str, condition: impl Fn() -> bool) {
    let clock = Clock::start();
    while !condition() {
        assert!(clock.now().since(Moment::ZERO) < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(5)); // polls a condition
    }
}

/// Processes in whose environment this folder is.
fn marked(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().map(|process| process.unwrap().path());
    let has = |process: &std::path::PathBuf| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&format!("FAULTY={folder}"))
    };
    processes.filter(has).map(|process| process.display().to_string()).collect()
}

const LONG: [&str; 8] =
    ["chaos", "--json", "--for", "1day", "--kill-every", "250ms", "--workers", "1"];

#[test]
fn r7_a_run_that_is_told_to_stop_drains_and_reports_what_there_was() {
    for signal in [Signal::INT, Signal::TERM] {
        let run = Interrupted::begin(&LONG);
        run.signal(signal);
        run.until_draining();
        let told: Value = serde_json::from_str(&run.ended()).unwrap();
        assert_eq!(told["interrupted"], true, "{told:#}");
        assert!(told["for_s"].as_f64() < Some(60.0), "{told:#}");
        assert!(told["submitted"].as_u64() > Some(0), "{told:#}");
        assert_eq!(told["violations"].as_array().unwrap().len(), 0, "{told:#}");
    }
}

#[test]
fn r7_a_second_signal_stops_a_run_at_once() {
    let run = Interrupted::begin(&[&LONG[..], &["--planted", "drain_stuck"]].concat());
    run.signal(Signal::TERM);
    run.until_draining();
    run.signal(Signal::INT);
    assert_eq!(run.ended(), "", "there is nothing to report");
}

#[test]
fn what_cannot_be_is_a_usage_error_that_says_what_can() {
    let folder = tempfile::tempdir().unwrap();
    for (args, says) in [
        (&["--for", "0s"][..], "--for is 0ns: 1s to 86400s are possible"),
        (&["--for", "2days"], "1s to 86400s are possible"),
        (&["--kill-every", "1ms"], "--kill-every is 1ms: 10ms to 86400s are possible"),
        (&["--workers", "0"], "--workers is 0: 1 to 64 are possible"),
        (&["--workers", "65"], "--workers is 65: 1 to 64 are possible"),
        (&["--for", "soon"], "expected number"),
        (&["--start-method", "teleport"], "\"teleport\""),
        (&["--planted", "gold"], "use answers_swapped, call_lost"),
    ] {
        let output = chaos(args, folder.path());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
