//! What queueing theory expects of a simulated run, beside what was measured.
//!
//! A run begins with workers that start while calls arrive already, which no steady state knows:
//! its first tenth is warm-up and left out here.

use poolshift::Lane;
use poolshift::clock::millis;
use poolshift::meter::{Merge, SparseSeries};
use poolshift::report::kind::Span;
use poolshift::report::quantiles::shown;
use poolshift::report::record::{Prediction, RunRecord};
use poolshift::report::run::{Run, pick};

use crate::fault::Strikes;
use crate::options::{Arrivals, Options};
use crate::oracle::erlang::{mmc, mmc_wait_quantile};
use crate::oracle::queue::Load;
use crate::rng::Law;

/// Quantiles of the wait that are predicted.
const QUANTILES: [(f64, &str); 2] = [(0.9, "wait p90, ms"), (0.99, "wait p99, ms")];

/// One in so many slices at the beginning is warm-up.
const WARM_UP: usize = 10;

/// Adds to the run's record what is expected of V3, or why nothing is.
pub fn predict(run: &mut Run, options: &Options) {
    let found = v3(run, options);
    let Some(record) = &mut run.record else { return };
    match found {
        Ok(predictions) => record.predictions = predictions,
        Err(why) => record.unpredicted = Some(why.to_owned()),
    }
}

/// Why a textbook's formula is not exact for such a run; nothing if it is.
fn obstacle(options: &Options) -> Option<&'static str> {
    let strikes = [Strikes::Request, Strikes::Start, Strikes::Stop, Strikes::Plan, Strikes::Moment];
    let operators = &options.operators;
    let obstacles = [
        (!matches!(options.arrivals, Arrivals::Poisson), "calls do not arrive at random"),
        (!matches!(options.service, Law::Exponential), "service times are not exponential"),
        (strikes.iter().any(|it| options.faults.total(*it) > 0), "faults strike"),
        (options.mix.cancels.0 > 0, "callers go away"),
        (options.mix.budgets.0 > 0, "callers bring budgets"),
        (options.recycles > 0, "workers are recycled"),
        (options.lags > 0, "the host lags"),
        (!operators.change_every.is_zero(), "the rollout changes"),
        (!operators.resize_every.is_zero(), "V3 is resized"),
    ];
    obstacles.into_iter().find(|(is_so, _)| *is_so).map(|(_, why)| why)
}

fn v3(run: &Run, options: &Options) -> Result<Vec<Prediction>, &'static str> {
    if let Some(why) = obstacle(options) {
        return Err(why);
    }
    let settled = Settled::of(run);
    let (wait, servers) = (&settled.wait, options.lanes[Lane::V3 as usize].terms.size);
    let share = options.operators.percent.share();
    if wait.is_empty() || share == 0.0 {
        return Err("V3 has no calls; V2 binds sessions to workers, which no formula knows");
    }
    let all = 1.0 / options.mean_gap.as_secs_f64();
    let by = match share {
        1.0 => "Erlang C, exact for V3 as M/M/c; without the first tenth",
        _ => "Erlang C; sessions make arrivals less random; without the first tenth",
    };
    // A share of all arrivals is drawn by session, so the measured rate is nearer than the plan's.
    let rate = match share {
        1.0 => all,
        _ => wait.count() as f64 / settled.lasted_s.max(1e-9),
    };
    let servers = u32::try_from(servers).map_err(|_| "V3 has too many workers")?;
    let load = Load::new(servers, rate, 1.0 / options.mean_service.as_secs_f64())
        .map_err(|_| "the load is out of the formulas' range")?;
    let theory = mmc(&load).map_err(|_| "V3 is offered more than it can serve")?;
    let waited =
        wait.count() - wait.buckets().take_while(|(ns, _)| *ns == 0).map(|(_, n)| n).sum::<u64>();
    let figure = |figure: &str, measured: f64, expected: f64| Prediction {
        lane: Lane::V3,
        figure: figure.to_owned(),
        measured,
        expected,
        by: by.to_owned(),
    };
    let mut found = vec![
        figure("share that waits", waited as f64 / wait.count() as f64, theory.p_wait),
        figure("mean wait, ms", millis(wait.mean()), theory.mean_wait * 1e3),
    ];
    for (quantile, name) in QUANTILES {
        let expected = mmc_wait_quantile(&load, quantile).map_err(|_| "no quantile")? * 1e3;
        found.extend(shown(wait, quantile).map(|measured| figure(name, measured, expected)));
    }
    if let Some(busy) = settled.utilisation(run.record.as_ref(), servers) {
        found.push(figure("utilisation", busy, theory.utilisation));
    }
    Ok(found)
}

/// V3 after the warm-up.
struct Settled {
    /// The first slice that counts.
    first: usize,
    wait: SparseSeries,
    lasted_s: f64,
}

impl Settled {
    fn of(run: &Run) -> Self {
        let first = run.slices.len() / WARM_UP;
        let mut wait = SparseSeries::default();
        for slice in run.slices.iter().skip(first) {
            wait.merge(pick(&slice.0, Span::Wait, |kind| kind.lane == Some(Lane::V3)));
        }
        let cut = run.slices.width().as_secs_f64() * first as f64;
        Self { first, wait, lasted_s: run.lasted().as_secs_f64() - cut }
    }

    /// The share of the workers that had a call.
    fn utilisation(&self, record: Option<&RunRecord>, servers: u32) -> Option<f64> {
        let record = record.filter(|record| record.left_out.workers == 0)?;
        let rows = record.workers.iter().filter(|row| row.lane == Lane::V3);
        let shares = rows.flat_map(|row| row.busy.iter().skip(self.first));
        let busy_s = shares.map(|share| f64::from(*share)).sum::<f64>() * record.slice_ms / 1e3;
        let all_s = self.lasted_s * f64::from(servers);
        (all_s > 0.0).then(|| busy_s / all_s)
    }
}
