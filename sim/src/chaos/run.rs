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
use tokio::task::JoinSet;

use crate::chaos::evidence::Evidence;
use crate::chaos::host::{children, holdings, warm_up};
use crate::chaos::load::{CALLERS_PER_WORKER, planned};
use crate::chaos::options::ChaosOptions;
use crate::chaos::planted::{Infected, Legacy, Planted};
use crate::chaos::report::{Measured, Report};
use crate::chaos::watchman::Watchman;
use crate::chaos::{ChaosError, strikes};
use crate::checkers::Law;
use crate::options::Options;
use crate::real::caller::Caller;
use crate::real::ground::ground;
use crate::real::kernel::{Holdings, leftovers, resident_bytes};
use crate::real::ledgers::Ledgers;
use crate::real::operators::Operators;
use crate::real::recorder::Recorder;
use crate::real::site::Site;
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

/// Allocators and caches have their size by then.
const SETTLED_AFTER: Duration = Duration::from_secs(120);

/// What resident memory may differ by without a leak.
const NOISE_BYTES: i64 = 4 << 20;

/// How much later a drain may end on a machine that has other work, too.
const SLACK: Duration = Duration::from_secs(5);

/// A shorter run is over before its memory has settled.
const LONG_ENOUGH: Duration = Duration::from_secs(300);

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
    pub(super) site: Site,
    pub(super) shim: Shim<L>,
    pub(super) recorder: Recorder<Evidence>,
    pub(super) watchman: Watchman,
    operators: Operators,
    config: Config,
    longest: Duration,
    calls: AtomicU64,
    policies: AtomicU64,
    strikes: Mutex<BTreeMap<&'static str, u64>>,
    /// Resident memory when it had settled, and when the last call was made.
    resident: [AtomicU64; 2],
    is_drained: AtomicBool,
    is_over: AtomicBool,
}

/// Runs it, and tells `progress` each second how far it is. Must not be called from within a tokio
/// runtime: it has its own.
///
/// # Errors
/// If there can be no such run; what breaks in a run is in its report.
pub fn run(
    options: &ChaosOptions,
    planted: Option<Planted>,
    progress: impl Fn(Progress) + Send + 'static,
) -> Result<Report, ChaosError> {
    options.check()?;
    let site = Site::open()?;
    let config = site.config(&options.settings())?;
    let runtime = warm_up(&config, &site.mark())?;
    runtime.block_on(async {
        let before = Holdings::now()?;
        let percents = Some(Percents::all(percent(FIRST_SHARE)));
        let start = ShimOptions { percents, ledger: Some(site.ledger()) };
        match planted {
            None => {
                let shim = Shim::start(&config, start).await?;
                play(options, site, &config, shim, before, progress).await
            }
            Some(bug) => {
                let shim = infected(&config, start, bug, &site).await?;
                play(options, site, &config, shim, before, progress).await
            }
        }
    })
}

async fn infected(
    config: &Config,
    options: ShimOptions,
    bug: Planted,
    site: &Site,
) -> Result<Shim<Infected>, ChaosError> {
    let spawner = spawner(config, Lane::V2, options.ledger.clone());
    let shim = Shim::with_legacy(config, options, |clock, sessions| async move {
        let spawner = spawner.map_err(|error| StartError::Own(error.to_string()))?;
        let pool = V2SessionPool::start(&config.v2, &config.worker, spawner, sessions, clock);
        Ok(Infected::new(pool.await?, bug, &site.mark()))
    });
    Ok(shim.await?)
}

