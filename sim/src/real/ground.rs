//! What the pools of a config promise, as watchers are told it.

use std::time::Duration;

use poolshift::config::Config;
use poolshift::machine::backoff::Backoff;
use poolshift::machine::engine::{Lifecycle, Terms};

use crate::trace::{Ground, LaneGround};

/// The promises of both lanes. Where the pool itself has no key, as for V2's backoff, nothing is
/// promised: whoever judges a real run cannot see a start.
pub(crate) fn ground(config: &Config, seed: u64) -> Ground {
    let (v2, v3, worker) = (&config.v2, &config.v3, &config.worker);
    let nothing = Backoff { base: Duration::ZERO, cap: Duration::ZERO, seed: 0 };
    let (base, cap) = v3.restart_backoff;
    let lane = |terms, max_waiting, session_idle, startup_timeout| LaneGround {
        terms,
        max_waiting,
        session_idle,
        startup_timeout,
        health_timeout: worker.health_timeout,
        stop_grace: worker.stop_grace,
        kill_grace: worker.kill_grace,
    };
    let legacy = Terms {
        size: v2.size,
        max_starting: 1,
        budget: v2.checkout_timeout + v2.operation_timeout,
        queue_timeout: v2.checkout_timeout,
        run_timeout: v2.operation_timeout,
        on_cancel: v2.on_cancel,
        backoff: nothing,
        probe_after: None,
        lifecycle: Lifecycle::default(),
    };
    let next = Terms {
        size: v3.size,
        max_starting: v3.max_starting,
        budget: v3.timeout,
        queue_timeout: v3.queue_timeout,
        run_timeout: v3.timeout,
        on_cancel: v3.on_cancel,
        backoff: Backoff { base, cap, seed: v3.seed },
        probe_after: Some(v3.health_check_interval),
        lifecycle: Lifecycle::default(),
    };
    let unbounded = |limit| if limit == 0 { usize::MAX } else { limit };
    let lanes = [
        lane(legacy, unbounded(v2.max_queue_size), v2.session_idle, v2.startup_timeout),
        lane(next, v3.max_queue_size, v2.session_idle, v3.startup_timeout),
    ];
    Ground {
        seed,
        lanes,
        pin_ttl: config.pin_ttl(),
        whole_sessions: false,
        host_lag: Duration::ZERO,
        calls: 0,
        mean_gap: Duration::ZERO,
        mean_service: Duration::ZERO,
    }
}
