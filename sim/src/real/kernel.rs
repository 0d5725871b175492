//! What the operating system knows of this process and of its workers.

use std::fs;
use std::io;
use std::time::Duration;

use poolshift::clock::Clock;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What this process holds of the operating system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Open descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
}

impl Holdings {
    /// At this moment.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn now() -> io::Result<Self> {
        // One of the descriptors is the one that reads their list.
        let descriptors = fs::read_dir("/proc/self/fd")?.count() - 1;
        Ok(Self { descriptors, threads: fs::read_dir("/proc/self/task")?.count() })
    }
}

/// This process's resident memory.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn resident_bytes() -> io::Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let pages =
        pages.ok_or_else(|| io::Error::other(format!("/proc/self/statm says {statm:?}")))?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// What a run leaves is gone by then, on any machine.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A process that belongs to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kin {
    /// Its id.
    pub pid: u32,
    /// Whether it has the mark, as workers and what they started have.
    pub is_marked: bool,
    /// Whether it leads its group, as each worker does.
    pub leads: bool,
    /// Whether it has ended and was not reaped.
    pub is_zombie: bool,
    /// Whether it was started by this process, and not by one of the others.
    pub is_child: bool,
}

impl Kin {
    /// Whether it is a worker that lives.
    #[must_use]
    pub const fn is_worker(&self) -> bool {
        self.is_marked && self.leads
    }
}

/// All processes whose environment has the mark in it, wherever they went, and all children of
/// this process and of the marked ones, which a zombie still is when its environment has gone.
///
/// # Errors
/// If `/proc` cannot be listed.
pub fn kin(mark: &str) -> io::Result<Vec<Kin>> {
    let own = std::process::id();
    let (mut kin, mut zombies) = (Vec::new(), Vec::new());
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // It may end while it is looked at.
        let Some(Stat { state, parent, group }) = Stat::of(pid) else { continue };
        let is_marked = pid != own && has(pid, mark);
        let one = Kin {
            pid,
            is_marked,
            leads: group == pid,
            is_zombie: state == 'Z',
            is_child: parent == own,
        };
        if one.is_child || is_marked {
            kin.push(one);
        } else if one.is_zombie {
            zombies.push((parent, one));
        }
    }
    // A warm parent has to reap what it forked.
    let parents: Vec<u32> = kin.iter().filter(|kin| kin.is_marked).map(|kin| kin.pid).collect();
    zombies.retain(|(parent, _)| parents.contains(parent));
    kin.extend(zombies.into_iter().map(|(_, zombie)| zombie));
    Ok(kin)
}

/// What lives on of the run's workers and of what they started, but for who `may_stay`, when there
/// is no more hope that it goes. Of a zombie nobody can say whose it was.
///
/// # Errors
/// As [`kin`].
pub async fn leftovers(mark: &str, may_stay: impl Fn(&Kin) -> bool) -> io::Result<Vec<Kin>> {
    let look = || {
        let mut left = kin(mark)?;
        left.retain(|kin| kin.is_marked && !may_stay(kin));
        Ok(left)
    };
    settled(look, Vec::is_empty).await
}

/// What `look` sees once it is so, or when there is no more hope.
pub(crate) async fn settled<T>(
    look: impl Fn() -> io::Result<T>,
    is_so: impl Fn(&T) -> bool,
) -> io::Result<T> {
    let clock = Clock::start();
    let until = clock.now() + GONE_WITHIN;
    loop {
        let seen = look()?;
        if is_so(&seen) || clock.now() >= until {
            return Ok(seen);
        }
        clock.sleep_until(clock.now() + LOOK_EVERY).await;
    }
}

/// Signals the process, if it has the mark; whether it did. Its id cannot come to be somebody
/// else's between the look and the signal.
pub fn signal(pid: u32, mark: &str, signal: Signal) -> bool {
    let open = |pid| pidfd_open(pid, PidfdFlags::empty()).ok();
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // The descriptor first: what is looked at after it is either its process, or gone.
    let Some(pidfd) = id.and_then(open).filter(|_| has(pid, mark)) else { return false };
    pidfd_send_signal(pidfd, signal).is_ok()
}

fn has(pid: u32, mark: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
}

/// Whether there is a process of this id.
#[must_use]
pub fn exists(pid: u32) -> bool {
    Stat::of(pid).is_some_and(|stat| stat.state != 'Z')
}

struct Stat {
    state: char,
    parent: u32,
    group: u32,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before it may hold anything, parentheses too.
        let mut fields = stat.rsplit_once(") ")?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        Some(Self {
            state,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A warm parent's, whose environment has gone with it.
    #[tokio::test]
    async fn a_zombie_is_seen_though_only_its_parent_has_the_mark() {
        let mark = format!("SIM_KERNEL_TEST={}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "true & exec sleep 60"]).env(name, value);
        let mut parent = shell.spawn().unwrap();
        let of_it = |kin: &Vec<Kin>| kin.iter().any(|kin| kin.is_zombie && !kin.is_marked);
        let seen = settled(|| kin(&mark), of_it).await.unwrap();
        parent.kill().and_then(|()| parent.wait()).unwrap();
        assert!(of_it(&seen), "{seen:?}");
    }
}
