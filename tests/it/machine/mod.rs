//! Both machines against a plain model: the same events must cause the same actions, in the
//! same order.

mod lifecycle;
mod model;
mod rules;
mod shadows;
mod step;

use std::marker::PhantomData;
use std::time::Duration;

use poolshift::Lane;
use poolshift::clock::Moment;
use poolshift::machine::backoff::Backoff;
use poolshift::machine::breaker::BreakerTerms;
use poolshift::machine::engine::{Lifecycle, Terms};
use poolshift::machine::quarantine::QuarantineTerms;
use poolshift::machine::recycling::Recycling;
use poolshift::machine::{Action, Event, OnCancel, PoolMachine};
use poolshift::v2_session_pool::machine::{SessionMachine, SessionQueues};
use poolshift::v3_pool::machine::{QueueMachine, SharedQueue};
use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::machine::model::{Model, SESSION_IDLE, State};
use crate::machine::step::Step;

/// How to build one of the two machines.
trait Kind: Clone + std::fmt::Debug + 'static {
    type Machine: PoolMachine;
    const LANE: Lane;
    fn machine(terms: Terms, max_waiting: usize) -> Self::Machine;
}

#[derive(Clone, Debug)]
struct V2;

impl Kind for V2 {
    type Machine = SessionMachine;
    const LANE: Lane = Lane::V2;

    fn machine(terms: Terms, max_waiting: usize) -> SessionMachine {
        let queues = SessionQueues::new(terms.size, max_waiting, SESSION_IDLE);
        SessionMachine::new(terms, queues)
    }
}

#[derive(Clone, Debug)]
struct V3;

impl Kind for V3 {
    type Machine = QueueMachine;
    const LANE: Lane = Lane::V3;

    fn machine(terms: Terms, max_waiting: usize) -> QueueMachine {
        QueueMachine::new(terms, SharedQueue::new(max_waiting))
    }
}

fn terms(size: usize, max_starting: usize, on_cancel: OnCancel) -> Terms {
    let (base, cap) = (Duration::from_millis(10), Duration::from_millis(100));
    Terms {
        size,
        max_starting,
        budget: Duration::from_millis(300),
        queue_timeout: Duration::from_millis(120),
        run_timeout: Duration::from_millis(200),
        on_cancel,
        backoff: Backoff { base, cap, seed: 7 },
        probe_after: None,
        lifecycle: Lifecycle::default(),
    }
}

/// All that may be switched off, on and off.
fn lifecycle() -> impl Strategy<Value = Lifecycle> {
    let ms = Duration::from_millis;
    let breaker = (2_u32..4, 15_u64..40)
        .prop_map(move |(failures, probe)| BreakerTerms { failures, probe: ms(probe) });
    let quarantine = (1_usize..3, 100_u64..600)
        .prop_map(move |(deaths, window)| QuarantineTerms { deaths, window: ms(window) });
    let age = prop_oneof![Just(0), 50_u64..400];
    let recycling = (0_u64..4, age, prop_oneof![Just(0), Just(100)], 1_usize..3).prop_map(
        move |(max_requests, age, max_memory_growth, max_recycling)| {
            let max_age = ms(age);
            Recycling { max_requests, max_age, max_memory_growth, max_recycling, seed: 5 }
        },
    );
    (
        prop::option::of(breaker),
        prop::option::weighted(0.8, recycling),
        prop::option::of(quarantine),
    )
        .prop_map(|(breaker, recycling, quarantine)| Lifecycle {
            breaker,
            recycling,
            quarantine,
        })
}

struct Reference<K>(PhantomData<K>);

