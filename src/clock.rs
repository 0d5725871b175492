//! Time as the pools see it: nanoseconds on one clock per process.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A point in time, in nanoseconds since its [`Clock`] was started.
///
/// Machines are told the moment of each event and never read a clock themselves, so the same
/// events at the same moments always give the same actions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);
    /// Later than every moment that a clock can reach (584 years).
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the clock's start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this moment is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// Saturates at [`Moment::NEVER`], so a timeout of `Duration::MAX` means "none".
    fn add(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    /// Saturates at [`Moment::ZERO`].
    fn sub(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEVER {
            return f.write_str("never");
        }
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

/// A span in milliseconds, with no digits that the span does not have.
#[must_use]
pub fn millis(span: Duration) -> f64 {
    span.as_nanos() as f64 / 1e6
}

/// A wall-clock time in milliseconds since the Unix epoch, for what outlives a process and for
/// minutes rather than moments: it may be put back, and then nothing is due early.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Wall(u64);

impl Wall {
    /// The time so many milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The one reader of real time. It follows tokio's clock, so paused tests move it too.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts a clock: its [`Moment::ZERO`] is now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The present moment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn now(&self) -> Moment {
        Moment::ZERO + Instant::now().duration_since(self.origin)
    }

    /// Completes at `moment`, at once if it has passed. Dropping it cancels only the wait.
    pub async fn sleep_until(&self, moment: Moment) {
        match self.origin.checked_add(moment.since(Moment::ZERO)) {
            Some(instant) if moment != Moment::NEVER => tokio::time::sleep_until(instant).await,
            _ => std::future::pending().await,
        }
    }

    /// The same to the millisecond, as what outlives a process keeps it.
    #[must_use]
    pub fn wall() -> Wall {
        Wall::from_millis(u64::try_from(Self::unix_now().as_millis()).unwrap_or(u64::MAX))
    }

    /// Wall-clock time since the Unix epoch; for texts and records, never for deadlines.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn unix_now() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_never_wraps() {
        assert_eq!(Moment::from_nanos(1) + Duration::MAX, Moment::NEVER);
        assert_eq!(Moment::from_nanos(1) - Duration::MAX, Moment::ZERO);
    }

    #[test]
    fn milliseconds_are_printed_to_the_nanosecond_and_no_further() {
        for (nanos, text) in
            [(43_229, "0.043229"), (1_124_421, "1.124421"), (4_218_369, "4.218369")]
        {
            assert_eq!(millis(Duration::from_nanos(nanos)).to_string(), text);
        }
    }

    #[test]
    fn since_is_zero_for_the_past() {
        let (early, late) = (Moment::from_nanos(3), Moment::from_nanos(10));
        assert_eq!(late.since(early), Duration::from_nanos(7));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
