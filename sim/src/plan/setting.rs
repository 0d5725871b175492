//! The part of a run's options that a plan needs, as its file has it.

use std::time::Duration;

use poolshift::machine::OnCancel;
use poolshift::machine::backoff::Backoff;
use poolshift::machine::engine::{Lifecycle, Terms};
use poolshift::router::percent::Percent;
use serde::{Deserialize, Serialize};

use crate::options::Options;
use crate::rng::Law;
use crate::trace::LaneGround;

/// Options without what a plan lists instead.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setting {
    service: Service,
    mean_service_ns: u64,
    mean_startup_ns: u64,
    raises_per_million: u32,
    recycles_per_million: u32,
    lags_per_million: u32,
    host_lag_ns: u64,
    percent: Percent,
    whole_sessions: bool,
    pin_ttl_ns: u64,
    max_pins: usize,
    drain_timeout_ns: u64,
    v2: Lane,
    v3: Lane,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Service {
    Constant,
    Exponential,
    Lognormal { cv: f64 },
    Bimodal,
    Pareto { alpha: f64 },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lane {
    size: usize,
    /// Null is all at once.
    max_starting: Option<usize>,
    max_waiting: usize,
    budget_ns: u64,
    queue_timeout_ns: u64,
    run_timeout_ns: u64,
    kills_on_cancel: bool,
    backoff_base_ns: u64,
    backoff_cap_ns: u64,
    backoff_seed: u64,
    probe_after_ns: Option<u64>,
    session_idle_ns: u64,
    startup_timeout_ns: u64,
    health_timeout_ns: u64,
    stop_grace_ns: u64,
    kill_grace_ns: u64,
}

/// The options with nothing in them that a plan lists: two plans are equal if their files are.
pub(super) fn only(options: &Options) -> Options {
    Setting::of(options).options()
}

const fn nanos(span: Duration) -> u64 {
    span.as_nanos() as u64
}

impl Setting {
    pub(super) fn of(options: &Options) -> Self {
        let [v2, v3] = &options.lanes;
        Self {
            service: match options.service {
                Law::Constant => Service::Constant,
                Law::Exponential => Service::Exponential,
                Law::Lognormal { cv } => Service::Lognormal { cv },
                Law::Bimodal => Service::Bimodal,
                Law::Pareto { alpha } => Service::Pareto { alpha },
            },
            mean_service_ns: nanos(options.mean_service),
            mean_startup_ns: nanos(options.mean_startup),
            raises_per_million: options.raises,
            recycles_per_million: options.recycles,
            lags_per_million: options.lags,
            host_lag_ns: nanos(options.host_lag),
            percent: options.operators.percent,
            whole_sessions: options.whole_sessions,
            pin_ttl_ns: nanos(options.pin_ttl),
            max_pins: options.max_pins,
            drain_timeout_ns: nanos(options.operators.drain_timeout),
            v2: Lane::of(v2),
            v3: Lane::of(v3),
        }
    }

    pub(super) fn options(&self) -> Options {
        let span = Duration::from_nanos;
        let mut options = Options {
            service: match self.service {
                Service::Constant => Law::Constant,
                Service::Exponential => Law::Exponential,
                Service::Lognormal { cv } => Law::Lognormal { cv },
                Service::Bimodal => Law::Bimodal,
                Service::Pareto { alpha } => Law::Pareto { alpha },
            },
            mean_service: span(self.mean_service_ns),
            mean_startup: span(self.mean_startup_ns),
            raises: self.raises_per_million,
            recycles: self.recycles_per_million,
            lags: self.lags_per_million,
            host_lag: span(self.host_lag_ns),
            whole_sessions: self.whole_sessions,
            pin_ttl: span(self.pin_ttl_ns),
            max_pins: self.max_pins,
            lanes: [self.v2.ground(), self.v3.ground()],
            ..Options::default()
        };
        options.operators.percent = self.percent;
        options.operators.drain_timeout = span(self.drain_timeout_ns);
        options
    }
}

impl Lane {
    fn of(ground: &LaneGround) -> Self {
        let terms = &ground.terms;
        Self {
            size: terms.size,
            max_starting: Some(terms.max_starting).filter(|most| *most != usize::MAX),
            max_waiting: ground.max_waiting,
            budget_ns: nanos(terms.budget),
            queue_timeout_ns: nanos(terms.queue_timeout),
            run_timeout_ns: nanos(terms.run_timeout),
            kills_on_cancel: terms.on_cancel == OnCancel::Kill,
            backoff_base_ns: nanos(terms.backoff.base),
            backoff_cap_ns: nanos(terms.backoff.cap),
            backoff_seed: terms.backoff.seed,
            probe_after_ns: terms.probe_after.map(nanos),
            session_idle_ns: nanos(ground.session_idle),
            startup_timeout_ns: nanos(ground.startup_timeout),
            health_timeout_ns: nanos(ground.health_timeout),
            stop_grace_ns: nanos(ground.stop_grace),
            kill_grace_ns: nanos(ground.kill_grace),
        }
    }

    fn ground(&self) -> LaneGround {
        let span = Duration::from_nanos;
        let on_cancel = if self.kills_on_cancel { OnCancel::Kill } else { OnCancel::Drain };
        let (base, cap) = (span(self.backoff_base_ns), span(self.backoff_cap_ns));
        LaneGround {
            terms: Terms {
                size: self.size,
                max_starting: self.max_starting.unwrap_or(usize::MAX),
                budget: span(self.budget_ns),
                queue_timeout: span(self.queue_timeout_ns),
                run_timeout: span(self.run_timeout_ns),
                on_cancel,
                backoff: Backoff { base, cap, seed: self.backoff_seed },
                probe_after: self.probe_after_ns.map(span),
                // The world runs with all of it off, so a file says nothing of it.
                lifecycle: Lifecycle::default(),
            },
            max_waiting: self.max_waiting,
            session_idle: span(self.session_idle_ns),
            startup_timeout: span(self.startup_timeout_ns),
            health_timeout: span(self.health_timeout_ns),
            stop_grace: span(self.stop_grace_ns),
            kill_grace: span(self.kill_grace_ns),
        }
    }
}
