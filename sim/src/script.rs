//! What a fake worker does when it is started, and when it is called.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a fake process behaves until it has answered its start ping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Birth {
    /// It answers after this long.
    Ready(Duration),
    /// The operating system refuses to start it.
    Unspawnable,
    /// It never answers.
    Silent,
    /// It ends after this long without having answered.
    Exits(Duration),
    /// It answers the ping with `status: "starting"`.
    NotOk,
}

/// What a call makes its worker do; rides in the call's args as `script`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// How long the worker works before it acts.
    #[serde(default)]
    pub after_ms: u64,
    /// What it does then.
    #[serde(default)]
    pub act: Act,
}

/// The end of a fake worker's work on a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Answer with `{"call_id": …}`, so that cross-talk shows.
    #[default]
    Reply,
    /// Answer with a Python error.
    Raise,
    /// Answer, and ask to be replaced.
    ReplyAndRecycle,
    /// Answer, and end in the same instant.
    ReplyAndExit,
    /// Write half of the answer, then end.
    HalfReplyAndExit,
    /// Never answer.
    Hang,
    /// End without an answer.
    Exit,
    /// End without an answer, while somebody else holds the pipe open.
    ExitHoldingPipe,
    /// Answer with the id of another call.
    WrongId,
    /// Write bytes that are no frame.
    Garble,
    /// Answer twice.
    ReplyTwice,
}

impl Script {
    /// The script's args for a call.
    #[must_use]
    pub fn args(&self) -> String {
        let script = serde_json::to_string(self).expect("a script is plain data");
        format!("{{\"script\":{script}}}")
    }
}
