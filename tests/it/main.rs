//! The integration tests: one binary, a module per subject.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

mod bad_input;
mod cancel_grid;
mod config;
mod machine;
mod outcomes;
mod python;
mod router;
mod run;
mod sim_pool;
mod tool;
mod wire;
