//! What can be wrong with an audit.

use thiserror::Error;

/// What is wrong with an audit, or strange about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// A line is no audit line.
    #[error("line {line} cannot be read: {error}")]
    Unreadable {
        /// Its number.
        line: u64,
        /// Why.
        error: String,
    },
    /// A line does not follow from the one before it.
    #[error(
        "line {line} does not carry the hash of the line before: one of them was changed, or \
         lines between them are gone"
    )]
    Broken {
        /// Its number.
        line: u64,
    },
    /// When a line was written, the end of the audit was not what the rollout file named.
    #[error(
        "when line {line} was written the rollout file named an audit line that was gone: the \
         tail had been cut or changed"
    )]
    Gap {
        /// The number of the line written then.
        line: u64,
    },
    /// The rollout file names a line that is not there.
    #[error(
        "the rollout file names audit line {anchor:.12}…, which is not here: the tail was cut or \
         changed"
    )]
    Tail {
        /// The hash that it names.
        anchor: String,
    },
    /// The rollout file says something else than its last audited change made it say.
    #[error(
        "the rollout file was changed by hand after line {line}; the next change by this tool \
         puts that on record"
    )]
    ByHand {
        /// The number of the last line.
        line: u64,
    },
    /// The rollout file is a copy of what an earlier line made it say.
    #[error(
        "the rollout file was put back to what it was after line {line}, though later lines were \
         in force (seen before line {before})"
    )]
    PutBack {
        /// The line that it names.
        line: u64,
        /// The number of the next line, when that was seen.
        before: u64,
    },
    /// The rollout file names no line.
    #[error("the rollout file names no audit line, though there are {lines}: it was replaced")]
    Unanchored {
        /// How many lines there are.
        lines: u64,
    },
    /// The rollout file is not there, or cannot be read.
    #[error("there are {lines} audit lines, but no rollout file that can be read")]
    NoFile {
        /// How many lines there are.
        lines: u64,
    },
    /// A change was announced, and never came into force.
    #[error("line {line} was never put into force: its writer stopped half-way; nothing to do")]
    Unfinished {
        /// Its number.
        line: u64,
    },
    /// The last line has no end.
    #[error("the last line is incomplete: its writer stopped half-way; nothing to do")]
    Torn,
}

impl Fault {
    /// Whether it is what a crash may leave behind, rather than somebody's doing.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Unfinished { .. } | Self::Torn)
    }
}
