//! One run with its checkers, timed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::checkers::Checkers;
use crate::options::Options;
use crate::rng::Seed;
use crate::source::Source;
use crate::trace::Watcher;
use crate::verdict::{Broken, Verdict};
use crate::world::{Cut, Ended, Rig, World};

/// A finished run.
#[derive(Debug)]
pub struct Run {
    /// What it has come to; nothing if it panicked, which the verdict then says.
    pub ended: Option<Ended<()>>,
    /// What the checkers found.
    pub verdict: Verdict,
    /// How long it took.
    pub wall: Duration,
    /// How much of that the processor worked for it.
    pub cpu: Duration,
}

impl Run {
    /// Whether no law was broken and the run came to its end.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.ended.is_some() && self.verdict.broken.is_empty()
    }
}

/// Runs a world to its end under all checkers. A failed assertion of a machine is a broken law
/// like any other.
pub fn run<R: Rig>(rig: &R, seed: u64, options: Options) -> Run {
    let source = Source::drawn(Seed(seed), &options, None);
    play(rig, seed, options, source, &mut ())
}

/// The same for what `source` says, while somebody else looks on too.
pub(crate) fn play<R: Rig, W: Watcher>(
    rig: &R,
    seed: u64,
    options: Options,
    source: Source,
    watcher: &mut W,
) -> Run {
    let mut checkers = Checkers::new();
    let both = (&mut checkers, watcher);
    let (wall, cpu) = (now(ClockId::Monotonic), now(ClockId::ProcessCPUTime));
    let world = || World::fed(rig, seed, options, source, both).run();
    let ended = catch_unwind(AssertUnwindSafe(world));
    let wall = now(ClockId::Monotonic).saturating_sub(wall);
    let cpu = now(ClockId::ProcessCPUTime).saturating_sub(cpu);
    let (ended, broken) = match ended {
        Ok(ended) => {
            let cut = ended.cut;
            let events = ended.events;
            (Some(ended.without_watcher()), cut.and_then(|cut| broken_by(cut, events)))
        }
        Err(panic) => (None, Some(("panic", 0, message(panic.as_ref())))),
    };
    let mut verdict = Verdict::of(&checkers);
    if let Some((law, seq, what)) = broken {
        let at_ns = ended.as_ref().map_or(0, |ended| ended.lasted.as_nanos() as u64);
        verdict.broken.push(Broken { law, at_ns, seq, what });
    }
    Run { ended, verdict, wall, cpu }
}

fn broken_by(cut: Cut, seq: u64) -> Option<(&'static str, u64, String)> {
    match cut {
        Cut::Watcher => None,
        Cut::Stuck => {
            Some(("L6", seq, "the pools are not empty an hour after the plan".to_owned()))
        }
        Cut::Livelock => Some(("L9", seq, "time stands still".to_owned())),
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

/// What a clock of the operating system says.
#[must_use]
pub fn now(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
