//! A whole service in virtual time: callers, router, both pools, their workers, and everything
//! that goes wrong.
//!
//! One agenda, ordered by (nanosecond, lot), drives the *production* machines and the
//! *production* routing code; no runtime, no clock, no thread. `pool` carries a machine's
//! actions out as the shell does; `caller`, `keeper` and `process` play the shell's tasks and
//! the processes they talk to.

mod agenda;
mod bookings;
mod caller;
mod keeper;
mod pool;
mod process;
mod rig;
mod scene;
mod strikes;
mod switch;
pub(crate) mod work;
mod worker;

use std::collections::VecDeque;
use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::machine::{CallKind, Event as Input, Sent, Ticket};
use poolshift::{Class, Lane};

pub use crate::world::rig::{Product, Rig};
pub use crate::world::switch::{Switch, Switchboard};

use crate::fault::Fault;
use crate::options::Options;
use crate::rng::Seed;
use crate::source::{Feed, Milestone, Source};
use crate::trace::{CallNo, Closing, Event, Phase, TraceHash, Watcher};
use crate::workload::{Act, Acts, Leaves, PlannedCall, Workload};
use crate::world::bookings::{Booking, Stage};
use crate::world::pool::Pool;
use crate::world::scene::{Due, Matter, Scene};

/// A run that is not over so long after its last call has lost something.
const HORIZON: Duration = Duration::from_secs(3600);

/// Time stands still for so many events only if it does for ever.
const MOST_AT_ONCE: u32 = 10_000_000;

/// A service, its callers and its operators.
#[derive(Debug)]
pub struct World<R: Rig, W> {
    scene: Scene<W>,
    v2: Pool<R::V2>,
    v3: Pool<R::V3>,
    switch: R::Switch,
    calls: Feed<Workload>,
    upcoming: Option<PlannedCall>,
    acts: Feed<Acts>,
    act: Option<Act>,
    milestones: VecDeque<(u64, Milestone)>,
    submitted: u64,
    ends_by: Moment,
}

/// What a run has come to.
#[derive(Debug)]
pub struct Ended<W> {
    /// The hash of its trace.
    pub hash: TraceHash,
    /// How many calls were submitted.
    pub calls: u64,
    /// How many events its trace has.
    pub events: u64,
    /// How long it lasted, in virtual time.
    pub lasted: Duration,
    /// How often each kind of fault struck.
    pub faults: [u64; Fault::ALL.len()],
    /// Why it did not come to its end, if it did not.
    pub cut: Option<Cut>,
    /// What the pools say of themselves.
    pub closing: Closing,
    /// Who looked on.
    pub watcher: W,
}

/// Why a run was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A watcher had seen enough.
    Watcher,
    /// The pools were not empty an hour after the last call.
    Stuck,
    /// Time stood still (L9).
    Livelock,
}

impl<W> Ended<W> {
    /// The rest, once the watcher has been asked.
    #[must_use]
    pub fn without_watcher(self) -> Ended<()> {
        let Self { hash, calls, events, lasted, faults, cut, closing, watcher: _ } = self;
        Ended { hash, calls, events, lasted, faults, cut, closing, watcher: () }
    }
}

impl<R: Rig, W: Watcher> World<R, W> {
    /// A world in which nothing has happened yet, and which draws all that will.
    #[must_use]
    pub fn new(rig: &R, seed: u64, options: Options, watcher: W) -> Self {
        let source = Source::drawn(Seed(seed), &options, None);
        Self::fed(rig, seed, options, source, watcher)
    }

    /// A world to which `source` happens. Service times, lags and orders are drawn from the
    /// seed all the same.
    #[must_use]
    pub fn fed(rig: &R, seed: u64, options: Options, source: Source, mut watcher: W) -> Self {
        let Source { calls, acts, milestones, hazard } = source;
        let ground = options.ground(seed);
        watcher.begin(&ground);
        let seed = Seed(seed);
        let [v2, v3] = ground.lanes;
        let (v2_machine, v3_machine) = (rig.v2(&v2), rig.v3(&v3));
        Self {
            switch: rig.switch(&options),
            scene: Scene::new(seed, options, hazard, watcher),
            v2: Pool::new(Lane::V2, v2, v2_machine),
            v3: Pool::new(Lane::V3, v3, v3_machine),
            calls,
            upcoming: None,
            acts,
            act: None,
            milestones,
            submitted: 0,
            ends_by: Moment::NEVER,
        }
    }

