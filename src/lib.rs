//! poolshift takes a service from a session-bound Python worker pool (V2) to a stateless one
//! (V3) without an outage: a router sends each call to one of the two by a rollout percentage
//! that can be raised, held and reverted while both run.
//!
//! Nouns: [`Call`], [`CallError`] and the [`Pool`] trait. ARCHITECTURE.md draws the map.

pub mod args;
pub mod call;
pub mod clock;
pub mod error;
mod jsonl;
pub mod pool;
pub mod tape;

pub mod machine;

pub mod router;
pub mod v2_session_pool; // legacy
pub mod v3_pool;

pub mod config;
pub mod meter;
pub mod session;
pub mod worker;

pub mod shadow;
pub mod shell;

pub mod report;
pub mod shim;

pub use call::{Answer, Args, Call, CallId, Class, Lane, SessionId};
pub use error::{BadCall, CallError, Outcome, Ran, Refusal, StartError};
pub use pool::{Pool, PoolStatus, WorkerId};
pub use shim::{Shim, ShimError, ShimOptions};
pub use tape::ShadowCall;
