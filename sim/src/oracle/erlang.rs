//! The formulas of Erlang, Palm, and Pollaczek and Khinchine.
//!
//! Here c is the number of servers, a the offered load in erlangs, lambda, mu and theta the
//! rates of arrival, service and abandonment, and B and C the two Erlang functions, servers
//! first. Numbers far apart are kept apart: probabilities below 1e-308 have logarithms.

use super::error::{OracleError, positive};
use super::queue::{Load, MAX_SERVERS, MAX_STATES, Measures, Queue};

/// How long a server works on a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Service {
    /// Exponential, so that the future does not depend on the time already worked.
    Exponential,
    /// Any other law with mean 1/mu.
    General {
        /// The squared coefficient of variation, variance / mean²; 0 if constant.
        cv2: f64,
    },
}

/// The exact averages of a queue, by whichever formula fits it.
///
/// Exponential service has one for every [`Queue`]: [`mmc`], [`mmck`] or [`erlang_a`]. For
/// other laws only two cases are known exactly: a queue without waiting room, whose blocking
/// does not depend on the law beyond its mean (insensitivity; Sevastyanov 1957), and
/// [`mg1`]. The usual (1+CV²)/2 rule for M/G/c may be 10 % off and is never offered.
///
/// # Errors
/// [`OracleError::NoExactFormula`], and those of the formula that fits.
pub fn expected(queue: &Queue, service: Service) -> Result<Measures, OracleError> {
    let load = queue.load();
    let servers = load.servers();
    match (service, queue.capacity(), queue.abandon_rate()) {
        // Nobody waits, so neither patience nor the service law shows.
        (_, Some(capacity), _) if capacity == servers => mmck(load, capacity),
        (Service::Exponential, None, None) => mmc(load),
        (Service::Exponential, Some(capacity), None) => mmck(load, capacity),
        (Service::Exponential, capacity, Some(rate)) => erlang_a(load, rate, capacity),
        (Service::General { cv2 }, None, None) => mg1(load, cv2),
        (Service::General { .. }, _, _) => Err(OracleError::NoExactFormula { servers }),
    }
}

/// Erlang-B: the probability that all c servers are busy, when calls that find them so go away.
///
/// B(0) = 1, B(k) = a B(k-1) / (k + a B(k-1)); Erlang 1917. Holds for any law of service times.
/// `servers` up to [`MAX_SERVERS`], `offered` finite and above 0. Below 1e-308 it is 0, see
/// [`ln_erlang_b`].
///
/// # Errors
/// [`OracleError::OutOfRange`].
pub fn erlang_b(servers: u32, offered: f64) -> Result<f64, OracleError> {
    check_offered(servers, offered)?;
    Ok((1..=servers).fold(1.0, |blocked, server| {
        let carried_on = offered * blocked;
        carried_on / (f64::from(server) + carried_on)
    }))
}

/// The natural logarithm of [`erlang_b`], right where the probability itself is no `f64`.
///
/// With y(k) = -ln B(k): y(0) = 0, y(k) = ln(1 + exp(y(k-1) + ln(k/a))). An error in y(k-1) is
/// never amplified, since the derivative is below 1. Ranges as there.
///
/// # Errors
/// [`OracleError::OutOfRange`].
pub fn ln_erlang_b(servers: u32, offered: f64) -> Result<f64, OracleError> {
    check_offered(servers, offered)?;
    let minus_ln = (1..=servers).fold(0.0, |y, server| {
        let ln_idle_odds = y + (f64::from(server) / offered).ln();
        ln_idle_odds.max(0.0) + (-ln_idle_odds.abs()).exp().ln_1p()
    });
    Ok(-minus_ln)
}

/// Erlang-C: the probability that a call waits, when calls that find all c servers busy queue up.
///
/// C = cB / (c - a(1-B)); Erlang 1917. `servers` in 1 to [`MAX_SERVERS`], `offered` above 0 and
/// below `servers`.
///
/// # Errors
/// [`OracleError::OutOfRange`]; [`OracleError::Unstable`] if a >= c.
pub fn erlang_c(servers: u32, offered: f64) -> Result<f64, OracleError> {
    Load::new(servers, offered, 1.0)?.stable()?;
    let blocked = erlang_b(servers, offered)?;
    let spare = f64::from(servers) - offered;
    Ok(f64::from(servers) * blocked / (spare + offered * blocked))
}

