//! What must outlive a worker: a caller's named state, and the rules that move it in and out.

pub mod commands;
