//! The rollout file.

use std::path::Path;

use poolshift::router::edit::read_bytes;
use poolshift::router::file::RolloutFile;
use poolshift::router::paths::RolloutPaths;

use crate::cli::doctor::check::Check;
use crate::cli::rollout::shares;

pub(super) fn file(path: &Path) -> Check {
    let name = path.display();
    let bytes = match read_bytes(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) if RolloutPaths::of(path).audit().exists() => {
            return Check::bad(
                "rollout",
                format!("{name} is gone, though it was changed before"),
                "make it anew by `rollout set`; running processes keep what they have in force",
            );
        }
        Ok(None) => return Check::good("rollout", format!("no {name} yet: everything goes to V2")),
        Err(error) => {
            return Check::bad("rollout", error.to_string(), "make it readable for this user");
        }
    };
    match RolloutFile::read(&bytes) {
        Ok(file) => {
            let shares = shares(&file.percents.unwrap_or_default());
            let killed = if file.killed { ", KILLED" } else { "" };
            Check::good("rollout", format!("{name}: V3's share {shares}{killed}"))
        }
        Err(error) => Check::bad(
            "rollout",
            format!("{name}: {error}"),
            "mend the file; running processes keep the last good one",
        ),
    }
}
