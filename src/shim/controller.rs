//! The one process that steers the ramp: it judges each second, in every state, and writes what
//! follows into the rollout file.

use std::fs::{File, OpenOptions};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tokio::sync::watch::{Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::clock::Clock;
use crate::pool::Pool;
use crate::router::Router;
use crate::router::draft::Action;
use crate::router::edit::{Change, EditError, MAX_TEXT, edit, read_audit, read_bytes};
use crate::router::file::RolloutFile;
use crate::router::guard::strata::Strata;
use crate::router::paths::RolloutPaths;
use crate::router::policy::Percents;
use crate::router::ramp::{Position, Ramp, RampMark, Says, Situation, Verdict, assess};
use crate::router::shelf;
use crate::router::steer::Steer;
use crate::shim::board::{Board, StatusBoard};
use crate::shim::capacity::Loads;
use crate::shim::hook::Hooks;
use crate::shim::testimony::Testimonies;

/// How often it judges.
const PERIOD: Duration = Duration::from_secs(1);

/// The task that steers, if this process is the one. Dropping it leaves the ramp as it is, and
/// the next process goes on from there.
#[derive(Debug)]
pub(super) struct Controller {
    task: JoinHandle<()>,
}

impl Controller {
    /// Also gives the last verdict, which is none while another process steers.
    pub(super) fn start<L: Pool, N: Pool>(
        paths: RolloutPaths,
        strata: Strata,
        router: &Arc<Router<L, N>>,
    ) -> (Self, Receiver<Option<Verdict>>) {
        let (verdicts, told) = tokio::sync::watch::channel(None);
        let mut steersman = Steersman {
            board: StatusBoard::beside(paths.file()),
            paths,
            strata,
            router: Arc::downgrade(router),
            chair: None,
            last: None,
            said: None,
            loads: Loads::default(),
            hooks: Hooks::new(),
            verdicts,
            failed: None,
        };
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // Dropped here, with the shim: the chair is free for another process.
            while steersman.look().await {
                ticks.tick().await;
            }
        });
        (Self { task }, told)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Steersman<L, N> {
    paths: RolloutPaths,
    board: StatusBoard,
    strata: Strata,
    router: Weak<Router<L, N>>,
    /// Held while this process is the one; the kernel lets go of it however the process ends.
    chair: Option<File>,
    /// The rollout as it was when its file could be read last.
    last: Option<Standing>,
    /// What the last verdict on record said.
    said: Option<Says>,
    /// How busy all lanes were at the last looks.
    loads: Loads,
    hooks: Hooks,
    verdicts: Sender<Option<Verdict>>,
    /// What went wrong last, so that a lasting failure is told once.
    failed: Option<String>,
}

/// A rollout with a ramp under way.
#[derive(Clone)]
struct Standing {
    file: RolloutFile,
    mark: RampMark,
    ramp: Ramp,
}

impl<L: Pool, N: Pool> Steersman<L, N> {
    /// False once there is nothing to steer any more.
    async fn look(&mut self) -> bool {
        let Some(router) = self.router.upgrade() else { return false };
        // A file that cannot be read now does not stop the guards: what it said last is in force.
        let (standing, lost) = match self.standing() {
            Ok(standing) => (standing, None),
            Err(error) => (self.last.clone(), Some(error)),
        };
        self.last.clone_from(&standing);
        let Some(standing) = standing.filter(|_| self.has_the_chair()) else {
            self.verdicts.send_replace(None);
            return true;
        };
        let (mut verdict, above) = self.judge(&standing);
        if let Some(error) = &lost {
            verdict = verdict.held_by(error.clone());
        }
        // Before it is followed: who sees the change in a status file sees why, too.
        self.verdicts.send_replace(Some(verdict.clone()));
        if let Err(error) = self.follow(&standing, &verdict, above).await {
            self.fail(&lost.unwrap_or_else(|| error.to_string()));
            // V2 is safe, and here at least that can be had without the file.
            if verdict.verdict == Says::Rollback && router.policy().percents != Percents::default()
            {
                router.set_percents(Percents::default());
            }
        }
        true
    }

    /// Whether this process is the one that steers; if nobody is, it becomes so.
    fn has_the_chair(&mut self) -> bool {
        if self.chair.is_some() {
            return true;
        }
        let opened = OpenOptions::new().create(true).append(true).open(self.paths.controller());
        let Ok(chair) = opened else { return false };
        if flock(&chair, FlockOperation::NonBlockingLockExclusive).is_ok() {
            self.chair = Some(chair);
            self.said = said_last(&self.paths);
        }
        self.chair.is_some()
    }

    /// None while no ramp is under way.
    fn standing(&mut self) -> Result<Option<Standing>, String> {
        let bytes = read_bytes(self.paths.file()).map_err(|error| error.to_string())?;
        let file = bytes.as_deref().map(RolloutFile::read).transpose();
        let file = match file.map_err(|error| error.to_string())? {
            Some(file) => file,
            None if self.last.is_some() => return Err("the rollout file is gone".to_owned()),
            None => return Ok(None),
        };
        let Some(mark) = file.ramp.clone() else { return Ok(None) };
        let same =
            |known: &Standing| (&known.mark.plan, &known.mark.build) == (&mark.plan, &mark.build);
        let plan = match self.last.as_ref().filter(|known| same(known)) {
            Some(known) => known.ramp.plan().clone(),
            None => {
                self.said = said_last(&self.paths);
                shelf::plan(&self.paths, &mark.plan)?
            }
        };
        let stages = file.stages(&file.percents.unwrap_or_default());
        let ramp = Ramp::of(plan, &mark, stages.with_kill_switch(file.killed));
        let ramp = ramp.ok_or("the rollout file names a step that its plan does not have")?;
        Ok(Some(Standing { file, mark, ramp }))
    }

    /// The verdict, and the highest version in force anywhere.
    fn judge(&mut self, Standing { file, mark, ramp }: &Standing) -> (Verdict, u64) {
        let heard = Testimonies::of(&self.paths, mark).hear(ramp.number());
        let mut doubts = heard.doubts;
        let board = self.board.read().unwrap_or_else(|error| {
            doubts.push(format!("cannot see which processes run: {error}"));
            Board::default()
        });
        let version = file.version.unwrap_or(0);
        for status in &board.live {
            let (pid, rollout) = (status.pid, &status.rollout);
            if let Some(refused) = &rollout.refused {
                doubts.push(format!("process {pid} refuses the rollout file: {refused}"));
            } else if rollout.version != version {
                let theirs = rollout.version;
                doubts.push(format!("process {pid} has version {theirs} in force, not {version}"));
            } else if !heard.live.contains(&pid) {
                doubts.push(format!("process {pid} has told no evidence"));
            }
        }
        doubts.extend(board.unreadable.iter().map(|(pid, why)| format!("process {pid}: {why}")));
        let corpora = shelf::corpora(&self.paths, &mark.build).unwrap_or_else(|error| {
            doubts.push(format!("cannot see what recorded calls came to: {error}"));
            Default::default()
        });
        let lanes = board
            .live
            .iter()
            .flat_map(|status| status.lanes.iter().map(|(lane, pool)| ((status.pid, *lane), pool)));
        let lanes: Vec<_> = lanes.collect();
        let situation = Situation {
            now: Clock::wall(),
            evidence: heard.evidence.as_ref(),
            strata: &self.strata,
            killed: file.killed,
            capacity: self.loads.look(&lanes),
            drill: shelf::last_drill(&self.paths),
            corpora: Some(&corpora),
        };
        let verdict = assess(ramp, &situation);
        let verdict = doubts.into_iter().fold(verdict, Verdict::held_by);
        (verdict, board.live.iter().map(|status| status.rollout.version).max().unwrap_or(0))
    }

    /// Does what the verdict says, and puts it on record if it says something else than the last.
    async fn follow(
        &mut self,
        standing: &Standing,
        verdict: &Verdict,
        above: u64,
    ) -> Result<(), EditError> {
        let Standing { file, mark, ramp } = standing;
        let says = verdict.verdict;
        let mut next = ramp.clone();
        // What cannot be followed, such as a kill that is in force, is put on record all the same.
        let moved = match says {
            Says::Advance | Says::Rollback => next.follow(verdict, Clock::wall()).unwrap_or(false),
            Says::Hold | Says::Kill => false,
        };
        let action = match moved {
            true => Action::Steer(Box::new(Steer::ramp(&what(&next, says), &next, mark))),
            false if self.said == Some(says) => return Ok(()),
            false => Action::Judge(says),
        };
        let change = Change {
            action,
            actor: format!("ramp (process {})", std::process::id()),
            reason: Some(shortened(verdict.reason().join("; "))).filter(|why| !why.is_empty()),
            if_version: Some(file.version.unwrap_or(0)),
            above,
            killed_anywhere: false,
            verdict: serde_json::to_value(verdict).ok(),
        };
        // Dropped here: either nothing has happened, or all of it.
        let edited = edit(&self.paths, &change, false).await;
        // If the file is gone, that is no other version but none.
        if let Err(error @ EditError::Version { found: 1.., .. }) = &edited {
            tracing::debug!(%error, "the rollout has changed meanwhile; judging anew");
            return Ok(());
        }
        edited?;
        (self.said, self.failed) = (Some(says), None);
        let reason = verdict.reason().join("; ");
        tracing::info!(verdict = says.as_str(), %reason, "ramp");
        // After the change is written: nothing waits for a hook, a rollback least of all.
        if let Some(hook) = &ramp.plan().on_verdict {
            self.hooks.start(hook, verdict);
        }
        Ok(())
    }

    fn fail(&mut self, error: &str) {
        if self.failed.as_deref() != Some(error) {
            tracing::error!(%error, "the ramp cannot be steered");
            self.failed = Some(error.to_owned());
        }
    }
}

fn what(next: &Ramp, says: Says) -> String {
    let steps = next.plan().steps.len();
    match (says, next.position()) {
        (Says::Rollback, _) => "ramp rollback".to_owned(),
        (_, Position::Step(index)) => format!("ramp to step {} of {steps}", index + 1),
        (_, Position::Shadow | Position::Done) => "ramp complete".to_owned(),
    }
}

/// The last verdict on record of this ramp.
fn said_last(paths: &RolloutPaths) -> Option<Says> {
    let audit = read_audit(paths).ok()?;
    let of_this_ramp =
        audit.lines.iter().rev().take_while(|line| !line.action.starts_with("ramp start"));
    let verdict = of_this_ramp.filter_map(|line| line.verdict.as_ref()).next()?;
    serde_json::from_value(verdict.get("verdict")?.clone()).ok()
}

fn shortened(mut reason: String) -> String {
    let end = (0..=MAX_TEXT).rev().find(|end| reason.is_char_boundary(*end));
    reason.truncate(end.unwrap_or(0));
    reason
}
