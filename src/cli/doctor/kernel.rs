//! What the kernel and the rollout file's file system must be able to do.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use poolshift::router::paths::folder_of;
use rustix::fs::{FlockOperation, flock as lock};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::cli::doctor::check::Check;

/// How long an event may take.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn pidfd() -> Check {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    match pidfd_open(getpid(), PidfdFlags::empty()) {
        Ok(_) => Check::good("pidfd", format!("Linux {release}")),
        Err(error) => Check::bad(
            "pidfd",
            format!("pidfd_open: {error}, on Linux {release}"),
            "use Linux 5.3 or newer; in a sandbox, allow the system calls pidfd_open and waitid",
        ),
    }
}

/// Writers of the rollout file lock each other out; two locks at once mean that nobody does.
pub(super) fn flock(rollout: &Path) -> Check {
    let folder = folder_of(rollout);
    let fix = "put [rollout] file on a local file system that can be written and locked";
    let tried = || -> io::Result<bool> {
        let first = tempfile::NamedTempFile::new_in(folder)?;
        let second = File::open(first.path())?;
        lock(first.as_file(), FlockOperation::LockExclusive)?;
        Ok(lock(&second, FlockOperation::NonBlockingLockExclusive).is_err())
    };
    match tried() {
        Ok(true) => Check::good("flock", format!("locks hold in {}", folder.display())),
        Ok(false) => Check::bad("flock", format!("locks do not hold in {}", folder.display()), fix),
        Err(error) => Check::bad("flock", format!("{}: {error}", folder.display()), fix),
    }
}

/// Without events, a change of the rollout file is seen within two seconds all the same.
pub(super) async fn inotify(rollout: &Path) -> Check {
    let folder = folder_of(rollout);
    let limit = |name: &str| {
        let path = format!("/proc/sys/fs/inotify/{name}");
        fs::read_to_string(path).map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned())
    };
    let (watches, instances) = (limit("max_user_watches"), limit("max_user_instances"));
    let detail = format!("max_user_watches {watches}, max_user_instances {instances}");
    match event_seen(folder).await {
        Ok(true) => Check::good("inotify", format!("events come; {detail}")),
        Ok(false) => Check::tight(
            "inotify",
            format!("no event in {}; {detail}", folder.display()),
            "changes are seen within 2 s all the same; a local file system tells them at once",
        ),
        Err(error) => Check::tight(
            "inotify",
            format!("{error}; {detail}"),
            "raise fs.inotify.max_user_instances; changes are seen within 2 s all the same",
        ),
    }
}

async fn event_seen(folder: &Path) -> Result<bool, String> {
    let (sender, mut events) = tokio::sync::mpsc::channel(1);
    let watcher = notify::recommended_watcher(move |_| {
        // One is enough.
        let _ = sender.try_send(());
    });
    let mut watcher = watcher.map_err(|error| error.to_string())?;
    let watched = watcher.watch(folder, RecursiveMode::NonRecursive);
    watched.map_err(|error| error.to_string())?;
    let _file = tempfile::NamedTempFile::new_in(folder).map_err(|error| error.to_string())?;
    // Dropped here: nothing is left but a file that removes itself.
    Ok(tokio::time::timeout(PATIENCE, events.recv()).await.is_ok())
}
