//! What a run puts to the test: the product, or a planted bug.

use thiserror::Error;

use crate::options::Options;
use crate::plan::Plan;
use crate::planted::{Bug, Infected};
use crate::rng::Seed;
use crate::run::{Run, play, run};
use crate::shrink::{Budget, Shrunk, shrink};
use crate::source::Source;
use crate::trace::Watcher;
use crate::world::Product;

/// The one under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// What production runs.
    Product,
    /// The same with this bug.
    Planted(Bug),
}

/// A planted bug that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no bug {name:?} is planted: poolshift-sim planted lists them")]
pub struct UnknownBug {
    name: String,
}

impl Subject {
    /// The product, or the planted bug of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(bug: Option<&str>) -> Result<Self, UnknownBug> {
        let Some(name) = bug else { return Ok(Self::Product) };
        let bug = Bug::ALL.into_iter().find(|bug| bug.as_str() == name);
        bug.map(Self::Planted).ok_or_else(|| UnknownBug { name: name.to_owned() })
    }

    /// One run under all checkers.
    #[must_use]
    pub fn run(self, seed: u64, options: Options) -> Run {
        match self {
            Self::Product => run(&Product, seed, options),
            Self::Planted(bug) => run(&Infected(bug), seed, options),
        }
    }

    /// The same, while `watcher` looks on.
    pub fn run_watched(self, seed: u64, options: Options, watcher: &mut impl Watcher) -> Run {
        let source = Source::drawn(Seed(seed), &options, None);
        match self {
            Self::Product => play(&Product, seed, options, source, watcher),
            Self::Planted(bug) => play(&Infected(bug), seed, options, source, watcher),
        }
    }

    /// One run of a plan, while `watcher` looks on.
    pub fn replay(self, plan: &Plan, watcher: &mut impl Watcher) -> Run {
        match self {
            Self::Product => plan.replay(&Product, watcher),
            Self::Planted(bug) => plan.replay(&Infected(bug), watcher),
        }
    }

    /// See [`shrink`].
    #[must_use]
    pub fn shrink(self, seed: u64, options: &Options, law: &str) -> Option<Shrunk> {
        match self {
            Self::Product => shrink(&Product, seed, options, law, Budget::USUAL),
            Self::Planted(bug) => shrink(&Infected(bug), seed, options, law, Budget::USUAL),
        }
    }
}
