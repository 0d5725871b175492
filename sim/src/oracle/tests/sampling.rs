//! Batch means: whether their standard error tells the truth, and whether the rule of
//! acceptance tells right formulas from wrong ones.

use super::super::batch_means::{BATCHES, BatchMeans, BatchPlan, Estimate, Verdict};
use super::super::erlang::{Service, expected, mmc};
use super::super::{Load, Measures, Queue};
use super::draws::Draws;
use super::load;

/// A service law with mean 1.
type Law = fn(&mut Draws) -> f64;

const EXPONENTIAL: Law = |draws| draws.exponential(1.0);
const CONSTANT: Law = |_| 1.0;
/// CV² = 0.45: half of the calls take 0.33, half 1.67.
const BIMODAL: Law = |draws| if draws.below(2) == 0 { 0.33 } else { 1.67 };
const BIMODAL_CV2: f64 = 0.67 * 0.67;

/// One estimate for each of the seven measures, in the order of [`Measures::named`].
///
/// A first-come-first-served queue with mean service 1, call by call: whoever would wait longer
/// than its patience leaves, whoever finds `capacity` calls is turned away.
fn simulate(queue: &Queue, law: Law, calls: u64, seed: u64) -> [Estimate; 7] {
    let servers = queue.load().servers();
    let mut draws = Draws::new(seed);
    let plan = BatchPlan::new(calls, calls / 10).unwrap();
    let mut means = std::array::from_fn::<_, 7, _>(|_| BatchMeans::new(plan));
    let (mut free_at, mut leave_at) = (vec![0.0_f64; servers as usize], Vec::<f64>::new());
    let mut now = 0.0;
    for call in 0..calls {
        let gap = draws.exponential(1.0 / queue.load().arrival_rate());
        now += gap;
        leave_at.retain(|leaving| *leaving > now);
        let mut add = |measure: usize, value, weight| means[measure].add(call, value, weight);
        let blocked = queue.capacity().is_some_and(|most| leave_at.len() == most as usize);
        add(1, f64::from(u8::from(blocked)), 1.0);
        let (mut wait, mut work) = (0.0, 0.0);
        if !blocked {
            let server = free_at.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
            let offered_wait = (*server - now).max(0.0);
            let patience =
                queue.abandon_rate().map_or(f64::INFINITY, |rate| draws.exponential(1.0 / rate));
            let abandons = patience < offered_wait;
            wait = offered_wait.min(patience);
            if !abandons {
                work = law(&mut draws);
                *server = now + wait + work;
            }
            leave_at.push(now + wait + work);
            add(0, f64::from(u8::from(offered_wait > 0.0)), 1.0);
            add(2, f64::from(u8::from(abandons)), 1.0);
            add(3, wait, 1.0);
        }
        add(4, wait, gap);
        add(5, wait + work, gap);
        add(6, work / f64::from(servers), gap);
    }
    means.map(|means| means.estimate().unwrap())
}

fn verdicts(estimates: &[Estimate; 7], exact: Measures) -> Vec<(&'static str, Verdict)> {
    let pairs = estimates.iter().zip(exact.named());
    pairs.map(|(estimate, (name, exact))| (name, estimate.judge(exact))).collect()
}

fn queue(load: Load, capacity: Option<u32>, abandon_rate: Option<f64>) -> Queue {
    Queue::new(load, capacity, abandon_rate).unwrap()
}

/// Also that a formula for a load 10 % higher is told apart in at least one measure.
fn assert_agrees(load: Load, capacity: Option<u32>, abandon: Option<f64>, law: (Law, Service)) {
    let (law, service) = law;
    let right = queue(load, capacity, abandon);
    let estimates = simulate(&right, law, 400_000, 1);
    let exact = expected(&right, service).unwrap();
    for (name, verdict) in verdicts(&estimates, exact) {
        assert_eq!(verdict, Verdict::Agrees, "{name}: {estimates:?} beside {exact:?}");
    }
    let higher = Load::new(load.servers(), load.arrival_rate() * 1.1, 1.0).unwrap();
    let wrong = expected(&queue(higher, capacity, abandon), service).unwrap();
    let differs = |(_, verdict)| verdict == Verdict::Differs;
    assert!(verdicts(&estimates, wrong).into_iter().any(differs), "{wrong:?}");
}

#[test]
fn exponential_service_obeys_the_erlang_formulas() {
    let exponential = (EXPONENTIAL, Service::Exponential);
    assert_agrees(load(1, 0.7, 1.0), None, None, exponential);
    assert_agrees(load(4, 3.0, 1.0), None, None, exponential);
    assert_agrees(load(3, 2.7, 1.0), Some(7), None, exponential);
    assert_agrees(load(4, 5.0, 1.0), None, Some(0.5), exponential);
    assert_agrees(load(4, 5.0, 1.0), Some(9), Some(0.5), exponential);
}