    /// Runs to the end: every call of the plan submitted, both pools drained.
    pub fn run(mut self) -> Ended<W> {
        self.begin();
        let mut at = Moment::ZERO;
        let mut events = 0;
        let cut = loop {
            if self.is_over() {
                break None;
            }
            let Some(due) = self.scene.take() else { break Some(Cut::Stuck) };
            if self.scene.now > self.ends_by {
                break Some(Cut::Stuck);
            }
            events = if self.scene.now == at { events + 1 } else { 0 };
            at = self.scene.now;
            if events > MOST_AT_ONCE {
                break Some(Cut::Livelock);
            }
            self.carry_out(due);
            self.answer_rings();
            if self.scene.watcher.has_seen_enough() {
                break Some(Cut::Watcher);
            }
        };
        self.end(cut)
    }

    fn is_over(&self) -> bool {
        self.ends_by != Moment::NEVER
            && self.v2.is_drained()
            && self.v3.is_drained()
            && self.scene.bookings.is_empty()
    }

    fn end(mut self, cut: Option<Cut>) -> Ended<W> {
        let lanes = [self.v2.close(), self.v3.close()];
        let closing = Closing { at: self.scene.now, lanes };
        self.scene.watcher.end(&closing);
        Ended {
            hash: self.scene.hasher.value(),
            calls: self.submitted,
            events: self.scene.told,
            lasted: self.scene.now.since(Moment::ZERO),
            faults: self.scene.faults,
            cut,
            closing,
            watcher: self.scene.watcher,
        }
    }

    fn begin(&mut self) {
        self.tell_policy();
        if self.scene.hazard.is_any() {
            self.scene.tell(Event::Phase { phase: Phase::Chaos });
        }
        self.v2.step(&mut self.scene, Input::DeadlineReached);
        self.v3.step(&mut self.scene, Input::DeadlineReached);
        self.plan_arrival();
        self.plan_act();
        self.plan_strikes();
    }

    fn carry_out(&mut self, due: Due) {
        if self.scene.is_stalled() && due.is_the_hosts() {
            return self.put_off(due);
        }
        match due {
            Due::Arrival => self.arrive(),
            Due::Act => self.operate(),
            Due::Cancel(ticket) => self.cancel(ticket),
            Due::Caller(ticket) => self.caller_wakes(ticket),
            Due::Timer(Lane::V2) => self.v2.timer(&mut self.scene),
            Due::Timer(Lane::V3) => self.v3.timer(&mut self.scene),
            Due::Worker(Lane::V2, worker, matter) => {
                self.v2.attend(&mut self.scene, worker, matter)
            }
            Due::Worker(Lane::V3, worker, matter) => {
                self.v3.attend(&mut self.scene, worker, matter)
            }
            Due::Strike(fault) => self.strike(fault),
        }
    }

    /// The host stands still. R4: a timer that is so late gives replies the time to be read.
    fn put_off(&mut self, due: Due) {
        let awake = self.scene.stalled_until;
        let late = awake.since(self.scene.now) > STALL && matches!(due, Due::Timer(_));
        self.scene.at(if late { awake + STALL } else { awake }, due);
    }

    /// Callers that are rung look at their mail; who is first is left to chance.
    fn answer_rings(&mut self) {
        while let Some(ticket) = self.scene.take_ring() {
            self.caller_wakes(ticket);
        }
    }

    fn plan_arrival(&mut self) {
        self.upcoming = self.calls.next();
        match &self.upcoming {
            Some(planned) => self.scene.at(planned.at, Due::Arrival),
            None => {
                self.scene.tell(Event::Phase { phase: Phase::PlanDone });
                self.ends_by = self.scene.now + HORIZON;
                self.v2.drain(&mut self.scene);
                self.v3.drain(&mut self.scene);
            }
        }
    }

    fn arrive(&mut self) {
        let planned = self.upcoming.take().expect("an arrival was planned");
        self.milestones(planned.call);
        self.submit(planned);
        self.plan_arrival();
    }

    /// What happens at a call's number, whenever that is.
    fn milestones(&mut self, call: CallNo) {
        while self.milestones.front().is_some_and(|(number, _)| *number <= call.0) {
            match self.milestones.pop_front() {
                Some((_, Milestone::Heal(faults))) => {
                    faults.into_iter().for_each(|fault| self.scene.heal(fault));
                    self.scene.tell(Event::Phase { phase: Phase::Healed });
                }
                Some((_, Milestone::Drain(Lane::V2))) => self.v2.drain(&mut self.scene),
                Some((_, Milestone::Drain(Lane::V3))) => self.v3.drain(&mut self.scene),
                None => {}
            }
        }
    }

