//! Workers whose import takes what it is told to take.

use std::time::Duration;

use poolshift::clock::Clock;
use poolshift::config::{Config, StartMethod, WorkerProgram};
use poolshift::v3_pool::V3Pool;
use poolshift::{Lane, shim};

use crate::cli::failure::Failure;

/// The app, which the runtime carries.
const APP: &str = "poolshift_worker.apps.heavy";

/// No import that anybody would measure takes longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// So many workers of the heavy app in each lane, all of which must be ready.
pub(super) fn config(
    mut config: Config,
    workers: usize,
    sleep: Option<f64>,
    import: Option<&str>,
) -> Config {
    config.v2.size = workers; // legacy
    (config.v3.size, config.v3.min_ready, config.v3.max_starting) = (workers, workers, 0);
    config.v2.startup_timeout = PATIENCE; // legacy
    config.v3.startup_timeout = PATIENCE;
    config.worker.program = WorkerProgram::App(APP.to_owned());
    let sleep = sleep.map(|seconds| ("HEAVY_SLEEP_S", seconds.to_string()));
    let import = import.map(|module| ("HEAVY_IMPORT", module.to_owned()));
    for (name, value) in sleep.into_iter().chain(import) {
        config.worker.env.insert(name.to_owned(), value);
    }
    config
}

/// The same workers, started in this way.
pub(super) fn started_by(config: &Config, method: StartMethod) -> Config {
    let mut config = config.clone();
    config.worker.start_method = method;
    config
}

/// V3 with all of its workers ready.
pub(super) async fn v3(config: &Config, clock: Clock) -> Result<V3Pool, Failure> {
    let spawner = shim::spawner(config, Lane::V3, None).map_err(Failure::failed)?;
    let (settings, sessions) = (&config.v3, shim::sessions(config));
    let pool = V3Pool::start(settings, &config.worker, spawner, sessions, clock).await;
    pool.map_err(Failure::failed)
}

/// A start method, as an option's value.
pub(super) fn start_method(name: &str) -> Result<StartMethod, String> {
    let found = StartMethod::ALL.into_iter().find(|method| method.as_str() == name);
    found.ok_or_else(|| "it is spawn, fork or auto".to_owned())
}
