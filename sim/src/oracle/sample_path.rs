//! Laws that every single run obeys exactly, whatever its arrivals and service times.
//!
//! All times are whole nanoseconds on the run's clock, and equality is to the nanosecond: no
//! statistics. Each law takes its calls as they come and keeps only what the next one needs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use thiserror::Error;

/// Where a run and its law part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// A call started at another time than the law says.
    #[error(
        "a call that arrived at {arrived_ns} ns started at {started_ns} ns; \
         first come first served starts it at {expected_ns} ns"
    )]
    WrongStart {
        /// When it arrived.
        arrived_ns: u64,
        /// When the pool started it.
        started_ns: u64,
        /// When a server was free for it.
        expected_ns: u64,
    },
    /// The trace goes backwards.
    #[error("an event at {at_ns} ns came after one at {last_ns} ns; report events in time order")]
    OutOfOrder {
        /// When it happened.
        at_ns: u64,
        /// The latest event before it.
        last_ns: u64,
    },
    /// More left than came.
    #[error("a call left at {at_ns} ns, but none was inside; was its coming reported?")]
    LeftEmpty {
        /// When it left.
        at_ns: u64,
    },
    /// The law holds for a run that ends empty.
    #[error("{inside} calls are still inside; let the run drain before it is judged")]
    NotEmpty {
        /// How many.
        inside: u64,
    },
    /// The two sides of the balance differ.
    #[error(
        "the time integral of the calls inside is {integral_ns} ns, \
         the times they spent there add up to {spent_ns} ns"
    )]
    Unbalanced {
        /// From the number inside.
        integral_ns: u128,
        /// From the calls.
        spent_ns: u128,
    },
    /// A queue that does not exist.
    #[error("queue {queue} of {queues}; queues count from 0")]
    NoSuchQueue {
        /// Which one was named.
        queue: usize,
        /// How many there are.
        queues: usize,
    },
    /// The law's clock ran over: 584 years.
    #[error("a start or an end lies beyond 2^64 ns; shorten the service times")]
    BeyondClock,
}

/// Little's law of one run that starts and ends empty: the integral of N(t) dt is the sum of
/// the times spent inside (Little 1961; as an identity of sample paths, Stidham 1974).
///
/// Fed with arrivals and departures it checks sojourns; fed with starts and ends of service,
/// that the servers' busy time is the sum of the service times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Little {
    last_ns: u64,
    inside: u64,
    integral_ns: u128,
    spent_ns: u128,
}

impl Little {
    /// A call comes in. Calls of one instant may be reported in any order.
    ///
    /// # Errors
    /// [`PathError::OutOfOrder`].
    pub fn enter(&mut self, at_ns: u64) -> Result<(), PathError> {
        self.advance(at_ns)?;
        self.inside += 1;
        Ok(())
    }

    /// A call goes out after `spent_ns` inside. That figure must come from the call's own
    /// record (its outcome's sojourn, its planned service time), else the law proves nothing.
    ///
    /// # Errors
    /// [`PathError::OutOfOrder`], [`PathError::LeftEmpty`].
    pub fn leave(&mut self, at_ns: u64, spent_ns: u64) -> Result<(), PathError> {
        self.advance(at_ns)?;
        self.inside = self.inside.checked_sub(1).ok_or(PathError::LeftEmpty { at_ns })?;
        self.spent_ns += u128::from(spent_ns);
        Ok(())
    }

    /// How many are inside now.
    #[must_use]
    pub const fn inside(&self) -> u64 {
        self.inside
    }

    /// The integral of N(t) up to the last event, in call-nanoseconds; over the run's length it
    /// is the mean number inside.
    #[must_use]
    pub const fn integral_ns(&self) -> u128 {
        self.integral_ns
    }

    /// The law itself, once the run has drained; returns the common value.
    ///
    /// # Errors
    /// [`PathError::NotEmpty`], [`PathError::Unbalanced`].
    pub const fn balance(&self) -> Result<u128, PathError> {
        let Self { inside, integral_ns, spent_ns, .. } = *self;
        if inside != 0 {
            return Err(PathError::NotEmpty { inside });
        }
        if integral_ns != spent_ns {
            return Err(PathError::Unbalanced { integral_ns, spent_ns });
        }
        Ok(spent_ns)
    }

    fn advance(&mut self, at_ns: u64) -> Result<(), PathError> {
        let passed_ns = passed(self.last_ns, at_ns)?;
        self.integral_ns += u128::from(passed_ns) * u128::from(self.inside);
        self.last_ns = at_ns;
        Ok(())
    }
}

/// One server, first come first served: W' = max(0, W + S - A), with W the wait, S the service
/// time of a call and A the time until the next arrives (Lindley 1952).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lindley {
    last_arrival_ns: u64,
    /// W + S of the last call.
    sojourn_ns: u64,
}

