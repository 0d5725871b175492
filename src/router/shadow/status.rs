//! What has become of shadows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::shadow::recorder::RecorderBooks;

/// Why a call that was sampled was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dropped {
    /// Control did not answer it.
    Unanswered,
    /// Control took as long as `timeout`, and the other lane would be given less.
    TooSlow,
    /// Control's answer is larger than `max_compare_bytes`.
    TooLarge,
    /// Too many calls, or too many bytes, waited for their shadows.
    BufferFull,
    /// There were `max_per_s` in the last second.
    Rate,
    /// The last ones in that lane failed, and not by their answers.
    Breaker,
    /// Something was saved in the session meanwhile.
    Stale,
    /// Too many shadows ran at once.
    Busy,
    /// The lane had no spare worker.
    NoRoom,
    /// The lane took it, and did not run it.
    NotRun,
    /// Too many pairs waited to be compared.
    RecorderFull,
}

impl Dropped {
    /// Every reason, in the order in which a call meets them.
    pub const ALL: [Self; 11] = [
        Self::Unanswered,
        Self::TooSlow,
        Self::TooLarge,
        Self::BufferFull,
        Self::Rate,
        Self::Breaker,
        Self::Stale,
        Self::Busy,
        Self::NoRoom,
        Self::NotRun,
        Self::RecorderFull,
    ];

    /// The name used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unanswered => "unanswered",
            Self::TooSlow => "too_slow",
            Self::TooLarge => "too_large",
            Self::BufferFull => "buffer_full",
            Self::Rate => "rate",
            Self::Breaker => "breaker",
            Self::Stale => "stale",
            Self::Busy => "busy",
            Self::NoRoom => "no_room",
            Self::NotRun => "not_run",
            Self::RecorderFull => "recorder_full",
        }
    }
}

/// The shadows of one process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShadowStatus {
    /// Calls that were drawn.
    pub sampled: u64,
    /// Pairs that were handed over to be compared.
    pub paired: u64,
    /// Calls that were drawn and not compared, by reason. Of callers that left, nothing is told.
    pub dropped: BTreeMap<Dropped, u64>,
    /// Whether shadows of a lane are left out because they kept failing.
    pub breaker_open: bool,
    /// What is held for shadows that wait or run.
    pub buffered_bytes: usize,
    /// How many pairs were compared and are alike, by command; of earlier processes, too.
    #[serde(flatten)]
    pub compared: RecorderBooks,
}

/// Counts that callers write to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sampled: AtomicU64,
    paired: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
}

impl Tally {
    pub(super) fn sampled(&self) {
        self.sampled.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn paired(&self) {
        self.paired.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, reason: Dropped) {
        self.dropped[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn status(
        &self,
        breaker_open: bool,
        buffered_bytes: usize,
        compared: RecorderBooks,
    ) -> ShadowStatus {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let dropped = Dropped::ALL.map(|reason| (reason, count(&self.dropped[reason as usize])));
        let dropped = dropped.into_iter().filter(|(_, count)| *count > 0).collect();
        let (sampled, paired) = (count(&self.sampled), count(&self.paired));
        ShadowStatus { sampled, paired, dropped, breaker_open, buffered_bytes, compared }
    }
}
