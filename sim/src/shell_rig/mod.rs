//! The shell, the pools' handles, the router and the session rules on tokio's paused clock:
//! everything of the product but its processes, around fake workers that speak real frames.

pub mod handoff;
pub mod journal;
mod latch;
pub mod onlooker;
pub mod pipes;
pub mod plan;
pub mod run;
pub mod script;
mod service;
pub mod spawner;
mod store;
pub mod worker;
