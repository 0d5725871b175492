//! Every planted bug is a bug: in a quiet world with its triggers it parts from the product,
//! and it does not if one of them is missing. Law and checker have no say here: traces do.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::trigger::{Trigger, quiet_but_for};
use super::{Bug, Infected};
use crate::trace::{Event, Phase, Stamp, TraceHash, TraceHasher, Watcher};
use crate::world::{Product, Rig, World};

/// Calls of a run; a bug that needs more to show has triggers that are too rare.
const CALLS: u64 = 400;

/// A bug parts from the product within so many seeds.
const SEEDS: u64 = 40;

/// Seeds in which it does not, if a trigger is missing; more if it needed more to part.
const INERT: u64 = 8;

/// Hashes the trace as long as calls arrive: the drains that end every run are nobody's trigger.
#[derive(Default)]
struct UntilPlanDone {
    hasher: TraceHasher,
    is_done: bool,
}

impl Watcher for UntilPlanDone {
    fn event(&mut self, stamp: Stamp, event: &Event) {
        self.is_done |= *event == Event::Phase { phase: Phase::PlanDone };
        if !self.is_done {
            self.hasher.event(stamp, event);
        }
    }

    fn has_seen_enough(&self) -> bool {
        self.is_done
    }
}

/// The hash of a run; nothing if the product's own assertions ended it.
fn traced<R: Rig>(rig: &R, triggers: &[Trigger], seed: u64) -> Option<TraceHash> {
    let options = quiet_but_for(triggers, CALLS);
    let world = || World::new(rig, seed, options, UntilPlanDone::default()).run();
    let ended = catch_unwind(AssertUnwindSafe(world)).ok()?;
    Some(ended.watcher.hasher.value())
}

/// The first seed in which the bug is seen.
fn parts(bug: Bug, triggers: &[Trigger], seeds: u64) -> Option<u64> {
    (1..=seeds).find(|seed| {
        let product = traced(&Product, triggers, *seed).expect("the product holds its assertions");
        traced(&Infected(bug), triggers, *seed) != Some(product)
    })
}

#[test]
fn every_bug_parts_from_the_product_by_its_triggers_and_by_no_fewer() {
    let mut found = Vec::new();
    for bug in Bug::ALL {
        let triggers = bug.triggers();
        let Some(seeds) = parts(bug, triggers, SEEDS) else {
            found.push(format!("{} is no bug with {triggers:?}", bug.as_str()));
            continue;
        };
        for spare in triggers {
            let fewer: Vec<Trigger> = triggers.iter().copied().filter(|it| it != spare).collect();
            if let Some(seed) = parts(bug, &fewer, INERT.max(2 * seeds)) {
                found.push(format!("{} needs no {spare:?}: seed {seed}", bug.as_str()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
