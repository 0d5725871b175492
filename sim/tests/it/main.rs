//! The world from outside: its runs, its faults, its command line.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

mod both_worlds;
mod chaos;
mod command;
mod cost;
mod determinism;
mod faults;
mod interleavings;
mod onlooker;
mod plan_files;
mod planted;
mod properties;
mod ramps;
mod replay;
mod shell_rig;
mod textbook;
