//! What each fault of bytes on a pipe means: for its call, for the next one that would meet its
//! worker, for the worker, and for the call on the worker beside it, which must not notice.

use std::future::Future;
use std::io::Write as _;
use std::time::Duration;

use poolshift::machine::OnCancel;
use poolshift::worker::link::Link;
use poolshift::worker::pipe::PipeReader;
use poolshift::{Answer, Call, Lane, Outcome, Pool, Ran, WorkerId};
use poolshift_sim::shell_rig::script::{Act, Birth};
use poolshift_sim::shell_rig::spawner::FakeSpawner;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use crate::sim_pool::{SimPool, is_own, scripted};

const MAX_FRAME: usize = 16 * 1024 * 1024;

/// The length of the answer's frame to a call named "struck" or "second", from the worker's
/// third request on: start ping, first, struck.
const REPLY: usize =
    4 + r#"{"id":3,"success":true,"result":{"call_id":"struck"},"timestamp":0.5}"#.len();

/// What a caller is told.
type Told = (Outcome, Ran);

const OK: Told = (Outcome::Ok, Ran::Yes);
const LOST: Told = (Outcome::WorkerLost, Ran::Maybe);
const BREACH: Told = (Outcome::Protocol, Ran::Maybe);
const LATE: Told = (Outcome::ExecTimeout, Ran::Maybe);
const LATE_UNSENT: Told = (Outcome::ExecTimeout, Ran::No);

/// What becomes of the worker, once the next call is over.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Worker {
    Stays,
    IsReplaced,
}
use Worker::{IsReplaced, Stays};

#[rustfmt::skip]
const TABLE: [(Act, Told, Told, Worker); 28] = [
    // the struck call makes its worker do this    it is told  the next is   and the worker
    (Act::CutReply { at: REPLY - 1 },              LOST,       OK,           IsReplaced), // 3
    (Act::ReplyAndExit,                            OK,         OK,           IsReplaced), // 4
    (Act::ReplyTwice,                              OK,         OK,           IsReplaced), // 16
    (Act::WrongId,                                 BREACH,     OK,           IsReplaced), // 17
    (Act::StaleId,                                 BREACH,     OK,           IsReplaced), // 17
    (Act::Swap,                                    BREACH,     OK,           IsReplaced), // 18
    (Act::SpeakLater { after_ms: 5 },              OK,         OK,           IsReplaced), // 19
    (Act::Garble,                                  BREACH,     OK,           IsReplaced), // 20
    (Act::FlipBit { bit: 7 },                      BREACH,     OK,           IsReplaced), // 20
    (Act::ClaimLength { bytes: u32::MAX },         BREACH,     OK,           IsReplaced), // 21
    (Act::ClaimLength { bytes: MAX_FRAME as u32 + 1 }, BREACH, OK,           IsReplaced), // 21
    (Act::ClaimLength { bytes: 0 },                BREACH,     OK,           IsReplaced), // 21
    (Act::ClaimLength { bytes: 9 },                BREACH,     OK,           IsReplaced), // 21
    (Act::ClaimLength { bytes: REPLY as u32 },     LATE,       OK,           IsReplaced), // 21
    (Act::Print,                                   BREACH,     OK,           IsReplaced), // 22
    (Act::CloseStdout,                             LOST,       OK,           IsReplaced), // 24
    (Act::ExitHoldingPipe,                         LOST,       OK,           IsReplaced), // 25
    (Act::GoDeaf { room: 0 },                      OK,         LATE_UNSENT,  IsReplaced), // 26
    (Act::GoDeaf { room: 1 },                      OK,         LATE,         IsReplaced), // 26
    (Act::GoDeaf { room: 1000 },                   OK,         LATE,         IsReplaced), // 26
    (Act::Drip { every_ms: 1 },                    OK,         OK,           Stays),      // 27
    (Act::Drip { every_ms: 10 },                   LATE,       OK,           IsReplaced), // 27
    (Act::Split { bytes: 1 },                      OK,         OK,           Stays),      // 28
    (Act::CloseStdin { room: 0 },                  OK,         OK,           IsReplaced), // 29
    (Act::CloseStdin { room: 1 },                  OK,         LOST,         IsReplaced), // 29
    (Act::Stutter { wakes: 1 },                    OK,         OK,           Stays),      // 30
    (Act::Stutter { wakes: 100 },                  OK,         OK,           Stays),      // 30
    (Act::Reply,                                   OK,         OK,           Stays),
];

/// The time of calls that may meet the fault; the bystander has more.
const BRIEF: Duration = Duration::from_millis(200);

