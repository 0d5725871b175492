//! What of a router's calls its guards hear: first tries, each session once, and no draw that was
//! made by other percentages.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use poolshift::call::Timing;
use poolshift::clock::{Clock, Moment, Wall};
use poolshift::router::file::RolloutFile;
use poolshift::router::guard::slow::Thresholds;
use poolshift::router::guard::strata::Strata;
use poolshift::router::guard::{Evidence, Metric};
use poolshift::router::percent::Percent;
use poolshift::router::policy::Policy;
use poolshift::router::post::{GuardPost, Watch};
use poolshift::router::ramp::Plan;
use poolshift::router::{PinLimits, Router};
use poolshift::{Answer, Args, Call, Class, Lane, Outcome, Pool, PoolStatus, SessionId};
use serde_json::value::RawValue;
use tokio_test::block_on;

use crate::sim_pool::sessions;

/// Answers well at once, but failed at the first try if it is told so; its workers die.
struct Lucky {
    first_try: Option<Outcome>,
    deaths: u64,
}

impl Pool for Lucky {
    async fn call(&self, _: Call) -> Answer {
        tokio::task::yield_now().await;
        let at = Moment::ZERO;
        let timing = Timing { planned: at, submitted: at, dispatched: None, finished: at };
        let result = Ok(RawValue::from_string("{}".to_owned()).unwrap());
        Answer { result, worker: None, timing, first_try: self.first_try }
    }

    fn end_session(&self, _: &SessionId) {}

    async fn drain(&self, _: Duration) {}

    fn status(&self) -> PoolStatus {
        PoolStatus { deaths: self.deaths, ..PoolStatus::default() }
    }
}

struct Rig {
    router: Router<Lucky, Lucky>,
    post: Arc<GuardPost>,
}

impl Rig {
    /// V3 at half, and every first try in V3 fails.
    fn new() -> Self {
        let pool = |first_try| Arc::new(Lucky { first_try, deaths: 0 });
        let policy = Policy::initial("v3-rollout", false);
        let pins = PinLimits { ttl: Duration::from_secs(60), max_pins: 1000 };
        let (legacy, next) = (pool(None), pool(Some(Outcome::WorkerLost)));
        let router = Router::new(legacy, next, policy, pins, sessions(), Clock::start());
        let strata = Strata::new([("echo".to_owned(), Class::Read)]);
        let guards = Plan::standard().guards;
        let post =
            Arc::new(GuardPost::new("b", guards, strata, Thresholds::default(), Percent::ZERO));
        let rig = Self { router, post };
        rig.apply(1, "percent = 50");
        rig
    }

    fn apply(&self, step: u64, text: &str) {
        let proving = Class::ALL.to_vec();
        let watch = Watch { post: Arc::clone(&self.post), step, proving };
        self.router.apply(&RolloutFile::parse(text).unwrap(), Some(watch)).unwrap();
    }

    fn call(&self, session: &str) -> Lane {
        self.make("echo", session)
    }

    /// One call of each of these sessions; how many of them went to V3.
    fn calls(&self, sessions: Range<u64>) -> u64 {
        sessions.filter(|n| self.call(&format!("s{n}")) == Lane::V3).count() as u64
    }

    fn make(&self, command: &str, session: &str) -> Lane {
        let call = Call::new(command, Args::default()).with_session(session).unwrap();
        block_on(self.router.call(call)).decision.lane
    }

    fn evidence(&self) -> Evidence {
        self.router.guards(Wall::from_millis(0)).unwrap().evidence()
    }

    fn bad(&self) -> (u64, u64) {
        let evidence = self.evidence();
        let errors = evidence.comparisons().find(|(metric, _)| *metric == Metric::Errors).unwrap();
        let bad = errors.1.bad_units();
        (bad.control, bad.candidate)
    }
}

#[test]
fn r15_a_first_try_that_failed_counts_though_the_caller_got_an_answer_and_once_a_session() {
    let rig = Rig::new();
    let in_v3 = rig.calls(0..100);
    assert_eq!(rig.bad(), (0, in_v3));
    rig.calls(0..100);
    assert_eq!(rig.bad(), (0, in_v3), "a session goes bad once");
    assert_eq!(rig.evidence().routed.units.total(), 100);
    rig.call("anonymous");
    assert_eq!(rig.evidence().routed.units.total(), 101);
}

#[test]
fn what_is_forced_or_killed_is_not_judged() {
    let rig = Rig::new();
    for lane in [Lane::V2, Lane::V3] {
        let call = Call::new("echo", Args::default());
        block_on(rig.router.call(Call { forced: Some(lane), ..call }));
    }
    rig.router.kill();
    rig.call("s1");
    rig.call("anonymous");
    assert_eq!(rig.evidence().routed.units.total(), 0);
}

#[test]
fn draws_are_held_against_the_percentages_that_they_were_drawn_by() {
    let rig = Rig::new();
    rig.calls(0..200);
    rig.apply(2, "percent = 0");
    rig.calls(200..300);
    rig.apply(3, "percent = 100");
    rig.calls(300..400);
    for (class, ratio) in rig.evidence().ratios() {
        assert_eq!(ratio.strays(), 0, "{class:?}");
        assert!(ratio.ln_e() < 3.0, "{class:?}: {}", ratio.ln_e());
    }
    let evidence = rig.evidence();
    let (_, reads) = evidence.ratios().next().unwrap();
    assert!(reads.ln_e() != 0.0, "those of the first step were told before the next began");
    assert_eq!(evidence.step(), 3);
}

#[test]
fn sessions_of_before_the_ramp_and_of_another_one_are_not_judged() {
    let rig = Rig::new();
    rig.call("early");
    let before = rig.evidence().routed.units.total();
    let strata = Strata::new([("echo".to_owned(), Class::Read)]);
    let guards = Plan::standard().guards;
    let other = GuardPost::new("c", guards, strata, Thresholds::default(), Percent::ZERO);
    let rig = Rig { post: Arc::new(other), ..rig };
    rig.apply(1, "percent = 50");
    assert_eq!(before, 1);
    // By a command that it has not used before, which is what makes a unit.
    rig.make("another", "early");
    assert_eq!(rig.evidence().routed.units.total(), 0);
    rig.call("late");
    assert_eq!(rig.evidence().routed.units.total(), 1);
}

#[test]
fn a_call_that_ends_under_other_percentages_is_no_unit_of_theirs() {
    let rig = Rig::new();
    let call = Call::new("echo", Args::default());
    let mut under_way = tokio_test::task::spawn(rig.router.call(call));
    // Its pool answers when it is polled again.
    assert!(under_way.poll().is_pending());
    rig.apply(2, "percent = 100");
    assert!(under_way.poll().is_ready());
    assert_eq!(rig.evidence().routed.units.total(), 0);
    rig.call("anonymous");
    assert_eq!(rig.evidence().routed.units.total(), 1);
}
