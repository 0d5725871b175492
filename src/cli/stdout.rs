//! Results go to stdout, line by line; a reader who has gone ends the command quietly.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::failure::Failure;

/// Prints one line.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    write(&[text, "\n"])
}

/// Prints a text as it is.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    write(&[text])
}

fn write(parts: &[&str]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = parts.iter().try_for_each(|part| out.write_all(part.as_bytes()));
    written.and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
        _ => Failure::Failed(format!("cannot write to stdout: {error}")),
    })
}

/// Whether somebody reads it still, for a command that does more than to print.
pub(crate) fn is_read(printed: Result<(), Failure>) -> Result<bool, Failure> {
    match printed {
        Ok(()) => Ok(true),
        Err(Failure::ClosedPipe) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Prints one JSON object on one line.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string(value).map_err(Failure::failed)?)
}

/// Prints to stderr what is not a result. Who cannot be told there loses nothing else by it.
pub(crate) fn aside(text: &str) {
    let _ = writeln!(io::stderr(), "{}", text.trim_end());
}
