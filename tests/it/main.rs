//! The integration tests: one binary, a module per subject.

mod cancel_grid;
mod outcomes;
mod sim_pool;
mod wire;
