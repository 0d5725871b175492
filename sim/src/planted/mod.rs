//! The rig tests itself: bugs that people have really written, each in the product's place, and
//! each killed by a law.
//!
//! None of them is in the product: [`machine`] is a wrapper that forwards events and actions, and
//! alters them where the bug lies; [`switch`] does the same to the router. The stories are those
//! of worker pools that lost calls in production.

pub(crate) mod catalogue;
pub mod machine;
pub mod switch;
pub mod trigger;

#[cfg(test)]
mod tests;

use poolshift::v2_session_pool::machine::{SessionMachine, SessionQueues};
use poolshift::v3_pool::machine::{QueueMachine, SharedQueue};

use crate::options::Options;
use crate::planted::catalogue::catalogue;
use crate::planted::machine::Planted;
use crate::planted::switch::PlantedSwitch;
use crate::planted::trigger::Trigger;
use crate::run::run;
use crate::scenario::Scenario;
use crate::trace::LaneGround;
use crate::world::{Product, Rig};

/// Says each bug once: its name, what must happen for it to show, and its story.
macro_rules! bugs {
    ($($bug:ident $name:literal [$($trigger:ident)*] $story:literal;)*) => {
        catalogue! { Bug { $($bug $name $story;)* } }

        impl Bug {
            /// What must happen for it to show; each of them, in one run.
            #[must_use]
            pub const fn triggers(self) -> &'static [Trigger] {
                match self { $(Self::$bug => &[$(Trigger::$trigger),*],)* }
            }

            /// Whether it shows only where two kinds of event meet, such as a cancel and a
            /// hand-off.
            #[must_use]
            pub const fn needs_two(self) -> bool {
                self.triggers().len() >= 2
            }
        }
    };
}

bugs! {
    CancelLost "cancel_lost" [Cancel] "a cancelled call is never finished";
    TimeoutTwice "timeout_twice" [Queue] "a call that times out in the queue is finished twice";
    RejectionLost "rejection_lost" [] "a rejected call is never told";
    CapPlusOne "cap_plus_one" [] "the cap on waiting calls is checked after they have joined";
    SizePlusOne "size_plus_one" [] "one worker more is started than the pool may have";
    StartsAtOnce "starts_at_once" [] "V2 starts its workers all at once, and not one by one";
    NoBackoff "no_backoff" [StartFailure] "a failed start is tried again at once";
    BackoffForEver "backoff_for_ever" [StartFailure] "failed starts of the past count for ever";
    QueueTimeoutLate "queue_timeout_late" [Queue] "the wait is timed by the whole budget";
    DeadlineDropped "deadline_dropped" [Budget] "the caller's own deadline is not passed on";
    LazyTimer "lazy_timer" [] "the timer rounds up, and deadlines fire ten milliseconds late";
    WorkerLeaked "worker_leaked" [Garbage] "a retired worker is forgotten and never ended";
    DrainIgnored "drain_ignored" [Drain] "a pool that drains goes on taking calls";
    WakeUpLost "wake_up_lost" [] "one hand-off in fifty wakes nobody, and the worker is gone";
    StaleReady "stale_ready" [StartFailure] "a worker that failed its start ping is put to work";
    TimedOutIdle "timed_out_idle" [Hang] "a worker whose call timed out returns to the idle ones";
    CancelledIdle "cancelled_idle" [Cancel]
        "a cancelled call's worker is idle before its late reply";
    HalfSentAgain "half_sent_again" [Death] "a call that was sent to a dying worker is sent again";
    CancelIgnored "cancel_ignored" [Cancel Queue]
        "a waiter that has gone is handed a worker all the same";
    DrainStrands "drain_strands" [Drain Queue] "who waits when a drain gives up is never told";
    ShrinkIgnored "shrink_ignored" [Resize] "a resize is accepted, and nobody is told of it";
    BadProbeIgnored "bad_probe_ignored" [BadProbe]
        "a worker that failed its health check serves on";
    RecycleIgnored "recycle_ignored" [Recycle] "a worker that asked to be replaced serves on";
    GarbageForgiven "garbage_forgiven" [Garbage]
        "a worker that sent garbage is given the next call";
    DeathUnnoticed "death_unnoticed" [Death] "an idle worker's exit is not noticed";
    AffinityForgotten "affinity_forgotten" [Session] "V2 takes any worker for a session's call";
    LossUntold "loss_untold" [Session Death]
        "a session whose worker died goes on as if nothing had been lost";
    CancelledHandOff "cancelled_hand_off" [Cancel Queue]
        "a caller that has gone is not taken out of the queue, and a worker waits for it";
    HandOffLeaks "hand_off_leaks" [Cancel Queue]
        "a caller that goes as it is handed a worker takes the worker with it";
    LateReplyToNext "late_reply_to_next" [Cancel Queue]
        "a cancelled call's late reply is given to the next caller";
    ResizeRevives "resize_revives" [Resize Drain] "a resize starts a worker for a pool that drains";
    ResizeForgets "resize_forgets" [Resize Queue]
        "a resize rebuilds the queue, and the youngest waiter falls out";
    ExpiredDispatched "expired_dispatched" [Stall Queue]
        "the clock is read once a turn, and an expired call is dispatched";
    LossToldToAll "loss_told_to_all" [Session Queue Death]
        "every waiting call of a lost session is told so, not one";
    TwoBinds "two_binds" [Session]
        "two calls of a new session look for its binding, and both make one";
    BoundAfterCheckout "bound_after_checkout" [Session]
        "a session is bound after its first call has some worker";
    GenerationIgnored "generation_ignored" [Death]
        "what is left to say of a dead process hits its successor in the slot";
    RestartBudgetShared "restart_budget_shared" [StartFailure]
        "three failed starts of any slots, and nothing is started any more";
    KillKeepsPins "kill_keeps_pins" [Policy Session]
        "the kill switch leaves V3's pins, and they count again after it";
    PinsForgotten "pins_forgotten" [Policy Session]
        "a change of policy forgets the pins of live sessions";
    KillReadOnce "kill_read_once" [Policy Session]
        "the kill switch is read when a session begins, only";
    KillMissesAnonymous "kill_misses_anonymous" [Policy]
        "the kill switch is asked for sessions only";
    RollbackSpares "rollback_spares" [Policy Session] "a rollback leaves live sessions in V3";
    RaiseMoves "raise_moves" [Policy Session] "raising the share moves live sessions too";
    BucketRedrawn "bucket_redrawn" [Session] "each call of a session is drawn anew";
    ShareRounded "share_rounded" [Policy] "shares are rounded up to whole tens of percent";
    StalePolicy "stale_policy" [Policy] "the policy is cached, and a change is seen one call late";
}

