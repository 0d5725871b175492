//! What queueing theory says a pool must do: the measure that a simulation is held against.
//!
//! Two kinds of oracle. [`sample_path`] is exact: it recomputes every call's start from the
//! arrivals and service times, and one nanosecond of difference is a fault. [`erlang`] and
//! [`birth_death`] give long-run averages, by formula and by an independent solver; a
//! simulation agrees with them only within the sampling error that [`batch_means`] measures.
//!
//! Nothing here knows a pool, a machine or the world: numbers in, numbers out.

pub mod batch_means;
pub mod birth_death;
pub mod erlang;
mod error;
pub mod queue;
pub mod sample_path;

pub use error::OracleError;
pub use queue::{Load, Measures, Queue};

#[cfg(test)]
mod tests;