/// M/M/c: a queue without bound, and calls with endless patience.
///
/// P(wait) = C, Wq = C/(c mu - lambda), Lq = lambda Wq.
///
/// # Errors
/// [`OracleError::Unstable`] if a >= c.
pub fn mmc(load: &Load) -> Result<Measures, OracleError> {
    load.stable()?;
    let p_wait = erlang_c(load.servers(), load.offered())?;
    let lq = load.arrival_rate() * p_wait / spare_rate(load);
    Ok(measures(load, Waiting { p_wait, lq, p_block: 0.0, admitted: 1.0, abandon_rate: 0.0 }))
}

/// M/M/c: the probability that a call waits longer than `wait`, C exp(-(c mu - lambda) t).
///
/// `wait` is finite and at least 0, in the unit of the rates. FIFO only.
///
/// # Errors
/// [`OracleError::OutOfRange`]; [`OracleError::Unstable`] if a >= c.
pub fn mmc_wait_tail(load: &Load, wait: f64) -> Result<f64, OracleError> {
    if !(wait.is_finite() && wait >= 0.0) {
        let range = "finite and at least 0";
        return Err(OracleError::OutOfRange { name: "wait", value: wait, range });
    }
    let p_wait = erlang_c(load.servers(), load.offered())?;
    Ok(p_wait * (-spare_rate(load) * wait).exp())
}

/// M/M/c: the wait that a share `quantile` of the calls does not exceed,
/// max(0, ln(C/(1-q)) / (c mu - lambda)).
///
/// `quantile` is at least 0 and below 1; the result is in the unit of the rates. FIFO only.
///
/// # Errors
/// [`OracleError::OutOfRange`]; [`OracleError::Unstable`] if a >= c.
pub fn mmc_wait_quantile(load: &Load, quantile: f64) -> Result<f64, OracleError> {
    if !(0.0..1.0).contains(&quantile) {
        let range = "at least 0 and below 1";
        return Err(OracleError::OutOfRange { name: "quantile", value: quantile, range });
    }
    let p_wait = erlang_c(load.servers(), load.offered())?;
    Ok(((p_wait / (1.0 - quantile)).ln() / spare_rate(load)).max(0.0))
}

/// M/M/c/K: at most `capacity` calls in the system, the rest are turned away. `capacity` = c is
/// Erlang's loss system.
///
/// p(n) = p(0) aⁿ/n! up to c, then p(0) aⁿ/(c! c^(n-c)) up to K; blocked p(K);
/// Wq = Lq/(lambda (1 - p(K))). Any load.
///
/// # Errors
/// [`OracleError::OutOfRange`] if `capacity` is below c or above [`MAX_STATES`].
pub fn mmck(load: &Load, capacity: u32) -> Result<Measures, OracleError> {
    Queue::new(*load, Some(capacity), None)?;
    Ok(measures(load, waiting_room(load, 0.0, Some(capacity - load.servers()))?))
}

/// Erlang-A, M/M/c+M: each waiting call leaves at rate `abandon_rate`; with a `capacity`, calls
/// that find it full are turned away besides.
///
/// The death rate above c is c mu + (n-c) theta, P(abandon) = theta Lq / lambda (Palm 1946).
/// Any load.
///
/// # Errors
/// [`OracleError::OutOfRange`]; [`OracleError::TooManyStates`] if patience and overload let the
/// queue grow beyond [`MAX_STATES`].
pub fn erlang_a(
    load: &Load,
    abandon_rate: f64,
    capacity: Option<u32>,
) -> Result<Measures, OracleError> {
    Queue::new(*load, capacity, Some(abandon_rate))?;
    let room = capacity.map(|capacity| capacity - load.servers());
    Ok(measures(load, waiting_room(load, abandon_rate, room)?))
}

/// M/G/1: one server, any law of service times with mean 1/mu and squared coefficient of
/// variation `cv2` (finite, at least 0).
///
/// Wq = rho (1/mu) (1 + CV²) / (2 (1 - rho)) (Pollaczek 1930, Khinchine 1932), P(idle) = 1 - rho.
///
/// # Errors
/// [`OracleError::OutOfRange`]; [`OracleError::Unstable`] if rho >= 1;
/// [`OracleError::NoExactFormula`] for more than one server.
pub fn mg1(load: &Load, cv2: f64) -> Result<Measures, OracleError> {
    if !(cv2.is_finite() && cv2 >= 0.0) {
        let range = "finite and at least 0";
        return Err(OracleError::OutOfRange { name: "cv²", value: cv2, range });
    }
    if load.servers() != 1 {
        return Err(OracleError::NoExactFormula { servers: load.servers() });
    }
    load.stable()?;
    let lq = load.offered() * load.arrival_rate() * (1.0 + cv2) / (2.0 * spare_rate(load));
    let p_wait = load.offered();
    Ok(measures(load, Waiting { p_wait, lq, p_block: 0.0, admitted: 1.0, abandon_rate: 0.0 }))
}

