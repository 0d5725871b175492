//! The shell rig's onlooker finds what it looks for, each by its law.

use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::machine::Sent;
use poolshift::meter::MeterSnapshot;
use poolshift::router::policy::Reason;
use poolshift::{Class, Lane, Outcome, PoolStatus, Ran, WorkerId};
use poolshift_sim::options::Options;
use poolshift_sim::shell_rig::onlooker::{Figures, Onlooker};
use poolshift_sim::trace::{CallNo, Closing, Event, ExitHow, Frame, LaneClosing, Stamp, Watcher};

const CALL: CallNo = CallNo(7);
const OTHER: CallNo = CallNo(8);
const W: WorkerId = WorkerId { slot: 0, generation: 1 };
const SLACK: Duration = Duration::from_secs(2);
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
    told(Onlooker::default(), trace).violations().iter().map(|broken| broken.law).collect()
}

/// The same of a trace of many threads and processes.
fn broken_in_real_time(trace: &[Told]) -> Vec<&'static str> {
    let onlooker = told(Onlooker::of_real_time(SLACK), trace);
    onlooker.violations().iter().map(|broken| broken.law).collect()
}

fn told(mut onlooker: Onlooker, trace: &[Told]) -> Onlooker {
    for (seq, (at, lane, event)) in trace.iter().enumerate() {
        let stamp = Stamp { at: Moment::from_nanos(*at), seq: seq as u64, lane: *lane };
        onlooker.event(stamp, event);
    }
    onlooker
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
    let unrun = || done(Outcome::Rejected, Ran::No, None);
    let table: [(&[&str], Vec<Told>); 22] = [
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
        (&["S14"], vec![submit(CALL), unrun(), executes(Lane::V3)]),
        (&["S23"], vec![config(2, true), submit(CALL), route(2)]),
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

#[test]
fn in_real_time_orders_are_looser_and_nothing_else_is() {
    let raced = vec![config(2, false), submit(CALL), config(3, false), route(3)];
    assert_eq!(broken_in_real_time(&raced), [""; 0]);
    let unkilled = vec![config(2, true), submit(CALL), config(3, false), route(3)];
    assert_eq!(broken_in_real_time(&unkilled), [""; 0]);
    let old = vec![config(2, false), config(3, false), submit(CALL), route(2)];
    assert_eq!(broken_in_real_time(&old), ["S23"]);
    let killed = vec![config(2, true), submit(CALL), route(2)];
    assert_eq!(broken_in_real_time(&killed), ["S23"]);
    let lost = done(Outcome::WorkerLost, Ran::Maybe, None).2;
    let told_at = |after: Duration| ((DEADLINE + after).as_nanos(), Some(Lane::V3), lost);
    let late = Duration::from_millis(254);
    let in_time = told_at(SLACK);
    assert_eq!(broken_in_real_time(&[submit(CALL), in_time]), [""; 0]);
    assert_eq!(broken_in_real_time(&[submit(CALL), told_at(SLACK + late)]), ["L1"]);
}

/// What is forgotten is not forgiven: the memory of a run is bounded, its laws are not.
#[test]
fn a_call_is_forgotten_a_minute_after_its_end_and_may_not_be_executed_then() {
    let lost = done(Outcome::WorkerLost, Ran::Maybe, None);
    let executed_at =
        |seconds: u64| (seconds * 1_000_000_000, Some(Lane::V3), executes(Lane::V3).2);
    let trace = |at| [submit(CALL), lost, executed_at(at)];
    assert_eq!(broken(&trace(60)), [""; 0]);
    assert_eq!(broken(&trace(61)), ["S2"]);
}

/// The judge lives in the process that it judges: twice the calls must not look like a leak.
#[test]
fn in_real_time_the_calls_that_are_remembered_are_bounded_by_the_workers_too() {
    const REMEMBERED: u64 = 2 * 2048;
    let mut options = Options::default();
    options.lanes.iter_mut().for_each(|lane| lane.terms.size = 1);
    let ground = options.ground(1);
    let broken = |onlooker: Onlooker, newer: u64| {
        let mut onlooker = onlooker;
        onlooker.begin(&ground);
        let left = |call| (2, None, Event::Cancel { call });
        let newer = (100..100 + newer).map(CallNo).flat_map(|call| [submit(call), left(call)]);
        let lost = [submit(CALL), done(Outcome::WorkerLost, Ran::Maybe, None)];
        let trace: Vec<Told> = lost.into_iter().chain(newer).chain([executes(Lane::V3)]).collect();
        let onlooker = told(onlooker, &trace);
        onlooker.violations().iter().map(|broken| broken.law).collect::<Vec<_>>()
    };
    let in_real_time = || Onlooker::of_real_time(SLACK);
    assert_eq!(broken(in_real_time(), REMEMBERED - 1), [""; 0]);
    assert_eq!(broken(in_real_time(), REMEMBERED), ["S2"]);
    assert_eq!(broken(Onlooker::default(), REMEMBERED), [""; 0], "the rig's runs are short");
}

#[test]
fn r18_the_figures_are_counts_of_calls() {
    let own = done(Outcome::Ok, Ran::Yes, Some(CALL));
    let figures = |trace: &[Told]| {
        let mut onlooker = told(Onlooker::default(), trace);
        let lanes = [(); 2].map(|()| LaneClosing {
            status: PoolStatus::default(),
            meter: MeterSnapshot::default(),
            processes: 0,
        });
        onlooker.end(&Closing { at: Moment::ZERO, lanes });
        let Figures { lost, duplicated, cross_talk } = onlooker.figures();
        [lost, duplicated, cross_talk]
    };
    let runs = || executes(Lane::V3);
    assert_eq!(figures(&[submit(CALL), runs(), own]), [0, 0, 0]);
    assert_eq!(figures(&[submit(CALL), submit(OTHER), runs(), own]), [1, 0, 0]);
    assert_eq!(figures(&[submit(CALL), runs(), runs(), own]), [0, 1, 0]);
    assert_eq!(figures(&[submit(CALL), runs(), own, own]), [0, 1, 0]);
    let crossed = done(Outcome::Ok, Ran::Yes, Some(OTHER));
    assert_eq!(figures(&[submit(CALL), runs(), crossed]), [0, 0, 1]);
    let unasked = done(Outcome::WorkerLost, Ran::Maybe, Some(CALL));
    assert_eq!(figures(&[submit(CALL), runs(), unasked]), [0, 0, 1]);
}
