//! V3: workers started all at once, stateless, served from one fair queue.

pub mod machine;