impl<K: Kind> ReferenceStateMachine for Reference<K> {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        let max_starting = if K::LANE == Lane::V2 { 1..=1_usize } else { 1..=4 };
        let drain = any::<bool>();
        // Less than a call may run, or more, as V2's by default.
        let queue_ms = prop_oneof![Just(120_u64), Just(250)];
        (1_usize..=4, max_starting, drain, 0_usize..6, queue_ms, lifecycle())
            .prop_map(|(size, max_starting, drain, max_waiting, queue_ms, lifecycle)| {
                let on_cancel = if drain { OnCancel::Drain } else { OnCancel::Kill };
                let queue_timeout = Duration::from_millis(queue_ms);
                let terms = terms(size, max_starting, on_cancel);
                let terms = Terms { lifecycle, queue_timeout, ..terms };
                Model::new(K::LANE, terms, max_waiting)
            })
            .boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        Step::any(model)
    }

    fn preconditions(model: &Model, step: &Step) -> bool {
        step.is_possible(model)
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        model.take(step);
        model
    }
}

struct Same<K>(PhantomData<K>);

impl<K: Kind> StateMachineTest for Same<K> {
    type SystemUnderTest = K::Machine;
    type Reference = Reference<K>;

    fn init_test(model: &Model) -> K::Machine {
        let mut machine = K::machine(model.terms.clone(), model.max_waiting);
        let started = handle(&mut machine, Moment::ZERO, Event::DeadlineReached);
        assert_eq!(started, model.actions);
        machine
    }

    fn apply(mut machine: K::Machine, model: &Model, step: Step) -> K::Machine {
        let actions = match &model.event {
            Some(event) => handle(&mut machine, model.now, event.clone()),
            None => wait_until(&mut machine, model.now),
        };
        assert_eq!(actions, model.actions, "{step:?} at {:?}", model.now);
        machine
    }

    fn check_invariants(machine: &K::Machine, model: &Model) {
        let status = machine.status();
        let serving =
            |state: &State| !matches!(state, State::Vacant(_) | State::Starting | State::Stopping);
        assert_eq!(status.queue_size, model.waiting());
        let live = model.calls.iter().filter(|call| !call.shadow);
        assert_eq!(status.in_flight, live.count());
        assert_eq!(status.ready, model.count(serving));
        assert_eq!(status.available, model.count(|state| matches!(state, State::Idle(_))));
        assert_eq!(status.starting, model.starting().len());
        assert_eq!(status.live, model.count(|state| !matches!(state, State::Vacant(_))));
        assert_eq!(status.breaker.open, model.is_broken());
        let recycled: u64 = status.recycled.values().sum();
        assert_eq!(recycled, model.recycled);
        // Slots do not add up, however often workers are recycled.
        let spare = model.terms.lifecycle.recycling.map_or(0, |recycling| recycling.max_recycling);
        assert!(model.slots.len() <= model.largest + spare);
        // A deadline may be early; it is never late.
        if let Some(next) = model.next_moment() {
            assert!(machine.next_deadline().is_some_and(|deadline| deadline <= next));
        }
    }
}

/// One event; a copy of the machine must do the same with it, because a trace replays.
fn handle<M: PoolMachine>(machine: &mut M, now: Moment, event: Event) -> Vec<Action> {
    let mut copy = machine.clone();
    machine.handle(now, event.clone());
    copy.handle(now, event);
    assert_eq!(*machine, copy);
    std::iter::from_fn(|| machine.next_action()).collect()
}

fn wait_until<M: PoolMachine>(machine: &mut M, end: Moment) -> Vec<Action> {
    let mut actions = Vec::new();
    while let Some(next) = machine.next_deadline().filter(|next| *next <= end) {
        actions.extend(handle(machine, next, Event::DeadlineReached));
    }
    actions
}

fn config() -> Config {
    // More by PROPTEST_CASES, as `scripts/soak` does.
    Config { max_shrink_iters: 20_000, failure_persistence: None, ..Config::default() }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn v2_does_what_the_plain_model_says(sequential 1..120 => Same<V2>);

    #[test]
    fn v3_does_what_the_plain_model_says(sequential 1..120 => Same<V3>);
}
