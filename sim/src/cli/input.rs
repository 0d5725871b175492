//! Files that a command is given.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::cli::failure::Failure;

/// A plan, or the arrivals, of some million calls is as large.
const MOST_BYTES: u64 = 256 << 20;

/// What the file says, as `parse` understands it; the failure names the file.
pub(crate) fn read<T, E: std::fmt::Display>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, Failure> {
    let bad = |why: &dyn std::fmt::Display| Failure::Input(format!("{}: {why}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(|error| bad(&error))?;
    let read = file.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| bad(&error))?;
    if read as u64 == MOST_BYTES {
        return Err(bad(&format!("it has {MOST_BYTES} bytes or more, which is no input of a run")));
    }
    parse(&text).map_err(|error| bad(&error))
}
