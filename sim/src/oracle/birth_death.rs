//! A queue as a birth-death process, solved state by state.
//!
//! It shares no formula with [`erlang`](super::erlang): that two derivations agree is what lets
//! us trust either. Erlang's loss and delay systems, M/M/c/K and Erlang-A are all the same chain
//! with another end: births at lambda, deaths from state n at min(n,c) mu + max(n-c,0) theta.

use super::error::OracleError;
use super::queue::{MAX_STATES, Measures, Queue};

/// The share of the queue's mean length that an endless chain may be cut short by.
const CUT: f64 = f64::EPSILON / 16.0;

/// The stationary distribution of the number of calls in a [`Queue`] with exponential service.
#[derive(Clone, Debug, PartialEq)]
pub struct BirthDeath {
    queue: Queue,
    /// By state, from the empty queue upwards; normalised.
    ln_probabilities: Vec<f64>,
}

impl BirthDeath {
    /// Solves p(n) lambda = p(n+1) death(n+1), the cut between n and n+1 (Kleinrock 1975, 3.1).
    ///
    /// Logarithms are summed outwards from the most likely state, so that the states that
    /// matter carry the smallest rounding errors. An endless chain is cut where its rest no
    /// longer shows in the mean queue length.
    ///
    /// # Errors
    /// [`OracleError::TooManyStates`] if more than [`MAX_STATES`] states are needed.
    pub fn solve(queue: &Queue) -> Result<Self, OracleError> {
        let mode = mode(queue)?;
        // Towards the empty queue, from the mode.
        let mut ln_weights = vec![0.0; mode + 1];
        for n in (0..mode).rev() {
            ln_weights[n] = ln_weights[n + 1] - ln_step(queue, n);
        }
        // Away from it, until the last state or the cut.
        let (mut ln_weight, mut queue_length, mut n) = (0.0, 0.0, mode);
        while !is_last(queue, n) {
            ln_weight += ln_step(queue, n);
            n += 1;
            if n > MAX_STATES as usize {
                return Err(OracleError::TooManyStates { limit: MAX_STATES });
            }
            ln_weights.push(ln_weight);
            let waiting = n.saturating_sub(queue.load().servers() as usize) as f64;
            let moment = waiting * f64::exp(ln_weight);
            queue_length += moment;
            // Steps only get steeper, so the rest is below a geometric series.
            let ratio = ln_step(queue, n).exp();
            let rest = 2.0 * moment * ratio / (1.0 - ratio).powi(2);
            let negligible = waiting > 0.0 && ratio < 1.0 && rest <= queue_length * CUT;
            if queue.capacity().is_none() && negligible {
                break;
            }
        }
        let total: f64 = ln_weights.iter().map(|weight| weight.exp()).sum();
        let ln_total = total.ln();
        ln_weights.iter_mut().for_each(|weight| *weight -= ln_total);
        Ok(Self { queue: *queue, ln_probabilities: ln_weights })
    }

    /// The long-run share of time with n calls in the system, for n from 0. The last is that
    /// of K, or where an endless chain was cut; below 1e-308 they are 0.
    pub fn probabilities(&self) -> impl ExactSizeIterator<Item = f64> {
        self.ln_probabilities.iter().map(|ln| ln.exp())
    }

    /// The natural logarithm of the probability of `state` calls in the system; `None` beyond K,
    /// or beyond the cut of an endless chain.
    #[must_use]
    pub fn ln_probability(&self, state: u32) -> Option<f64> {
        self.ln_probabilities.get(state as usize).copied()
    }

    /// The averages over all states, each as its definition says; arrivals see time averages
    /// (PASTA, Wolff 1982). Only `mean_wait` leans on a law, Little's.
    #[must_use]
    pub fn measures(&self) -> Measures {
        let load = self.queue.load();
        let servers = f64::from(load.servers());
        let theta = self.queue.abandon_rate().unwrap_or(0.0);
        let (mut free, mut queueing, mut full) = (0.0, 0.0, 0.0);
        let (mut lq, mut busy, mut mean_in_system) = (0.0, 0.0, 0.0);
        for (state, probability) in self.probabilities().enumerate() {
            let calls = state as f64;
            if self.queue.capacity().is_some_and(|capacity| capacity as usize == state) {
                full += probability;
            } else if calls < servers {
                free += probability;
            } else {
                queueing += probability;
            }
            lq += (calls - servers).max(0.0) * probability;
            busy += calls.min(servers) * probability;
            mean_in_system += calls * probability;
        }
        let admitted = free + queueing;
        let admitted_rate = load.arrival_rate() * admitted;
        Measures {
            p_wait: queueing / admitted,
            p_block: full,
            p_abandon: theta * lq / admitted_rate,
            mean_wait: lq / admitted_rate,
            lq,
            mean_in_system,
            utilisation: busy / servers,
        }
    }
}

/// The most likely state: the first that is left downwards at least as fast as upwards.
fn mode(queue: &Queue) -> Result<usize, OracleError> {
    (0..=MAX_STATES as usize)
        .find(|&n| is_last(queue, n) || ln_step(queue, n) <= 0.0)
        .ok_or(OracleError::TooManyStates { limit: MAX_STATES })
}

fn is_last(queue: &Queue, state: usize) -> bool {
    queue.capacity().is_some_and(|capacity| capacity as usize == state)
}

/// ln(p(n+1) / p(n)).
fn ln_step(queue: &Queue, state: usize) -> f64 {
    let load = queue.load();
    let (next, servers) = ((state + 1) as f64, f64::from(load.servers()));
    let theta = queue.abandon_rate().unwrap_or(0.0);
    let death = next.min(servers) * load.service_rate() + (next - servers).max(0.0) * theta;
    (load.arrival_rate() / death).ln()
}
