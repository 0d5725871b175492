//! Made-up traffic for the measured rates: sessions that come and go, and anonymous calls.

use poolshift::router::guard::comparison::Comparison;
use poolshift::router::guard::metric::Metric;
use poolshift::router::guard::risk::{Marks, RiskSets, Unit};
use poolshift::router::guard::strata::Strata;
use poolshift::router::guard::{Arm, Arms};
use poolshift::router::policy::Percents;
use poolshift::{Class, Lane};
use poolshift_sim::rng::{Domain, Seed, Stream};

/// Commands, each with a rate of failure of its own, and its share of the calls in 8.
pub(super) const COMMANDS: [(&str, f64, u64); 4] =
    [("calculate", 0.4, 4), ("echo", 0.1, 2), ("predict", 2.5, 1), ("store", 4.0, 1)];

/// What happens in a ramp.
#[derive(Clone, Copy)]
pub(super) struct Traffic {
    /// V3's shares, one after the other, in parts of a million.
    pub(super) steps: &'static [u32],
    /// Calls in each step.
    pub(super) calls: u64,
    /// Calls of a session on average; 1 means that every call is anonymous.
    pub(super) session_calls: u64,
    /// Chance of a failed call in V2, on average over the commands.
    pub(super) rate: f64,
    /// V3's rate as a multiple of V2's, in the commands for which it is set.
    pub(super) ratio: f64,
    /// The only command in which V3's rate differs.
    pub(super) only: Option<usize>,
    /// Sessions in a million that fail at each call, in either lane.
    pub(super) poisoned: u32,
    /// Whether each call of a session is taken for a unit of its own, as it must not be.
    pub(super) per_call: bool,
}

/// When evidence was first enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Alarm {
    /// Bad units until then.
    pub(super) bad: Arms,
}

struct Session {
    marks: Marks,
    lane: Lane,
    calls_left: u64,
    poisoned: bool,
}

/// Live sessions at any time.
const LIVE: usize = 40;

/// Plays one ramp, and looks at the evidence after each bad unit.
pub(super) fn play(
    traffic: &Traffic,
    (seed, run): (u64, u64),
    enough: impl Fn(&Comparison) -> bool,
) -> Option<Alarm> {
    let mut chance = Seed(seed).stream(Domain::Call, run, 0);
    let names = COMMANDS.map(|(command, ..)| (command.to_owned(), Class::Read));
    let strata = Strata::new(names);
    let mut comparison = Comparison::new(1.25, 2.0, strata.count());
    let mut risk = RiskSets::new(strata);
    let mut live: Vec<Session> = Vec::with_capacity(LIVE);
    let in_sessions = traffic.session_calls > 1;
    for share in traffic.steps {
        let percent = format!("{:.3}", f64::from(*share) / 10_000.0);
        risk.begin_cohort(Percents::all(percent.parse().unwrap()));
        while in_sessions && live.len() < LIVE {
            let session = draw(traffic, *share, &risk, &mut chance);
            live.push(session);
        }
        for _ in 0..traffic.calls {
            let seat = chance.below(LIVE as u64) as usize;
            let command = command(&mut chance);
            let (lane, poisoned) = match live.get(seat) {
                Some(session) => (session.lane, session.poisoned),
                None => (lane(*share, &mut chance), false),
            };
            let bad = poisoned || chance.unit() <= failure(traffic, command, lane);
            let arm = Arm::from(lane);
            let mut unit = match live.get_mut(seat) {
                Some(session) if !traffic.per_call => Unit::Session(&mut session.marks),
                _ => Unit::Anonymous,
            };
            let shares = risk.shares(&unit, command, Metric::Errors).unwrap();
            risk.enter(&mut unit, command, arm);
            if bad && let Some(latest) = risk.bad(&mut unit, Metric::Errors) {
                comparison.bad(command, shares, arm, latest);
                if enough(&comparison) {
                    return Some(Alarm { bad: comparison.bad_units() });
                }
            }
            if let Some(session) = live.get_mut(seat) {
                session.calls_left -= 1;
                if session.calls_left == 0 {
                    *session = draw(traffic, *share, &risk, &mut chance);
                }
            }
        }
    }
    None
}

fn draw(traffic: &Traffic, share: u32, risk: &RiskSets, chance: &mut Stream) -> Session {
    let marks = risk.mark().unwrap();
    let poisoned = chance.chance(traffic.poisoned);
    let calls_left = match poisoned {
        true => 20,
        false => chance.between(1, 2 * traffic.session_calls - 1),
    };
    Session { marks, lane: lane(share, chance), calls_left, poisoned }
}

fn lane(share: u32, chance: &mut Stream) -> Lane {
    if chance.chance(share) { Lane::V3 } else { Lane::V2 }
}

fn command(chance: &mut Stream) -> usize {
    let mut drawn = chance.below(8);
    for (index, (_, _, eighths)) in COMMANDS.iter().enumerate() {
        if drawn < *eighths {
            return index;
        }
        drawn -= eighths;
    }
    unreachable!("the eighths are eight")
}

fn failure(traffic: &Traffic, command: usize, lane: Lane) -> f64 {
    let differs = lane == Lane::V3 && traffic.only.is_none_or(|only| only == command);
    let ratio = if differs { traffic.ratio } else { 1.0 };
    traffic.rate * COMMANDS[command].1 * ratio
}
