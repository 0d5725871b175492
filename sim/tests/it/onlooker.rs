//! The shell rig's onlooker finds what it looks for, each by its law.

use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::machine::Sent;
use poolshift::router::policy::Reason;
use poolshift::{Class, Lane, Outcome, Ran, WorkerId};
use poolshift_sim::shell_rig::onlooker::Onlooker;
use poolshift_sim::trace::{CallNo, Event, ExitHow, Frame, Stamp, Watcher};

const CALL: CallNo = CallNo(7);
const OTHER: CallNo = CallNo(8);
const W: WorkerId = WorkerId { slot: 0, generation: 1 };
const DEADLINE: Moment = Moment::from_nanos(1_000_000);

type Told = (u64, Option<Lane>, Event);

fn submit(call: CallNo) -> Told {
    let (session, planned) = (None, Moment::ZERO);
    let (class, deadline) = (Class::Read, Some(DEADLINE));
    (0, None, Event::Submit { call, session, class, idempotent: true, deadline, planned })
}

fn executes(lane: Lane) -> Told {
    (1, Some(lane), Event::Executes { call: CALL, worker: W })
}

fn dispatch(at: u64) -> Told {
    (at, Some(Lane::V3), Event::Dispatch { call: CALL, worker: W, sent: Sent::All })
}

fn done(outcome: Outcome, ran: Ran, answer: Option<CallNo>) -> Told {
    (2, Some(Lane::V3), Event::Done { call: CALL, outcome, ran, worker: Some(W), answer })
}

fn config(epoch: u64, killed: bool) -> Told {
    (0, None, Event::Config { epoch, percents: [100_000; 3], killed })
}

fn of_worker(event: Event) -> Told {
    (3, Some(Lane::V3), event)
}

fn route(epoch: u64) -> Told {
    let (lane, reason) = (Lane::V3, Reason::Percent);
    (2, None, Event::Route { call: CALL, lane, epoch, reason, drawn: true, percent: 100_000 })
}

/// The laws that this trace is found to break.
fn broken(trace: &[Told]) -> Vec<&'static str> {
    let mut onlooker = Onlooker::default();
    for (seq, (at, lane, event)) in trace.iter().enumerate() {
        let stamp = Stamp { at: Moment::from_nanos(*at), seq: seq as u64, lane: *lane };
        onlooker.event(stamp, event);
    }
    onlooker.violations().iter().map(|broken| broken.law).collect()
}

#[test]
fn each_bad_trace_breaks_its_law() {
    let own = || done(Outcome::Ok, Ran::Yes, Some(CALL));
    let lost = || done(Outcome::WorkerLost, Ran::Maybe, None);
    let (start, reaped) = (Event::Start { worker: W }, Event::Reaped { worker: W });
    let exit = Event::Exit { worker: W, how: ExitHow::Status(0), holds_pipe: false };
    let frame = Frame::Reply { id: 2, nonce: Some(CALL) };
    let replies = Event::Writes { worker: W, frame };
    let late = (DEADLINE + Duration::from_millis(254)).as_nanos();
    let told_late = (late, Some(Lane::V3), lost().2);
    let table: [(&[&str], Vec<Told>); 20] = [
        (&[], vec![submit(CALL), dispatch(0), executes(Lane::V3), route(0), own()]),
        (
            &[],
            vec![of_worker(start), of_worker(exit), of_worker(reaped), of_worker(Event::Drained)],
        ),
        (&["S1"], vec![submit(CALL), submit(CALL)]),
        (&["S1"], vec![submit(CALL), lost(), lost()]),
        (&["S1"], vec![submit(CALL), lost(), (2, None, Event::Cancel { call: CALL })]),
        (&["S2"], vec![(2, None, Event::Cancel { call: CALL })]),
        (&["S2"], vec![dispatch(0)]),
        (&["S3"], vec![submit(CALL), executes(Lane::V3), done(Outcome::Ok, Ran::Yes, Some(OTHER))]),
        (&["S3"], vec![submit(CALL), executes(Lane::V3), done(Outcome::Ok, Ran::Yes, None)]),
        (&["S14"], vec![submit(CALL), own()]),
        (&["S14"], vec![submit(CALL), executes(Lane::V3), executes(Lane::V3), lost()]),
        (&["S14"], vec![submit(CALL), dispatch(0), dispatch(0)]),
        (&["S14"], vec![submit(CALL), executes(Lane::V3), done(Outcome::Draining, Ran::No, None)]),
        (&["S19"], vec![submit(CALL), executes(Lane::V3), of_worker(replies), lost()]),
        (&["S24"], vec![submit(CALL), executes(Lane::V2), lost()]),
        (&["S13"], vec![submit(CALL), dispatch(DEADLINE.as_nanos() + 1)]),
        (&["L1"], vec![submit(CALL), told_late]),
        (&["S23"], vec![config(2, true), submit(CALL), dispatch(0)]),
        (&["S23"], vec![config(2, false), submit(CALL), config(3, false), route(3)]),
        (&["S17", "S17"], vec![of_worker(start), of_worker(reaped), of_worker(start)]),
    ];
    for (laws, trace) in table {
        assert_eq!(broken(&trace), laws, "{trace:#?}");
    }
    assert_eq!(broken(&[of_worker(start), of_worker(Event::Drained)]), ["S17"]);
}