impl Lindley {
    /// How long the next call waits. Calls come in order of arrival; those of one instant in
    /// the order in which the pool took them.
    ///
    /// # Errors
    /// [`PathError::OutOfOrder`], [`PathError::BeyondClock`].
    pub fn wait(&mut self, arrival_ns: u64, service_ns: u64) -> Result<u64, PathError> {
        let between_ns = passed(self.last_arrival_ns, arrival_ns)?;
        let wait_ns = self.sojourn_ns.saturating_sub(between_ns);
        let sojourn_ns = wait_ns.checked_add(service_ns).ok_or(PathError::BeyondClock)?;
        (self.last_arrival_ns, self.sojourn_ns) = (arrival_ns, sojourn_ns);
        Ok(wait_ns)
    }
}

/// Queues that share nothing, one server each: V2 when every call is bound to a worker and no
/// worker dies. Memory O(queues).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffineQueues(Vec<Lindley>);

impl AffineQueues {
    /// That many empty queues.
    #[must_use]
    pub fn new(queues: usize) -> Self {
        Self(vec![Lindley::default(); queues])
    }

    /// When the next call of `queue` (from 0) starts; arrivals are in order within each queue.
    ///
    /// # Errors
    /// [`PathError::NoSuchQueue`], and those of [`Lindley::wait`].
    pub fn start(
        &mut self,
        queue: usize,
        arrival_ns: u64,
        service_ns: u64,
    ) -> Result<u64, PathError> {
        let queues = self.0.len();
        let lindley = self.0.get_mut(queue).ok_or(PathError::NoSuchQueue { queue, queues })?;
        let wait_ns = lindley.wait(arrival_ns, service_ns)?;
        arrival_ns.checked_add(wait_ns).ok_or(PathError::BeyondClock)
    }

    /// Compares a start of the pool with [`start`](Self::start).
    ///
    /// # Errors
    /// [`PathError::WrongStart`], and those of [`start`](Self::start).
    pub fn check(&mut self, queue: usize, call: Started) -> Result<(), PathError> {
        call.expect(self.start(queue, call.arrived_ns, call.service_ns)?)
    }
}

/// c servers, one queue, first come first served: each call starts at the later of its arrival
/// and the earliest time at which a server is free (Kiefer and Wolfowitz 1955). V3 when no
/// worker dies. Memory O(servers), a step costs O(log servers).
///
/// Only calls that start count. Those turned away or gone before their start take no server, so
/// a run with a bounded queue or impatient calls is checked by leaving them out.
#[derive(Clone, Debug)]
pub struct KieferWolfowitz {
    free_at_ns: BinaryHeap<Reverse<u64>>,
    last_arrival_ns: u64,
}

impl KieferWolfowitz {
    /// `servers` that are free at time 0.
    ///
    /// # Panics
    /// If `servers` is 0: no call would ever start.
    #[must_use]
    pub fn new(servers: usize) -> Self {
        assert!(servers > 0, "a queue without servers starts no call");
        let free_at_ns = std::iter::repeat_n(Reverse(0), servers).collect();
        Self { free_at_ns, last_arrival_ns: 0 }
    }

    /// When the next call starts. Calls come in order of arrival; those of one instant in the
    /// order in which the pool took them.
    ///
    /// # Errors
    /// [`PathError::OutOfOrder`], [`PathError::BeyondClock`].
    pub fn start(&mut self, arrival_ns: u64, service_ns: u64) -> Result<u64, PathError> {
        passed(self.last_arrival_ns, arrival_ns)?;
        let mut earliest = self.free_at_ns.peek_mut().expect("a server, as `new` asserts");
        let start_ns = earliest.0.max(arrival_ns);
        earliest.0 = start_ns.checked_add(service_ns).ok_or(PathError::BeyondClock)?;
        self.last_arrival_ns = arrival_ns;
        Ok(start_ns)
    }

    /// Compares a start of the pool with [`start`](Self::start).
    ///
    /// # Errors
    /// [`PathError::WrongStart`], and those of [`start`](Self::start).
    pub fn check(&mut self, call: Started) -> Result<(), PathError> {
        call.expect(self.start(call.arrived_ns, call.service_ns)?)
    }
}

/// A call as a pool served it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// When it arrived.
    pub arrived_ns: u64,
    /// How long its server worked on it.
    pub service_ns: u64,
    /// When the pool started it.
    pub started_ns: u64,
}

impl Started {
    const fn expect(self, expected_ns: u64) -> Result<(), PathError> {
        if self.started_ns == expected_ns {
            return Ok(());
        }
        let Self { arrived_ns, started_ns, .. } = self;
        Err(PathError::WrongStart { arrived_ns, started_ns, expected_ns })
    }
}

/// Time from one event to the next.
fn passed(last_ns: u64, at_ns: u64) -> Result<u64, PathError> {
    at_ns.checked_sub(last_ns).ok_or(PathError::OutOfOrder { at_ns, last_ns })
}
