//! Where a ramp stands, as the rollout file says it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::router::ramp::machine::Position;

/// The `[ramp]` section of a rollout file. With the shares and stages beside it and the plan that
/// it names, it is all that a ramp is: whoever reads it goes on from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RampMark {
    /// The plan's name: the hash of its content.
    pub plan: Arc<str>,
    /// What V3 is called as it is now; evidence about another build counts for nothing.
    pub build: Arc<str>,
    /// Where it stands in the plan.
    pub position: Position,
    /// The number of that position.
    pub number: u64,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: Wall,
}
