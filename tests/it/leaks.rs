//! What a host holds after many of its workers have ended and been replaced: descriptors,
//! threads, children and memory are as they were, measured from outside.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use poolshift::Lane;
use serde_json::json;

use crate::orphans::{Family, NOTES, fixtures, lines, processes, stat};
use crate::tool::{Tool, until, within};

/// Workers of the lane whose workers end; the other lane has one.
const WORKERS: usize = 2;

/// Restarts before the first measure: allocators and caches have their size then.
const WARM: usize = 60;

/// Restarts between the measures, unless `POOLSHIFT_RESTARTS` says otherwise.
const RESTARTS: usize = 500;

/// What resident memory may differ by without a leak.
const NOISE_KIB: u64 = 4096;

/// What a host holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holdings {
    descriptors: usize,
    threads: usize,
    /// Workers, and the guardian.
    children: usize,
    zombies: usize,
}

fn holdings(host: u32) -> Holdings {
    let count = |what: &str| fs::read_dir(format!("/proc/{host}/{what}")).unwrap().count();
    let host = i32::try_from(host).unwrap();
    let children = processes().filter_map(stat).filter(|stat| stat.parent == host);
    let states: Vec<char> = children.map(|stat| stat.state).collect();
    Holdings {
        descriptors: count("fd"),
        threads: count("task"),
        children: states.len(),
        zombies: states.iter().filter(|state| **state == 'Z').count(),
    }
}

pub(crate) fn resident_kib(host: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{host}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Nine workers in ten end after an answer, which are replaced at once; one dies in a call.
fn endings(count: usize) -> String {
    let one = |n| lines(1, if n % 10 == 9 { "die" } else { "leave" }, &json!({}));
    (0..count).map(one).collect()
}

/// A host whose files take turns: workers end, then all are held, so that it can be measured.
fn host(lane: Lane, restarts: usize) -> Family {
    let tool = Tool::new();
    let notes = tool.path("notes");
    fs::create_dir(&notes).unwrap();
    let tool = tool.with_env(NOTES, notes.to_str().unwrap());
    // Each worker may end under one call that it has not read, which is an outcome too.
    let hold = |name| lines(2 * WORKERS, "wait_for", &json!({"notes": notes, "file": name}));
    let files =
        [endings(WARM), hold("warm"), endings(restarts), hold("done")].map(|calls| calls + "\n");
    let names = ["0.jsonl", "1.jsonl", "2.jsonl", "3.jsonl"];
    names.iter().zip(&files).for_each(|(name, calls)| drop(tool.write(name, calls)));
    tool.write(
        "poolshift.toml",
        &format!(
            "[worker]\nscript = \"{}/fleeting.py\"\npython_args = [\"-S\", \"-E\"]\n\
             [v2]\nsize = {}\n[v3]\nsize = {}\n",
            fixtures(),
            if lane == Lane::V2 { WORKERS } else { 1 },
            if lane == Lane::V3 { WORKERS } else { 1 },
        ),
    );
    let args = [&["run"], &names[..], &["--pool", lane.as_str(), "--concurrency", "2"]].concat();
    let mut host = tool.command(&args);
    let host = host.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    Family { tool, host }
}

#[expect(clippy::print_stderr, reason = "the figures of the run")]
fn nothing_leaks(lane: Lane) {
    let restarts = std::env::var("POOLSHIFT_RESTARTS");
    let restarts = restarts.map_or(RESTARTS, |count| count.parse().unwrap());
    let mut family = host(lane, restarts);
    let pid = family.host.id();
    let held = |name: &str| family.noted(name).len() == WORKERS;
    within(Duration::from_secs(restarts as u64), "all workers are held", || held("warm"));
    // All workers of both lanes and the guardian; what was ended has been reaped.
    let whole = WORKERS + 2;
    until("the host has settled", || {
        let now = holdings(pid);
        now.children == whole && now.zombies == 0
    });
    let (before, memory) = (holdings(pid), resident_kib(pid));
    family.tool.write("notes/warm", "");
    within(Duration::from_secs(restarts as u64), "all restarts are over", || held("done"));
    until(&format!("the host holds {before:?} again"), || holdings(pid) == before);
    let grown = resident_kib(pid).saturating_sub(memory);
    eprintln!("{lane}: {restarts} restarts, {before:?}, {memory} KiB, grown by {grown} KiB");
    assert!(grown <= NOISE_KIB, "{memory} KiB have grown by {grown} KiB");
    family.tool.write("notes/done", "");
    // Some died in a call, which is an outcome.
    assert_eq!(family.host.wait().unwrap().code(), Some(0));
    family.gone_after();
}

#[test]
fn v2_holds_no_more_after_many_restarts() {
    nothing_leaks(Lane::V2);
}

#[test]
fn v3_holds_no_more_after_many_restarts() {
    nothing_leaks(Lane::V3);
}
