//! What the demo's callers will do, drawn before the run.

use std::time::Duration;

use poolshift::{Args, BadCall, Call};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How many of the calls are in a session.
const IN_SESSION: f64 = 0.5;

/// A session lives for this many calls on average.
const SESSION_CALLS: f64 = 6.0;

/// One call of the plan.
#[derive(Debug)]
pub(super) struct Arrival {
    /// When, after the step's start.
    pub(super) at: Duration,
    /// What.
    pub(super) call: Call,
}

/// The arrivals of one step at a constant rate; `open` are the sessions that are alive, which
/// go on living in the next step.
pub(super) fn step(
    rng: &mut StdRng,
    open: &mut Sessions,
    calls: u32,
    rate: f64,
) -> Result<Vec<Arrival>, BadCall> {
    (0..calls)
        .map(|n| {
            let at = Duration::from_secs_f64(f64::from(n) / rate);
            let call = one_call(rng, n)?;
            let call = match rng.random_bool(IN_SESSION) {
                true => call.with_session(&open.pick(rng))?,
                false => call,
            };
            Ok(Arrival { at, call })
        })
        .collect()
}

pub(super) fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// Mostly arithmetic and echoes, some waiting, some writes.
fn one_call(rng: &mut StdRng, n: u32) -> Result<Call, BadCall> {
    let (command, args) = match rng.random_range(0..10) {
        0..=4 => ("calculate", format!(r#"{{"expression":"{n} + {n}"}}"#)),
        5..=7 => ("echo", format!(r#"{{"n":{n}}}"#)),
        8 => ("sleep", r#"{"ms":2}"#.to_owned()),
        _ => ("create_program", format!(r#"{{"id":"p{n}","signature":"question -> answer"}}"#)),
    };
    Ok(Call::new(command, Args::parse(&args)?))
}

/// The sessions that are alive.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    alive: Vec<u32>,
    begun: u32,
}

impl Sessions {
    /// A live session, or a new one; lifetimes are geometric.
    fn pick(&mut self, rng: &mut StdRng) -> String {
        let fresh = self.alive.is_empty() || rng.random_bool(1.0 / SESSION_CALLS);
        if fresh {
            self.begun += 1;
            self.alive.push(self.begun);
        }
        let index =
            if fresh { self.alive.len() - 1 } else { rng.random_range(0..self.alive.len()) };
        let session = self.alive[index];
        if rng.random_bool(1.0 / SESSION_CALLS) {
            self.alive.swap_remove(index);
        }
        format!("session-{session}")
    }
}
