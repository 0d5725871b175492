//! One plan, two worlds: what the simulator says of a plan is what real processes do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use poolshift::{Outcome, Ran};
use poolshift_sim::plan::Plan;
use poolshift_sim::real::ending::Ending;
use poolshift_sim::real::replay::{Compared, Replayed, replay};
use poolshift_sim::real::stop::Stop;
use rustix::process::Signal;

use crate::chaos::Interrupted;

/// Those of the planted bugs' plans in which nothing is decided within what a real host needs for
/// a wake-up.
const SHRUNK: [&str; 5] =
    ["garbage_forgiven", "half_sent_again", "kill_read_once", "stale_ready", "timed_out_idle"];

/// Plans made for this: every kind of end, every fault that has real means, operators, a drain.
const MADE: [&str; 4] = ["crowded", "deadlines", "lies", "sessions_lost"];

/// How many plans are played at once: each starts up to five workers at its beginning.
const AT_ONCE: usize = 3;

/// Twice as slow as the plans have it, so that a loaded machine's worker is up when it must be.
const SLOWER: u32 = 2;

fn path(folder: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{folder}/{name}.json"))
}

fn both(folder: &str, name: &str) -> Replayed {
    let text = std::fs::read_to_string(path(folder, name)).unwrap();
    let plan = Plan::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(plan.to_text(), text, "{name} is not as it would be written");
    let replayed =
        replay(&plan, SLOWER, &Stop::never()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let differing: Vec<&Compared> = replayed.calls.iter().filter(|call| call.differs()).collect();
    let Replayed { broken, missing, .. } = &replayed;
    assert!(replayed.is_good(), "{name}: {differing:#?} {broken:#?} {missing:#?}");
    replayed
}

/// The ends of all calls, of which each is the same in both worlds.
fn ends(replayed: &Replayed) -> Vec<(Outcome, Option<Ran>)> {
    let real = replayed.calls.iter().map(|call| call.real.unwrap());
    real.map(|Ending { outcome, ran }| (outcome, ran)).collect()
}

#[test]
fn plans_end_alike_in_both_worlds() {
    let made = MADE.map(|name| ("both_worlds", name));
    let plans: Vec<(&str, &str)> =
        made.into_iter().chain(SHRUNK.map(|name| ("plans", name))).collect();
    let (taken, replayed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((folder, name)) = plans.get(taken.fetch_add(1, Ordering::Relaxed)) {
                    let run = both(folder, name);
                    replayed.lock().unwrap().push((*name, run));
                }
            });
        }
    });
    let replayed = replayed.into_inner().unwrap();
    // All of it was compared, but for the one plan that has a fault without real means.
    for (name, run) in &replayed {
        let compared = run.calls.iter().all(|call| call.is_comparable);
        assert_eq!(compared, *name != "timed_out_idle", "{name}: {:?}", run.missing);
    }
    let seen: Vec<(Outcome, Option<Ran>)> =
        replayed.iter().flat_map(|(_, run)| ends(run)).collect();
    for end in [
        (Outcome::Ok, Some(Ran::Yes)),
        (Outcome::Rejected, Some(Ran::No)),
        (Outcome::QueueTimeout, Some(Ran::No)),
        (Outcome::ExecTimeout, Some(Ran::Maybe)),
        (Outcome::WorkerLost, Some(Ran::Maybe)),
        (Outcome::SessionLost, Some(Ran::No)),
        (Outcome::Protocol, Some(Ran::Maybe)),
        (Outcome::Draining, Some(Ran::No)),
        (Outcome::Cancelled, None),
    ] {
        assert!(seen.contains(&end), "no call is {end:?}: {seen:?}");
    }
}

#[test]
fn what_has_no_real_means_is_named_and_not_compared() {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_poolshift-sim"));
    let output = sim.arg("replay").arg(path("plans", "timed_out_idle")).arg("--real").output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(text.contains("no real means: deaf_stdin at request 1 of call 77: "), "{text}");
    assert!(text.contains("not compared"), "{text}");
    assert!(text.ends_with("0 of 2 calls end otherwise; 0 laws broken\n"), "{text}");
}

/// A world that answers otherwise is found out: in this one the first call's worker is well.
#[test]
fn worlds_that_differ_are_a_failed_comparison() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(path("plans", "half_sent_again")).unwrap();
    let plan = Plan::parse(&text).unwrap();
    let mut replayed = replay(&plan, 1, &Stop::never()).unwrap();
    assert!(replayed.is_good());
    let simulated = replayed.calls[0].simulated.as_mut().unwrap();
    assert_eq!(*simulated, Ending { outcome: Outcome::WorkerLost, ran: Some(Ran::Maybe) });
    simulated.ran = Some(Ran::No);
    assert!(!replayed.is_good(), "ran is compared");
    // V2's setting cannot be that no call waits, so a plan in which that matters parts the worlds.
    let text = text.replace("\"percent\": 100.0", "\"percent\": 0.0");
    let text = text.replace("\"max_waiting\": 3,", "\"max_waiting\": 0,");
    let text = text.replace("\"at_ns\":24691358", "\"at_ns\":0");
    let parted = folder.path().join("parted.json");
    std::fs::write(&parted, text).unwrap();
    let mut sim = Command::new(env!("CARGO_BIN_EXE_poolshift-sim"));
    let output = sim.arg("replay").arg(&parted).args(["--real", "--json"]).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &told["differing"]), (Some(3), &1.into()), "{told:#}");
}

#[test]
fn a_plan_that_is_too_much_for_a_host_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(path("plans", "half_sent_again")).unwrap();
    let large = folder.path().join("large.json");
    std::fs::write(&large, text.replace("\"size\": 1,", "\"size\": 65,")).unwrap();
    let replay = |args: &[&str]| {
        let mut sim = Command::new(env!("CARGO_BIN_EXE_poolshift-sim"));
        let output = sim.arg("replay").args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = replay(&[large.to_str().unwrap(), "--real"]);
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("a lane's size is 65: 1 to 64 are possible on real processes"), "{told}");
    let plan = path("plans", "half_sent_again");
    for args in [&["--slower", "2"][..], &["--real", "--slower", "0"]] {
        let (code, told) = replay(&[&[plan.to_str().unwrap()], args].concat());
        assert_eq!(code, Some(2), "{told}");
    }
}

#[test]
fn a_replay_that_is_told_to_stop_leaves_nothing() {
    let plan = path("both_worlds", "lies");
    let args = ["replay", plan.to_str().unwrap(), "--real", "--slower", "5"];
    let run = Interrupted::begin(&args);
    run.signal(Signal::TERM);
    assert_eq!(run.ended(), "");
}
