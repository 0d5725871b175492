//! V3
pub mod machine;
