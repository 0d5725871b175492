//! Where a process's calls are told to its guards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::call::{Answer, Class, Lane};
use crate::clock::Wall;
use crate::error::Outcome;
use crate::router::guard::slow::Thresholds;
use crate::router::guard::strata::Strata;
use crate::router::guard::{Arm, Arms, Drawn, Evidence, Guards, Metrics, Settings, Unit};
use crate::router::percent::Percent;
use crate::router::pins::Marked;
use crate::router::policy::Percents;

/// The guards of one process for one ramp. Shared by all callers: good answers of sessions that
/// have used the command before pass without its lock.
#[derive(Debug)]
pub struct GuardPost {
    /// Tells this post's marks from those of another ramp.
    serial: u64,
    strata: Strata,
    slow: Thresholds,
    /// The share of comparisons that are of V3 with V2.
    comparisons: Percent,
    /// V3's good answers, which the row of failures is counted between.
    good: AtomicU64,
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    guards: Guards,
    /// The step and the percentages that were told last.
    told: Option<(u64, Percents)>,
    /// Deaths of V3's workers that were told.
    deaths: Option<u64>,
}

/// The guards that watch, and the step of the ramp that they are to watch.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The guards.
    pub post: Arc<GuardPost>,
    /// The step's number.
    pub step: u64,
    /// The classes that it raises.
    pub proving: Vec<Class>,
}

static SERIALS: AtomicU64 = AtomicU64::new(0);

impl GuardPost {
    /// Guards that have seen nothing of this build yet; `slow` was frozen before. `comparisons`
    /// is the share of shadows that are of V3 with V2; the others are of V2 with itself.
    #[must_use]
    pub fn new(
        build: &str,
        settings: Settings,
        strata: Strata,
        slow: Thresholds,
        comparisons: Percent,
    ) -> Self {
        let guards = Guards::new(build, settings, strata.clone(), slow.clone());
        Self {
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
            strata,
            slow,
            comparisons,
            good: AtomicU64::new(0),
            books: Mutex::new(Books { guards, told: None, deaths: None }),
        }
    }

    /// What can be said now.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.lock().guards.evidence()
    }

    /// Counts the posts of this process.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// What counts as slow.
    #[must_use]
    pub fn thresholds(&self) -> &Thresholds {
        &self.slow
    }

    /// So many of V3's workers have died since the process began; of those before the first
    /// word nothing is said.
    pub fn v3_deaths(&self, total: u64, now: Wall) {
        let mut books = self.lock();
        let told = books.deaths.replace(total).unwrap_or(total);
        (told..total).for_each(|_| books.guards.v3_worker_died(now));
    }

    /// Draws since the last look, by the percentages that were told last.
    pub(super) fn drew(&self, draws: [Arms; 3]) {
        let mut books = self.lock();
        for (class, draws) in Class::ALL.into_iter().zip(draws) {
            books.guards.drew(class, draws);
        }
    }

    /// From here on units are drawn by these percentages, and judged as of this step. The marks
    /// of a session that is drawn now.
    pub(super) fn begin(&self, watch: &Watch, calls: Percents) -> Option<Marked> {
        let mut books = self.lock();
        let drawn = Drawn { calls, comparisons: self.comparisons };
        match books.told.replace((watch.step, calls)) {
            Some((step, _)) if step != watch.step => {
                books.guards.begin_step(watch.step, drawn, &watch.proving);
            }
            None => books.guards.begin_step(watch.step, drawn, &watch.proving),
            Some((_, percents)) if percents != calls => books.guards.begin_cohort(drawn),
            Some(_) => {}
        }
        let mark = |marks| Marked { serial: self.serial, called: marks, compared: marks };
        books.guards.mark().map(mark)
    }

    /// A call of a session ended.
    pub(super) fn session_called(
        &self,
        marked: &mut Marked,
        command: &str,
        lane: Lane,
        answer: &Answer,
    ) {
        let (outcome, total) = (answer.first_outcome(), answer.timing.total());
        self.count(lane, outcome);
        let is_new = !marked.called.has_used(self.strata.of(command));
        let bad = Metrics::of(outcome, command, total, &self.slow);
        if marked.serial != self.serial || bad.is_none_or(|bad| bad == Metrics::NONE && !is_new) {
            return;
        }
        let mut books = self.lock();
        let unit = &mut Unit::Session(&mut marked.called);
        books.guards.called(unit, command, Arm::from(lane), outcome, total);
        books.failed(unit, lane, outcome, self.good.load(Ordering::Relaxed));
    }

    /// A call without a session ended, that began when sessions were marked so. If other
    /// percentages are in force by now it is left out: it was drawn by none of theirs.
    pub(super) fn anonymous_called(
        &self,
        began: Option<Marked>,
        command: &str,
        lane: Lane,
        answer: &Answer,
    ) {
        let (outcome, total) = (answer.first_outcome(), answer.timing.total());
        self.count(lane, outcome);
        let mut books = self.lock();
        if books.guards.mark() == began.map(|began| began.called) {
            let arm = Arm::from(lane);
            books.guards.called(&mut Unit::Anonymous, command, arm, outcome, total);
        }
        let good = self.good.load(Ordering::Relaxed);
        books.failed(&mut Unit::Anonymous, lane, outcome, good);
    }

    /// V2's answer to a call of a session was compared: with V3's, or with another one of V2. A
    /// session that began before the ramp counts for the gauntlet, and is not judged.
    pub(super) fn session_compared(
        &self,
        marked: Option<&mut Marked>,
        command: &str,
        arm: Arm,
        differs: bool,
    ) {
        let mut books = self.lock();
        books.matched(command, arm, differs);
        if let Some(marked) = marked.filter(|marked| marked.serial == self.serial) {
            let unit = &mut Unit::Session(&mut marked.compared);
            books.guards.compared(unit, command, arm, differs);
        }
    }

    /// The same of a call without a session, that began when sessions were marked so.
    pub(super) fn anonymous_compared(
        &self,
        began: Option<Marked>,
        command: &str,
        arm: Arm,
        differs: bool,
    ) {
        let mut books = self.lock();
        books.matched(command, arm, differs);
        if books.guards.mark() == began.map(|began| began.compared) {
            books.guards.compared(&mut Unit::Anonymous, command, arm, differs);
        }
    }

    fn count(&self, lane: Lane, outcome: Outcome) {
        if (lane, outcome) == (Lane::V3, Outcome::Ok) {
            self.good.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("nothing panics while it holds the guards")
    }
}

impl Books {
    /// One match more for the gauntlet, if V3 answered as V2 did.
    fn matched(&mut self, command: &str, arm: Arm, differs: bool) {
        if arm == Arm::Candidate && !differs {
            self.guards.matched(command);
        }
    }

    /// The row of V3's failures, which good answers break.
    fn failed(&mut self, unit: &mut Unit<'_>, lane: Lane, outcome: Outcome, good: u64) {
        let is_failure = !matches!(outcome, Outcome::Ok | Outcome::Cancelled | Outcome::Draining);
        if lane == Lane::V3 && is_failure {
            self.guards.v3_failed(unit, good);
        }
    }
}
