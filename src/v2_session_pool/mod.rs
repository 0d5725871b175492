//! V2: the legacy pool as its guide promised it, a session bound to one worker.

pub mod affinity;
pub mod machine;
