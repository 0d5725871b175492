//! A long run of the whole product around real Python workers, while everything goes wrong.
//!
//! - [`options`] says how long and how rough; `load` plans the calls, some of which make their
//!   worker lie, hang, flood or die; `strikes` kill, stop and slow workers from outside; operators
//!   change the shares and throw the kill switch.
//! - `run` plays it, `watchman` measures, `host` says what this process held before and after.
//! - [`report`] is what is printed; [`planted`] are bugs that must be found.
//!
//! The trace is judged as it is told (see [`crate::real`]). What is kept of it is bounded: some
//! thousand calls for each worker, and a minute after their ends at most; the last few thousand
//! events; and histograms.

pub mod options;
pub mod planted;
pub mod report;

mod evidence;
mod host;
mod load;
mod memory;
mod run;
mod strikes;
mod watchman;

use crate::chaos::run::Run;
pub use crate::chaos::run::{Progress, run};
