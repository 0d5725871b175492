//! Memory: what one worker takes, and what is free.

use std::fs;
use std::path::Path;

use crate::cli::doctor::check::Check;
use crate::cli::doctor::limits::cgroup_folders;
use crate::cli::doctor::worker::Probed;

const MIB: u64 = 1024 * 1024;

/// What a process takes now; nothing if it has ended.
pub(super) fn usage(pid: u32) -> Option<Probed> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rss_bytes = field(&status, "VmRSS")? * 1024;
    Some(Probed { rss_bytes, threads: field(&status, "Threads")? })
}

/// All workers of both pools, each as large as the one that was measured.
pub(super) fn enough(workers: usize, rss_bytes: u64) -> Check {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| field(&text, "MemAvailable")).map(|kib| kib * 1024);
    let groups = cgroup_folders().into_iter().filter_map(|folder| free_in(&folder));
    let Some(have) = machine.into_iter().chain(groups).min() else {
        return Check::tight("memory", "free memory is not known here", "look for yourself");
    };
    let need = (workers as u64).saturating_mul(rss_bytes);
    let (have_mib, need_mib, each_mib) = (have / MIB, need / MIB, rss_bytes / MIB);
    let detail = format!(
        "{have_mib} MiB free, {workers} workers of {each_mib} MiB each need {need_mib} MiB"
    );
    let fix = "lower [v2] size and [v3] size, or give the machine or its cgroup more memory";
    Check::of_room("memory", have, need, detail, fix.to_owned())
}

/// What a control group leaves; nothing if it sets no limit.
fn free_in(folder: &Path) -> Option<u64> {
    let number = |name| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    Some(number("memory.max")?.saturating_sub(number("memory.current")?))
}

/// The number of a `Name:   123 kB` line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_can_be_measured() {
        let own = usage(std::process::id()).unwrap();
        assert!(own.rss_bytes > MIB && own.threads >= 1, "{own:?}");
        assert!(usage(u32::MAX).is_none());
        assert_eq!(field("MemTotal: 5 kB\nMemAvailable:   7 kB\n", "MemAvailable"), Some(7));
    }

    #[test]
    fn workers_that_do_not_fit_are_told() {
        let check = enough(1000, 1 << 60);
        assert!(!check.ok && check.fix.unwrap().contains("[v3] size"));
        assert!(enough(1, MIB).ok);
    }
}
