//! The ramp: planned steps of the percentages, and what lets it go on.
//!
//! [`Plan`] says the steps, [`Ramp`] stands on one of them, [`assess`] makes a [`Verdict`] from
//! the evidence of the guards and from what else must hold. All of it is data and decisions; time
//! is an argument.

pub mod assessment;
pub mod conditions;
pub mod forecast;
pub mod machine;
pub mod mark;
pub mod plan;
mod reader;
pub mod replay;
pub mod verdict;

pub use crate::router::ramp::assessment::{Situation, assess};
pub use crate::router::ramp::conditions::{Capacity, Drill};
pub use crate::router::ramp::forecast::{Outlook, forecast};
pub use crate::router::ramp::machine::{NotNow, Position, Ramp};
pub use crate::router::ramp::mark::RampMark;
pub use crate::router::ramp::plan::{BadPlan, Hook, Plan, Step};
pub use crate::router::ramp::replay::{Recorded, Replayed, Terms, replay};
pub use crate::router::ramp::verdict::{Check, Finding, Says, Verdict};
