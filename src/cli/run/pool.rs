//! `--pool v2|v3`.

use clap::ValueEnum;
use poolshift::Lane;

/// A lane, as an option's value.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PoolArg {
    /// The legacy pool
    V2,
    /// The new pool
    V3,
}

impl PoolArg {
    pub(crate) fn lane(self) -> Lane {
        match self {
            Self::V2 => Lane::V2,
            Self::V3 => Lane::V3,
        }
    }
}
