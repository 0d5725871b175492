//! What a fake worker does when it is started, and when it is called.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a fake process behaves until it has answered its start ping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Birth {
    /// It answers after this long.
    Ready(Duration),
    /// Fault 8: the operating system refuses to start it.
    Unspawnable,
    /// It never answers.
    Silent,
    /// Fault 7: it ends after this long without having answered.
    Exits(Duration),
    /// Fault 11: it answers the ping with `status: "starting"`, which V2 takes for a good answer.
    NotOk,
    /// Fault 11: it answers the ping with something that is no frame.
    Babbles,
    /// Fault 11: it answers with a frame, but to another request.
    Misnumbers,
    /// Fault 11: it answers the ping with a Python error.
    Raises,
}

/// What a call makes its worker do; rides in the call's args as `script`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// How long the worker works before it acts.
    #[serde(default)]
    pub after_ms: u64,
    /// What it does then.
    #[serde(default)]
    pub act: Act,
    /// What it does instead if the call is a shadow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Act>,
}

/// The end of a fake worker's work on a call, by [its number](Act::number) in the fault
/// catalogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Answer with `{"call_id": …}`, so that cross-talk shows.
    #[default]
    Reply,
    /// Answer with a Python error.
    Raise,
    /// Answer with a lie; for shadows, since a caller would notice.
    Lie,
    /// Answer, and ask to be replaced.
    ReplyAndRecycle,
    /// 2: end without an answer.
    Exit,
    /// 3: write this many bytes of the answer's frame, then end. All of it is fault 4.
    CutReply {
        /// How many bytes; more than the frame has is all of it.
        at: usize,
    },
    /// 4: answer, and end in the same instant.
    ReplyAndExit,
    /// 12: never answer.
    Hang,
    /// 16: answer twice.
    ReplyTwice,
    /// 17: answer with the id of the next request.
    WrongId,
    /// 17: answer with the id of the request before.
    StaleId,
    /// 18: answer with the reply to the request before, then with its own.
    Swap,
    /// 19: answer, and some time later say something that nobody asked for.
    SpeakLater {
        /// How much later.
        after_ms: u64,
    },
    /// 20: write bytes that are no frame.
    Garble,
    /// 20: answer with one bit of the frame flipped.
    FlipBit {
        /// Which, from the frame's first; counted round and round.
        bit: usize,
    },
    /// 21: answer with a frame whose header claims this length.
    ClaimLength {
        /// What it claims.
        bytes: u32,
    },
    /// 22: a library prints to stdout, then the answer follows.
    Print,
    /// 24: close stdout without an answer, and live on.
    CloseStdout,
    /// 25: end without an answer, while somebody else holds the pipe open.
    ExitHoldingPipe,
    /// 26: answer, then read nothing more, while the pipe has room for only so much.
    GoDeaf {
        /// How many bytes the pipe still takes.
        room: usize,
    },
    /// 27: answer, a byte at a time.
    Drip {
        /// The time between two bytes.
        every_ms: u64,
    },
    /// 28: answer in pieces of this many bytes; the host sees each by itself.
    Split {
        /// At least 1.
        bytes: usize,
    },
    /// 29: answer, then close stdin and live on.
    CloseStdin {
        /// How many more bytes the pipe takes before it breaks.
        room: usize,
    },
    /// 30: answer a byte at a time, with wake-ups for nothing before each one.
    Stutter {
        /// How many of them.
        wakes: u32,
    },
}

impl Act {
    /// Its number in the fault catalogue, if it is a fault.
    #[must_use]
    pub const fn number(self) -> Option<u8> {
        Some(match self {
            Self::Reply | Self::Raise | Self::Lie | Self::ReplyAndRecycle => return None,
            Self::Exit => 2,
            Self::CutReply { .. } => 3,
            Self::ReplyAndExit => 4,
            Self::Hang => 12,
            Self::ReplyTwice => 16,
            Self::WrongId | Self::StaleId => 17,
            Self::Swap => 18,
            Self::SpeakLater { .. } => 19,
            Self::Garble | Self::FlipBit { .. } => 20,
            Self::ClaimLength { .. } => 21,
            Self::Print => 22,
            Self::CloseStdout => 24,
            Self::ExitHoldingPipe => 25,
            Self::GoDeaf { .. } => 26,
            Self::Drip { .. } => 27,
            Self::Split { .. } => 28,
            Self::CloseStdin { .. } => 29,
            Self::Stutter { .. } => 30,
        })
    }
}

impl Script {
    /// The script's args for a call.
    #[must_use]
    pub fn args(&self) -> String {
        let script = serde_json::to_string(self).expect("a script is plain data");
        format!("{{\"script\":{script}}}")
    }
}
