//! What must hold for any bytes at all, for each reader of what others wrote. The fuzz targets in
//! `fuzz/` share this file: a law panics where it is broken.

use bytes::BytesMut;
use poolshift::config::{Config, ConfigError};
use poolshift::report::hlog;
use poolshift::report::record::RunRecord;
use poolshift::report::run::Run;
use poolshift::report::verdict::Verdict;
use poolshift::report::{compare, html, text};
use poolshift::router::file::{RolloutFile, Standing};
use poolshift::worker::wire::{HEADER_BYTES, Outgoing, ReplyDecoder, encode};
use poolshift::{Args, Call, CallId, SessionId};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// The largest frame, in bytes; small, so that lengths above it come often.
const MAX_FRAME: usize = 512;

/// A stream of replies gives the same whatever pieces it comes in, takes no more memory than its
/// largest frame may, and what is not a reply is quoted. The first byte says how it is cut.
pub(super) fn frames(bytes: &[u8]) {
    let Some((pieces, stream)) = bytes.split_first() else { return };
    let whole = replies(std::iter::once(stream));
    let size = usize::from(*pieces) % 16 + 1;
    assert_eq!(replies(stream.chunks(size)), whole, "in pieces of {size}");
}

/// What each frame gave, up to the first that is refused.
fn replies<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Result<String, String>> {
    let mut decoder = ReplyDecoder::new(MAX_FRAME);
    let (mut buffer, mut seen, mut received) = (BytesMut::new(), Vec::new(), 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        received += piece.len();
        loop {
            let id = seen.len() as u64 + 1;
            let reply = decoder.decode(id, &mut buffer, |frame| assert!(frame.len() <= MAX_FRAME));
            // A growing buffer doubles.
            let room = 2 * (received + MAX_FRAME + HEADER_BYTES) + 64;
            assert!(buffer.capacity() <= room, "{} bytes are held", buffer.capacity());
            match reply {
                Ok(Some(reply)) => {
                    if let Ok(result) = &reply.result {
                        let json = serde_json::from_str::<IgnoredAny>(result.get());
                        assert!(json.is_ok(), "{result} is passed on as JSON");
                    }
                    seen.push(Ok(format!("{reply:?}")));
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(error.contains("begins with \"") || error.contains("out a"), "{error}");
                    // How much of a stream that is cut off had come is not the same.
                    seen.push(Err(error.split("; it begins").next().unwrap().to_owned()));
                    return seen;
                }
            }
        }
    }
    seen
}

/// One body in a frame of its own: a reply, or an error that quotes it.
pub(super) fn envelope(body: &[u8]) {
    let body = &body[..body.len().min(MAX_FRAME)];
    let length = u32::try_from(body.len()).expect("it is short").to_be_bytes();
    let stream = [&length, body].concat();
    let seen = replies(std::iter::once(&stream[..]));
    assert_eq!(seen.len(), 1, "a whole frame is never waited for: {seen:?}");
}

/// A line of calls is refused with the column or the field, or it can be written and read again;
/// and what is written to a worker is one JSON object in one frame.
pub(super) fn call_line(bytes: &[u8]) {
    let Ok(line) = std::str::from_utf8(bytes) else { return };
    let call = match Call::from_json(line) {
        Ok(call) => call,
        Err(error) => {
            let error = error.to_string();
            let places = [" column ", "id ", "session ", "args "];
            assert!(places.iter().any(|place| error.contains(place)), "{error}");
            return;
        }
    };
    let again = Call::from_json(&written(&call)).expect("what was read can be written");
    assert_eq!(written(&again), written(&call));
    sent(&call);
}

fn written(call: &Call) -> String {
    let args: Value = serde_json::from_str(call.args.as_json()).unwrap_or_default();
    let id = match &call.id {
        CallId::Given(id) => Some(id.to_string()),
        CallId::Random(_) => None,
    };
    let session = call.session.as_ref().map(SessionId::as_str);
    let args = if args.is_object() { args } else { json!({}) };
    let line = json!({
        "command": &*call.command, "args": args, "session": session, "id": id,
        "attrs": call.attrs,
    });
    line.to_string()
}

