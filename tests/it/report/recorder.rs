//! What is recorded of calls as they end.

use std::time::Duration;

use poolshift::report::kind::Span;
use poolshift::report::record::{MOST_MARKS, MOST_SLOWEST, MarkKind, RunRecord};
use poolshift::report::run::Run;
use poolshift::{Class, Lane, Outcome, WorkerId};

use super::{MS, Sketch, at, close, recorder};

fn record(run: &Run) -> &RunRecord {
    run.record.as_ref().unwrap()
}

#[test]
fn a_response_is_wait_and_service_and_lag_from_the_planned_arrival() {
    let mut recorder = recorder();
    let call = Sketch { lag: MS * 2, wait: MS * 30, ..Sketch::ok(Lane::V3, MS * 10, MS * 5) };
    call.told_to(&mut recorder);
    let run = close(recorder, 1.0);
    let max = |span| run.series(span, |_| true).max();
    let spans = [Span::Response, Span::Wait, Span::Service, Span::Lag];
    assert_eq!(spans.map(max), [MS * 37, MS * 30, MS * 5, MS * 2]);
    let slow = &record(&run).slowest[0];
    let times = [slow.planned_ms, slow.response_ms, slow.wait_ms, slow.service_ms, slow.lag_ms];
    assert_eq!(times, [10.0, 37.0, 30.0, 5.0, 2.0]);
}

#[test]
fn waiting_and_running_calls_add_up_at_each_slices_end() {
    let mut recorder = recorder();
    // One worker, a call each 100 ms that takes 250 ms: a line that grows.
    for n in 0..10 {
        let (planned, start) = (MS * 100 * n, MS * 250 * n);
        let wait = start.saturating_sub(planned);
        Sketch { wait, ..Sketch::ok(Lane::V2, planned, MS * 250) }.told_to(&mut recorder);
    }
    let refused =
        Sketch { outcome: Outcome::Rejected, service: None, ..Sketch::ok(Lane::V2, MS * 950, MS) };
    refused.told_to(&mut recorder);
    let run = close(recorder, 10.0);
    let flows = &record(&run).flows[&Lane::V2];
    assert_eq!(flows.iter().map(|flow| flow.arrived).sum::<u64>(), 11);
    assert_eq!(flows.iter().map(|flow| flow.finished).sum::<u64>(), 11);
    // At 1000 ms ten have come, of which 0 to 3 have begun and three are over.
    assert_eq!((flows[9].waiting, flows[9].running), (6, 1));
    let last = flows.last().unwrap();
    assert_eq!((last.waiting, last.running), (0, 0));
    let busy: f32 = record(&run).workers[0].busy.iter().sum();
    assert!((busy * 100.0 - 2500.0).abs() < 1.0, "one worker, busy all the time: {busy}");
}

#[test]
fn only_the_slowest_are_told_and_the_longest_comes_first() {
    let mut recorder = recorder();
    for n in 0..1000u32 {
        let millis = n.wrapping_mul(7919) % 1000;
        Sketch::ok(Lane::V3, MS * n, MS * millis).told_to(&mut recorder);
    }
    let run = close(recorder, 1000.0);
    let told: Vec<f64> = record(&run).slowest.iter().map(|call| call.response_ms).collect();
    let expected: Vec<f64> = (0..MOST_SLOWEST).map(|n| 999.0 - n as f64).collect();
    assert_eq!(told, expected);
}

#[test]
fn a_kill_lasts_until_its_slot_serves_again() {
    let mut recorder = recorder();
    Sketch::ok(Lane::V2, MS * 100, MS).told_to(&mut recorder);
    let dead = WorkerId { slot: 0, generation: 1 };
    recorder.kill(Lane::V2, dead, at(MS * 500));
    let worker = WorkerId { slot: 0, generation: 2 };
    let waits = Sketch { wait: MS * 130, worker, ..Sketch::ok(Lane::V2, MS * 520, MS) };
    waits.told_to(&mut recorder);
    Sketch { worker, ..Sketch::ok(Lane::V2, MS * 900, MS) }.told_to(&mut recorder);
    let run = close(recorder, 1.0);
    let kills: Vec<_> = record(&run).marks.iter().filter(|m| m.what == MarkKind::Kill).collect();
    assert_eq!(kills.len(), 1);
    assert_eq!((kills[0].from_ms, kills[0].until_ms), (500.0, 650.0));
    assert_eq!(record(&run).workers[0].lives.len(), 2);
}

#[test]
fn steps_follow_each_other_and_every_list_is_bounded() {
    let mut recorder = recorder();
    for n in 0..1000u32 {
        recorder.step(at(MS * n), format!("step {n}"));
        recorder.kill(Lane::V3, WorkerId { slot: n, generation: 1 }, at(MS * n));
        let worker = WorkerId { slot: n % 100, generation: n };
        Sketch { worker, ..Sketch::ok(Lane::V3, MS * n, MS) }.told_to(&mut recorder);
    }
    let run = close(recorder, 1000.0);
    let record = record(&run);
    assert_eq!(record.marks.len(), MOST_MARKS);
    assert_eq!(record.left_out.marks, 1800);
    assert_eq!((record.workers.len(), record.left_out.workers), (64, 36));
    let two = &record.marks[..2];
    assert_eq!((two[0].until_ms, two[1].from_ms), (1.0, 1.0));
    assert!(record.marks.iter().all(|mark| mark.until_ms <= record.lasted_s * 1e3 + 1e-6));
    assert!(run.slices.len() <= 120);
}

#[test]
fn a_call_that_is_alive_at_the_end_counts_as_long_as_it_lasted() {
    let mut recorder = recorder();
    Sketch::ok(Lane::V3, MS * 100, MS).told_to(&mut recorder);
    recorder.censor(Some(Lane::V3), Class::Write, at(MS * 200), at(Duration::from_secs(5)));
    let run = close(recorder, 1.0);
    assert_eq!(run.series(Span::Response, |_| true).max(), MS * 4800);
    let books = &record(&run).books;
    assert_eq!((books.submitted, books.censored), (2, 1));
    assert!(books.is_conserved());
    assert_eq!(run.lasted(), Duration::from_secs(5));
}
