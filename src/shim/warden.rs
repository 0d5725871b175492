//! The guards of this process: armed when the rollout file tells of a ramp, and their evidence
//! written down.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::clock::Wall;
use crate::pool::Pool;
use crate::router::Router;
use crate::router::baseline::Baseline;
use crate::router::guard::strata::Strata;
use crate::router::paths::RolloutPaths;
use crate::router::percent::Percent;
use crate::router::post::{GuardPost, Watch};
use crate::router::ramp::{Plan, Position, RampMark};
use crate::router::shelf;
use crate::shim::board::start_ticks;
use crate::shim::testimony::{Testimonies, Testimony};

/// Keeps one post of guards for each ramp, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Warden {
    paths: RolloutPaths,
    strata: Strata,
    /// The share of shadows that are of V3 with V2.
    comparisons: Percent,
    armed: Mutex<Option<Armed>>,
}

#[derive(Debug)]
struct Armed {
    mark: RampMark,
    plan: Plan,
    post: Arc<GuardPost>,
}

impl Warden {
    pub(super) fn new(paths: RolloutPaths, strata: Strata, comparisons: Percent) -> Self {
        Self { paths, strata, comparisons, armed: Mutex::default() }
    }

    /// What is to watch the ramp where it stands.
    ///
    /// # Errors
    /// If its plan cannot be read.
    pub(super) fn watch(&self, mark: &RampMark, baseline: &Baseline) -> Result<Watch, String> {
        let mut armed = self.lock();
        let same =
            |armed: &Armed| (&armed.mark.plan, &armed.mark.build) == (&mark.plan, &mark.build);
        if !armed.as_ref().is_some_and(same) {
            *armed = Some(self.arm(mark, baseline)?);
        }
        let Armed { plan, post, .. } = armed.as_ref().expect("it was armed above");
        let proving = match mark.position {
            Position::Step(index) => plan.steps.get(index).map(|step| step.classes.clone()),
            Position::Shadow | Position::Done => None,
        };
        let proving = proving.unwrap_or_default();
        Ok(Watch { post: Arc::clone(post), step: mark.number, proving })
    }

    fn arm(&self, mark: &RampMark, baseline: &Baseline) -> Result<Armed, String> {
        let plan = shelf::plan(&self.paths, &mark.plan)?;
        let frozen = Testimonies::of(&self.paths, mark).thresholds();
        let slow = frozen.unwrap_or_else(|| baseline.freeze());
        let (guards, strata) = (plan.guards.clone(), self.strata.clone());
        let post = GuardPost::new(&mark.build, guards, strata, slow, self.comparisons);
        Ok(Armed { mark: mark.clone(), plan, post: Arc::new(post) })
    }

    /// Writes down what the guards know.
    pub(super) fn tell<L: Pool, N: Pool>(
        &self,
        router: &Router<L, N>,
        now: Wall,
    ) -> io::Result<()> {
        match router.guards(now) {
            Some(post) => self.write(Some(&post)),
            None => Ok(()),
        }
    }

    /// The last word of a process that ends.
    pub(super) fn tell_last(&self) -> io::Result<()> {
        self.write(None)
    }

    /// What the guards know, if they are those that watch now.
    fn write(&self, watching: Option<&Arc<GuardPost>>) -> io::Result<()> {
        let armed = self.lock();
        let Some(Armed { mark, post, .. }) = armed.as_ref() else { return Ok(()) };
        if watching.is_some_and(|watching| !Arc::ptr_eq(watching, post)) {
            return Ok(());
        }
        let pid = std::process::id();
        let testimony = Testimony {
            pid,
            start_ticks: start_ticks(pid).unwrap_or_default(),
            serial: post.serial(),
            thresholds: post.thresholds().clone(),
            evidence: post.evidence(),
        };
        Testimonies::of(&self.paths, mark).write(&testimony)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Armed>> {
        self.armed.lock().expect("nothing panics while it holds this lock")
    }
}
