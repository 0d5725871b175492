//! The unit of work: one command with JSON arguments, and what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use crate::args::Args;
use crate::clock::Moment;
use crate::error::{BadCall, CallError, Outcome};
use crate::pool::WorkerId;
use crate::tape::Tape;

/// One command with JSON args, optionally in a session.
///
/// ```
/// use poolshift::{Args, Call};
///
/// let args = Args::parse(r#"{"expression": "6 * 7"}"#)?;
/// let call = Call::new("calculate", args).with_session("alice")?;
/// assert_eq!(call.session.unwrap().as_str(), "alice");
/// # Ok::<(), poolshift::BadCall>(())
/// ```
#[derive(Clone, Debug)]
pub struct Call {
    /// Names the call in logs and ledgers; random unless given.
    pub id: CallId,
    /// What the worker is asked to do.
    pub command: Arc<str>,
    /// The command's arguments.
    pub args: Args,
    /// The caller's session; `None` is an anonymous call.
    pub session: Option<SessionId>,
    /// Facts about the caller that routing rules may look at.
    pub attrs: BTreeMap<String, String>,
    /// The command's class. The router sets it from its command table.
    pub class: Class,
    /// The whole time the caller gives, from submit to answer; `None` takes the pool's own.
    pub budget: Option<Duration>,
    /// When an open-loop plan meant this call to start. Latency is measured from here, so a
    /// stalled caller cannot hide the wait that it caused.
    pub planned: Option<Moment>,
    /// A lane forced by the caller; only a kill switch is stronger (R12).
    pub forced: Option<Lane>,
    /// Where what the session store adds is kept for a shadow. The router sets it.
    pub tape: Option<Tape>,
}

impl Call {
    /// An anonymous call with a random id.
    pub fn new(command: impl Into<Arc<str>>, args: Args) -> Self {
        Self {
            id: CallId::random(),
            command: command.into(),
            args,
            session: None,
            attrs: BTreeMap::new(),
            class: Class::Critical,
            budget: None,
            planned: None,
            forced: None,
            tape: None,
        }
    }

    /// Puts the call into a session. `"anonymous"` is the wire's word for no session at all.
    ///
    /// # Errors
    /// If `session` is empty or longer than [`SessionId::MAX_BYTES`].
    pub fn with_session(mut self, session: &str) -> Result<Self, BadCall> {
        self.session = match session {
            SessionId::ANONYMOUS => None,
            named => Some(SessionId::new(named)?),
        };
        Ok(self)
    }

    /// Names the call.
    ///
    /// # Errors
    /// If `id` is empty or longer than [`CallId::MAX_BYTES`].
    pub fn with_id(mut self, id: &str) -> Result<Self, BadCall> {
        self.id = CallId::new(id)?;
        Ok(self)
    }
}

/// A call's name: given by the caller, or 128 random bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CallId {
    /// The caller's own text.
    Given(Arc<str>),
    /// Drawn by us; printed as 32 hexadecimal digits.
    Random(u128),
}

impl CallId {
    /// Ids are kept in ledgers and logs, so their length is bounded.
    pub const MAX_BYTES: usize = 256;

    /// Takes the caller's text as the id.
    ///
    /// # Errors
    /// If it is empty or longer than [`Self::MAX_BYTES`].
    pub fn new(id: &str) -> Result<Self, BadCall> {
        bounded("id", id, Self::MAX_BYTES).map(|id| Self::Given(id.into()))
    }

    /// Draws an id.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "ids must differ between processes")]
    pub fn random() -> Self {
        Self::Random(rand::random())
    }

    /// The digits of a random id.
    pub const RANDOM_BYTES: usize = 32;

    /// The id as it is printed. Digits go into the buffer: nothing is allocated.
    #[must_use]
    pub fn text<'a>(&'a self, digits: &'a mut [u8; Self::RANDOM_BYTES]) -> &'a str {
        let bits = match self {
            Self::Given(text) => return text,
            Self::Random(bits) => *bits,
        };
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bits.to_be_bytes()) {
            let digit = |half| b"0123456789abcdef"[usize::from(half)];
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
        }
        std::str::from_utf8(digits).expect("hexadecimal digits are ASCII")
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; Self::RANDOM_BYTES]))
    }
}

