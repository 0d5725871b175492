//! Why a run on real processes was not made, or not to its end.

use std::io;

use poolshift::ShimError;
use poolshift::config::ConfigError;
use thiserror::Error;

use crate::bounds::Impossible;

/// Why there is nothing to report.
#[derive(Debug, Error)]
pub enum RealError {
    /// It asks for what a host has no room or no time for.
    #[error("{0} on real processes")]
    Impossible(#[from] Impossible),
    /// The config reader refuses its settings.
    #[error("its settings are no config: {0}")]
    Config(#[from] ConfigError),
    /// The pools did not start.
    #[error(transparent)]
    Shim(#[from] ShimError),
    /// The temp folder or `/proc` cannot be used.
    #[error(
        "cannot look at a run from outside: {0}; it needs /proc, and a temp folder to write to"
    )]
    Io(#[from] io::Error),
    /// It was told to stop at once. Nothing of it is left.
    #[error("interrupted")]
    Interrupted,
}
