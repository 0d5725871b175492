//! The integration tests: one binary, a module per subject.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

mod bad_input;
mod breaker;
mod byte_faults;
mod cancel_grid;
mod config;
mod config_command;
mod debug;
mod doctor;
mod examples;
mod faults;
mod flag_sources;
mod flagd;
mod fuzz;
mod graceful_end;
mod guard;
mod guard_post;
mod leaks;
mod legacy;
mod lock_order;
mod machine;
mod operator;
mod orphans;
mod outcomes;
mod process;
mod python;
mod quarantine;
mod ramp;
mod ramp_live;
mod recycling;
mod retry;
mod rollout_edit;
mod rollout_file;
mod rollout_live;
mod router;
mod rules;
mod run;
mod sessions;
mod sim_pool;
mod stage;
mod status;
mod tidy;
mod tool;
mod wire;
mod zygote;
