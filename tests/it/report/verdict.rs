//! Whether a run's figures mean anything.

use std::time::Duration;

use poolshift::report::compare;
use poolshift::report::contrast::Contrast;
use poolshift::report::kind::Ending;
use poolshift::report::record::Load;
use poolshift::report::run::Run;
use poolshift::report::verdict::{Grade, Verdict};
use poolshift::{Class, Lane, Outcome};

use super::{MS, Sketch, at, close, jitter, recorder, steady};

fn worst(run: &Run) -> (Grade, String) {
    let verdict = Verdict::of(run);
    (verdict.grade, verdict.findings[0].text.clone())
}

#[test]
fn a_quiet_run_is_valid_and_says_what_it_achieved() {
    let run = steady(jitter);
    let verdict = Verdict::of(&run);
    assert_eq!((verdict.grade, verdict.is_saturated), (Grade::Good, false));
    assert_eq!(verdict.offered_per_s, Some(1000.0));
    assert!((verdict.achieved_per_s - 1000.0).abs() < 1.0, "{}", verdict.achieved_per_s);
}

#[test]
fn a_run_without_calls_is_not_called_valid() {
    let (grade, text) = worst(&close(recorder(), 1000.0));
    assert_eq!(grade, Grade::Invalid);
    assert!(text.contains("no call was made"), "{text}");
}

#[test]
fn a_generator_that_is_late_itself_makes_the_times_invalid() {
    let late = |lag: Duration, service: Duration| {
        let mut recorder = recorder();
        for n in 0..3000 {
            Sketch { lag, ..Sketch::ok(Lane::V3, MS * n, service) }.told_to(&mut recorder);
        }
        worst(&close(recorder, 1000.0))
    };
    let (grade, text) = late(MS * 5, MS);
    assert_eq!(grade, Grade::Invalid);
    assert!(text.contains("it was late itself"), "{text}");
    // Below a tenth of what is measured, or below what a scheduler does to anybody.
    assert_eq!(late(MS * 5, MS * 60).0, Grade::Good);
    assert_eq!(late(MS / 2, MS / 10).0, Grade::Good);
}

#[test]
fn a_few_very_slow_answers_do_not_hide_a_generator_that_is_late_for_most() {
    let mut recorder = recorder();
    for n in 0..3000 {
        let service = if n % 50 == 0 { MS * 900 } else { MS };
        Sketch { lag: MS * 3, ..Sketch::ok(Lane::V3, MS * n, service) }.told_to(&mut recorder);
    }
    let (grade, text) = worst(&close(recorder, 1000.0));
    assert!(grade == Grade::Invalid && text.contains("lag at p90 is 3."), "{text}");
}

#[test]
fn a_service_that_turns_calls_away_is_not_measured_by_a_closed_loop_either() {
    let with_rejected = |every: u32| {
        let mut recorder = recorder();
        for n in 0..1000 {
            let outcome = if n % every == 0 { Outcome::Rejected } else { Outcome::Ok };
            Sketch { outcome, ..Sketch::ok(Lane::V3, MS * n, MS) }.told_to(&mut recorder);
        }
        let mut run = close(recorder, 1000.0);
        run.record.as_mut().unwrap().load = Load::Closed { concurrency: 4 };
        (Verdict::of(&run).is_saturated, worst(&run))
    };
    let (is_saturated, (grade, text)) = with_rejected(50);
    assert!(is_saturated && grade == Grade::Invalid, "{text}");
    assert!(text.starts_with("saturated: 2.0 %") && text.contains("call less at once"), "{text}");
    let (is_saturated, (grade, text)) = with_rejected(200);
    assert!(!is_saturated && grade < Grade::Invalid, "{text}");
}

#[test]
fn a_backlog_that_grows_is_named_saturated_and_one_that_does_not_is_not() {
    let with_service = |service: Duration| {
        let mut recorder = recorder();
        let mut free = Duration::ZERO;
        for n in 0..4000 {
            let planned = MS * n;
            let start = free.max(planned);
            free = start + service;
            let wait = start - planned;
            Sketch { wait, ..Sketch::ok(Lane::V2, planned, service) }.told_to(&mut recorder);
        }
        let run = close(recorder, 1000.0);
        (Verdict::of(&run).is_saturated, worst(&run))
    };
    let (is_saturated, (grade, text)) = with_service(MS * 3 / 2);
    assert!(is_saturated && grade == Grade::Invalid, "{text}");
    assert!(text.starts_with("saturated: "), "{text}");
    let (is_saturated, (grade, text)) = with_service(MS * 19 / 20);
    assert!(!is_saturated && grade == Grade::Good, "{text}");
}