fn sent(call: &Call) {
    let request = Outgoing {
        command: &call.command,
        args: &call.args,
        session_id: call.session.as_ref().map(SessionId::as_str),
        extra: Some(("program_data", "null")),
        call_id: Some(&call.id),
        budget: None,
        shadow: false,
        unix: std::time::Duration::ZERO,
    };
    let mut out = b"before".to_vec();
    if encode(7, request, MAX_FRAME, &mut out).is_err() {
        assert_eq!(out, b"before", "a request that is refused leaves nothing");
        return;
    }
    let (header, body) = out[b"before".len()..].split_at(HEADER_BYTES);
    let length = u32::from_be_bytes(header.try_into().expect("it is a header"));
    assert_eq!(length as usize, body.len());
    let body = serde_json::from_slice::<IgnoredAny>(body);
    assert!(body.is_ok(), "{body:?}");
}

/// Args are one JSON object or are refused.
pub(super) fn args(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(args) = Args::parse(text) else { return };
    let mut out = Vec::new();
    args.write_with(Some("s"), Some(("k", "[1]")), &mut out);
    let object = serde_json::from_slice::<IgnoredAny>(&out);
    assert!(object.is_ok() && out.starts_with(b"{"), "{}", String::from_utf8_lossy(&out));
}

/// A config is read, or refused with at least one problem, each of which has its place; it is read
/// the same each time.
pub(super) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = read_config(text);
    if let Err(error) = &read {
        assert!(!error.problems.is_empty());
        for problem in &error.problems {
            let lines = text.split('\n').count();
            assert!(problem.place.starts_with("fuzz.toml"), "{problem:?}");
            assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem:?}");
            assert!(!problem.message.is_empty());
        }
    }
    assert_eq!(read_config(text), read);
}

/// Without the seed, which differs between hosts on purpose.
fn read_config(text: &str) -> Result<Config, ConfigError> {
    let mut config = Config::parse("fuzz.toml", text, [])?;
    config.v3.seed = 0;
    Ok(config)
}

/// A rollout file is read, and what it asks for survives the audit; or it is refused with lines or
/// keys, and a line that says `killed = true` is heard.
pub(super) fn rollout_file(bytes: &[u8]) {
    let says_killed = bytes.split(|byte| *byte == b'\n').any(|line| line == b"killed = true");
    match RolloutFile::read(bytes) {
        Ok(file) => {
            let standing = file.standing();
            let json = serde_json::to_string(&standing).expect("it is plain data");
            let again: Standing = serde_json::from_str(&json).expect("it was written so");
            assert_eq!(again, standing);
        }
        Err(error) => {
            assert!(!error.problems.is_empty());
            assert!(error.killed || !says_killed, "the kill switch is heard");
            for problem in &error.problems {
                let keys = ["line ", "percent", "version", "format"];
                assert!(keys.iter().any(|key| problem.contains(key)), "{problem}");
                assert!(!problem.contains('\n'), "{problem:?} is one line");
            }
        }
    }
}

/// A log is refused with its line, or a report can be made of it, and it is written as it was read.
pub(super) fn hlog(bytes: &[u8]) {
    let Ok(log) = std::str::from_utf8(bytes) else { return };
    match hlog::parse(log) {
        Err(bad) => assert!((1..=log.lines().count().max(1)).contains(&bad.line), "{bad}"),
        Ok(log) => {
            let run = Run::new("a log".to_owned(), log.began, log.slices, None);
            reported(&run);
            let mut again = Vec::new();
            hlog::write(&mut again, &run).expect("memory takes what it is given");
            let again = String::from_utf8(again).expect("a log is text");
            assert_eq!(hlog::parse(&again).expect("it was written by us").slices, run.slices);
        }
    }
}

/// A record is refused, or a report can be made with it, whatever it says.
pub(super) fn run_record(bytes: &[u8]) {
    let Ok(record) = serde_json::from_slice::<RunRecord>(bytes) else { return };
    let log = hlog::parse(LOG).expect("it was written by us");
    let run = Run::new("a log".to_owned(), log.began, log.slices, Some(record));
    let _ = run.strangeness();
    reported(&run);
}

/// A log of ours.
pub(super) const LOG: &str = include_str!("../../fixtures/sixteen_calls.hlog");

fn reported(run: &Run) {
    let (verdict, lanes) = (Verdict::of(run), compare::lanes(run));
    let text = text::report(run, &verdict, lanes.as_ref());
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    let page = html::page(run, &verdict, lanes.as_ref());
    for nowhere in ["x=\"NaN", "y=\"NaN", "width=\"NaN", "height=\"NaN", "d=\"MNaN", "x=\"inf"] {
        assert!(!page.contains(nowhere), "{nowhere}");
    }
}
