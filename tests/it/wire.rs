//! The codec, on scripted pipes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use poolshift::machine::Sent;
use poolshift::worker::link::{Link, LinkError, Progress};
use poolshift::worker::wire::{Outgoing, WireReply, encode};
use poolshift::{Args, CallError, Refusal};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_test::io::{Builder, Mock};

const MAX: usize = 1024;

fn frame(body: &str) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), body.as_bytes()].concat()
}

fn good(id: u64) -> Vec<u8> {
    frame(&format!(r#"{{"id":{id},"success":true,"result":{{"n":12345678901234567890123}}}}"#))
}

fn request(args: &Args) -> Outgoing<'_> {
    let unix = Duration::from_secs(1);
    let (session_id, extra, call_id, budget) = (None, None, None, None);
    let shadow = false;
    Outgoing { command: "echo", args, session_id, extra, call_id, budget, shadow, unix }
}

fn link(reader: Mock) -> Link<Mock, Mock> {
    let mut link = Link::new(reader, Builder::new().build(), MAX);
    link.prepare(request(&Args::default())).unwrap();
    link
}

async fn read(chunks: &[&[u8]]) -> Result<WireReply, LinkError> {
    let mut builder = Builder::new();
    for chunk in chunks {
        builder.read(chunk);
    }
    link(builder.build()).receive().await
}

fn garbled(reply: Result<WireReply, LinkError>) -> String {
    match reply {
        Err(LinkError::Garbled(reason)) => reason,
        other => panic!("not garbled: {other:?}"),
    }
}

#[tokio::test]
async fn every_split_of_a_frame_gives_the_same_reply() {
    let frame = good(1);
    for cut in 1..frame.len() {
        let reply = read(&[&frame[..cut], &frame[cut..]]).await.unwrap();
        assert_eq!(reply.result.unwrap().get(), r#"{"n":12345678901234567890123}"#, "cut {cut}");
    }
    let bytes: Vec<&[u8]> = frame.chunks(1).collect();
    assert!(read(&bytes).await.unwrap().result.is_ok());
}

/// A pipe that gives one piece of what it holds at a time: a read gives what has room of it.
pub(crate) struct Pieces {
    pub(crate) pieces: VecDeque<Vec<u8>>,
    pub(crate) reads: usize,
}

impl Pieces {
    pub(crate) fn new(pieces: impl Iterator<Item = Vec<u8>>) -> Self {
        Self { pieces: pieces.collect(), reads: 0 }
    }
}

impl AsyncRead for &mut Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(mut piece) = self.pieces.pop_front() else { return Poll::Ready(Ok(())) };
        let rest = piece.split_off(piece.len().min(buffer.remaining()));
        buffer.put_slice(&piece);
        self.reads += 1;
        if !rest.is_empty() {
            self.pieces.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_common_reply_takes_one_read_however_many_came_before() {
    let mut pipe = Pieces::new((1..=1000).map(good));
    let mut link = Link::new(&mut pipe, tokio::io::sink(), MAX);
    for _ in 0..1000 {
        link.prepare(request(&Args::default())).unwrap();
        assert!(link.receive().await.unwrap().result.is_ok());
    }
    drop(link);
    assert_eq!(pipe.reads, 1000);
}

#[tokio::test]
async fn every_truncation_is_a_closed_pipe_and_never_a_reply() {
    let frame = good(1);
    for cut in 0..frame.len() {
        let chunks: Vec<&[u8]> = [&frame[..cut]].into_iter().filter(|c| !c.is_empty()).collect();
        assert!(matches!(read(&chunks).await, Err(LinkError::Closed(_))), "cut {cut}");
    }
}

#[tokio::test]
async fn r1_a_second_frame_is_left_for_the_next_lease_to_find() {
    let both = [good(1), good(1)].concat();
    let mut link = link(Builder::new().read(&both).build());
    assert!(link.receive().await.unwrap().result.is_ok());
    assert!(!link.is_quiet());
}

#[tokio::test]
async fn r1_bytes_and_end_of_file_are_not_quiet() {
    assert!(!link(Builder::new().read(b"x").build()).is_quiet(), "bytes");
    assert!(!link(Builder::new().build()).is_quiet(), "end of file");
    let (silent, _worker) = tokio::io::duplex(MAX);
    assert!(Link::new(silent, tokio::io::sink(), MAX).is_quiet(), "would block");
}

#[tokio::test]
async fn lengths_are_refused_before_anything_is_allocated() {
    for length in [u32::MAX, MAX as u32 + 1] {
        let reason = garbled(read(&[&length.to_be_bytes()]).await);
        assert!(reason.contains("above max_frame_bytes = "), "{reason}");
    }
    garbled(read(&[&0_u32.to_be_bytes()]).await);
}

#[tokio::test]
async fn anything_but_a_reply_to_this_request_is_garbled() {
    for body in [
        r#"{"id":2,"success":true,"result":{}}"#,
        r#"{"id":2,"success":false,"error":"x"}"#,
        r#"{"id":"1","success":true,"result":{}}"#,
        r#"{"id":1,"success":true}"#,
        r#"{"id":1,"success":false}"#,
        r#"{"success":true,"result":{}}"#,
        r#"{"id":1,"success":true,"result":{}"#,
        r#"{"id":2,"success":true,"result":{"x":NaN}}"#,
        "[1]",
        "null",
        "nonsense",
    ] {
        let reason = garbled(read(&[&frame(body)]).await);
        let start = body[..3].replace('"', "\\\"");
        assert!(reason.contains(&start), "{body}: {reason}");
    }
    let print = garbled(read(&[b"Traceback (most recent call last):"]).await);
    assert!(print.contains("Traceback"), "{print}");
}

#[tokio::test]
async fn replies_are_taken_with_any_timestamp_and_unknown_keys() {
    for timestamp in ["0.5", "\"2026-01-01T00:00:00Z\"", "null", "{}", "[1]"] {
        let body =
            format!(r#"{{"extra":[],"timestamp":{timestamp},"result":[],"success":true,"id":1}}"#);
        assert_eq!(read(&[&frame(&body)]).await.unwrap().result.unwrap().get(), "[]");
    }
    let nothing = r#"{"id":1,"success":true,"result":null}"#;
    assert_eq!(read(&[&frame(nothing)]).await.unwrap().result.unwrap().get(), "null");
    let raised = r#"{"id":1,"success":false,"error":"","error_type":"E","traceback":["a"]}"#;
    let raised = read(&[&frame(raised)]).await.unwrap().result.unwrap_err();
    let expected = CallError::Raised {
        message: String::new(),
        error_type: Some("E".to_owned()),
        traceback: vec!["a".to_owned()],
    };
    assert_eq!(raised, expected);
}

#[tokio::test]
async fn nan_in_a_reply_is_raised_and_the_worker_stays() {
    for token in ["NaN", "Infinity", "-Infinity"] {
        let body =
            format!(r#"{{"id":1,"success":true,"result":{{"NaN \" NaN":"NaN","x":{token}}}}}"#);
        let raised = read(&[&frame(&body)]).await.unwrap().result.unwrap_err();
        let CallError::Raised { error_type, .. } = raised else { panic!("{raised:?}") };
        assert_eq!(error_type.as_deref(), Some("NotJson"));
    }
}

#[tokio::test]
async fn progress_never_claims_less_than_the_pipe_has_accepted() {
    let args = Args::parse(r#"{"x":"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"}"#).unwrap();
    let mut whole = Vec::new();
    encode(1, request(&args), MAX, &mut whole).unwrap();
    for cut in 0..whole.len() {
        let mut builder = Builder::new();
        if cut > 0 {
            builder.write(&whole[..cut]);
        }
        builder.write_error(ErrorKind::BrokenPipe.into());
        let writer = builder.build();
        // The mock gives an error out once nobody else holds it.
        drop(builder);
        let mut link = Link::new(Builder::new().build(), writer, MAX);
        link.prepare(request(&args)).unwrap();
        let progress = Progress::default();
        assert!(link.send(&progress).await.is_err());
        let expected = if cut == 0 { Sent::None } else { Sent::Part };
        assert_eq!(progress.get(), expected, "cut {cut}");
    }
    let mut link = Link::new(Builder::new().build(), Builder::new().write(&whole).build(), MAX);
    link.prepare(request(&args)).unwrap();
    let progress = Progress::default();
    link.send(&progress).await.unwrap();
    assert_eq!(progress.get(), Sent::All);
}

#[test]
fn requests_above_the_limit_are_refused_whole() {
    let args = Args::parse(&format!(r#"{{"x":"{}"}}"#, "y".repeat(MAX))).unwrap();
    let mut out = b"before".to_vec();
    let refused = encode(1, request(&args), MAX, &mut out);
    assert!(matches!(refused, Err(Refusal::TooLarge { max: MAX, .. })));
    assert_eq!(out, b"before");
}

#[test]
fn a_request_is_what_the_legacy_worker_reads() {
    let args = Args::parse(r#"{"expression":"1"}"#).unwrap();
    let mut out = Vec::new();
    encode(7, Outgoing { session_id: Some("s"), ..request(&args) }, MAX, &mut out).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&out[4..]).unwrap();
    let expected = serde_json::json!({
        "id": 7, "command": "echo", "timestamp": "1970-01-01T00:00:01.000Z",
        "args": {"expression": "1", "session_id": "s"},
    });
    assert_eq!(body, expected);
    assert_eq!(u32::from_be_bytes(out[..4].try_into().unwrap()) as usize, out.len() - 4);
}
