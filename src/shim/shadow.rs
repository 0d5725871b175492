//! From the config to shadows, if there are to be any.

use crate::clock::Clock;
use crate::config::{Config, ShadowConfig, random_seed};
use crate::router::percent::Percent;
use crate::router::shadow::ShadowTerms;
use crate::shadow::recorder::Recorder;
use crate::shadow::{Store, StoreError};

/// How shadows are to be made. None if nothing is sampled, and none if what they show could not be
/// kept: a service does not stay down for want of a comparison.
pub(super) fn shadowing(config: &Config, clock: Clock) -> Option<(ShadowTerms, Recorder)> {
    if !config.samples_shadows() {
        return None;
    }
    match recorder(&config.shadow, clock) {
        Ok(recorder) => Some((terms(config), recorder)),
        Err(error) => {
            tracing::error!(%error, "nothing is shadowed in this process");
            None
        }
    }
}

/// The share of shadows that are of V3 with V2; the others show how V2 differs from itself.
pub(super) fn of_v3(config: &ShadowConfig) -> Percent {
    let percent = format!("{:.3}", (1.0 - config.noise.get()) * 100.0);
    percent.parse().expect("a share has a percentage, to three decimals")
}

fn terms(config: &Config) -> ShadowTerms {
    let ShadowConfig { sample, noise, reserve, max_per_s, timeout, ref rules, .. } = config.shadow;
    let (flag, max_bytes) = (config.rollout.flag.clone(), rules.max_bytes());
    ShadowTerms { flag, sample, noise, reserve, max_per_s, timeout, max_bytes }
}

fn recorder(config: &ShadowConfig, clock: Clock) -> Result<Recorder, StoreError> {
    let store = Store::of(config, random_seed())?;
    let started = Recorder::start(store, config.rules.clone(), clock);
    started.map_err(|error| StoreError::Io { path: config.store.clone(), error })
}
