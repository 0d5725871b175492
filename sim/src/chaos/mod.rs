//! A long run of the whole product around real Python workers, while everything goes wrong.
//!
//! - [`options`] says how long and how rough; `load` plans the calls, some of which make their
//!   worker lie, hang, flood or die; `strikes` kill, stop and slow workers from outside; operators
//!   change the shares and throw the kill switch.
//! - `run` plays it, `watchman` measures, `host` says what this process held before and after.
//! - [`report`] is what is printed; [`planted`] are bugs that must be found.
//!
//! The trace is judged as it is told (see [`crate::real`]). What is kept of it is bounded: a call
//! for a minute after its end, the last few thousand events, and histograms.

pub mod options;
pub mod planted;
pub mod report;

mod evidence;
mod host;
mod load;
mod run;
mod strikes;
mod watchman;

use std::io;

use poolshift::ShimError;
use poolshift::config::ConfigError;
use thiserror::Error;

use crate::bounds::Impossible;
use crate::chaos::run::Run;
pub use crate::chaos::run::{Progress, run};

/// Why there was no run.
#[derive(Debug, Error)]
pub enum ChaosError {
    /// Its options are none.
    #[error(transparent)]
    Impossible(#[from] Impossible),
    /// The config reader refuses what its options say.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The pools did not start.
    #[error(transparent)]
    Shim(#[from] ShimError),
    /// The temp folder or `/proc` cannot be used.
    #[error(
        "cannot look at a run from outside: {0}; it needs /proc, and a temp folder to write to"
    )]
    Io(#[from] io::Error),
}
