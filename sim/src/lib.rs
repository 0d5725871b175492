//! Fake Python workers for poolshift's pools: they obey a script that each call carries, so a
//! test reads as the story of a failure.
//!
//! [`spawner::FakeSpawner`] stands in for real processes behind the trait that production uses,
//! over in-memory pipes, so that the shell can be driven on tokio's paused clock.

pub mod fake_worker;
pub mod oracle;
pub mod script;
pub mod spawner;