impl Bug {
    /// Whether it lies in V2's machine; else in V3's or the router.
    #[must_use]
    pub const fn is_in_v2(self) -> bool {
        matches!(
            self,
            Self::StartsAtOnce
                | Self::AffinityForgotten
                | Self::LossUntold
                | Self::LossToldToAll
                | Self::TwoBinds
                | Self::BoundAfterCheckout
        )
    }
}

/// The product with one bug in it.
#[derive(Clone, Copy, Debug)]
pub struct Infected(pub Bug);

impl Rig for Infected {
    type V2 = Planted<SessionMachine>;
    type V3 = Planted<QueueMachine>;
    type Switch = PlantedSwitch;

    fn v2(&self, ground: &LaneGround) -> Self::V2 {
        let LaneGround { terms, max_waiting, session_idle, .. } = ground;
        let bug = Some(self.0).filter(|bug| bug.is_in_v2());
        let altered = machine::terms(terms, bug);
        let queues = SessionQueues::new(terms.size, *max_waiting, *session_idle);
        Planted::new(SessionMachine::new(altered, queues), bug, terms)
    }

    fn v3(&self, ground: &LaneGround) -> Self::V3 {
        let LaneGround { terms, max_waiting, .. } = ground;
        let bug = Some(self.0).filter(|bug| !bug.is_in_v2());
        let room = max_waiting + usize::from(bug == Some(Bug::CapPlusOne));
        let altered = machine::terms(terms, bug);
        Planted::new(QueueMachine::new(altered, SharedQueue::new(room)), bug, terms)
    }

    fn switch(&self, options: &Options) -> Self::Switch {
        PlantedSwitch::new(Product.switch(options), self.0, options)
    }
}

/// Where a bug is hunted: the first has everything at usual rates, the second a random half of it
/// at any rate, in pools of any size. Neither knows which bug it is after.
const GROUNDS: [Scenario; 2] = [Scenario::Full, Scenario::Swarm];

/// How a bug was found out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Kill {
    /// The first law that it broke; `panic` if an assertion of the product caught it.
    pub law: &'static str,
    /// How many seeds that took, from 1.
    pub seeds: u64,
    /// The scenario of the last of them, by its name.
    pub scenario: &'static str,
}

/// Runs the bug under `full` and `swarm`, seed by seed, until a law is broken; none if it
/// outlives that many seeds.
#[must_use]
pub fn hunt(bug: Bug, seeds: u64, calls: u64) -> Option<Kill> {
    (1..=seeds).find_map(|seeds| GROUNDS.into_iter().find_map(|it| killed(bug, seeds, it, calls)))
}

fn killed(bug: Bug, seed: u64, scenario: Scenario, calls: u64) -> Option<Kill> {
    let found = run(&Infected(bug), seed, scenario.options(seed, calls));
    let law = found.verdict.broken.first()?.law;
    Some(Kill { law, seeds: seed, scenario: scenario.as_str() })
}
