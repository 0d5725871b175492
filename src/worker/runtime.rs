//! The Python runtime that the binary carries, and where it is unpacked to.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// Every file of the package, by its path below the folder that goes onto `PYTHONPATH`.
pub static FILES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/runtime_files.rs"));

/// The runtime could not be unpacked anywhere.
#[derive(Debug, Error)]
#[error(
    "cannot unpack the Python runtime: {}; point XDG_CACHE_HOME at a folder of yours that can \
     be written",
    tried.join("; ")
)]
pub struct UnpackError {
    tried: Vec<String>,
}

/// Unpacks the runtime below the first of `caches` that takes it, or finds it there, and returns
/// the folder for `PYTHONPATH`.
///
/// The folder is named by its content, so versions never meet, and is moved into place whole,
/// so hosts that start at once never see half of it.
///
/// # Errors
/// If no folder takes it; says why for each.
pub fn unpack(caches: &[PathBuf]) -> Result<PathBuf, UnpackError> {
    let mut tried = Vec::new();
    for cache in caches {
        match unpack_below(cache) {
            Ok(folder) => return Ok(folder),
            Err(error) => {
                tracing::warn!(cache = %cache.display(), %error, "cannot keep the runtime here");
                tried.push(format!("{}: {error}", cache.display()));
            }
        }
    }
    Err(UnpackError { tried })
}

/// Where a user's caches are: `XDG_CACHE_HOME`, else `~/.cache`; the temp folder if neither can
/// be written.
#[must_use]
pub fn caches(env: impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let xdg = env("XDG_CACHE_HOME").map(PathBuf::from).filter(absolute);
    let home = env("HOME").map(|home| PathBuf::from(home).join(".cache")).filter(absolute);
    let user = rustix::process::getuid().as_raw();
    let temp = std::env::temp_dir().join(format!("poolshift-{user}"));
    xdg.or(home).into_iter().chain([temp]).collect()
}

/// The first 16 bytes of the SHA-256 over all names and contents.
#[must_use]
pub fn content_hash() -> String {
    let mut hash = Sha256::new();
    for (name, content) in FILES {
        hash.update(name.len().to_be_bytes());
        hash.update(name);
        hash.update(content.len().to_be_bytes());
        hash.update(content);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn unpack_below(cache: &Path) -> io::Result<PathBuf> {
    let base = cache.join("poolshift");
    private_folder(&base)?;
    let folder = base.join(content_hash());
    if is_intact(&folder) {
        return Ok(folder);
    }
    let (process, thread) = (std::process::id(), rustix::thread::gettid().as_raw_nonzero());
    let draft = base.join(format!("{}.{process}.{thread}.draft", content_hash()));
    let written = write_all(&draft).and_then(|()| move_into_place(&draft, &folder));
    if written.is_err() {
        let _ = fs::remove_dir_all(&draft);
    }
    written.map(|()| folder)
}

/// Others must not be able to put code where our workers import from.
fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let meta = fs::symlink_metadata(folder)?;
    let ours = meta.uid() == rustix::process::getuid().as_raw();
    if !meta.is_dir() || !ours || meta.mode() & 0o022 != 0 {
        return Err(io::Error::other("is not a folder that only its owner, who is us, may write"));
    }
    // A folder can look writable and not be: a read-only mount.
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)?;
    Ok(())
}

fn write_all(draft: &Path) -> io::Result<()> {
    if draft.exists() {
        fs::remove_dir_all(draft)?;
    }
    for (name, content) in FILES {
        let path = draft.join(name);
        let folder = path.parent().expect("each file is in the package's folder");
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file = File::create_new(path)?;
        file.write_all(content)?;
    }
    Ok(())
}

/// The loser of a race finds the winner's folder, which is as good as its own.
fn move_into_place(draft: &Path, folder: &Path) -> io::Result<()> {
    if fs::rename(draft, folder).is_ok() {
        return Ok(());
    }
    if is_intact(folder) {
        return fs::remove_dir_all(draft);
    }
    // Somebody has changed what was unpacked: ours takes its place.
    let spoilt = draft.with_extension("spoilt");
    fs::rename(folder, &spoilt)?;
    fs::rename(draft, folder)?;
    fs::remove_dir_all(spoilt)
}

fn is_intact(folder: &Path) -> bool {
    let same = |(name, content): &(&str, &[u8])| {
        fs::read(folder.join(name)).is_ok_and(|found| found == *content)
    };
    FILES.iter().all(same)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_was_changed_is_unpacked_anew_and_other_versions_stay() {
        let cache = tempfile::tempdir().unwrap();
        let caches = [cache.path().to_owned()];
        let older = cache.path().join("poolshift/0123");
        DirBuilder::new().recursive(true).mode(0o700).create(&older).unwrap();
        fs::set_permissions(older.parent().unwrap(), Permissions::from_mode(0o700)).unwrap();
        let folder = unpack(&caches).unwrap();
        assert!(is_intact(&folder) && older.exists());
        fs::write(folder.join(FILES[0].0), "changed").unwrap();
        assert_eq!(unpack(&caches).unwrap(), folder);
        assert!(is_intact(&folder));
    }

    #[test]
    fn hosts_that_start_at_once_agree() {
        let cache = tempfile::tempdir().unwrap();
        let caches = [cache.path().to_owned()];
        std::thread::scope(|scope| {
            let hosts: Vec<_> = (0..8).map(|_| scope.spawn(|| unpack(&caches).unwrap())).collect();
            let folders: Vec<_> = hosts.into_iter().map(|host| host.join().unwrap()).collect();
            assert!(folders.iter().all(|folder| *folder == folders[0] && is_intact(folder)));
        });
    }

    #[test]
    fn a_cache_that_cannot_be_used_is_passed_over() {
        let cache = tempfile::tempdir().unwrap();
        let not_a_folder = cache.path().join("file");
        fs::write(&not_a_folder, "").unwrap();
        let open_to_all = cache.path().join("open");
        let inside = open_to_all.join("poolshift");
        fs::create_dir_all(&inside).unwrap();
        fs::set_permissions(&inside, Permissions::from_mode(0o777)).unwrap();
        let good = cache.path().join("good");
        let folder = unpack(&[not_a_folder.clone(), open_to_all, good.clone()]).unwrap();
        assert!(folder.starts_with(good));
        let error = unpack(&[not_a_folder]).unwrap_err().to_string();
        assert!(error.contains("XDG_CACHE_HOME"), "{error}");
    }
}
