//! The fault catalogue on real Python workers, row by row, in both lanes and through the router.
//!
//! - `strike` runs a row, on what `rig` puts up.
//! - `rig` is what is under test, and what can be seen of it from outside; `log` is its log.
//! - `deaths`, `stalls`, `births`, `drains` and `host` are the faults that a call's args cannot
//!   make alone.
//! - `timeouts` is what a caller is told when its time is over.
//!
//! `FAULT=12 cargo test --test it faults` runs the rows of one number, `START_METHOD=fork` runs
//! them on forked workers.

mod births;
mod deaths;
mod drains;
mod host;
mod log;
mod rig;
mod stalls;
mod strike;
mod timeouts;

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use poolshift::config::StartMethod;
use poolshift::{Outcome, Ran};

use rig::{Acting, Side, Told, Victim, told};

/// One fault: how it is injected, and all that may come of it.
struct Row {
    /// Its number in the catalogue.
    no: u8,
    fault: &'static str,
    by: By,
    /// What the caller is told whose call met it.
    struck: Told,
    /// What the caller after it is told.
    next: Told,
    /// What became of the worker.
    worker: Worker,
    /// How many processes the lane started to make up for it.
    restarts: u64,
    /// What the first error among the two says; nothing if there is none.
    says: &'static str,
    /// What the log says of the lane or of the process.
    log: &'static str,
}

