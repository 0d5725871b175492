//! What strikes workers from outside, by seed: who is struck, how, and for how long.

use std::sync::Arc;
use std::time::Duration;

use poolshift::Lane;
use poolshift::clock::Moment;
use poolshift::pool::WorkerStatus;
use rustix::process::Signal;

use crate::chaos::Run;
use crate::chaos::planted::Legacy;
use crate::fault::Fault;
use crate::real::kernel::signal;
use crate::rng::{Domain, Seed, Stream};
use crate::trace::Event;

/// A worker is stopped for each so many that are killed.
const KILLS_PER_HOLD: u32 = 4;

/// A worker is stopped so long at most: beyond the shorter of both lanes' limits for a call.
const LONGEST_HOLD_MS: u64 = 1_800;

/// A slowed worker stands still and goes on so often, and each time so long.
const LIMPS: u32 = 20;
const LIMP: Duration = Duration::from_millis(5);

/// Streams of strikes that are none of the catalogue's kinds.
const KILLS: u64 = 1000;
const HOLDS: u64 = 1001;

/// Kills one worker of either lane in each span, ready or not, until the end.
pub(super) async fn kill<L: Legacy>(run: Arc<Run<L>>, from: Moment, until: Moment) {
    let every = run.options.kill_every;
    for n in 1.. {
        let at = from + every * n;
        if at >= until {
            return;
        }
        run.clock().sleep_until(at).await;
        // A host that stalls is late with all that follow, and what it has not done is left out.
        if run.clock().now() >= until {
            return;
        }
        let mut stream = Seed(run.options.seed).stream(Domain::Strike, KILLS, n.into());
        let Some((lane, victim, pid)) = victim(&run, &mut stream) else { continue };
        if lane == Lane::V3 {
            run.watchman.killed(run.clock().now(), victim.id, &victim.health_status);
        }
        if signal(pid, &run.site.mark(), Signal::KILL) {
            run.count("kill");
            let (fault, worker) = (Fault::OutOfMemory, Some(victim.id));
            run.recorder.tell(Some(lane), Event::Fault { fault, worker });
        }
    }
}

/// Stops workers for a while, or has them limp, until the end. One after the other: a worker that
/// stands still takes a part of its pool, and the rest must serve.
pub(super) async fn hold<L: Legacy>(run: Arc<Run<L>>, from: Moment, until: Moment) {
    let every = run.options.kill_every * KILLS_PER_HOLD;
    let mut at = from;
    for n in 0.. {
        let mut stream = Seed(run.options.seed).stream(Domain::Strike, HOLDS, n);
        let now = run.clock().now();
        at = (at + Duration::from_nanos(stream.exponential(every.as_nanos() as u64))).max(now);
        if at >= until {
            return;
        }
        run.clock().sleep_until(at).await;
        let Some((lane, victim, pid)) = victim(&run, &mut stream) else { continue };
        let fault = if stream.chance(500_000) { Fault::Frozen } else { Fault::SlowWorker };
        let worker = Some(victim.id);
        run.recorder.tell(Some(lane), Event::Fault { fault, worker });
        if fault == Fault::Frozen {
            run.count("stop");
            let span = Duration::from_millis(stream.between(1, LONGEST_HOLD_MS));
            stand_still(&run, pid, span).await;
        } else {
            run.count("slow");
            for _ in 0..LIMPS {
                stand_still(&run, pid, LIMP).await;
                run.clock().sleep_until(run.clock().now() + LIMP).await;
            }
        }
    }
}

/// It goes on in any case: a process that is dead by then is not signalled.
async fn stand_still<L: Legacy>(run: &Run<L>, pid: u32, span: Duration) {
    let mark = run.site.mark();
    signal(pid, &mark, Signal::STOP);
    run.clock().sleep_until(run.clock().now() + span).await;
    signal(pid, &mark, Signal::CONT);
}

/// One of all processes that either pool has now.
fn victim<L: Legacy>(run: &Run<L>, stream: &mut Stream) -> Option<(Lane, WorkerStatus, u32)> {
    let of = |lane, workers: Vec<WorkerStatus>| {
        workers.into_iter().filter_map(move |worker| Some((lane, worker.pid?, worker)))
    };
    let router = run.shim.router();
    let (v2, v3) = (router.legacy().gauges(), router.next().gauges());
    let mut living: Vec<_> = of(Lane::V2, v2.workers).chain(of(Lane::V3, v3.workers)).collect();
    let lot = stream.below(living.len().max(1) as u64) as usize;
    let (lane, pid, worker) = (lot < living.len()).then(|| living.swap_remove(lot))?;
    Some((lane, worker, pid))
}
