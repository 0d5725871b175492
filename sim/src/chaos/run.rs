//! Plays a chaos run, from the first worker to the last descriptor.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poolshift::clock::{Clock, Moment};
use poolshift::config::Config;
use poolshift::router::policy::Percents;
use poolshift::shim::spawner;
use poolshift::v2_session_pool::V2SessionPool;
use poolshift::{Lane, Outcome, Pool, PoolStatus, Shim, ShimOptions, StartError};
use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::chaos::evidence::Evidence;
use crate::chaos::host::{children, holdings, runtime, warm_up};
use crate::chaos::load::{CALLERS_PER_WORKER, planned};
use crate::chaos::memory::Memory;
use crate::chaos::options::ChaosOptions;
use crate::chaos::planted::{Infected, Legacy, Planted};
use crate::chaos::report::{Measured, Report};
use crate::chaos::strikes;
use crate::chaos::watchman::Watchman;
use crate::checkers::Law;
use crate::options::Options;
use crate::real::caller::Caller;
use crate::real::error::RealError;
use crate::real::ground::ground;
use crate::real::kernel::{Holdings, leftovers};
use crate::real::ledgers::Ledgers;
use crate::real::operators::Operators;
use crate::real::recorder::Recorder;
use crate::real::site::Site;
use crate::real::stop::Stop;
use crate::rng::Seed;
use crate::trace::{CallNo, Closing, Event, LaneClosing};
use crate::workload::{Acts, percent};

/// V3's share at first: both lanes are put to the test.
const FIRST_SHARE: &str = "50";

/// Mean time between two changes of the policy.
const CHANGE_EVERY: Duration = Duration::from_millis(700);

/// How often the pools are looked at, which is how exactly a recovery is known.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How many looks there are to one look at the ledgers, and at the kernel.
const LOOKS_PER_SWEEP: u32 = 5;
const LOOKS_PER_COUNT: u32 = 50;

/// How much later a drain may end on a machine that has other work, too.
const SLACK: Duration = Duration::from_secs(5);

/// A fork lane's parent, which has the mark of a worker. Its successor starts when it is gone.
const WARM_PARENTS: usize = 2;

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Since when calls are made.
    pub since: Duration,
    /// How many were.
    pub calls: u64,
    /// Workers that were killed.
    pub kills: u64,
    /// Laws that were broken.
    pub broken: usize,
}

/// All that the tasks of a run share.
#[derive(Debug)]
pub(super) struct Run<L> {
    pub(super) options: ChaosOptions,
    pub(super) site: Arc<Site>,
    pub(super) shim: Shim<L>,
    pub(super) recorder: Recorder<Evidence>,
    pub(super) watchman: Watchman,
    stop: Stop,
    operators: Operators,
    config: Config,
    longest: Duration,
    calls: AtomicU64,
    policies: AtomicU64,
    strikes: Mutex<BTreeMap<&'static str, u64>>,
    memory: Memory,
    is_drained: AtomicBool,
    is_over: AtomicBool,
}

/// Runs it, and tells `progress` each second how far it is. Told to `stop`, it makes no more calls,
/// and reports what there was until then. Must not be called from within a tokio runtime: it has
/// its own.
///
/// # Errors
/// If there can be no such run, or it was to stop at once; what breaks in a run is in its report.
pub fn run(
    options: &ChaosOptions,
    planted: Option<Planted>,
    stop: &Stop,
    progress: impl Fn(Progress) + Send + 'static,
) -> Result<Report, RealError> {
    options.check()?;
    let site = Arc::new(Site::open()?);
    let report = run_at(&site, options, planted, stop, progress);
    if report.is_err() {
        // Its workers die with the runtime it had; what they write to goes after them.
        runtime()?.block_on(leftovers(&site.mark(), |_| false))?;
    }
    report
}

fn run_at(
    site: &Arc<Site>,
    options: &ChaosOptions,
    planted: Option<Planted>,
    stop: &Stop,
    progress: impl Fn(Progress) + Send + 'static,
) -> Result<Report, RealError> {
    let config = site.config(&options.settings())?;
    let runtime = warm_up(&config, &site.mark(), stop)?;
    let made = async {
        let before = Holdings::now()?;
        let percents = Some(Percents::all(percent(FIRST_SHARE)));
        let start = ShimOptions { percents, ledger: Some(site.ledger()) };
        let setting = Setting { options, site, config: &config, stop, before };
        match planted {
            None => setting.play(Shim::start(&config, start).await?, progress).await,
            Some(bug) => setting.play(infected(&config, start, bug, site).await?, progress).await,
        }
    };
    runtime.block_on(async {
        tokio::select! {
            biased;
            // Dropped here: callers, pools and strikes, with the runtime that they are in.
            () = stop.hurried() => Err(RealError::Interrupted),
            report = made => report,
        }
    })
}

