//! The frames between host and worker: a 4-byte big-endian length, then that much JSON.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use bytes::BytesMut;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

use crate::call::{Args, CallId};
use crate::clock::Clock;
use crate::error::{CallError, Refusal};

/// A frame's length, before its body.
pub const HEADER_BYTES: usize = 4;

/// How much of a frame that is not a reply is quoted.
const QUOTED_BYTES: usize = 64;

/// A request before it has an id on its worker's pipe.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// What the worker is asked to do.
    pub command: &'a str,
    /// The caller's arguments.
    pub args: &'a Args,
    /// Added to the arguments as `session_id`; the host's own requests are in no session.
    pub session_id: Option<&'a str>,
    /// One more member to add, with its JSON. What is added wins over the caller's.
    pub extra: Option<(&'a str, &'a str)>,
    /// The call's name, for a worker that keeps a ledger.
    pub call_id: Option<&'a CallId>,
    /// What is left of the call's budget.
    pub budget: Option<Duration>,
    /// Whether it is a copy of a call that another lane has answered.
    pub shadow: bool,
    /// The wall clock, for the legacy `timestamp` field.
    pub unix: Duration,
}

impl<'a> Outgoing<'a> {
    /// A request of the host's own, which belongs to no call and no session.
    #[must_use]
    pub fn own(command: &'a str, args: &'a Args) -> Self {
        let (session_id, extra, call_id, budget) = (None, None, None, None);
        let unix = Clock::unix_now();
        Self { command, args, session_id, extra, call_id, budget, shadow: false, unix }
    }
}

/// Writes the request's frame to the end of `out`.
///
/// # Errors
/// If the frame would be larger than `max` bytes; `out` is as it was then.
pub fn encode(
    id: u64,
    request: Outgoing<'_>,
    max: usize,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    write_frame(id, request, request.args.open(), max, out).map(drop)
}

/// Writes the request's frame without [`Args::open`], which can then be sent from where it is, and
/// gives the bytes of the frame before it.
///
/// # Errors
/// As [`encode`].
pub fn encode_around(
    id: u64,
    request: Outgoing<'_>,
    max: usize,
    out: &mut Vec<u8>,
) -> Result<usize, Refusal> {
    write_frame(id, request, "", max, out)
}

/// `open` is all of the args' text, or nothing of it.
fn write_frame(
    id: u64,
    request: Outgoing<'_>,
    open: &str,
    max: usize,
    out: &mut Vec<u8>,
) -> Result<usize, Refusal> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    write_head(id, request, out);
    let before = out.len() - start;
    out.extend_from_slice(open.as_bytes());
    request.args.close_with(request.session_id, request.extra, out);
    out.push(b'}');
    let apart = request.args.open().len() - open.len();
    let bytes = out.len() - start - HEADER_BYTES + apart;
    match u32::try_from(bytes) {
        Ok(length) if bytes <= max => {
            out[start..start + HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
            Ok(before)
        }
        _ => {
            out.truncate(start);
            Err(Refusal::TooLarge { bytes, max })
        }
    }
}

/// All that comes before the args.
fn write_head(id: u64, request: Outgoing<'_>, out: &mut Vec<u8>) {
    let infallible = "writing to memory does not fail";
    let timestamp = humantime::format_rfc3339_millis(UNIX_EPOCH + request.unix);
    write!(out, "{{\"id\":{id},\"command\":").expect(infallible);
    serde_json::to_writer(&mut *out, request.command).expect(infallible);
    write!(out, ",\"timestamp\":\"{timestamp}\"").expect(infallible);
    if let Some(call_id) = request.call_id {
        out.extend_from_slice(b",\"call_id\":");
        serde_json::to_writer(&mut *out, &call_id.to_string()).expect(infallible);
    }
    if let Some(budget) = request.budget {
        write!(out, ",\"deadline_ms\":{}", budget.as_millis()).expect(infallible);
    }
    if request.shadow {
        out.extend_from_slice(b",\"shadow\":true");
    }
    out.extend_from_slice(b",\"args\":");
}

/// What a worker answered.
#[derive(Debug)]
pub struct WireReply {
    /// Its result as raw JSON, or [`CallError::Raised`].
    pub result: Result<Box<RawValue>, CallError>,
    /// Whether it asks to be replaced.
    pub recycle: bool,
}

/// Cuts replies out of a stream of bytes.
#[derive(Debug)]
pub struct ReplyDecoder {
    frames: LengthDelimitedCodec,
}