async fn play<L: Legacy>(
    options: &ChaosOptions,
    site: Site,
    config: &Config,
    shim: Shim<L>,
    before: Holdings,
    progress: impl Fn(Progress) + Send + 'static,
) -> Result<Report, ChaosError> {
    let ground = ground(config, options.seed);
    let longest = ground.lanes.iter().map(|lane| lane.terms.budget).max().unwrap_or_default();
    let ledgers = Ledgers::of(&site.ledger());
    let recorder = Recorder::begin(shim.clock(), &ground, ledgers, Evidence::default());
    let operators = Operators::begin(Percents::all(percent(FIRST_SHARE)), &shim, &recorder);
    let run = Arc::new(Run {
        recorder,
        operators,
        options: options.clone(),
        site,
        shim,
        watchman: Watchman::default(),
        config: config.clone(),
        longest,
        calls: AtomicU64::new(0),
        policies: AtomicU64::new(0),
        strikes: Mutex::default(),
        resident: Default::default(),
        is_drained: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
    });
    run.everything(progress).await?;
    let run = Arc::into_inner(run).expect("every task of the run is over");
    run.settle(before).await
}

impl<L: Legacy> Run<L> {
    pub(super) fn clock(&self) -> Clock {
        self.shim.clock()
    }

    /// V2's, then V3's.
    pub(super) fn statuses(&self) -> [PoolStatus; 2] {
        let router = self.shim.router();
        [router.legacy().status(), router.next().status()]
    }

    pub(super) fn count(&self, strike: &'static str) {
        let mut strikes = self.strikes.lock().expect("a count is only raised under the lock");
        *strikes.entry(strike).or_default() += 1;
    }

    /// All tasks, to the end of both drains.
    async fn everything(
        self: &Arc<Self>,
        progress: impl Fn(Progress) + Send + 'static,
    ) -> io::Result<()> {
        let from = self.clock().now();
        let until = from + self.options.lasts;
        let mut tasks = JoinSet::new();
        for caller in 0..self.options.workers * CALLERS_PER_WORKER {
            tasks.spawn(Arc::clone(self).call(caller as u64));
        }
        tasks.spawn(strikes::kill(Arc::clone(self), from, until));
        tasks.spawn(strikes::hold(Arc::clone(self), from, until));
        tasks.spawn(Arc::clone(self).operate(from, until));
        let watch = tokio::spawn(Arc::clone(self).watch(from, progress));
        self.clock().sleep_until(until).await;
        self.resident[1].store(resident_bytes()?, Ordering::Relaxed);
        self.drain().await;
        self.is_drained.store(true, Ordering::Relaxed);
        while let Some(ended) = tasks.join_next().await {
            let panic = ended.err().map(|error| error.to_string());
            self.recorder.judge(Law::L6, panic.is_none(), || panic.unwrap_or_default());
        }
        self.is_over.store(true, Ordering::Relaxed);
        watch.await.unwrap_or_else(|error| Err(io::Error::other(error)))
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
        let settled = from + SETTLED_AFTER.min(self.options.lasts / 5);
        // A worker of each lane may have a successor beside it while it is recycled.
        let most = 2 * (self.options.workers + 1);
        for look in 1.. {
            if self.is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            let now = self.clock().now();
            self.clock().sleep_until(now + LOOK_EVERY).await;
            let now = self.clock().now();
            self.watchman.look(now, &self.shim.router().next().status());
            if now >= settled && self.resident[0].load(Ordering::Relaxed) == 0 {
                self.resident[0].store(resident_bytes()?, Ordering::Relaxed);
            }
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
    async fn settle(self, before: Holdings) -> Result<Report, ChaosError> {
        let mark = self.site.mark();
        let mut left = leftovers(&mark).await?;
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
        let resident = self.resident.map(AtomicU64::into_inner);
        let growth = resident[1] as i64 - resident[0] as i64;
        let is_long = self.options.lasts >= LONG_ENOUGH;
        onlooker.judge(Law::S18, !is_long || growth <= NOISE_BYTES, || {
            format!("resident memory has grown by {growth} bytes")
        });
        let strikes = self.strikes.into_inner().expect("nothing panics while it counts");
        Ok(Report::of(
            &self.options,
            &onlooker,
            &Measured {
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
