//! What can go wrong around a pool, by its number in the fault catalogue.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A kind of fault. Numbers that are missing are bytes on a pipe (18, 21-23, 27, 28, 30), which
/// only the shell can see, or nothing that a machine could notice (34, the wall clock).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Fault {
    /// The worker dies when it is leased, before the first byte.
    CrashBeforeRead = 1,
    /// The worker reads the request, begins to run it, and dies.
    CrashAfterRead = 2,
    /// The worker dies in the middle of its reply.
    CrashMidFrame = 3,
    /// The worker replies and dies in the same instant.
    ReplyThenExit = 4,
    /// An idle worker dies.
    DeathWhileIdle = 5,
    /// All workers of a lane die at once.
    AllDie = 6,
    /// The worker ends while it starts.
    CrashLoop = 7,
    /// The program is not there.
    SpawnMissing = 8,
    /// The operating system has no process or file left, for a while.
    SpawnExhausted = 9,
    /// The worker starts too slowly.
    SlowStart = 10,
    /// The worker answers its start ping with something else.
    BadHandshake = 11,
    /// The worker runs the call for ever.
    Hang = 12,
    /// The worker does not heed SIGTERM.
    IgnoresTerm = 13,
    /// The worker is frozen, and goes on after the deadline.
    Frozen = 14,
    /// The worker replies at the deadline, or a little later.
    LateReply = 15,
    /// The worker replies twice.
    DuplicateReply = 16,
    /// The worker replies with the id of another request.
    WrongId = 17,
    /// An idle worker says something.
    Unsolicited = 19,
    /// The worker replies with bytes that are no frame.
    Garbage = 20,
    /// The worker closes its stdout and lives on.
    ClosedStdout = 24,
    /// The worker dies, and a grandchild holds its pipe open.
    HeldPipe = 25,
    /// The worker does not read its stdin, and its pipe is nearly full.
    DeafStdin = 26,
    /// The worker has closed its stdin.
    BrokenStdin = 29,
    /// The worker is killed for its use of memory.
    OutOfMemory = 31,
    /// The call kills every worker that is given it.
    Poison = 32,
    /// The worker is ten times as slow, and asks to be replaced.
    SlowWorker = 33,
    /// The host stands still.
    HostStall = 35,
}

impl Fault {
    /// Every kind, by number.
    pub const ALL: [Self; 27] = [
        Self::CrashBeforeRead,
        Self::CrashAfterRead,
        Self::CrashMidFrame,
        Self::ReplyThenExit,
        Self::DeathWhileIdle,
        Self::AllDie,
        Self::CrashLoop,
        Self::SpawnMissing,
        Self::SpawnExhausted,
        Self::SlowStart,
        Self::BadHandshake,
        Self::Hang,
        Self::IgnoresTerm,
        Self::Frozen,
        Self::LateReply,
        Self::DuplicateReply,
        Self::WrongId,
        Self::Unsolicited,
        Self::Garbage,
        Self::ClosedStdout,
        Self::HeldPipe,
        Self::DeafStdin,
        Self::BrokenStdin,
        Self::OutOfMemory,
        Self::Poison,
        Self::SlowWorker,
        Self::HostStall,
    ];

    /// Its place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        let mut index = 0;
        while Self::ALL[index] as u8 != self as u8 {
            index += 1;
        }
        index
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == name)
    }

    /// Its number in the catalogue.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name used in options and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CrashBeforeRead => "crash_before_read",
            Self::CrashAfterRead => "crash_after_read",
            Self::CrashMidFrame => "crash_mid_frame",
            Self::ReplyThenExit => "reply_then_exit",
            Self::DeathWhileIdle => "death_while_idle",
            Self::AllDie => "all_die",
            Self::CrashLoop => "crash_loop",
            Self::SpawnMissing => "spawn_missing",
            Self::SpawnExhausted => "spawn_exhausted",
            Self::SlowStart => "slow_start",
            Self::BadHandshake => "bad_handshake",
            Self::Hang => "hang",
            Self::IgnoresTerm => "ignores_term",
            Self::Frozen => "frozen",
            Self::LateReply => "late_reply",
            Self::DuplicateReply => "duplicate_reply",
            Self::WrongId => "wrong_id",
            Self::Unsolicited => "unsolicited",
            Self::Garbage => "garbage",
            Self::ClosedStdout => "closed_stdout",
            Self::HeldPipe => "held_pipe",
            Self::DeafStdin => "deaf_stdin",
            Self::BrokenStdin => "broken_stdin",
            Self::OutOfMemory => "out_of_memory",
            Self::Poison => "poison",
            Self::SlowWorker => "slow_worker",
            Self::HostStall => "host_stall",
        }
    }

    /// When it strikes.
    #[must_use]
    pub const fn strikes(self) -> Strikes {
        match self {
            Self::CrashLoop | Self::SpawnMissing | Self::SlowStart | Self::BadHandshake => {
                Strikes::Start
            }
            Self::IgnoresTerm => Strikes::Stop,
            Self::Poison => Strikes::Plan,
            Self::DeathWhileIdle
            | Self::AllDie
            | Self::SpawnExhausted
            | Self::Unsolicited
            | Self::HostStall => Strikes::Moment,
            _ => Strikes::Request,
        }
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_str().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name: Cow<'_, str> = Deserialize::deserialize(deserializer)?;
        let known = || Self::ALL.map(Self::as_str).join(", ");
        let unknown = || de::Error::custom(format!("no fault is called {name:?}: use {}", known()));
        Self::named(&name).ok_or_else(unknown)
    }
}

/// When a kind of fault strikes, and so what its rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strikes {
    /// A request that is given to a worker.
    Request,
    /// A worker that starts.
    Start,
    /// A worker that is asked to stop.
    Stop,
    /// A call of the plan.
    Plan,
    /// Any moment.
    Moment,
}
