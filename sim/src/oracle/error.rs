//! Why an oracle has no answer.

use thiserror::Error;

/// A question that queueing theory does not answer, or not within our bounds.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum OracleError {
    /// A number outside its range.
    #[error("{name} is {value}; it must be {range}")]
    OutOfRange {
        /// Which number.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed.
        range: &'static str,
    },
    /// Calls arrive at least as fast as they can be served, and nothing makes them leave.
    #[error(
        "no steady state: {offered} servers' worth of work arrives at {servers} servers; \
         lower the arrival rate, or set a capacity or an abandon rate"
    )]
    Unstable {
        /// Arrival rate times mean service time.
        offered: f64,
        /// How many servers share it.
        servers: u32,
    },
    /// The states that matter are more than [`MAX_STATES`](super::queue::MAX_STATES).
    #[error(
        "more than {limit} states matter; move the load away from saturation, \
         or raise the abandon rate"
    )]
    TooManyStates {
        /// The bound that was hit.
        limit: u32,
    },
    /// Only an approximation is known.
    #[error(
        "no exact formula: {servers} servers with this service law; use exponential service, \
         one server, or a capacity equal to the servers"
    )]
    NoExactFormula {
        /// How many servers the queue has.
        servers: u32,
    },
}

/// `value` if it is finite and above zero.
pub(super) fn positive(name: &'static str, value: f64) -> Result<f64, OracleError> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(OracleError::OutOfRange { name, value, range: "finite and above 0" })
}
