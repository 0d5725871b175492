//! A textbook queue as numbers, and what can be measured of it.

use serde::Serialize;

use super::error::{OracleError, positive};

/// The most servers of a queue; each costs one step of the Erlang recursion.
pub const MAX_SERVERS: u32 = 1_000_000;

/// The most states that are summed, and the largest capacity: 32 MB of logarithms.
pub const MAX_STATES: u32 = 4_000_000;

/// Poisson arrivals at a rate, exponential service at a rate, and a number of servers.
///
/// Any unit of time will do if both rates use it; waits come out in the same unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    servers: u32,
    arrival_rate: f64,
    service_rate: f64,
}

impl Load {
    /// `servers` in 1 to [`MAX_SERVERS`]; `arrival_rate` (lambda, all servers together) and
    /// `service_rate` (mu, of one server) finite and above 0.
    ///
    /// # Errors
    /// [`OracleError::OutOfRange`]. An overload is no error here: a bounded or impatient queue
    /// has a steady state all the same.
    pub fn new(servers: u32, arrival_rate: f64, service_rate: f64) -> Result<Self, OracleError> {
        if !(1..=MAX_SERVERS).contains(&servers) {
            let value = f64::from(servers);
            return Err(OracleError::OutOfRange { name: "servers", value, range: "1 to 1000000" });
        }
        let arrival_rate = positive("arrival rate", arrival_rate)?;
        let service_rate = positive("service rate", service_rate)?;
        positive("arrival rate / service rate", arrival_rate / service_rate)?;
        Ok(Self { servers, arrival_rate, service_rate })
    }

    /// c, how many calls can be served at once.
    #[must_use]
    pub const fn servers(&self) -> u32 {
        self.servers
    }

    /// lambda, calls arriving in a unit of time.
    #[must_use]
    pub const fn arrival_rate(&self) -> f64 {
        self.arrival_rate
    }

    /// mu, calls that one busy server ends in a unit of time.
    #[must_use]
    pub const fn service_rate(&self) -> f64 {
        self.service_rate
    }

    /// a = lambda/mu, the offered load in erlangs: the mean number of busy servers if there
    /// were servers without end.
    #[must_use]
    pub fn offered(&self) -> f64 {
        self.arrival_rate / self.service_rate
    }

    /// Fails unless a < c.
    ///
    /// # Errors
    /// [`OracleError::Unstable`].
    pub fn stable(&self) -> Result<(), OracleError> {
        if self.offered() < f64::from(self.servers) {
            return Ok(());
        }
        Err(OracleError::Unstable { offered: self.offered(), servers: self.servers })
    }
}

/// A load, with a bound on the calls in the system and a rate at which waiting calls leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queue {
    load: Load,
    capacity: Option<u32>,
    abandon_rate: Option<f64>,
}

impl Queue {
    /// `capacity` (K, in service and waiting together) in c to [`MAX_STATES`]; `abandon_rate`
    /// (theta, of each waiting call) finite and above 0. `None` is no bound, and endless
    /// patience.
    ///
    /// # Errors
    /// [`OracleError::OutOfRange`]; [`OracleError::Unstable`] if a >= c and both are `None`.
    pub fn new(
        load: Load,
        capacity: Option<u32>,
        abandon_rate: Option<f64>,
    ) -> Result<Self, OracleError> {
        if let Some(capacity) = capacity
            && !(load.servers..=MAX_STATES).contains(&capacity)
        {
            let range = "from the number of servers to 4000000";
            let value = f64::from(capacity);
            return Err(OracleError::OutOfRange { name: "capacity", value, range });
        }
        if let Some(rate) = abandon_rate {
            positive("abandon rate", rate)?;
        }
        if capacity.is_none() && abandon_rate.is_none() {
            load.stable()?;
        }
        Ok(Self { load, capacity, abandon_rate })
    }

    /// Servers and rates.
    #[must_use]
    pub const fn load(&self) -> &Load {
        &self.load
    }

    /// K, if the calls in the system are bounded.
    #[must_use]
    pub const fn capacity(&self) -> Option<u32> {
        self.capacity
    }

    /// theta, if waiting calls lose patience.
    #[must_use]
    pub const fn abandon_rate(&self) -> Option<f64> {
        self.abandon_rate
    }
}

/// Long-run averages of a queue; `poolshift-sim queue` prints one as measured, one as expected.
///
/// A call is *offered* when it arrives, and *admitted* unless the queue is full then.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measures {
    /// Share of the admitted calls that find every server busy.
    pub p_wait: f64,
    /// Share of the offered calls that find the queue full.
    pub p_block: f64,
    /// Share of the admitted calls that leave before they are served.
    pub p_abandon: f64,
    /// Mean time in the queue of an admitted call, served or not, with those that do not wait
    /// counted as 0.
    pub mean_wait: f64,
    /// Mean number of waiting calls, over time.
    pub lq: f64,
    /// Mean number of calls waiting and in service, over time.
    pub mean_in_system: f64,
    /// Mean share of the servers that is busy, over time.
    pub utilisation: f64,
}

impl Measures {
    /// Every measure with its name in reports, in the order of reports.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, f64); 7] {
        [
            ("p_wait", self.p_wait),
            ("p_block", self.p_block),
            ("p_abandon", self.p_abandon),
            ("mean_wait", self.mean_wait),
            ("lq", self.lq),
            ("mean_in_system", self.mean_in_system),
            ("utilisation", self.utilisation),
        ]
    }
}
