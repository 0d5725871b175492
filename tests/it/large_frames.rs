//! Large args and results: what is sent, and what a link holds of it.

use poolshift::worker::link::{Link, Progress};
use poolshift::worker::wire::{Outgoing, encode};
use poolshift::{Args, Refusal};
use tokio_test::block_on;
use tokio_test::io::Builder;

use crate::wire::Pieces;

const PAYLOAD: usize = 1_000_000;
const MAX: usize = 2 * PAYLOAD;

/// What a link may keep, and what it needs beside the payload.
const SMALL: usize = 2 * 64 * 1024;

fn args(bytes: usize) -> Args {
    Args::parse(&format!("{{\"text\":\"{}\" }}", "x".repeat(bytes))).unwrap()
}

/// A worker's answer to the first request.
fn reply(bytes: usize) -> Vec<u8> {
    let text = "y".repeat(bytes);
    let body = format!(r#"{{"id":1,"success":true,"result":"{text}","timestamp":1.5}}"#);
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), body.as_bytes()].concat()
}

/// Until a reply's length is known there is room for a common one; a longer takes one read more.
#[test]
fn a_reply_takes_a_read_a_piece_and_one_more_if_it_is_long_and_unannounced() {
    for bytes in [10, 3000, 4030, 4060, 4090, 5000, 60_000, 70_000] {
        let whole = reply(bytes);
        for cut in [0, 3, 4, 5, 4095, 4096, 4097, whole.len() - 1] {
            let (front, back) = whole.split_at(cut.min(whole.len() - 1));
            let pieces = [front, back].into_iter().filter(|piece| !piece.is_empty());
            let mut pipe = Pieces::new(pieces.map(<[u8]>::to_vec));
            let tells_length = if front.len() < 4 { back } else { front };
            let at_most = pipe.pieces.len() + usize::from(tells_length.len() > 4096);
            let mut link = Link::new(&mut pipe, tokio::io::sink(), MAX);
            link.prepare(Outgoing::own("echo", &Args::default())).unwrap();
            let result = block_on(link.receive()).unwrap().result.unwrap();
            assert_eq!(result.get().len(), bytes + 2, "{bytes} bytes cut at {cut}");
            assert!(pipe.reads <= at_most, "{bytes} bytes cut at {cut}: {} reads", pipe.reads);
        }
    }
}

#[test]
fn args_of_any_length_are_sent_as_the_same_frame() {
    for bytes in [0, 1, 65_000, 65_523, 65_524, 65_525, 70_000, PAYLOAD] {
        let args = args(bytes);
        for (session_id, extra) in [
            (None, None),
            (Some("s"), None),
            (None, Some(("k", "[1]"))),
            (Some("s"), Some(("k", "1"))),
        ] {
            let request = Outgoing { session_id, extra, ..Outgoing::own("echo", &args) };
            let mut whole = Vec::new();
            encode(1, request, MAX, &mut whole).unwrap();
            let writer = Builder::new().write(&whole).build();
            let mut link = Link::new(Builder::new().build(), writer, MAX);
            link.prepare(request).unwrap();
            block_on(link.send(&Progress::default())).unwrap();
        }
    }
}

#[test]
fn long_args_count_for_the_limit_and_what_is_refused_leaves_nothing() {
    let (long, short) = (args(PAYLOAD), Args::default());
    let mut whole = Vec::new();
    encode(1, Outgoing::own("echo", &long), MAX, &mut whole).unwrap();
    let fits = whole.len() - 4;
    let request = Outgoing::own("echo", &short);
    let mut next = Vec::new();
    encode(2, request, MAX, &mut next).unwrap();
    for (max, refused) in [(fits, false), (fits - 1, true)] {
        let writer = Builder::new().write(&next).build();
        let mut link = Link::new(Builder::new().build(), writer, max);
        match link.prepare(Outgoing::own("echo", &long)) {
            Err(Refusal::TooLarge { bytes, .. }) => assert!(refused && bytes == fits),
            other => assert!(!refused && other.is_ok(), "{other:?}"),
        }
        link.prepare(request).unwrap();
        block_on(link.send(&Progress::default())).unwrap();
    }
}

#[test]
fn a_large_call_copies_its_result_once_and_an_idle_link_keeps_nothing_of_it() {
    let (args, reply) = (args(PAYLOAD), reply(PAYLOAD));
    let mut link = Link::new(&reply[..], tokio::io::sink(), MAX);
    let mut result = None;
    let call = async {
        link.prepare(Outgoing::own("echo", &args)).unwrap();
        link.send(&Progress::default()).await.unwrap();
        result = link.receive().await.unwrap().result.ok();
    };
    let used = allocation_counter::measure(|| block_on(call));
    // The result, which is the caller's.
    assert!(used.bytes_current < (PAYLOAD + SMALL) as i64, "{used:?}");
    // It and its frame; the args stay where they are.
    assert!(used.bytes_total < (2 * PAYLOAD + SMALL) as u64, "{used:?}");
    assert_eq!(result.unwrap().get().len(), PAYLOAD + 2);
}
