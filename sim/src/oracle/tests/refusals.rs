//! Questions without an answer get an error that says why, never a number that is none.

use super::super::batch_means::BatchPlan;
use super::super::birth_death::BirthDeath;
use super::super::erlang::{
    Service, erlang_a, erlang_b, erlang_c, expected, ln_erlang_b, mg1, mmc, mmc_wait_quantile,
    mmc_wait_tail, mmck,
};
use super::super::queue::MAX_STATES;
use super::super::{Load, OracleError, Queue};
use super::load;

#[test]
fn no_steady_state_at_or_above_full_load() {
    for offered in [2.0, 2.5] {
        let full = load(2, offered, 1.0);
        let unstable = OracleError::Unstable { offered, servers: 2 };
        assert_eq!(Queue::new(full, None, None), Err(unstable.clone()));
        assert_eq!(mmc(&full), Err(unstable.clone()));
        assert_eq!(erlang_c(2, offered), Err(unstable.clone()));
        assert_eq!(mmc_wait_quantile(&full, 0.5), Err(unstable.clone()));
        assert_eq!(mmc_wait_tail(&full, 1.0), Err(unstable));
        assert!(Queue::new(full, Some(2), None).is_ok());
        assert!(Queue::new(full, None, Some(0.1)).is_ok());
    }
    let full = mg1(&load(1, 1.0, 1.0), 0.0);
    assert_eq!(full, Err(OracleError::Unstable { offered: 1.0, servers: 1 }));
}

#[test]
fn a_number_outside_its_range_is_named() {
    let named = |error: OracleError| match error {
        OracleError::OutOfRange { name, .. } => name,
        other => panic!("{other}"),
    };
    let steady = load(2, 1.0, 1.0);
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(named(Load::new(1, bad, 1.0).unwrap_err()), "arrival rate");
        assert_eq!(named(Load::new(1, 1.0, bad).unwrap_err()), "service rate");
        assert_eq!(named(Queue::new(steady, None, Some(bad)).unwrap_err()), "abandon rate");
        assert_eq!(named(erlang_a(&steady, bad, None).unwrap_err()), "abandon rate");
        assert_eq!(named(erlang_b(1, bad).unwrap_err()), "offered load");
        assert_eq!(named(ln_erlang_b(1, bad).unwrap_err()), "offered load");
    }
    for bad in [-0.1, 1.0, f64::NAN] {
        assert_eq!(named(mmc_wait_quantile(&steady, bad).unwrap_err()), "quantile");
    }
    for bad in [-0.1, f64::NAN, f64::INFINITY] {
        assert_eq!(named(mmc_wait_tail(&steady, bad).unwrap_err()), "wait");
        assert_eq!(named(mg1(&load(1, 0.5, 1.0), bad).unwrap_err()), "cv²");
    }
    assert_eq!(named(Load::new(0, 1.0, 1.0).unwrap_err()), "servers");
    assert_eq!(named(erlang_b(1_000_001, 1.0).unwrap_err()), "servers");
    assert!(Load::new(1, 1e300, 1e-300).is_err(), "an offered load that is no number");
    for bad in [1, MAX_STATES + 1] {
        assert_eq!(named(mmck(&steady, bad).unwrap_err()), "capacity");
    }
    assert_eq!(named(BatchPlan::new(129, 100).unwrap_err()), "calls");
    assert_eq!(named(BatchPlan::new(10, 100).unwrap_err()), "calls");
}

#[test]
fn states_without_end_are_refused() {
    let too_many = OracleError::TooManyStates { limit: MAX_STATES };
    let nearly_full = Queue::new(load(1, 1.0 - 1e-9, 1.0), None, None).unwrap();
    assert_eq!(BirthDeath::solve(&nearly_full), Err(too_many.clone()));
    let patient = Queue::new(load(1, 2.0, 1.0), None, Some(1e-9)).unwrap();
    assert_eq!(BirthDeath::solve(&patient), Err(too_many.clone()));
    assert_eq!(erlang_a(&load(1, 2.0, 1.0), 1e-9, None), Err(too_many));
}

#[test]
fn an_approximation_is_not_offered() {
    let constant = Service::General { cv2: 0.0 };
    let ask = |servers, capacity, abandon_rate| {
        let queue = Queue::new(load(servers, 0.5, 1.0), capacity, abandon_rate).unwrap();
        expected(&queue, constant)
    };
    let refused = |servers| Err(OracleError::NoExactFormula { servers });
    assert_eq!(ask(2, None, None), refused(2));
    assert_eq!(ask(2, Some(3), None), refused(2));
    assert_eq!(ask(1, Some(3), None), refused(1));
    assert_eq!(ask(1, None, Some(1.0)), refused(1));
    assert_eq!(mg1(&load(2, 0.5, 1.0), 0.0), refused(2));
    assert_eq!(ask(1, None, None), mg1(&load(1, 0.5, 1.0), 0.0));
    assert_eq!(ask(2, Some(2), Some(1.0)), mmck(&load(2, 0.5, 1.0), 2));
}