/// One run: what the struck call and the next were told, and what became of the worker.
async fn strike(lane: Lane, act: Act, case: &str) -> (Answer, Answer, Worker) {
    let spawner = FakeSpawner::default();
    let pool = SimPool::start(lane, 2, OnCancel::Drain, &spawner).await;
    pool.settle(|status| status.ready == 2).await;
    let brief = |id: &str, act| Call { budget: Some(BRIEF), ..scripted(id, 1, act) };
    let beside = pool.call(scripted("beside", 700, Act::Reply));
    let met = async {
        // The bystander has taken its worker: the others share one.
        tokio::task::yield_now().await;
        let first = pool.call(brief("first", Act::Reply)).await;
        let struck = pool.call(brief("struck", act)).await;
        assert_eq!(struck.worker, first.worker, "{case}: the worker of the first call");
        sleep(Duration::from_millis(20)).await; // paused clock: what is said later is said
        let next = pool.call(brief("second", Act::Reply)).await;
        (struck, next)
    };
    let (beside, (struck, next)) = tokio::join!(beside, met);
    assert!(is_own(&beside, "beside"), "{case}: the bystander got {beside:?}");
    for (answer, id) in [(&struck, "struck"), (&next, "second")] {
        assert!(answer.result.is_err() || is_own(answer, id), "{case}: {id} got {answer:?}");
    }
    // V2 replaces a worker when it is next needed, V3 at once.
    pool.settle(|status| status.live == status.available).await;
    pool.assert_conserved(4);
    assert_eq!(spawner.journal().breaches(), [], "{case}");
    assert!(spawner.most_room() < MAX_FRAME, "{case}: a claimed length was allocated");
    assert_never_twice(&spawner, case);
    let worker = struck.worker.unwrap();
    let fate = fate(&pool, worker);
    (struck, next, fate)
}

fn fate(pool: &SimPool, worker: WorkerId) -> Worker {
    let slot = &pool.status().workers[worker.slot as usize];
    if slot.id == worker && slot.health_status == "idle" { Stays } else { IsReplaced }
}

fn assert_never_twice(spawner: &FakeSpawner, case: &str) {
    let ledger = spawner.ledger();
    let mut ids: Vec<String> =
        ledger.lock().unwrap().iter().map(|execution| execution.call_id.clone()).collect();
    let calls = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), calls, "{case}: a call was executed twice");
}