#[test]
fn one_server_obeys_pollaczek_and_khinchine() {
    let one = load(1, 0.7, 1.0);
    assert_agrees(one, None, None, (CONSTANT, Service::General { cv2: 0.0 }));
    assert_agrees(one, None, None, (BIMODAL, Service::General { cv2: BIMODAL_CV2 }));
}

#[test]
fn blocking_is_insensitive_to_the_service_law() {
    let loss = load(5, 4.0, 1.0);
    assert_agrees(loss, Some(5), None, (CONSTANT, Service::General { cv2: 0.0 }));
    assert_agrees(loss, Some(5), None, (BIMODAL, Service::General { cv2: BIMODAL_CV2 }));
    assert_agrees(loss, Some(5), None, (EXPONENTIAL, Service::Exponential));
}

/// Student's t with 29 degrees of freedom leaves 5.5 % outside two standard errors. Plain
/// standard errors of successive waits would leave about half outside.
#[test]
fn the_standard_error_tells_the_truth() {
    const RUNS: u64 = 400;
    let right = queue(load(1, 0.5, 1.0), None, None);
    let exact = mmc(right.load()).unwrap().named();
    let mut outside = [0; 7];
    for seed in 0..RUNS {
        let estimates = simulate(&right, EXPONENTIAL, 10_000, seed);
        for (measure, estimate) in estimates.iter().enumerate() {
            let error = (estimate.mean - exact[measure].1).abs();
            outside[measure] += u64::from(error > 2.0 * estimate.standard_error);
        }
    }
    for ((name, exact), outside) in exact.into_iter().zip(outside) {
        let share = outside as f64 / RUNS as f64;
        if exact > 0.0 {
            assert!((0.02..0.10).contains(&share), "{name}: {share} outside two standard errors");
        }
    }
}

#[test]
fn the_warm_up_is_cut_and_batches_are_equal() {
    let plan = BatchPlan::new(1000, 95).unwrap();
    assert_eq!(plan.warm_up(), 100);
    let batches: Vec<Option<usize>> = (0..1000).map(|call| plan.batch(call)).collect();
    assert!(batches[..100].iter().all(Option::is_none));
    for batch in 0..BATCHES as usize {
        assert_eq!(batches.iter().filter(|found| **found == Some(batch)).count(), 30);
    }
    assert!(batches.is_sorted());

    let mut means = BatchMeans::new(plan);
    assert!(means.estimate().is_err(), "nothing was measured yet");
    (0..100).for_each(|call| means.add(call, 1e9, 1.0));
    assert!(means.estimate().is_err(), "only the warm-up was measured");
    (100..1000).rev().for_each(|call| means.add(call, 2.0, 1.0));
    assert_eq!(means.estimate(), Ok(Estimate { mean: 2.0, standard_error: 0.0 }));
}

/// Batches 0 to 29, one call each: mean 14.5, variance 77.5, so 77.5/30 is the error squared.
#[test]
fn the_standard_error_of_known_batches() {
    let mut means = BatchMeans::new(BatchPlan::new(30, 0).unwrap());
    (0..30).for_each(|call| means.add(call, call as f64, 1.0));
    let Estimate { mean, standard_error } = means.estimate().unwrap();
    assert_eq!(mean, 14.5);
    assert!((standard_error - (77.5_f64 / 30.0).sqrt()).abs() < 1e-12);
}

/// Batches of unlike weight that agree on the ratio leave nothing to doubt.
#[test]
fn weights_are_no_noise() {
    let mut means = BatchMeans::new(BatchPlan::new(30, 0).unwrap());
    (0..30).for_each(|call| means.add(call, 2.0 * call as f64, call as f64));
    assert_eq!(means.estimate(), Ok(Estimate { mean: 2.0, standard_error: 0.0 }));
}

#[test]
#[should_panic(expected = "call 30 of a run planned for 30 calls")]
fn a_call_beyond_the_plan_is_a_bug_of_the_caller() {
    BatchMeans::new(BatchPlan::new(30, 0).unwrap()).add(30, 1.0, 1.0);
}

#[test]
fn the_rule_of_acceptance() {
    let judge = |mean, standard_error, exact| Estimate { mean, standard_error }.judge(exact);
    assert_eq!(judge(1.11, 0.03, 1.0), Verdict::Agrees);
    assert_eq!(judge(1.13, 0.03, 1.0), Verdict::Differs);
    assert_eq!(judge(0.87, 0.03, 1.0), Verdict::Differs);
    assert_eq!(judge(1.01, 0.031, 1.0), Verdict::TooNoisy);
    assert_eq!(judge(0.0, 0.0, 0.0), Verdict::Agrees);
    assert_eq!(judge(1e-9, 0.0, 0.0), Verdict::Differs);
    for none in [(f64::NAN, 0.01, 1.0), (1.0, f64::NAN, 1.0), (1.0, 0.01, f64::NAN)] {
        assert_ne!(judge(none.0, none.1, none.2), Verdict::Agrees);
    }
}
