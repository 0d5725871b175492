//! Where the settings of a rollout come from.
//!
//! Each source says what a rollout file would say. The first in order that says anything counts,
//! and a kill switch in any of them; [`crate::router::watch`] sees to that.

pub mod environment;
pub mod file;

use std::any::Any;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// A place that says how the rollout stands. A team's own flag service can be one.
pub trait FlagSource: fmt::Debug + Send {
    /// What people know it by.
    fn name(&self) -> String;

    /// What it says now, in the words of a rollout file; nothing, if it does not say anything.
    ///
    /// # Errors
    /// If that cannot be known; what it said last then still counts.
    fn read(&self) -> io::Result<Option<Vec<u8>>>;

    /// Tells `changed` whenever it may say something else, for as long as what is returned lives.
    /// Each source is also asked every two seconds, so one that cannot tell need not.
    fn watch(&self, changed: &Arc<Notify>) -> Option<Box<dyn Any + Send + Sync>> {
        let _ = changed;
        None
    }

    /// Where the last text that came into force is kept, for a process that starts while the
    /// source is broken or gone.
    fn last_good(&self) -> Option<PathBuf> {
        None
    }
}

/// How one source stands, in a process that follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// What people know it by.
    pub name: String,
    /// Whether it is the one that counts.
    pub in_force: bool,
    /// Whether it turns the kill switch on, which counts wherever it is said.
    pub killed: bool,
    /// Why what it says now does not count, if it does not: it is refused, cannot be read, or is
    /// gone.
    pub refused: Option<String>,
}
