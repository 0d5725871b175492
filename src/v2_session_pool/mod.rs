//! V2
pub mod affinity;
pub mod machine;