/// How a fault is injected. Another call is under way meanwhile, which must not notice.
enum By {
    /// The struck call's worker does this; the other call is on the lane's other worker.
    Struck(&'static str),
    /// As `Struck`, but what it does is met by the next call, of 1 MB.
    Next(&'static str),
    /// The test does it.
    Test(Act),
    /// The test does it to the whole lane; the other call is in the other lane.
    AllOf(Act),
    /// As `AllOf`, in a process of its own.
    Apart(Act),
    /// Not at all, and why.
    NotShown(&'static str),
}

type Act = for<'a> fn(Side<'a>, Victim) -> Acting<'a>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Worker {
    Stays,
    Ends(&'static str),
}

use By::{AllOf, Apart, Next, NotShown, Struck, Test};
use Worker::{Ends, Stays};

const OK: Told = (Outcome::Ok, Ran::Yes);
const RAISED: Told = (Outcome::Raised, Ran::Yes);
const LOST: Told = (Outcome::WorkerLost, Ran::Maybe);
const BREACH: Told = (Outcome::Protocol, Ran::Maybe);
const LATE: Told = (Outcome::ExecTimeout, Ran::Maybe);
const LATE_UNSENT: Told = (Outcome::ExecTimeout, Ran::No);

const REFUSED: Told = (Outcome::Rejected, Ran::No);
const DRAINING: Told = (Outcome::Draining, Ran::No);

const KILLED: Worker = Ends("killed by SIGKILL");

const BREAKS: &str = "worker broke the protocol";

/// As many restarts as time allowed.
const ANY: u64 = u64::MAX;

/// For rows that are not run.
const NOTHING: Row = Row {
    no: 0,
    fault: "",
    by: NotShown(""),
    struck: OK,
    next: OK,
    worker: Stays,
    restarts: 0,
    says: "",
    log: "",
};

#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { no: 1, fault: "crash before reading, seen", by: Test(deaths::before_it_is_written_to),
        struck: OK, next: OK, worker: KILLED, restarts: 1, says: "", log: "" },
    Row { no: 1, fault: "crash before reading, unseen",
        by: Test(deaths::with_the_request_in_its_pipe),
        struck: LOST, next: OK, worker: KILLED, restarts: 1,
        says: "the worker died (killed by SIGKILL)", log: "" },
    Row { no: 2, fault: "crash after reading", by: Struck(r#"{"fault": "exits"}"#),
        struck: LOST, next: OK, worker: Ends("exit status 9"), restarts: 1,
        says: "the worker died (exit status 9)", log: "" },
    Row { no: 3, fault: "crash in mid-frame", by: Test(deaths::mid_frame),
        struck: LOST, next: OK, worker: Ends("exit status 9"), restarts: 7,
        says: "the worker died (exit status 9)", log: "" },
    Row { no: 4, fault: "whole reply, then the end", by: Test(deaths::with_its_reply_in_the_pipe),
        struck: OK, next: OK, worker: KILLED, restarts: 1, says: "", log: "" },
    Row { no: 5, fault: "death while idle", by: Test(deaths::while_idle),
        struck: OK, next: OK, worker: KILLED, restarts: 1, says: "", log: "" },
    Row { no: 6, fault: "all workers die at once", by: AllOf(deaths::all_at_once),
        struck: LOST, next: OK, worker: KILLED, restarts: 2,
        says: "the worker died (killed by SIGKILL)", log: "" },
    Row { no: 7, fault: "crash loop", by: AllOf(births::crash_again_and_again),
        struck: REFUSED, next: OK, worker: KILLED, restarts: ANY,
        says: "ended before it was ready (exit status 1); its last stderr lines:\n  \
               no weights in the model's folder", log: "worker did not start" },
    Row { no: 8, fault: "spawn fails: ENOENT", by: AllOf(births::find_no_program),
        struck: OK, next: OK, worker: KILLED, restarts: ANY, says: "", log: "; no such program" },
    Row { no: 8, fault: "spawn fails: EACCES", by: AllOf(births::may_not_be_executed),
        struck: OK, next: OK, worker: KILLED, restarts: ANY, says: "",
        log: "; the program may not be executed" },
    Row { no: 9, fault: "spawn fails: EMFILE", by: Apart(host::is_out_of_descriptors),
        struck: OK, next: OK, worker: KILLED, restarts: ANY, says: "", log: "; raise `ulimit -n`" },
    Row { no: 9, fault: "spawn fails: EAGAIN",
        by: NotShown("root ignores RLIMIT_NPROC; the path is EMFILE's, the hint aside"),
        ..NOTHING },
    Row { no: 10, fault: "start slower than its limit", by: AllOf(births::take_too_long),
        struck: OK, next: OK, worker: KILLED, restarts: ANY, says: "",
        log: "did not answer its start ping within startup_timeout = 10s" },
    Row { no: 11, fault: "another protocol version", by: AllOf(births::speak_another_protocol),
        struck: REFUSED, next: OK, worker: KILLED, restarts: ANY,
        says: "poolshift_worker/99.0 speaks protocol 99, this host 1",
        log: "worker did not start" },
    Row { no: 12, fault: "hang in the handler", by: Struck(r#"{"fault": "spin"}"#),
        struck: LATE, next: OK, worker: KILLED, restarts: 1, says: "in spin", log: "" },
    Row { no: 13, fault: "ignores SIGTERM", by: AllOf(stalls::minds_no_sigterm),
        struck: OK, next: DRAINING, worker: KILLED, restarts: 0,
        says: "shutting down", log: "" },
    Row { no: 14, fault: "SIGSTOP", by: Test(stalls::is_stopped),
        struck: LATE, next: OK, worker: KILLED, restarts: 1,
        says: "at its deadline it was stopped by a signal; no Python stacks", log: "" },
    Row { no: 14, fault: "SIGSTOP, and SIGCONT after the deadline",
        by: Test(stalls::is_continued_too_late),
        struck: LATE, next: OK, worker: KILLED, restarts: 1,
        says: "at its deadline it was stopped by a signal", log: "" },
    Row { no: 15, fault: "late reply", by: Test(stalls::answers_late),
        struck: LATE, next: OK, worker: KILLED, restarts: 1, says: "no Python stacks", log: "" },
    Row { no: 16, fault: "duplicate reply", by: Struck(r#"{"fault": "twice"}"#),
        struck: OK, next: OK, worker: KILLED, restarts: 1, says: "", log: BREAKS },
    Row { no: 17, fault: "id too high", by: Struck(r#"{"fault": "misnumber", "by": 1}"#),
        struck: BREACH, next: OK, worker: KILLED, restarts: 1,
        says: "a reply to request 4, not 3", log: BREAKS },
    Row { no: 17, fault: "stale id", by: Struck(r#"{"fault": "misnumber", "by": -1}"#),
        struck: BREACH, next: OK, worker: KILLED, restarts: 1,
        says: "a reply to request 2, not 3", log: BREAKS },
    Row { no: 18, fault: "swapped replies", by: Struck(r#"{"fault": "swap"}"#),
        struck: BREACH, next: OK, worker: KILLED, restarts: 1,
        says: "a reply to request 4, not 3", log: BREAKS },
    Row { no: 19, fault: "frame while idle", by: Test(stalls::speaks_while_idle),
        struck: OK, next: OK, worker: KILLED, restarts: 1, says: "", log: "it spoke unasked" },
    Row { no: 20, fault: "garbage", by: Struck(r#"{"fault": "garbage"}"#),
        struck: BREACH, next: OK, worker: KILLED, restarts: 1,
        says: r#"it begins with "\xfe"#, log: r#"it begins with "\xfe"# },
    Row { no: 20, fault: "bit flip in the header",
        by: Struck(r#"{"fault": "flip", "byte": 0, "bit": 7}"#),
        struck: BREACH, next: OK, worker: KILLED, restarts: 1,
        says: r#"it begins with "\x80"#, log: BREAKS },
    Row { no: 20, fault: "bit flip in the body",
        by: Struck(r#"{"fault": "flip", "byte": 4, "bit": 0}"#),
        struck: BREACH, next: OK, worker: KILLED, restarts: 1, says: "not a reply", log: BREAKS },
    Row { no: 21, fault: "length 2^32-1", by: Struck(r#"{"fault": "claim", "bytes": 4294967295}"#),
        struck: BREACH, next: OK, worker: KILLED, restarts: 1, says: "begins with", log: BREAKS },
    Row { no: 21, fault: "length above the limit",
        by: Struck(r#"{"fault": "claim", "bytes": 16777217}"#),
        struck: BREACH, next: OK, worker: KILLED, restarts: 1, says: "begins with", log: BREAKS },
    Row { no: 21, fault: "length 0", by: Struck(r#"{"fault": "claim", "bytes": 0}"#),
        struck: BREACH, next: OK, worker: KILLED, restarts: 1, says: "not a reply", log: BREAKS },
    Row { no: 21, fault: "length of more than comes",
        by: Struck(r#"{"fault": "claim", "bytes": 1000000}"#),
        struck: LATE, next: OK, worker: KILLED, restarts: 1, says: "in claim", log: "" },
    Row { no: 22, fault: "print", by: Struck(r#"{"fault": "talk"}"#),
        struck: OK, next: OK, worker: Stays, restarts: 0,
        says: "", log: "stderr: so does its native part" },
    Row { no: 22, fault: "print into the pipe", by: Struck(r#"{"fault": "talk_in_the_pipe"}"#),
        struck: BREACH, next: OK, worker: KILLED, restarts: 1,
        says: r#"it begins with "a library speaks on stdout\n""#, log: BREAKS },
    Row { no: 23, fault: "100 MB on stderr", by: Struck(r#"{"fault": "flood"}"#),
        struck: OK, next: OK, worker: Stays, restarts: 0, says: "", log: "stderr: xxxx" },
    Row { no: 24, fault: "stdout closed, process alive", by: Struck(r#"{"fault": "close_stdout"}"#),
        struck: LOST, next: OK, worker: KILLED, restarts: 1,
        says: "the worker died (killed by SIGKILL)", log: "" },
    Row { no: 25, fault: "grandchild holds the pipes", by: Test(deaths::leaving_a_grandchild),
        struck: LOST, next: OK, worker: Ends("exit status 3"), restarts: 1,
        says: "the worker died (exit status 3)", log: "" },
    Row { no: 26, fault: "stdin is not read", by: Next(r#"{"fault": "go_deaf", "room": 1}"#),
        struck: OK, next: LATE, worker: KILLED, restarts: 1, says: "did not answer", log: "" },
    Row { no: 26, fault: "stdin is full", by: Next(r#"{"fault": "go_deaf", "room": 0}"#),
        struck: OK, next: LATE_UNSENT, worker: KILLED, restarts: 1,
        says: "did not answer", log: "" },
    Row { no: 27, fault: "slow drip", by: Struck(r#"{"fault": "drip", "bytes": 1, "every_ms": 1}"#),
        struck: OK, next: OK, worker: Stays, restarts: 0, says: "", log: "" },
    Row { no: 27, fault: "drip too slow for its call",
        by: Struck(r#"{"fault": "drip", "bytes": 1, "every_ms": 50}"#),
        struck: LATE, next: OK, worker: KILLED, restarts: 1, says: "in pass_on", log: "" },
    Row { no: 28, fault: "split frame",
        by: Struck(r#"{"fault": "drip", "bytes": 3, "every_ms": 0}"#),
        struck: OK, next: OK, worker: Stays, restarts: 0, says: "", log: "" },
    Row { no: 28, fault: "merged frames",
        by: NotShown("a worker has one request at a time; a second frame is 16's"),
        ..NOTHING },
    Row { no: 29, fault: "EPIPE at the first byte",
        by: Next(r#"{"fault": "close_stdin", "room": 0}"#),
        struck: OK, next: OK, worker: KILLED, restarts: 1, says: "", log: "" },
    Row { no: 29, fault: "EPIPE in mid-request", by: Next(r#"{"fault": "close_stdin", "room": 1}"#),
        struck: OK, next: LOST, worker: KILLED, restarts: 1, says: "the worker died", log: "" },
    Row { no: 30, fault: "EINTR in the worker", by: Next(r#"{"fault": "storm"}"#),
        struck: OK, next: OK, worker: Stays, restarts: 0, says: "", log: "" },
    Row { no: 30, fault: "EINTR in the host", by: Apart(host::is_interrupted),
        struck: OK, next: OK, worker: Stays, restarts: 0, says: "", log: "" },
    Row { no: 31, fault: "OOM kill: SIGKILL, where a test may not make a cgroup",
        by: Struck(r#"{"fault": "die"}"#),
        struck: LOST, next: OK, worker: KILLED, restarts: 1, says: "(killed by SIGKILL)", log: "" },
    Row { no: 31, fault: "out of memory: RLIMIT_AS", by: Struck(r#"{"fault": "exhaust"}"#),
        struck: RAISED, next: OK, worker: Stays, restarts: 0, says: "", log: "" },
    Row { no: 32, fault: "poison request", by: Test(deaths::by_poison),
        struck: LOST, next: OK, worker: KILLED, restarts: 3, says: "the worker died", log: "" },
    Row { no: 33, fault: "slow worker", by: Test(stalls::limps),
        struck: OK, next: OK, worker: Stays, restarts: 0, says: "", log: "" },
    Row { no: 33, fault: "leak, of which the worker tells", by: Struck(r#"{"fault": "recycle"}"#),
        struck: OK, next: OK, worker: Ends("exit status 0"), restarts: ANY, says: "", log: "" },
    Row { no: 34, fault: "wall clock +1 h", by: Struck(r#"{"fault": "skew", "by_s": 3600}"#),
        struck: OK, next: OK, worker: Stays, restarts: 0, says: "", log: "" },
    Row { no: 34, fault: "wall clock -1 h", by: Struck(r#"{"fault": "skew", "by_s": -3600}"#),
        struck: OK, next: OK, worker: Stays, restarts: 0, says: "", log: "" },
    Row { no: 35, fault: "host stall", by: Apart(host::is_stalled),
        struck: OK, next: OK, worker: Stays, restarts: 0, says: "", log: "" },
    Row { no: 36, fault: "cancel at each poll", by: Test(deaths::of_its_caller),
        struck: OK, next: OK, worker: Stays, restarts: 0, says: "", log: "" },
    Row { no: 37, fault: "shutdown during a start", by: AllOf(drains::during_a_start),
        struck: DRAINING, next: DRAINING, worker: KILLED, restarts: 1,
        says: "shutting down", log: "" },
    Row { no: 37, fault: "rollout changes during a call", by: Test(drains::rollout_changes),
        struck: OK, next: OK, worker: Stays, restarts: 0, says: "", log: "" },
    Row { no: 38, fault: "end at the handshake during a drain",
        by: AllOf(drains::death_at_the_handshake),
        struck: OK, next: DRAINING, worker: KILLED, restarts: ANY,
        says: "shutting down", log: "ended before it was ready (killed by SIGKILL)" },
];

/// How many rows run at once: they wait more than they work.
const AT_ONCE: usize = 4;

/// The test below, as libtest names it.
const THIS: &str = "faults::each_fault_has_its_outcomes_its_workers_fate_and_its_log";

/// Set in the process of a row that has one of its own.
const APART: &str = "FAULT_APART";

/// How workers are started; spawned unless this is set.
const START_METHOD: &str = "START_METHOD";

/// Rows that say nothing of forked workers.
const SPAWN_ONLY: [u8; 1] = [8];

/// Rows that are also run on forked workers, without being asked to: what becomes of a worker that
/// ends by itself, by another's hand, with its whole lane, before it is ready, and overdue.
const FORKED_TOO: [u8; 6] = [1, 2, 6, 7, 12, 38];

#[test]
fn each_fault_has_its_outcomes_its_workers_fate_and_its_log() {
    let only = std::env::var("FAULT").ok().map(|no| no.parse::<u8>().unwrap());
    let apart = std::env::var(APART).ok();
    let name = std::env::var(START_METHOD).unwrap_or_else(|_| "spawn".to_owned());
    let method = StartMethod::ALL.into_iter().find(|method| method.as_str() == name).unwrap();
    run(|row| match &apart {
        Some(fault) if row.fault == fault => row.inject(method),
        None if only.is_none_or(|no| row.no == no) => row.run(method),
        Some(_) | None => {}
    });
}

#[test]
fn a_forked_worker_fails_as_a_spawned_one_does() {
    run(|row| {
        if FORKED_TOO.contains(&row.no) {
            row.run(StartMethod::Fork);
        }
    });
}

/// Some rows at once, and all of them, though some fail.
fn run(row: impl Fn(&Row) + Sync) {
    let (taken, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(next) = TABLE.get(taken.fetch_add(1, Ordering::Relaxed)) {
                    if std::panic::catch_unwind(AssertUnwindSafe(|| row(next))).is_err() {
                        failed.lock().unwrap().push(next.name());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "these rows failed: {failed:#?}");
}

#[test]
fn the_table_has_every_fault_of_the_catalogue_in_its_order() {
    let mut numbers: Vec<u8> = TABLE.iter().map(|row| row.no).collect();
    assert!(numbers.is_sorted());
    numbers.dedup();
    assert_eq!(numbers, (1..=38).collect::<Vec<u8>>());
}
