//! How many files and processes the operating system allows.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use crate::cli::doctor::check::Check;

/// Three pipes and a pidfd.
const FILES_PER_WORKER: u64 = 4;

/// The host's own: runtime, signals, watch, logs, and the ends of pipes while workers start.
const FILES_OF_HOST: u64 = 64;

pub(super) fn descriptors(workers: usize) -> Check {
    let have = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let need = workers as u64 * FILES_PER_WORKER + FILES_OF_HOST;
    let detail = format!(
        "limit {}, needed {need} = {workers} workers x {FILES_PER_WORKER} + {FILES_OF_HOST}",
        shown(have)
    );
    let fix = format!("`ulimit -n {}`, or LimitNOFILE= in the service's unit", need * 2);
    Check::of_room("descriptors", have, need, detail, fix)
}

/// The user's limit counts threads, and root is not held to it.
pub(super) fn processes(workers: usize, threads: u64) -> Check {
    let have = getrlimit(Resource::Nproc).current.unwrap_or(u64::MAX);
    let need = tasks(workers, threads);
    let root = rustix::process::getuid().is_root();
    let detail = format!(
        "limit {}{}, needed {need} = {workers} workers x {threads} threads + this process",
        shown(have),
        if root { " (not for root)" } else { "" }
    );
    if root {
        return Check::good("processes", detail);
    }
    let fix = format!("`ulimit -u {}`, or LimitNPROC= in the service's unit", need * 2);
    Check::of_room("processes", have, need, detail, fix)
}

pub(super) fn cgroup_processes(workers: usize, threads: u64) -> Check {
    let room = cgroup_folders().into_iter().filter_map(|folder| room_in(&folder)).min();
    let Some(have) = room else { return Check::good("cgroup", "no limit on processes") };
    let need = tasks(workers, threads);
    let detail = format!("room for {have} processes, needed {need}");
    Check::of_room("cgroup", have, need, detail, "raise the control group's pids.max".to_owned())
}

fn tasks(workers: usize, threads: u64) -> u64 {
    workers as u64 * threads + 1
}

fn room_in(folder: &Path) -> Option<u64> {
    let number = |name| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    Some(number("pids.max")?.saturating_sub(number("pids.current")?))
}

/// The control groups that hold this process, from its own up to the root.
pub(super) fn cgroup_folders() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(own) = text.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return Vec::new();
    };
    let root = Path::new("/sys/fs/cgroup");
    let own = root.join(own);
    own.ancestors().take_while(|folder| folder.starts_with(root)).map(Path::to_owned).collect()
}

fn shown(limit: u64) -> String {
    if limit == u64::MAX { "none".to_owned() } else { limit.to_string() }
}
