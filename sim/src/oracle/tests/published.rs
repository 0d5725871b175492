//! Every published figure that we know of, to its last printed digit, by both derivations.

use super::super::birth_death::BirthDeath;
use super::super::erlang::{
    erlang_b, erlang_c, ln_erlang_b, mg1, mmc, mmc_wait_quantile, mmc_wait_tail, mmck,
};
use super::super::{Measures, Queue};
use super::{load, solved};

fn assert_prints(value: f64, printed: &str) {
    let decimals = printed.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    assert_eq!(format!("{value:.decimals$}"), printed, "{value:?}");
}

/// Each figure in each print, by formula and by the solver.
fn assert_all_print(values: [f64; 2], prints: &[&str]) {
    values.iter().for_each(|value| prints.iter().for_each(|print| assert_prints(*value, print)));
}

fn b(servers: u32, offered: f64) -> [f64; 2] {
    let solved = solved(load(servers, offered, 1.0), Some(servers), None).p_block;
    [erlang_b(servers, offered).unwrap(), solved]
}

fn ln_b(servers: u32, offered: f64) -> [f64; 2] {
    let queue = Queue::new(load(servers, offered, 1.0), Some(servers), None).unwrap();
    let solved = BirthDeath::solve(&queue).unwrap().ln_probability(servers).unwrap();
    [ln_erlang_b(servers, offered).unwrap(), solved]
}

fn c(servers: u32, offered: f64) -> [f64; 2] {
    let solved = solved(load(servers, offered, 1.0), None, None).p_wait;
    [erlang_c(servers, offered).unwrap(), solved]
}

#[test]
fn erlang_b_of_manuals_and_unit_tests() {
    assert_all_print(b(15, 8.108), &["0.01", "0.00999963"]);
    // Printed as 33.333, reckoned with 33.333…; 33.333 itself gives 0.00965286 and 0.01315851.
    assert_all_print(b(45, 100.0 / 3.0), &["0.00965402"]);
    assert_all_print(b(44, 100.0 / 3.0), &["0.01315997"]);
    for offered in [33.333, 100.0 / 3.0] {
        let least = (0..100).find(|servers| erlang_b(*servers, offered).unwrap() <= 0.01);
        assert_eq!(least, Some(45));
    }
    assert_all_print(b(30, 25.0), &["0.05", "0.05260317"]);
    assert_all_print(b(10, 20.0), &["0.5379631686"]);
    // Where a public implementation expects 0.012.
    assert_all_print(b(200, 180.0), &["0.0103"]);
}

#[test]
fn the_logarithm_of_erlang_b_where_the_probability_is_small_or_the_servers_many() {
    assert_all_print(ln_b(100, 120.0), &["-1.62826407041"]);
    assert_all_print(ln_b(10_000, 12_000.0), &["-1.78927734649"]);
    assert_all_print(ln_b(100, 20.0), &["-84.1661482002"]);
    // Printed as -0.01004931575: cut off after that digit, not rounded to it.
    assert_all_print(ln_b(100, 10_000.0), &["-0.010049315758"]);
    // 40-digit arithmetic; the probability itself is no f64.
    assert_all_print(ln_b(1000, 1.0), &["-5913.1281784882"]);
    assert_all_print(ln_b(100_000, 100_000.0), &["-5.98393559154"]);
}

#[test]
fn erlang_c_of_textbooks_and_tables() {
    assert_all_print(c(2, 1.0), &["0.333333333333"]);
    assert_all_print(c(3, 2.0), &["0.444444444444"]);
    assert_all_print(c(8, 3.87), &["0.05", "0.05008513"]);
    assert_all_print(c(10, 4.08), &["0.01", "0.01005175"]);
    assert_all_print(c(10, 6.0), &["0.10", "0.10129924"]);
    // Where a public implementation expects 0.261.
    assert_all_print(c(25, 20.0), &["0.2091"]);
}

#[test]
fn two_and_four_servers_of_the_eth_slides() {
    let figures = [
        (2, ["7.674", "7.673684"], ["1.053", "1.052632"]),
        (4, ["0.105", "0.105164"], ["0.212", "0.211685"]),
    ];
    for (servers, lq, response) in figures {
        let load = load(servers, 9.0, 5.0);
        let both = [mmc(&load).unwrap(), solved(load, None, None)];
        assert_all_print(both.map(|measures| measures.lq), &lq);
        assert_all_print(both.map(|measures| measures.mean_wait + 1.0 / 5.0), &response);
    }
}

#[test]
fn three_servers_and_room_for_seven() {
    let load = load(3, 40.0, 30.0);
    let both = [mmck(&load, 7).unwrap(), solved(load, Some(7), None)];
    let response = |measures: Measures| measures.mean_wait + 1.0 / 30.0;
    assert_all_print(both.map(response), &["0.036517"]);

    let queue = Queue::new(load, Some(7), None).unwrap();
    let empty = BirthDeath::solve(&queue).unwrap().ln_probability(0).unwrap().exp();
    // By formula: p(0) = p(K) c! c^(K-c) / a^K.
    let by_formula = both[0].p_block * 6.0 * 81.0 / (4.0_f64 / 3.0).powi(7);
    assert_all_print([by_formula, empty], &["0.255037"]);
}

#[test]
fn one_server_at_full_load_is_half_full() {
    for capacity in [1, 2, 3, 10, 99, 1000] {
        let load = load(1, 7.0, 7.0);
        let (full, room) = (1.0 / (f64::from(capacity) + 1.0), f64::from(capacity));
        for measures in [mmck(&load, capacity).unwrap(), solved(load, Some(capacity), None)] {
            assert_prints(measures.p_block, &format!("{full:.12}"));
            assert_prints(measures.mean_in_system, &format!("{:.9}", room / 2.0));
        }
    }
}

#[test]
fn one_server_with_any_service_law() {
    let load = load(1, 0.8, 1.0);
    for (cv2, wait) in [(0.0, "2"), (0.5, "3"), (1.0, "4"), (4.0, "10")] {
        let measures = mg1(&load, cv2).unwrap();
        assert_prints(measures.mean_wait, &format!("{wait}.000000000000"));
        assert_prints(1.0 - measures.p_wait, "0.200000000000");
    }
    assert_prints(solved(load, None, None).mean_wait, "4.000000000000");
}

#[test]
fn what_leaving_affine_queues_for_a_shared_one_gains() {
    let affine = load(1, 0.8, 1.0);
    let p99 = |load| mmc_wait_quantile(&load, 0.99).unwrap();
    assert_prints(mmc(&affine).unwrap().mean_wait, "4.0");
    assert_prints(p99(affine), "21.9");
    let gains = [(4, "0.7455", "5.4", "5.11"), (8, "0.2860", "14", "2.39")];
    for (servers, wait, gain, shared_p99) in gains {
        let shared = load(servers, 0.8 * f64::from(servers), 1.0);
        let both = [mmc(&shared).unwrap(), solved(shared, None, None)];
        assert_all_print(both.map(|measures| measures.mean_wait), &[wait]);
        assert_all_print(both.map(|measures| 4.0 / measures.mean_wait), &[gain]);
        assert_prints(p99(shared), shared_p99);
        // The quantile is where the tail is what it leaves over.
        assert_prints(mmc_wait_tail(&shared, p99(shared)).unwrap(), "0.010000000000");
    }
}