fn told(answer: &Answer) -> Told {
    let ran = answer.result.as_ref().map_or_else(|error| error.ran(), |_| Ran::Yes);
    (answer.outcome(), ran)
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_bytes_has_its_outcome_and_its_workers_fate() {
    for lane in [Lane::V2, Lane::V3] {
        for (act, struck, next, fate) in TABLE {
            let case = format!("{lane} {act:?}");
            let (was_struck, was_next, was_fate) = strike(lane, act, &case).await;
            let was = (told(&was_struck), told(&was_next), was_fate);
            assert_eq!(was, (struck, next, fate), "{case}: {was_struck:?}, {was_next:?}");
        }
    }
}

/// Fault 3: no cut lets a part of a reply through, and all of it is a reply.
#[tokio::test(start_paused = true)]
async fn a_reply_cut_at_any_byte_is_no_reply() {
    for lane in [Lane::V2, Lane::V3] {
        for at in 0..=REPLY {
            let case = format!("{lane} cut at {at}");
            let (struck, next, fate) = strike(lane, Act::CutReply { at }, &case).await;
            let expected = if at < REPLY { LOST } else { OK };
            assert_eq!((told(&struck), told(&next), fate), (expected, OK, IsReplaced), "{case}");
        }
    }
}

/// Fault 28: the outcome does not depend on how the bytes are cut.
#[tokio::test(start_paused = true)]
async fn a_reply_in_pieces_of_any_size_is_a_reply() {
    for lane in [Lane::V2, Lane::V3] {
        for bytes in 1..=REPLY {
            let case = format!("{lane} in pieces of {bytes}");
            let (struck, next, fate) = strike(lane, Act::Split { bytes }, &case).await;
            assert_eq!((told(&struck), told(&next), fate), (OK, OK, Stays), "{case}");
        }
    }
}

/// Fault 20: a flipped bit in the frame's header or envelope is noticed. One inside the result is
/// not, and cannot be: the protocol carries no checksum.
#[tokio::test(start_paused = true)]
async fn a_bit_flipped_before_the_result_is_no_reply() {
    let envelope = 4 + r#"{"id":3,"success":true,"result":"#.len();
    for lane in [Lane::V2, Lane::V3] {
        for bit in 0..envelope * 8 {
            let case = format!("{lane} bit {bit}");
            let (struck, next, fate) = strike(lane, Act::FlipBit { bit }, &case).await;
            assert!([BREACH, LATE].contains(&told(&struck)), "{case}: {struck:?}");
            assert_eq!((told(&next), fate), (OK, IsReplaced), "{case}: {next:?}");
        }
    }
}

/// Fault 11: what answers its start ping with something else is refused, with the reason; it
/// does not keep the others from serving, and its slot is tried again.
#[tokio::test(start_paused = true)]
async fn a_bad_handshake_is_refused_and_tried_again() {
    let births = [
        (Birth::Babbles, "Traceback"),
        (Birth::Misnumbers, "a reply to request 8, not 1"),
        (Birth::Raises, "unready"),
        (Birth::NotOk, "starting"),
    ];
    for lane in [Lane::V2, Lane::V3] {
        for (birth, reason) in &births {
            let case = format!("{lane} {birth:?}");
            // The legacy pool takes any result of its start ping for a good one.
            let is_good = lane == Lane::V2 && *birth == Birth::NotOk;
            let spawner = FakeSpawner::with_births([birth.clone()]);
            let started = SimPool::try_start(lane, 1, &spawner).await;
            let error = started.err().map(|error| error.to_string());
            assert_eq!(error.is_none(), is_good, "{case}: {error:?}");
            assert!(error.is_none_or(|text| text.contains(reason)), "{case}");

            let spawner = FakeSpawner::with_births([birth.clone()]);
            let pool = SimPool::start(lane, 2, OnCancel::Drain, &spawner).await;
            // Two at a time need both workers, which is when V2 tries a slot again.
            let [one, other] = ["one", "other"].map(|id| pool.call(scripted(id, 300, Act::Reply)));
            let (one, other) = tokio::join!(one, other);
            assert!(is_own(&one, "one") && is_own(&other, "other"), "{case}: {one:?}, {other:?}");
            pool.settle(|status| status.ready == 2).await;
            assert_eq!(pool.status().start_failures, u64::from(!is_good), "{case}");
            assert_eq!(spawner.alive(), 2, "{case}: what was refused is reaped");
        }
    }
}

/// How many steps tokio lets a task take in one turn, before its own types say "would block".
const TURN: u32 = 128;

/// The future as its task polls it after all but `left` steps of each turn have been taken by
/// the task's other work, as by hundreds of calls that are joined in one task.
async fn with_turns_of<T>(left: u32, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(move |context| {
        for _ in left..TURN {
            let step = std::pin::pin!(tokio::task::coop::consume_budget());
            std::task::ready!(step.poll(context));
        }
        future.as_mut().poll(context)
    })
    .await
}

/// R2: a complete reply wins, also for a caller whose turn ends while it reads.
#[tokio::test(start_paused = true)]
async fn r2_a_caller_at_the_end_of_its_turn_still_sees_a_complete_reply() {
    for lane in [Lane::V2, Lane::V3] {
        for left in 1..=REPLY as u32 {
            let spawner = FakeSpawner::default();
            let pool = SimPool::start(lane, 1, OnCancel::Drain, &spawner).await;
            pool.call(scripted("first", 0, Act::Split { bytes: 1 })).await;
            let last = pool.call(scripted("struck", 1, Act::ReplyAndExit));
            let last = with_turns_of(left, last).await;
            assert_eq!(told(&last), OK, "{lane}, {left} steps left: {last:?}");
        }
    }
}

/// R1: "would block" is what the pipe says, not what is left of the caller's turn.
#[tokio::test]
async fn r1_a_pipe_is_not_quiet_because_its_readers_turn_is_over() {
    let (mut worker, reader) = tokio::io::duplex(64);
    worker.write_all(b"!").await.unwrap();
    assert!(!is_quiet_at_the_end_of_a_turn(reader).await, "in memory");

    let (reader, mut worker) = std::io::pipe().unwrap();
    let mut reader = PipeReader::new(reader.into()).unwrap();
    worker.write_all(b"?!").unwrap();
    // The runtime knows from now on that there is something to be read.
    assert_eq!(reader.read_u8().await.unwrap(), b'?');
    assert!(!is_quiet_at_the_end_of_a_turn(reader).await, "from the kernel");
}

async fn is_quiet_at_the_end_of_a_turn(reader: impl AsyncRead + Unpin) -> bool {
    let mut link = Link::new(reader, tokio::io::sink(), MAX_FRAME);
    while tokio::task::coop::has_budget_remaining() {
        tokio::task::coop::consume_budget().await;
    }
    link.is_quiet()
}