impl ReplyDecoder {
    /// Frames above `max` bytes are refused before anything is allocated for them.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { frames: LengthDelimitedCodec::builder().max_frame_length(max).new_codec() }
    }

    /// Takes the reply to request `id` from the front of `bytes`, or nothing if it is not whole.
    /// A whole frame is shown to `see` first, whatever is in it.
    ///
    /// # Errors
    /// With the reason if the bytes are anything but a well-formed reply to that request.
    pub fn decode(
        &mut self,
        id: u64,
        bytes: &mut BytesMut,
        see: impl FnOnce(&[u8]),
    ) -> Result<Option<WireReply>, String> {
        let mut start = [0; QUOTED_BYTES];
        let quoted = bytes.len().min(QUOTED_BYTES);
        start[..quoted].copy_from_slice(&bytes[..quoted]);
        match self.frames.decode(bytes) {
            Ok(Some(frame)) => {
                see(&frame);
                parse(id, &frame).map(Some)
            }
            Ok(None) => Ok(None),
            // The codec knows one fault, a length above its limit.
            Err(_) => {
                let [a, b, c, d, ..] = start;
                let (length, max) =
                    (u32::from_be_bytes([a, b, c, d]), self.frames.max_frame_length());
                Err(format!(
                    "a frame of {length} bytes, above max_frame_bytes = {max} (raise that if it is \
                     a reply, else something writes to the worker's stdout); it begins with {}",
                    quote(&start[..quoted])
                ))
            }
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: u64,
    success: bool,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    error: Option<Cow<'a, str>>,
    error_type: Option<Cow<'a, str>>,
    #[serde(default)]
    traceback: Vec<String>,
    #[serde(default)]
    recycle: bool,
    #[serde(default, rename = "timestamp")]
    _timestamp: IgnoredAny,
}

/// A result of null is a result: a handler that returns nothing.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
}

fn parse(id: u64, frame: &[u8]) -> Result<WireReply, String> {
    let error = match serde_json::from_slice::<Envelope<'_>>(frame) {
        Ok(envelope) => return accept(id, envelope, frame),
        Err(error) => error,
    };
    // Python writes NaN and Infinity, which are not JSON; the worker itself is well.
    let tolerant = without_nan(frame);
    match tolerant.as_deref().map(serde_json::from_slice::<Envelope<'_>>) {
        Some(Ok(envelope)) if envelope.id == id => Ok(WireReply {
            result: Err(CallError::Raised {
                message: "the result holds NaN or Infinity, which JSON cannot carry".to_owned(),
                error_type: Some("NotJson".to_owned()),
                traceback: Vec::new(),
            }),
            recycle: envelope.recycle,
        }),
        _ => Err(format!("not a reply: {error}; it begins with {}", quote(frame))),
    }
}

fn accept(id: u64, envelope: Envelope<'_>, frame: &[u8]) -> Result<WireReply, String> {
    if envelope.id != id {
        let (got, start) = (envelope.id, quote(frame));
        return Err(format!("a reply to request {got}, not {id}; it begins with {start}"));
    }
    let result = match (envelope.success, envelope.result, envelope.error) {
        (true, Some(result), _) => Ok(result.to_owned()),
        (false, _, Some(error)) => Err(CallError::Raised {
            message: error.into_owned(),
            error_type: envelope.error_type.map(Cow::into_owned),
            traceback: envelope.traceback,
        }),
        (true, None, _) => return Err(format!("success without a result: {}", quote(frame))),
        (false, _, None) => return Err(format!("failure without an error: {}", quote(frame))),
    };
    Ok(WireReply { result, recycle: envelope.recycle })
}

/// The frame with bare `NaN`, `Infinity` and `-Infinity` as null, if it has any.
fn without_nan(frame: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(frame.len());
    let (mut rest, mut in_text, mut found) = (frame, false, false);
    while let Some((&byte, tail)) = rest.split_first() {
        let token: Option<&[u8]> = [b"NaN".as_slice(), b"-Infinity", b"Infinity"]
            .into_iter()
            .find(|token| !in_text && rest.starts_with(token));
        if let Some(token) = token {
            out.extend_from_slice(b"null");
            rest = &rest[token.len()..];
            found = true;
            continue;
        }
        out.push(byte);
        rest = tail;
        match byte {
            b'\\' if in_text => {
                out.extend(rest.first());
                rest = rest.get(1..).unwrap_or_default();
            }
            b'"' => in_text = !in_text,
            _ => {}
        }
    }
    found.then_some(out)
}

/// The first bytes, printable, for logs.
pub(super) fn quote(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(QUOTED_BYTES)];
    format!("\"{}\"", shown.escape_ascii())
}
