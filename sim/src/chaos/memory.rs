//! S18: resident memory in a long run.
//!
//! The judge lives in the process that it judges. What it keeps is bounded by the number of
//! workers and not by that of calls, and it is full long before memory counts as settled.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::real::kernel::resident_bytes;

/// Allocators and caches have their size by then.
const SETTLED_AFTER: Duration = Duration::from_secs(120);

/// A shorter run is over before its memory has settled.
const LONG_ENOUGH: Duration = Duration::from_secs(300);

/// What it may differ by without a leak.
const NOISE_BYTES: u64 = 4 << 20;

/// Measures while a run goes on.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Zero before it has settled.
    settled: AtomicU64,
    end: AtomicU64,
}

/// What was measured, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resident {
    /// When it had settled.
    pub(super) settled: u64,
    /// When the last call was made.
    pub(super) end: u64,
}

impl Memory {
    /// A run that is to last so long has come so far.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub(super) fn look(&self, since: Duration, lasts: Duration) -> io::Result<()> {
        let has_settled = since >= SETTLED_AFTER.min(lasts / 5);
        if has_settled && self.settled.load(Ordering::Relaxed) == 0 {
            self.settled.store(resident_bytes()?, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The last call is made.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub(super) fn close(&self) -> io::Result<()> {
        self.end.store(resident_bytes()?, Ordering::Relaxed);
        Ok(())
    }

    /// What was measured; a run that was cut short may have ended before it settled.
    pub(super) fn resident(self) -> Resident {
        let (settled, end) = (self.settled.into_inner(), self.end.into_inner());
        Resident { settled: if settled == 0 { end } else { settled }, end }
    }
}

impl Resident {
    /// Whether it has not grown in a run that was long enough to say so.
    pub(super) fn is_steady(self, lasted: Duration) -> bool {
        lasted < LONG_ENOUGH || self.end <= self.settled + NOISE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_mebibytes_more_after_five_minutes_are_a_leak() {
        let grown = |bytes: u64| Resident { settled: 40 << 20, end: (40 << 20) + bytes };
        let is_steady = |bytes, seconds| grown(bytes).is_steady(Duration::from_secs(seconds));
        assert!(is_steady(4 << 20, 300));
        assert!(!is_steady((4 << 20) + 1, 300));
        assert!(is_steady(1 << 30, 299), "it has not settled");
        assert!(Resident { settled: 40 << 20, end: 1 << 20 }.is_steady(LONG_ENOUGH));
    }

    #[test]
    fn it_is_measured_once_it_has_settled_and_at_the_end() {
        let lasts = Duration::from_secs(10);
        let memory = Memory::default();
        memory.look(Duration::from_millis(1999), lasts).unwrap();
        assert_eq!(memory.settled.load(Ordering::Relaxed), 0);
        memory.look(Duration::from_secs(2), lasts).unwrap();
        let settled = memory.settled.load(Ordering::Relaxed);
        assert!(settled > 0);
        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        memory.look(lasts, lasts).unwrap();
        memory.close().unwrap();
        let resident = memory.resident();
        assert_eq!(resident.settled, settled, "the first measure counts");
        assert!(resident.end > settled + (32 << 20), "{} bytes show", held.len());
        let cut_short = Memory::default();
        cut_short.close().unwrap();
        let Resident { settled, end } = cut_short.resident();
        assert_eq!(settled, end);
    }
}
