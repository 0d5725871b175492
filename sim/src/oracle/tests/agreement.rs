//! Formula and solver against each other, against 40-digit arithmetic, and in their limits.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::super::birth_death::BirthDeath;
use super::super::erlang::{
    Service, erlang_a, erlang_b, erlang_c, expected, ln_erlang_b, mg1, mmc, mmc_wait_quantile,
    mmc_wait_tail, mmck,
};
use super::super::{Load, Measures, Queue};
use super::{gap, load, relative_gap, solved};

/// Two derivations, each good to about 1e-12 over the grid.
const AGREE: f64 = 1e-10;

fn seeded() -> ProptestConfig {
    ProptestConfig {
        cases: 512,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Up to 64 servers and this utilisation, in any unit of time.
fn loads(most: f64) -> impl Strategy<Value = Load> {
    (1_u32..=64, 0.01..=most, 0.01..100.0).prop_map(|(servers, rho, service_rate)| {
        load(servers, rho * f64::from(servers) * service_rate, service_rate)
    })
}

fn agree(formula: Measures, solved: Measures) -> Result<(), TestCaseError> {
    let (gap, name) = gap(formula, solved);
    prop_assert!(gap < AGREE, "{name} differs by {gap:e}: {formula:?} {solved:?}");
    Ok(())
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn an_endless_queue(load in loads(0.9)) {
        let formula = mmc(&load).unwrap();
        agree(formula, solved(load, None, None))?;
        let rho = load.offered() / f64::from(load.servers());
        prop_assert!(relative_gap(formula.utilisation, rho) < AGREE);
    }

    #[test]
    fn a_bounded_queue_under_any_load(load in loads(3.0), room in 0_u32..200) {
        let capacity = load.servers() + room;
        agree(mmck(&load, capacity).unwrap(), solved(load, Some(capacity), None))?;
    }

    #[test]
    fn impatient_calls_under_any_load(
        load in loads(3.0),
        patience in 0.01..100.0,
        room in proptest::option::of(0_u32..200),
    ) {
        let rate = load.service_rate() / patience;
        let capacity = room.map(|room| load.servers() + room);
        agree(erlang_a(&load, rate, capacity).unwrap(), solved(load, capacity, Some(rate)))?;
    }

    #[test]
    fn the_logarithm_of_erlang_b(servers in 0_u32..400, offered in 0.01..1000.0) {
        let probability = erlang_b(servers, offered).unwrap();
        let logarithm = ln_erlang_b(servers, offered).unwrap();
        prop_assert!(relative_gap(logarithm.exp(), probability) < AGREE);
    }

    #[test]
    fn quantile_and_tail_of_the_wait(load in loads(0.9), quantile in 0.0..0.9999) {
        let wait = mmc_wait_quantile(&load, quantile).unwrap();
        let tail = mmc_wait_tail(&load, wait).unwrap();
        let p_wait = mmc(&load).unwrap().p_wait;
        prop_assert!(relative_gap(tail, p_wait.min(1.0 - quantile)) < AGREE);
    }
}

/// Servers, arrival rate, service rate, capacity, abandon rate; then the measures in the order of
/// [`Measures::named`].
type Row = (u32, f64, f64, Option<u32>, Option<f64>, [f64; 7]);

/// By summing states in 40-digit arithmetic.
#[rustfmt::skip]
const EXACT: [Row; 7] = [
    (4, 3.2, 1.0, None, Some(0.5), [0.4434492315890888, 0.0, 0.09476929479180346,
        0.18953858958360692, 0.6065234866675422, 3.503261743333771, 0.7241845641665573]),
    (8, 12.0, 1.0, None, Some(0.25), [0.9953290029078151, 0.0, 0.3340559893975684,
        1.3362239575902737, 16.034687491083282, 24.026015618312464, 0.9989160159036474]),
    (64, 57.6, 1.0, Some(100), None, [0.30580481987734476, 0.0007043110977473126, 0.0,
        0.04381746090994044, 2.522108147670516, 60.08153982844027, 0.8993661200120274]),
    (3, 30.0, 1.0, Some(40), Some(2.0), [0.9999985710529842, 1.7882796250379263e-7,
        0.9000000329176038, 0.4500000164588019, 13.499998079586476, 16.49999655557465,
        0.9999994919960582]),
    (64, 5.0, 1.0, None, None, [3.122618533279425e-47, 0.0, 0.0, 5.292573785219364e-49,
        2.6462868926096822e-48, 5.0, 0.078125]),
    (2, 1.999, 1.0, None, Some(0.001), [0.9736205065767141, 0.0, 0.01709634313651004,
        17.096343136510036, 34.175589929883564, 36.140414339953686, 0.9824122050350582]),
    (16, 14.0, 2.0, None, None, [0.002574494924036448, 0.0, 0.0, 0.00014302749577980268,
        0.0020023849409172376, 7.002002384940917, 0.4375]),
];

#[test]
fn both_agree_with_long_arithmetic() {
    for (servers, arrivals, services, capacity, abandon_rate, exact) in EXACT {
        let queue = Queue::new(load(servers, arrivals, services), capacity, abandon_rate).unwrap();
        let formula = expected(&queue, Service::Exponential).unwrap();
        let solved = BirthDeath::solve(&queue).unwrap().measures();
        for measures in [formula, solved] {
            for ((name, value), exact) in measures.named().into_iter().zip(exact) {
                let gap = relative_gap(value, exact);
                assert!(gap < 1e-12, "{queue:?} {name}: {value} beside {exact}, {gap:e}");
            }
        }
    }
}

/// All of the range in which simulations are compared.
#[test]
fn the_whole_grid_up_to_64_servers() {
    for servers in 1..=64 {
        for tenths in 1..=9 {
            let load = load(servers, f64::from(servers * tenths) / 10.0, 1.0);
            let (room, impatient) = (Some(servers + 5), Some(0.5));
            let pairs = [
                (mmc(&load).unwrap(), solved(load, None, None)),
                (mmck(&load, servers).unwrap(), solved(load, Some(servers), None)),
                (mmck(&load, servers + 5).unwrap(), solved(load, room, None)),
                (erlang_a(&load, 0.5, None).unwrap(), solved(load, None, impatient)),
            ];
            for (formula, solved) in pairs {
                let (gap, name) = gap(formula, solved);
                assert!(gap < 1e-11, "{load:?}: {name} differs by {gap:e}");
            }
        }
    }
}

#[test]
fn one_server_is_the_textbook_queue() {
    for rho in [0.001, 0.1, 0.5, 0.8, 0.9, 0.99] {
        let load = load(1, rho, 1.0);
        let exact = Measures {
            p_wait: rho,
            p_block: 0.0,
            p_abandon: 0.0,
            mean_wait: rho / (1.0 - rho),
            lq: rho * rho / (1.0 - rho),
            mean_in_system: rho / (1.0 - rho),
            utilisation: rho,
        };
        for measures in [mmc(&load).unwrap(), mg1(&load, 1.0).unwrap(), solved(load, None, None)] {
            assert!(gap(measures, exact).0 < AGREE, "{measures:?} {exact:?}");
        }
        let queue = Queue::new(load, None, None).unwrap();
        let chain = BirthDeath::solve(&queue).unwrap();
        for (n, probability) in chain.probabilities().take(50).enumerate() {
            assert!(relative_gap(probability, (1.0 - rho) * rho.powf(n as f64)) < AGREE);
        }
        assert!((chain.probabilities().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}

/// If calls lose patience as fast as servers work, every call leaves at rate mu, waiting or
/// not: the number inside is Poisson with mean a.
#[test]
fn patience_as_long_as_service_gives_poisson() {
    for (servers, offered) in [(1, 0.5), (5, 5.0), (20, 40.0), (64, 57.6)] {
        let load = load(servers, offered, 1.0);
        for measures in [erlang_a(&load, 1.0, None).unwrap(), solved(load, None, Some(1.0))] {
            assert!(relative_gap(measures.mean_in_system, offered) < AGREE, "{measures:?}");
        }
        let chain = BirthDeath::solve(&Queue::new(load, None, Some(1.0)).unwrap()).unwrap();
        let mut poisson = (-offered).exp();
        for (n, probability) in chain.probabilities().take(60).enumerate() {
            assert!(relative_gap(probability, poisson) < AGREE, "{n}");
            poisson *= offered / (n as f64 + 1.0);
        }
    }
}

#[test]
fn patience_without_end_is_erlang_c_and_without_beginning_erlang_b() {
    let load = load(6, 4.8, 1.0);
    let patient = erlang_a(&load, 1e-9, None).unwrap();
    assert!(relative_gap(patient.p_wait, erlang_c(6, 4.8).unwrap()) < 1e-6);
    assert!(relative_gap(patient.lq, mmc(&load).unwrap().lq) < 1e-6);
    let hasty = erlang_a(&load, 1e9, None).unwrap();
    assert!(relative_gap(hasty.p_abandon, erlang_b(6, 4.8).unwrap()) < 1e-6);
}

#[test]
fn a_large_enough_room_is_endless_and_none_is_a_loss_system() {
    let load = load(6, 4.8, 1.0);
    let large = mmck(&load, 400).unwrap();
    assert!((0.0..1e-30).contains(&large.p_block), "{large:?}");
    assert!(gap(Measures { p_block: 0.0, ..large }, mmc(&load).unwrap()).0 < AGREE);
    let loss = mmck(&load, 6).unwrap();
    assert!(relative_gap(loss.p_block, erlang_b(6, 4.8).unwrap()) < AGREE);
    assert_eq!((loss.p_wait, loss.mean_wait, loss.lq), (0.0, 0.0, 0.0));
}

#[test]
fn extreme_loads_give_numbers() {
    for (servers, offered, capacity, abandon_rate) in [
        (1, 1e300, Some(1), None),
        (1, 1e-300, None, None),
        (1000, 1.0, Some(2000), None),
        (1000, 1.0, None, Some(0.1)),
        (1, 1000.0, Some(100_000), None),
        (10, 10_000.0, None, Some(0.1)),
        (100_000, 99_000.0, None, None),
    ] {
        let queue = Queue::new(load(servers, offered, 1.0), capacity, abandon_rate).unwrap();
        let formula = expected(&queue, Service::Exponential).unwrap();
        let solved = BirthDeath::solve(&queue).unwrap().measures();
        let (gap, name) = gap(formula, solved);
        assert!(gap < 1e-8, "{queue:?}: {name} differs by {gap:e}\n{formula:?}\n{solved:?}");
    }
}
