//! The laws of a run, checked from outside.
//!
//! [`Checkers`] watches a trace and knows nothing of what made it: no machine, no queue, no
//! router. Each law has its number ([`Law`]) and, beside the count of checks, a count of how
//! often the run was in the state that puts the law to the test ([`Tally::sometimes`]).
//!
//! | file | laws |
//! |---|---|
//! | `conservation` | S1 S2 S8: calls are neither lost nor multiplied |
//! | `crosstalk` | S3: nobody is given somebody else's answer |
//! | `leases` | S4-S7 S15: who may be leased |
//! | `capacity` | S9 S10 S17: bounds on calls that wait and processes that live |
//! | `order` | S11 S12 L7: who comes first |
//! | `deadlines` | S13 L1: what happens at a deadline, and nothing after it |
//! | `ledger` | S14 S24 S25: what was executed, where, and what was told of it |
//! | `restarts` | S16 L2: starts after failed starts |
//! | `memory` | S18: bytes held, as the shell rig reports them |
//! | `books` | S19: the pools' own books agree with the trace |
//! | `routing` | S20-S23 L8: where the router sends calls |
//! | `liveness` | L3-L6 L9: time passes, and something good happens |
//!
//! The other files are what the laws look at: a `scene` of calls, workers, sessions, lines
//! and policies, kept from the events alone. It forgets finished calls and silent sessions.

mod calls;
mod docket;
mod law;
mod line;
mod pins;
mod policies;
mod pools;
mod scene;
mod sessions;
mod workers;

mod books;
mod capacity;
mod conservation;
mod crosstalk;
mod deadlines;
mod leases;
mod ledger;
mod liveness;
mod memory;
mod order;
mod restarts;
mod routing;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use docket::{Tally, Violation};
pub use law::Law;
pub use memory::Held;

use crate::trace::{Closing, Event, Ground, Stamp, TraceHash, Watcher};
use docket::Docket;
use scene::Scene;

/// Watches one run for violations of every law.
///
/// A run that is cut short has no `end`: its calls are then not missed, and its books are not
/// compared.
#[derive(Clone, Debug)]
pub struct Checkers {
    stop_at_first: bool,
    slack: Duration,
    docket: Docket,
    scene: Option<Box<Scene>>,
    restarts: restarts::Restarts,
    books: books::Books,
    routing: routing::Routing,
    liveness: liveness::Liveness,
}

impl Checkers {
    /// For virtual time, in which everything that is due happens in its very moment.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stop_at_first: false,
            slack: Duration::ZERO,
            docket: Docket::new(),
            scene: None,
            restarts: restarts::Restarts::default(),
            books: books::Books::default(),
            routing: routing::Routing::default(),
            liveness: liveness::Liveness::default(),
        }
    }

    /// Asks for the run to be stopped at the first violation.
    #[must_use]
    pub fn stop_at_first(self) -> Self {
        Self { stop_at_first: true, ..self }
    }

    /// For real processes, or timers that are coarse: what is due may happen `slack` later; for
    /// the answer to a timeout R4 allows 250 ms. The checks that need exact moments (a call is
    /// nowhere only between two events of one moment) are then left out.
    #[must_use]
    pub fn with_slack(self, slack: Duration) -> Self {
        Self { slack, ..self }
    }

    /// S18: `bytes` of a worker are held where at most `limit` may be.
    pub fn holds(&mut self, held: Held, bytes: usize, limit: usize) {
        memory::holds(held, bytes, limit, &mut self.docket);
    }

    /// S26: the run was made again, and its trace had this hash.
    pub fn made_again(&mut self, first: TraceHash, again: TraceHash) {
        self.docket.turn_to_the_end();
        self.docket.sometimes(Law::S26, true);
        self.docket.check(Law::S26, same(first, again), || {
            format!("the first run's trace is {first}, the second's {again}")
        });
    }

    /// How often each law was checked and put to the test.
    #[must_use]
    pub fn laws(&self) -> BTreeMap<Law, Tally> {
        Law::ALL.into_iter().map(|law| (law, self.docket.tally(law))).collect()
    }

    /// The first violations, in order.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        self.docket.violations()
    }
}

impl Default for Checkers {
    fn default() -> Self {
        Self::new()
    }
}

/// S26: whether two runs were the same.
#[must_use]
pub fn same(first: TraceHash, again: TraceHash) -> bool {
    first == again
}

impl Watcher for Checkers {
    fn begin(&mut self, ground: &Ground) {
        self.scene = Some(Box::new(Scene::new(ground, self.slack)));
    }

    fn event(&mut self, stamp: Stamp, event: &Event) {
        let Self { docket, scene: Some(scene), restarts, books, routing, liveness, .. } = self
        else {
            return;
        };
        docket.turn_to(stamp, event);
        if stamp.at > scene.now {
            conservation::advance(scene, docket);
            liveness.advance(scene, stamp.at, docket);
            scene.now = stamp.at;
        }
        conservation::event(scene, stamp, event, docket);
        crosstalk::event(scene, stamp, event, docket);
        leases::event(scene, stamp, event, docket);
        capacity::event(scene, stamp, event, docket);
        order::event(scene, stamp, event, docket);
        deadlines::event(scene, stamp, event, docket);
        ledger::event(scene, stamp, event, docket);
        restarts.event(scene, stamp, event, docket);
        books.event(scene, stamp, event, docket);
        routing.event(scene, stamp, event, docket);
        liveness.event(scene, stamp, event, docket);
        scene.take(stamp, event);
    }

    fn end(&mut self, closing: &Closing) {
        let Self { docket, scene: Some(scene), books, routing, liveness, .. } = self else {
            return;
        };
        docket.turn_to_the_end();
        conservation::end(scene, docket);
        capacity::end(scene, closing, docket);
        books.end(closing, docket);
        routing.end(docket);
        liveness.end(scene, docket);
    }

    fn has_seen_enough(&self) -> bool {
        self.stop_at_first && !self.docket.is_clean()
    }
}