/// What a formula finds out; the rest follows from the balance of flows.
struct Waiting {
    p_wait: f64,
    lq: f64,
    p_block: f64,
    /// 1 - `p_block`, kept beside it since the difference is inexact where it is small.
    admitted: f64,
    abandon_rate: f64,
}

/// Little's law for the queue and for the servers: what is admitted and stays is served.
fn measures(load: &Load, found: Waiting) -> Measures {
    let admitted_rate = load.arrival_rate() * found.admitted;
    let abandoning = found.abandon_rate * found.lq;
    let busy = (admitted_rate - abandoning) / load.service_rate();
    Measures {
        p_wait: found.p_wait,
        p_block: found.p_block,
        p_abandon: abandoning / admitted_rate,
        mean_wait: found.lq / admitted_rate,
        lq: found.lq,
        mean_in_system: found.lq + busy,
        utilisation: busy / f64::from(load.servers()),
    }
}

/// The states from c upwards, relative to p(c): t(0) = 1, t(j) = t(j-1) lambda/(c mu + j theta).
/// The states below c, where nobody waits, weigh 1/B(c, a) - 1 together.
///
/// `room` is K - c. Without it the sum ends where the rest no longer shows in an `f64`.
fn waiting_room(load: &Load, theta: f64, room: Option<u32>) -> Result<Waiting, OracleError> {
    /// Far from both ends of `f64`; a sum that grows beyond it is scaled down by it.
    const SCALE: f64 = 1e100;
    let full_rate = f64::from(load.servers()) * load.service_rate();
    let (mut weight, mut waiting, mut moment, mut ln_scale) = (1.0, 0.0, 0.0, 0.0);
    let mut j = 0;
    while room != Some(j) {
        waiting += weight;
        j += 1;
        let ratio = load.arrival_rate() / (full_rate + f64::from(j) * theta);
        weight *= ratio;
        moment += f64::from(j) * weight;
        if moment > SCALE {
            (weight, waiting, moment) = (weight / SCALE, waiting / SCALE, moment / SCALE);
            ln_scale += SCALE.ln();
        }
        // All later terms are below a geometric series with this ratio.
        let rest = weight * (f64::from(j) + 1.0 / (1.0 - ratio)) * ratio / (1.0 - ratio);
        if room.is_none() && ratio < 1.0 && rest <= moment * f64::EPSILON / 8.0 {
            break;
        }
        if j == MAX_STATES {
            return Err(OracleError::TooManyStates { limit: MAX_STATES });
        }
    }
    // 1/B(c, a) - 1, without the difference: c / (a B(c-1, a)).
    let ln_b = ln_erlang_b(load.servers() - 1, load.offered())?;
    let ln_below = (f64::from(load.servers()) / load.offered()).ln() - ln_b - ln_scale;
    let shift = (-ln_below.max(0.0)).exp();
    let below = ln_below.min(0.0).exp();
    let (weight, waiting, moment) = (weight * shift, waiting * shift, moment * shift);
    let (full, waiting) = if room.is_some() { (weight, waiting) } else { (0.0, waiting + weight) };
    let (admitted, total) = (below + waiting, below + waiting + full);
    Ok(Waiting {
        p_wait: waiting / admitted,
        lq: moment / total,
        p_block: full / total,
        admitted: admitted / total,
        abandon_rate: theta,
    })
}

/// c mu - lambda, the rate at which a busy queue gets shorter.
fn spare_rate(load: &Load) -> f64 {
    load.service_rate() * (f64::from(load.servers()) - load.offered())
}

fn check_offered(servers: u32, offered: f64) -> Result<(), OracleError> {
    positive("offered load", offered)?;
    if servers > MAX_SERVERS {
        let value = f64::from(servers);
        return Err(OracleError::OutOfRange { name: "servers", value, range: "0 to 1000000" });
    }
    Ok(())
}
