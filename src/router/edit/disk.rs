//! Writing whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use crate::router::edit::EditError;
use crate::router::edit::decided::{Decided, Editor};
use crate::router::paths::folder_of;

impl Editor<'_> {
    pub(super) fn write(&self, decided: &Decided) -> Result<(), EditError> {
        if let Some((path, text)) = &decided.kept {
            write_whole(path, text).map_err(|error| EditError::unwritable(path, error))?;
        }
        // A link stays a link: what it leads to is replaced.
        let file =
            fs::canonicalize(self.paths.file()).unwrap_or_else(|_| self.paths.file().to_owned());
        let draft = beside(&file);
        let written = write_whole(&draft, decided.text.as_bytes())
            .and_then(|()| keep_access(&file, &draft))
            .map_err(|error| EditError::unwritable(&draft, error))
            .and_then(|()| self.append_and_replace(&decided.lines, &draft, &file));
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written
    }

    /// The audit line is on disk before the file that names it is in place.
    fn append_and_replace(&self, lines: &str, draft: &Path, file: &Path) -> Result<(), EditError> {
        let path = self.paths.audit();
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let mut audit = opened.map_err(|error| EditError::unwritable(&path, error))?;
        give_away(&path, self.paths.folder());
        let length = self.audit.complete_bytes as u64;
        // An incomplete line was never a line; the next one must not be glued to it.
        let appended = audit
            .set_len(length)
            .and_then(|()| audit.write_all(lines.as_bytes()))
            .and_then(|()| audit.sync_all());
        let replaced = match appended {
            Ok(()) => fs::rename(draft, file).map_err(|error| EditError::unwritable(file, error)),
            Err(error) => Err(EditError::unwritable(&path, error)),
        };
        if replaced.is_err() {
            // Shortening a file needs no room; if it fails, the line shows as never in force.
            let _ = audit.set_len(length);
            return replaced;
        }
        sync_folder(file);
        Ok(())
    }
}

/// A name that watchers of the file do not look at, in the folder where a rename is one step.
fn beside(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!(".{name}.{}.draft", std::process::id()))
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Whoever could read the old file can read the new one: it keeps mode and owner, also when root
/// changes it. A new one belongs to whom its folder belongs.
fn keep_access(old: &Path, new: &Path) -> io::Result<()> {
    let meta = match fs::metadata(old) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            give_away(new, folder_of(old));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let made = fs::metadata(new)?;
    if (meta.uid(), meta.gid()) != (made.uid(), made.gid()) {
        let given = chown(new, Some(meta.uid()), Some(meta.gid()));
        // What everybody may read needs no owner to be read.
        if given.is_err() && meta.mode() & 0o004 == 0 {
            return given;
        }
    }
    fs::set_permissions(new, meta.permissions())
}

/// What root makes in somebody's folder is theirs: the service must be able to go on with it.
/// Others cannot give away, and need not.
pub(super) fn give_away(path: &Path, folder: &Path) {
    if let Ok(meta) = fs::metadata(folder) {
        let _ = chown(path, Some(meta.uid()), Some(meta.gid()));
    }
}

/// So that the rename outlives a power failure; file systems that cannot do it are as good as
/// they are.
fn sync_folder(file: &Path) {
    if let Ok(folder) = File::open(folder_of(file)) {
        let _ = folder.sync_all();
    }
}
