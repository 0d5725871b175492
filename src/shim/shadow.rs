//! From the config to shadows, if there are to be any.

use crate::clock::Clock;
use crate::config::{Config, ShadowConfig, random_seed};
use crate::machine::retry::Share;
use crate::router::shadow::ShadowTerms;
use crate::session::commands::Sampling;
use crate::shadow::recorder::Recorder;
use crate::shadow::{Store, StoreError};

/// How shadows are to be made. None if nothing is sampled, and none if what they show could not be
/// kept: a service does not stay down for want of a comparison.
pub(super) fn shadowing(config: &Config, clock: Clock) -> Option<(ShadowTerms, Recorder)> {
    let none = Sampling::Share(Share::NONE);
    let commands = config.commands.by_name();
    let mut own = commands.values().filter_map(|command| command.shadow);
    if config.shadow.sample == Share::NONE && own.all(|sampling| sampling == none) {
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