#[test]
fn a_run_too_short_to_show_a_backlog_is_not_said_to_have_kept_up() {
    let with_calls = |calls: u32| {
        let mut recorder = recorder();
        for n in 0..calls {
            let planned = MS * n;
            let wait = MS * 2000 - planned;
            Sketch { wait, ..Sketch::ok(Lane::V2, planned, MS) }.told_to(&mut recorder);
        }
        let run = close(recorder, 1000.0);
        (Verdict::of(&run).is_saturated, worst(&run))
    };
    let (is_saturated, (grade, text)) = with_calls(300);
    assert!(!is_saturated && grade == Grade::Note, "{text}");
    assert!(text.ends_with("answered, in a run too short to tell whether the service kept up"));
    // Long enough to tell: nothing was answered while calls arrived.
    assert!(with_calls(1500).0);
}

#[test]
fn calls_that_are_turned_away_are_saturation_too() {
    let mut recorder = recorder();
    for n in 0..3000 {
        let call = Sketch::ok(Lane::V3, MS * n, MS);
        let refused = Sketch { outcome: Outcome::Rejected, service: None, ..call };
        if n % 50 == 0 { refused } else { call }.told_to(&mut recorder);
    }
    let (grade, text) = worst(&close(recorder, 1000.0));
    assert_eq!(grade, Grade::Invalid);
    assert!(text.starts_with("saturated: 2.0 %"), "{text}");
}

#[test]
fn what_was_lost_fails_and_what_was_alive_is_said() {
    let mut lossy = steady(jitter);
    lossy.record.as_mut().unwrap().books.lost = 1;
    assert_eq!(worst(&lossy).0, Grade::Failed);
    let mut uneven = steady(jitter);
    uneven.record.as_mut().unwrap().books.submitted += 1;
    assert!(worst(&uneven).1.contains("IS NOT"), "{}", worst(&uneven).1);
    let mut recorder = recorder();
    Sketch::ok(Lane::V3, MS, MS).told_to(&mut recorder);
    recorder.censor(None, Class::Read, at(MS * 2), at(MS * 900));
    let (grade, text) = worst(&close(recorder, 1.0));
    assert!(grade == Grade::Note && text.contains("1 calls were alive"), "{text}");
}

#[test]
fn a_closed_loop_is_labelled() {
    let mut run = steady(jitter);
    run.record.as_mut().unwrap().load = Load::Closed { concurrency: 16 };
    let (grade, text) = worst(&run);
    assert!(grade == Grade::Note && text.starts_with("closed loop of 16 callers"), "{text}");
}

#[test]
fn a_clear_difference_has_an_interval_without_zero_and_the_same_has_one_with_it() {
    let run = steady(jitter);
    let lanes = compare::lanes(&run).unwrap();
    assert_eq!(lanes.quantiles.len(), 3, "1500 calls in each lane: up to p99");
    for quantile in &lanes.quantiles {
        let [low, high] = quantile.change_interval.unwrap();
        assert!(quantile.is_clear() && low <= quantile.change && quantile.change <= high);
        assert!((-0.55..-0.45).contains(&quantile.change), "V3 takes half of V2: {quantile:?}");
    }
    let other = steady(|n| jitter(n + 7777));
    for both in compare::runs(&run, &other) {
        assert!(both.quantiles.iter().all(|quantile| quantile.change.abs() < 0.1), "{both:?}");
    }
    let same = compare::runs(&run, &run);
    assert!(same.iter().flat_map(|both| &both.quantiles).all(|quantile| !quantile.is_clear()));
    let verdict = Verdict::of(&run);
    let same = Contrast::of((&run, &verdict), (&run, &verdict), Some(0.0));
    assert_eq!((same.word(), same.is_bad()), ("passed", false), "{same:?}");
}

/// The first second of 1000 calls, alternately in both lanes, each with this outcome in V3.
fn short(calls: u32, outcome: Outcome) -> Run {
    let mut recorder = recorder();
    for n in 0..calls {
        let lane = if n % 2 == 0 { Lane::V2 } else { Lane::V3 };
        let call = Sketch::ok(lane, MS * n, jitter(n));
        let outcome = if lane == Lane::V3 { outcome } else { Outcome::Ok };
        Sketch { outcome, ..call }.told_to(&mut recorder);
    }
    close(recorder, 1000.0)
}