/// A caller's named state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// What the wire says for a call without a session.
    pub const ANONYMOUS: &str = "anonymous";
    /// Session ids are kept in pins, bindings and the store, so their length is bounded.
    pub const MAX_BYTES: usize = 256;

    /// Names a session.
    ///
    /// # Errors
    /// If it is empty or longer than [`Self::MAX_BYTES`].
    pub fn new(session: &str) -> Result<Self, BadCall> {
        bounded("session", session, Self::MAX_BYTES).map(|session| Self(session.into()))
    }

    /// The caller's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn bounded<'a>(field: &'static str, text: &'a str, max: usize) -> Result<&'a str, BadCall> {
    match text.len() {
        0 => Err(BadCall::Empty { field }),
        bytes if bytes > max => Err(BadCall::TooLong { field, bytes, max }),
        _ => Ok(text),
    }
}

/// How much a command may change, which decides how early it moves to V3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Changes nothing; may be repeated and shadowed.
    Read,
    /// Changes a session's state.
    Write,
    /// Changes more than one session's state, or is unknown.
    Critical,
}

impl Class {
    /// Every class, in the order in which they move to V3.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Critical];

    /// The name used in config and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Critical => "critical",
        }
    }
}

/// Where the router sent a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// The legacy pool.
    V2,
    /// The new pool.
    V3,
}

impl Lane {
    /// The name used in config and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V3 => "v3",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What came of a call, and when.
#[derive(Debug)]
pub struct Answer {
    /// The worker's result as raw JSON, or why there is none.
    pub result: Result<Box<RawValue>, CallError>,
    /// The worker that had the call last, if one had it.
    pub worker: Option<WorkerId>,
    /// The call's four moments.
    pub timing: Timing,
    /// What came of the first try, if there was another.
    pub first_try: Option<Outcome>,
}

impl Answer {
    /// The call's one outcome.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.result.as_ref().map_or_else(CallError::outcome, |_| Outcome::Ok)
    }

    /// What came of the first try, by which a lane is judged (R15).
    #[must_use]
    pub fn first_outcome(&self) -> Outcome {
        self.first_try.unwrap_or_else(|| self.outcome())
    }
}

/// When a call was planned, submitted, given to a worker and finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The planned arrival, or the submit where there was no plan.
    pub planned: Moment,
    /// When the pool took the call.
    pub submitted: Moment,
    /// When a worker was assigned, if one was.
    pub dispatched: Option<Moment>,
    /// When the outcome was decided.
    pub finished: Moment,
}

impl Timing {
    /// From planned arrival until a worker was assigned, or until the end if none was.
    #[must_use]
    pub fn queued(&self) -> Duration {
        self.dispatched.unwrap_or(self.finished).since(self.planned)
    }

    /// From assignment to outcome; zero if no worker was assigned.
    #[must_use]
    pub fn service(&self) -> Duration {
        self.dispatched.map_or(Duration::ZERO, |dispatched| self.finished.since(dispatched))
    }

    /// From planned arrival to outcome.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.finished.since(self.planned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spliced(args: &str, session_id: Option<&str>, extra: Option<(&str, &str)>) -> String {
        let mut out = Vec::new();
        Args::parse(args).unwrap().write_with(session_id, extra, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_are_added_at_the_end_so_that_they_win() {
        assert_eq!(spliced("{}", None, None), "{}");
        assert_eq!(spliced(" { } ", None, Some(("a", "1"))), r#"{"a":1}"#);
        assert_eq!(spliced("{}", Some("\""), None), r#"{"session_id":"\""}"#);
        let both = spliced(r#"{"a":0}"#, Some("s"), Some(("a", "[]")));
        assert_eq!(both, r#"{"a":0,"session_id":"s","a":[]}"#);
    }

    #[test]
    fn a_random_id_is_printed_as_32_digits() {
        for bits in [0, 1, 0x0123_4567_89ab_cdef_u128 << 60, u128::MAX] {
            assert_eq!(CallId::Random(bits).to_string(), format!("{bits:032x}"));
        }
    }

    #[test]
    fn only_objects_are_args() {
        assert!(matches!(Args::parse("[1]"), Err(BadCall::NotAnObject { found: "an array" })));
        assert!(matches!(Args::parse(r#"{"x": NaN}"#), Err(BadCall::Json(_))));
    }

    #[test]
    fn the_word_anonymous_means_no_session() {
        let call = Call::new("ping", Args::default()).with_session("anonymous").unwrap();
        assert_eq!(call.session, None);
        assert!(Call::new("ping", Args::default()).with_session("").is_err());
    }
}