async fn infected(
    config: &Config,
    options: ShimOptions,
    bug: Planted,
    site: &Site,
) -> Result<Shim<Infected>, RealError> {
    let spawner = spawner(config, Lane::V2, options.ledger.clone());
    let shim = Shim::with_legacy(config, options, |clock, sessions| async move {
        let spawner = spawner.map_err(|error| StartError::Own(error.to_string()))?;
        let pool = V2SessionPool::start(&config.v2, &config.worker, spawner, sessions, clock);
        Ok(Infected::new(pool.await?, bug, &site.mark()))
    });
    Ok(shim.await?)
}

/// What a run is made of before it has pools.
struct Setting<'a> {
    options: &'a ChaosOptions,
    site: &'a Arc<Site>,
    config: &'a Config,
    stop: &'a Stop,
    before: Holdings,
}

impl Setting<'_> {
    async fn play<L: Legacy>(
        &self,
        shim: Shim<L>,
        progress: impl Fn(Progress) + Send + 'static,
    ) -> Result<Report, RealError> {
        let Self { options, site, config, stop, before } = *self;
        let ground = ground(config, options.seed);
        let longest = ground.lanes.iter().map(|lane| lane.terms.budget).max().unwrap_or_default();
        let ledgers = Ledgers::of(&site.ledger());
        let recorder = Recorder::begin(shim.clock(), &ground, ledgers, Evidence::default());
        let operators = Operators::begin(Percents::all(percent(FIRST_SHARE)), &shim, &recorder);
        let run = Arc::new(Run {
            recorder,
            operators,
            options: options.clone(),
            site: Arc::clone(site),
            shim,
            stop: stop.clone(),
            watchman: Watchman::default(),
            config: config.clone(),
            longest,
            calls: AtomicU64::new(0),
            policies: AtomicU64::new(0),
            strikes: Mutex::default(),
            memory: Memory::default(),
            is_drained: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let lasted = run.everything(progress).await?;
        let run = Arc::into_inner(run).expect("every task of the run is over");
        run.settle(before, lasted).await
    }
}

impl<L: Legacy> Run<L> {
    pub(super) fn clock(&self) -> Clock {
        self.shim.clock()
    }

    /// V2's, then V3's.
    fn statuses(&self) -> [PoolStatus; 2] {
        let router = self.shim.router();
        [router.legacy().status(), router.next().status()]
    }

    pub(super) fn count(&self, strike: &'static str) {
        let mut strikes = self.strikes.lock().expect("a count is only raised under the lock");
        *strikes.entry(strike).or_default() += 1;
    }

    /// All tasks, to the end of both drains. Gives how long calls were made.
    async fn everything(
        self: &Arc<Self>,
        progress: impl Fn(Progress) + Send + 'static,
    ) -> io::Result<Duration> {
        let clock = self.clock();
        let from = clock.now();
        let until = from + self.options.lasts;
        let mut tasks = JoinSet::new();
        for caller in 0..self.options.workers * CALLERS_PER_WORKER {
            tasks.spawn(Arc::clone(self).call(caller as u64));
        }
        let rest = [
            tasks.spawn(strikes::kill(Arc::clone(self), from, until)),
            tasks.spawn(strikes::hold(Arc::clone(self), from, until)),
            tasks.spawn(Arc::clone(self).operate(from, until)),
        ];
        let watch = tokio::spawn(Arc::clone(self).watch(from, progress));
        let lasted = tokio::select! {
            () = clock.sleep_until(until) => self.options.lasts,
            () = self.stop.asked() => {
                // A worker that stands still meanwhile is killed by the drain.
                rest.iter().for_each(AbortHandle::abort);
                clock.now().since(from)
            }
        };
        self.memory.close()?;
        self.drain().await;
        self.is_drained.store(true, Ordering::Relaxed);
        while let Some(ended) = tasks.join_next().await {
            let panic = ended.err().filter(JoinError::is_panic).map(|error| error.to_string());
            self.recorder.judge(Law::L6, panic.is_none(), || panic.unwrap_or_default());
        }
        self.is_over.store(true, Ordering::Relaxed);
        watch.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        Ok(lasted)
    }

    /// One call after the other, until the pools take no more.
    async fn call(self: Arc<Self>, caller: u64) {
        let makes = Caller { shim: &self.shim, recorder: &self.recorder, longest: self.longest };
        for n in 0.. {
            let no = CallNo(self.calls.fetch_add(1, Ordering::Relaxed));
            let planned = planned(Seed(self.options.seed), caller, n, no);
            let routed = makes.make(&planned.request).await;
            if let Some(answer) = routed.as_ref().map(|routed| &routed.answer) {
                let harm = planned.harm.filter(|_| answer.worker.is_some());
                harm.into_iter().for_each(|harm| self.count(harm));
                if answer.outcome() == Outcome::Draining {
                    return;
                }
            }
            // A pool that tells nobody anything would else be asked for ever.
            if self.is_drained.load(Ordering::Relaxed) {
                return;
            }
            self.clock().sleep_until(self.clock().now() + planned.rest).await;
        }
    }

    /// Changes the shares, throws the kill switch and takes it back.
    async fn operate(self: Arc<Self>, from: Moment, until: Moment) {
        let mut options = Options::default();
        options.operators.change_every = CHANGE_EVERY;
        for (at, act) in Acts::new(Seed(self.options.seed), &options) {
            let at = from + at.since(Moment::ZERO);
            if at >= until {
                return;
            }
            self.clock().sleep_until(at).await;
            self.operators.act(act, &self.shim, &self.recorder);
            self.policies.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// L6: by its limit and the graces, both pools are empty.
    async fn drain(&self) {
        let worker = &self.config.worker;
        let lanes = [Lane::V2, Lane::V3];
        let until = self.clock().now() + worker.drain_timeout;
        lanes.iter().for_each(|lane| self.recorder.tell(Some(*lane), Event::Drain { until }));
        let limit = worker.drain_timeout + worker.stop_grace + worker.kill_grace + SLACK;
        let drained = tokio::time::timeout(limit, self.shim.drain()).await.is_ok();
        self.recorder.judge(Law::L6, drained, || format!("not drained after {limit:?}"));
        if drained {
            lanes.iter().for_each(|lane| self.recorder.tell(Some(*lane), Event::Drained));
        }
    }

    /// Looks at the pools, the ledgers and the kernel until all is over.
    async fn watch(
        self: Arc<Self>,
        from: Moment,
        progress: impl Fn(Progress) + Send + 'static,
    ) -> io::Result<()> {
        // A worker of each lane may have a successor beside it while it is recycled.
        let parents = if self.options.start_method == "spawn" { 0 } else { WARM_PARENTS };
        let most = 2 * (self.options.workers + 1) + parents;
        for look in 1.. {
            if self.is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            let now = self.clock().now();
            self.clock().sleep_until(now + LOOK_EVERY).await;
            let now = self.clock().now();
            self.watchman.look(now, &self.shim.router().next().gauges());
            self.memory.look(now.since(from), self.options.lasts)?;
            if look % LOOKS_PER_SWEEP == 0 {
                self.recorder.sweep();
                self.recorder.ask(|onlooker, evidence| {
                    if !onlooker.violations().is_empty() {
                        evidence.close();
                    }
                });
            }
            if look % LOOKS_PER_COUNT == 0 {
                let judge = |law, holds, what| self.recorder.judge(law, holds, || what);
                self.watchman.count(now, &self.site.mark(), most, judge)?;
                progress(self.progress(now.since(from)));
            }
        }
        Ok(())
    }

    fn progress(&self, since: Duration) -> Progress {
        let strikes = self.strikes.lock().expect("a count is only raised under the lock");
        Progress {
            since,
            calls: self.calls.load(Ordering::Relaxed),
            kills: strikes.get("kill").copied().unwrap_or(0),
            broken: self.recorder.ask(|onlooker, _| onlooker.violations().len()),
        }
    }

    /// Both pools are drained: what is left, and what is held once the shim is gone too.
    async fn settle(self, before: Holdings, lasted: Duration) -> Result<Report, RealError> {
        let mark = self.site.mark();
        // The parents of forked workers are there for as long as the pools.
        let is_forked = self.options.start_method != "spawn";
        let mut left = leftovers(&mark, |kin| is_forked && kin.is_child).await?;
        let [v2, v3] = self.statuses();
        let restarts = v2.restarts + v3.restarts;
        let router = self.shim.router();
        let closing = |status, meter| LaneClosing { status, meter, processes: 0 };
        let lanes = [closing(v2, router.legacy().meter()), closing(v3, router.next().meter())];
        let closing = Closing { at: self.clock().now(), lanes };
        let (mut onlooker, evidence) = self.recorder.end(&closing);
        drop(self.shim);
        // With the last pool, everything goes that was there for pools.
        let children = children(&mark).await?;
        left.extend(children.into_iter().filter(|child| !left.contains(child)).collect::<Vec<_>>());
        let after = holdings(before).await?;
        onlooker.judge(Law::S17, left.is_empty(), || format!("left behind: {left:?}"));
        onlooker.judge(Law::S17, after == before, || {
            format!("the host holds {after:?}, and held {before:?} before")
        });
        let resident = self.memory.resident();
        onlooker.judge(Law::S18, resident.is_steady(lasted), || {
            format!("resident memory has grown from {} to {} bytes", resident.settled, resident.end)
        });
        let strikes = self.strikes.into_inner().expect("nothing panics while it counts");
        Ok(Report::of(
            &self.options,
            &onlooker,
            &Measured {
                lasted,
                is_interrupted: lasted < self.options.lasts,
                submitted: self.calls.into_inner(),
                strikes,
                policies: self.policies.into_inner(),
                restarts,
                recovery: self.watchman.recovery(),
                leaked: left.len() as u64,
                held: [before, after],
                resident,
                evidence,
            },
        ))
    }
}