fn gate(left: &Run, right: &Run) -> Vec<String> {
    let verdicts = [left, right].map(Verdict::of);
    Contrast::of((left, &verdicts[0]), (right, &verdicts[1]), Some(0.1)).regressions
}

#[test]
fn a_gate_does_not_pass_what_could_not_be_compared() {
    let good = short(1000, Outcome::Ok);
    assert_eq!(gate(&good, &good), [""; 0]);
    // A lane that answers nothing has no quantiles to be worse.
    let raising = gate(&good, &short(1000, Outcome::Raised));
    assert!(raising[0].contains("v3 calls without a good answer went from 0.0 to 100.0 %"));
    assert!(raising[1].contains("v3 has too few good answers to compare: 500 and 0"));
    let few = gate(&short(30, Outcome::Ok), &short(30, Outcome::Ok));
    assert_eq!(few.len(), 2, "{few:?}");
    let mut alone = recorder();
    for n in 0..1000 {
        Sketch::ok(Lane::V2, MS * n, jitter(n)).told_to(&mut alone);
    }
    let alone = gate(&good, &close(alone, 1000.0));
    assert!(alone.iter().any(|text| text == "v3 had calls in a test only"), "{alone:?}");
    // Half of the calls each are not a hundredth and the rest, though the runs' rates are equal.
    let is_load = |text: &String| text.starts_with("v2 had not the same load: 500.");
    assert!(alone.iter().any(is_load), "{alone:?}");
    let mut bare = good.clone();
    bare.record = None;
    assert!(
        gate(&good, &bare)[0].contains("does not say under which load"),
        "{:?}",
        gate(&good, &bare)
    );
}

#[test]
fn a_difference_in_runs_too_short_for_an_interval_is_not_called_clear() {
    let slow = |times: u32| {
        let mut recorder = recorder();
        for n in 0..1000 {
            Sketch::ok(Lane::V3, MS * n, jitter(n) * times).told_to(&mut recorder);
        }
        close(recorder, 1000.0)
    };
    let found = gate(&slow(1), &slow(2));
    assert!(found[0].contains("v3 p50 went from"), "{found:?}");
    assert!(found[0].ends_with("in runs too short to tell that from chance"), "{found:?}");
}

#[test]
fn what_was_refused_before_it_was_due_is_in_the_books_and_in_no_time() {
    let mut recorder = recorder();
    for n in 0..100 {
        Sketch::ok(Lane::V3, MS * 10 * n, MS).told_to(&mut recorder);
    }
    for _ in 0..900 {
        recorder.undue(Ending::Told(Outcome::Draining), at(MS * 1000));
    }
    let run = close(recorder, 100.0);
    let books = run.record.as_ref().unwrap().books.clone();
    assert!(books.is_conserved() && books.submitted == 1000 && books.measured() == 100);
    let verdict = Verdict::of(&run);
    assert_eq!(verdict.grade, Grade::Note);
    assert!(verdict.findings[0].text.contains("900 calls were refused before they were due"));
    assert!(verdict.achieved_per_s <= 100.0, "{}", verdict.achieved_per_s);
    assert_eq!(run.whole().len(), 1, "nothing of them is among the times");
}

#[test]
fn good_answers_that_no_worker_noted_fail_a_run() {
    let mut run = steady(jitter);
    run.record.as_mut().unwrap().books.unexecuted = 3;
    let (grade, text) = worst(&run);
    assert!(grade == Grade::Failed && text.contains("3 good answers are in no worker's"), "{text}");
}

#[test]
fn answers_a_second_are_of_those_that_a_worker_gave() {
    let mut recorder = recorder();
    for n in 0..1000 {
        let outcome = if n % 2 == 0 { Outcome::Ok } else { Outcome::Draining };
        Sketch { outcome, ..Sketch::ok(Lane::V3, MS * n, MS / 2) }.told_to(&mut recorder);
    }
    let verdict = Verdict::of(&close(recorder, 1000.0));
    assert!((verdict.achieved_per_s - 500.0).abs() < 1.0, "{}", verdict.achieved_per_s);
}