    fn submit(&mut self, planned: PlannedCall) {
        let PlannedCall { call, at, session, class, idempotent, .. } = planned;
        let now = self.scene.now;
        let deadline = planned.budget.map(|budget| now + budget);
        let number = session.as_ref().map(|(number, _)| *number);
        let submit =
            Event::Submit { call, session: number, class, idempotent, deadline, planned: at };
        self.scene.tell(submit);
        self.submitted += 1;
        let id = session.as_ref().map(|(_, id)| id);
        let decision = self.switch.decide(now, call, id, class);
        let percent = self.switch.policy().percents.of(class).buckets();
        let (lane, reason) = (decision.lane, decision.reason);
        let (epoch, drawn) = (decision.epoch, decision.drawn);
        self.scene.tell(Event::Route { call, lane, epoch, reason, drawn, percent });
        let ticket = Ticket(call.0);
        if let Some(Leaves::After(after)) = planned.leaves {
            self.scene.at(at + after, Due::Cancel(ticket));
        }
        let ending = session.clone().filter(|_| planned.ends_session);
        let session = session.map(|(_, id)| id);
        let budget = self.scene.options.lanes[lane as usize].terms.budget;
        let booking = Booking {
            ticket,
            call,
            lane,
            class,
            planned: at,
            submitted: now,
            dispatched: None,
            deadline: deadline.unwrap_or(now + budget),
            ending,
            is_poison: planned.is_poison,
            leaves_at_hand_off: planned.leaves == Some(Leaves::AtHandOff),
            stage: Stage::Open,
            worker: None,
            lease: None,
            until: Moment::NEVER,
            exchanging: false,
            sent: Sent::None,
            left: None,
            asked: 0,
            attempts: 0,
            finished: None,
        };
        let (kind, digest) = (CallKind::Live, None);
        let input = Input::Submit { call: ticket, kind, class, session, deadline, digest };
        match lane {
            Lane::V2 => self.v2.submit(&mut self.scene, booking, input),
            Lane::V3 => self.v3.submit(&mut self.scene, booking, input),
        }
    }

    fn cancel(&mut self, ticket: Ticket) {
        let Some(booking) = self.scene.bookings.get(ticket) else { return };
        match booking.lane {
            Lane::V2 => self.v2.cancel(&mut self.scene, ticket),
            Lane::V3 => self.v3.cancel(&mut self.scene, ticket),
        }
    }

    fn caller_wakes(&mut self, ticket: Ticket) {
        let Some(booking) = self.scene.bookings.get(ticket) else { return };
        let ended = match booking.lane {
            Lane::V2 => self.v2.caller_wakes(&mut self.scene, ticket),
            Lane::V3 => self.v3.caller_wakes(&mut self.scene, ticket),
        };
        let Some((number, session)) = ended else { return };
        self.scene.tell(Event::EndSession { session: number });
        self.switch.end_session(&session);
        self.v2.step(&mut self.scene, Input::EndSession { session: session.clone() });
        self.v3.step(&mut self.scene, Input::EndSession { session });
    }

    fn plan_act(&mut self) {
        if let Some((at, act)) = self.acts.next() {
            self.act = Some(act);
            self.scene.at(at, Due::Act);
        }
    }

    fn operate(&mut self) {
        match self.act.take() {
            Some(Act::Percents(percents)) => {
                self.switch.set_percents(percents);
                self.tell_policy();
            }
            Some(Act::Kill(killed)) => {
                self.switch.set_killed(killed);
                self.tell_policy();
            }
            Some(Act::Resize(size)) => self.v3.resize(&mut self.scene, size),
            None => {}
        }
        self.plan_act();
    }

    fn tell_policy(&mut self) {
        let policy = self.switch.policy();
        let percents = Class::ALL.map(|class| policy.percents.of(class).buckets());
        let (epoch, killed) = (policy.epoch, policy.killed);
        self.scene.tell(Event::Config { epoch, percents, killed });
    }
}

/// R4: a timer that wakes later than this finds that the host was stalled.
const STALL: Duration = Duration::from_millis(20);

impl<M: poolshift::machine::PoolMachine> Pool<M> {
    fn attend<W: Watcher>(
        &mut self,
        scene: &mut Scene<W>,
        worker: poolshift::WorkerId,
        matter: Matter,
    ) {
        match matter {
            Matter::Born => self.born(scene, worker),
            Matter::Works => self.works(scene, worker),
            Matter::Leaves => self.leaves(scene, worker),
            Matter::Heard => self.heard(scene, worker),
            Matter::Noticed => self.noticed(scene, worker),
            Matter::StartLimit => self.start_limit(scene, worker),
            Matter::Ping => self.ping(scene, worker),
            Matter::PingLimit => self.ping_limit(scene, worker),
            Matter::Terminate => self.terminate(scene, worker),
            Matter::Kill => self.kill(scene, worker),
        }
    }
}
