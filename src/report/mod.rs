//! What a run leaves behind: who was slow, and whether anything was lost.

pub mod latency;
pub mod ledger;
pub mod shadow;
