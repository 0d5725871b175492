//! A short, deterministic run of each fuzz target: inputs that were well-formed until some bytes
//! were changed. `fuzz/` has the long runs, guided by coverage.
//!
//! `POOLSHIFT_FUZZ_CASES` and `POOLSHIFT_FUZZ_SEED` ask for more, and for others.

mod laws;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Enough for each mutation to meet each seed a few times, in about a second.
const CASES: u32 = 3000;

/// What breaks readers: ends and starts of things, numbers out of range, text that is none.
const TOKENS: [&[u8]; 28] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"=",
    b"\n",
    b"\r\n",
    b"#",
    b"'''",
    b"\"\"\"",
    b"NaN",
    b"-Infinity",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"0x10",
    b"99999999999999999999",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\0",
    b"\\ud800",
    b"\xe2\x80\xa8",
    b"killed = true\n",
];

/// One change to an input.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Insert(Index, &'static [u8]),
    /// A stretch of it goes, or comes twice.
    Cut(Index, u8),
    Double(Index, u8),
    /// Many times over: depth.
    Nest(Index, u16),
    End(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), select(&TOKENS[..])).prop_map(|(at, token)| Change::Insert(at, token)),
        (at(), any::<u8>()).prop_map(|(at, length)| Change::Cut(at, length)),
        (at(), any::<u8>()).prop_map(|(at, length)| Change::Double(at, length)),
        (at(), 1..2000_u16).prop_map(|(at, depth)| Change::Nest(at, depth)),
        at().prop_map(Change::End),
    ]
}

impl Change {
    fn apply(&self, input: &mut Vec<u8>) {
        let stretch = |at: &Index, length: u8| {
            let start = at.index(input.len() + 1);
            start..(start + usize::from(length % 32)).min(input.len())
        };
        match self {
            Self::Set(at, byte) if !input.is_empty() => {
                let at = at.index(input.len());
                input[at] = *byte;
            }
            Self::Set(..) => {}
            Self::Insert(at, token) => {
                let at = at.index(input.len() + 1);
                input.splice(at..at, token.iter().copied());
            }
            Self::Cut(at, length) => drop(input.drain(stretch(at, *length))),
            Self::Double(at, length) => {
                let stretch = stretch(at, *length);
                let copy = input[stretch.clone()].to_vec();
                input.splice(stretch.start..stretch.start, copy);
            }
            Self::Nest(at, depth) => {
                let at = at.index(input.len() + 1);
                input.splice(at..at, vec![b'['; usize::from(*depth)]);
            }
            Self::End(at) => input.truncate(at.index(input.len() + 1)),
        }
    }
}

/// Runs a law on changed seeds, and on the seeds as they are.
fn fuzz(law: fn(&[u8]), seeds: &'static [&'static [u8]]) {
    seeds.iter().for_each(|seed| law(seed));
    let from_env = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let cases = from_env("POOLSHIFT_FUZZ_CASES").unwrap_or(CASES);
    let seed = from_env("POOLSHIFT_FUZZ_SEED").unwrap_or(1).to_be_bytes().repeat(8);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let inputs = (select(seeds), vec(change(), 0..6));
    let run = runner.run(&inputs, |(seed, changes)| {
        let mut input = seed.to_vec();
        changes.iter().for_each(|change| change.apply(&mut input));
        let broken = std::panic::catch_unwind(|| law(&input)).is_err();
        let text = input.escape_ascii();
        prop_assert!(!broken, "the law is broken by b\"{text}\"");
        Ok(())
    });
    run.unwrap();
}

#[test]
fn fuzz_frames() {
    fuzz(
        laws::frames,
        &[
            b"\x03\x00\x00\x00\x26{\"id\":1,\"success\":true,\"result\":{\"n\":1}}",
            b"\x00\x00\x00\x00\x25{\"id\":1,\"success\":false,\"error\":\"no\"}\
              \x00\x00\x00\x24{\"id\":2,\"success\":true,\"result\":[]}  ",
            b"\x01\x00\x00\x02\x01{",
            b"\x07\xff\xff\xff\xffWarning: this is no frame",
            b"\x02\x00\x00\x00\x00\x00\x00\x00\x02{}",
        ],
    );
}

#[test]
fn fuzz_envelopes() {
    fuzz(
        laws::envelope,
        &[
            br#"{"id":1,"success":true,"result":{"a":[1,2.5,"\u00e9",null]},"timestamp":1.5}"#,
            br#"{"id":1,"success":true,"result":{"a":NaN,"b":-Infinity,"c":"NaN \" Infinity"}}"#,
            br#"{"id":1,"success":false,"error":"a \"b\"","error_type":"E","traceback":["x"]}"#,
            br#"{"id":1,"success":true,"result":null,"recycle":true,"new":{"key":1}}"#,
            br#"{"id":18446744073709551615,"success":true,"result":1e400}"#,
        ],
    );
}

#[test]
fn fuzz_call_lines() {
    fuzz(
        laws::call_line,
        &[
            br#"{"command":"calculate","args":{"expression":"6 * 7"}}"#,
            br#"{"command":"echo","args":{ },"session":"alice","id":"7","attrs":{"tenant":"a"}}"#,
            br#"{"command":"","args":null,"session":"anonymous"}"#,
            b"{\"command\":\"\xf0\x9f\xa6\x80\",\"args\":{\"a\":[{\"b\":1}]}\t}",
        ],
    );
}

#[test]
fn fuzz_args() {
    fuzz(laws::args, &[b"{}", b"{ }\n", br#"{"a": {"b": "}"}}"#, br#" {"session_id": 1}"#]);
}

#[test]
fn fuzz_config() {
    fuzz(
        laws::config,
        &[
            b"[worker]\napp = \"my.app:APP\"\nenv = { A = \"1\" }\nstop_grace = \"500ms\"\n",
            b"[worker]\nscript = \"bridge.py\"\nscript_args = [\"-x\"]\nmax_frame_bytes = 1024\n",
            b"[v2]\nsize = 4\non_cancel = \"kill\"\n[v3]\nsize = 8\n\
              restart_backoff = [\"1s\", \"2s\"]\n",
            b"[commands.greet]\nclass = \"read\"\nidempotent = true\n[session]\nttl = \"1h\"\n",
            b"[rollout]\nfile = \"r.toml\"\nflag = \"f\"\nsession_lane = \"whole\"\n\
              [debug]\ndebug = true\n",
        ],
    );
}

#[test]
fn fuzz_rollout_files() {
    fuzz(
        laws::rollout_file,
        &[
            b"version = 4\npercent = 12.5 # of all\n[classes]\ncritical = 0\n",
            b"killed = true\n",
            b"format = 1\npercent = \"0.125\"\nflag = \"f\"\nreason = \"r\"\nactor = \"a\"\n",
            b"format = 2\npercent = 1\nstages = [1]\nkilled = true\n",
            b"percent = 100\nclasses = { read = 100, write = 50.001, critical = 0 }\n\
              audit = \"00\"\n",
        ],
    );
}

const LOGS: &[&[u8]] = &[
    laws::LOG.as_bytes(),
    b"#[StartTime: 1700000000.123 (seconds since epoch)]\nTag=v3.read.ok.wait,0.000,0.100,1.000,",
];

#[test]
fn fuzz_logs() {
    fuzz(laws::hlog, LOGS);
}

#[test]
fn fuzz_run_records() {
    fuzz(laws::run_record, &[include_bytes!("../../fixtures/sixteen_calls.run.json")]);
}
